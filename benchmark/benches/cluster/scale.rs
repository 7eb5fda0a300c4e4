//! How large everything is.

use std::time::Duration;

/// Sizes of one run.
#[derive(Clone, Debug)]
pub(crate) struct Scale {
    pub(crate) rounds: usize,
    /// Callers at once.
    pub(crate) callers: Vec<usize>,
    /// … where each has a connection.
    pub(crate) connections: Vec<usize>,
    /// … who write values of other sizes.
    pub(crate) payload_callers: Vec<usize>,
    /// … with whom a system is at its peak: more add latency, and little else.
    pub(crate) peak_callers: usize,
    /// … who read.
    pub(crate) read_callers: Vec<usize>,
    /// … who write while snapshots are taken.
    pub(crate) snapshot_callers: usize,
    /// How large those snapshots are, in MiB.
    pub(crate) ballast_mib: usize,
    /// How many commands are under way where consensus is measured alone.
    pub(crate) consensus_callers: Vec<usize>,
    /// How many records are appended to the log and read back.
    pub(crate) log_records: u64,
    /// After how many commands memory is looked at.
    pub(crate) memory_commands: Vec<u64>,
    /// How often a leader is killed.
    pub(crate) kills: usize,
    /// Once, when a system has been started: virtual machines compile what is used much.
    pub(crate) first_warm_up: Duration,
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
            connections: vec![64, 256],
            payload_callers: vec![1, 64, 256, 1_024],
            peak_callers: 1_024,
            read_callers: vec![64, 256],
            snapshot_callers: 64,
            ballast_mib: 256,
            consensus_callers: vec![1, 64, 256, 1_024],
            log_records: 3_000_000,
            memory_commands: vec![1_000_000, 3_000_000, 10_000_000],
            kills: 7,
            first_warm_up: Duration::from_secs(15),
            warm_up: Duration::from_millis(500),
            slice: Duration::from_secs(2),
        }
    }

    /// What shows in seconds that everything runs.
    pub(crate) fn smoke() -> Scale {
        Scale {
            rounds: 1,
            callers: vec![1, 64],
            connections: vec![8],
            payload_callers: vec![8],
            peak_callers: 8,
            read_callers: vec![8],
            snapshot_callers: 8,
            ballast_mib: 4,
            consensus_callers: vec![16],
            log_records: 20_000,
            memory_commands: vec![10_000, 120_000],
            kills: 1,
            first_warm_up: Duration::from_millis(20),
            warm_up: Duration::from_millis(20),
            slice: Duration::from_millis(100),
        }
    }
}
