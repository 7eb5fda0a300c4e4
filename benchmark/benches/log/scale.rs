//! How large everything is.

use std::time::Duration;

/// Sizes of one run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    /// Entries a batch.
    pub(crate) batches: [u64; 4],
    /// How long a store appends in one round. What is prepared in between does not count.
    pub(crate) slice: Duration,
    /// … and how many entries at the most, so that the fast ones fill neither disk nor memory.
    pub(crate) slice_entries_max: u64,
    /// Between two slices, for a store to finish in peace what it does in the background.
    pub(crate) pause: Duration,
    /// Entries of the log that is opened and read.
    pub(crate) entries: u64,
    /// How often it is opened, each time by a new process.
    pub(crate) openings: usize,
    /// How often an opened log is read at a random place.
    pub(crate) reads: u32,
    /// How many of those do not count yet.
    pub(crate) reads_before: u32,
    /// Content of a snapshot.
    pub(crate) snapshot_bytes: u64,
    /// How many snapshots are written.
    pub(crate) snapshots: usize,
    /// How long appending is watched before each of them.
    pub(crate) idle: Duration,
}

impl Scale {
    /// What the figures are about.
    pub(crate) const FULL: Scale = Scale {
        batches: [1, 16, 256, 4096],
        slice: Duration::from_secs(1),
        slice_entries_max: 512 << 10,
        pause: Duration::from_millis(250),
        entries: 1_000_000,
        openings: 5,
        reads: 20_000,
        reads_before: 1_000,
        snapshot_bytes: 512 << 20,
        snapshots: 5,
        idle: Duration::from_secs(3),
    };

    /// What shows in seconds that everything runs.
    pub(crate) const SMOKE: Scale = Scale {
        slice: Duration::from_millis(20),
        slice_entries_max: 16 << 10,
        pause: Duration::ZERO,
        entries: 20_000,
        openings: 1,
        reads: 200,
        reads_before: 10,
        snapshot_bytes: 24 << 20,
        snapshots: 1,
        idle: Duration::from_millis(50),
        ..Scale::FULL
    };
}
