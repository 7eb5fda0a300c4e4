//! When something is counted.

use std::time::{Duration, Instant};

/// Connections open and code and caches get warm before anything is counted.
const WARM_UP: Duration = Duration::from_millis(300);

/// From when to when operations count.
#[derive(Clone, Copy, Debug)]
pub(super) struct Period {
    pub(super) begins: Instant,
    pub(super) ends: Instant,
}

impl Period {
    /// The `time` behind a warm-up that begins now.
    pub(super) fn of(time: Duration) -> Period {
        let begins = Instant::now() + WARM_UP;
        Period { begins, ends: begins + time }
    }

    /// Whether an operation counts that ended `now`.
    pub(super) fn counts(&self, now: Instant) -> bool {
        (self.begins..self.ends).contains(&now)
    }

    /// Whether all is over `now`.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        now >= self.ends
    }
}
