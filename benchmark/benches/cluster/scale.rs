//! How large everything is.

use std::time::Duration;

/// Sizes of one run.
#[derive(Clone, Debug)]
pub(crate) struct Scale {
    pub(crate) rounds: usize,
    /// Callers at once.
    pub(crate) callers: Vec<usize>,
    /// Before each slice, uncounted.
    pub(crate) warm_up: Duration,
    /// How long each is measured in a round.
    pub(crate) slice: Duration,
}

impl Scale {
    /// What the figures are about.
    pub(crate) fn full() -> Scale {
        Scale {
            rounds: 3,
            callers: vec![1, 16, 64, 256, 1_024, 4_096],
            warm_up: Duration::from_millis(500),
            slice: Duration::from_secs(2),
        }
    }

    /// What shows in seconds that everything runs.
    pub(crate) fn smoke() -> Scale {
        Scale {
            rounds: 1,
            callers: vec![1, 64],
            warm_up: Duration::from_millis(20),
            slice: Duration::from_millis(100),
        }
    }
}
