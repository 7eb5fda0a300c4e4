//! What every [`LogStore`] and every [`SnapshotStore`] must pass (feature `testing`).
//!
//! The suites know the contracts alone, and no engine: they run over any storage that can be made empty and be opened
//! again. What only an engine's own disk can show (a sync before each acknowledgement, what a crash may take) is not here.
//!
//! ```
//! use std::sync::Arc;
//! use lovebird_storage::{MemoryStorage, conformance};
//!
//! conformance::log_store(&mut || {
//!     let storage = MemoryStorage::new();
//!     Box::new(move || storage.open(0).expect("opens").0)
//! });
//! ```

mod log_store;
mod snapshot_store;

use std::sync::Arc;

use lovebird_core::log_store::LogStore;
use lovebird_core::snapshot_store::SnapshotStore;

/// Opens one storage, again and again. It is called only when what it gave before has been dropped.
pub type Open<T> = Box<dyn FnMut() -> Arc<T>>;

/// Runs the suite for [`LogStore`]. `fresh` makes an empty storage each time it is called.
///
/// # Panics
/// If the store breaks its contract.
pub fn log_store(fresh: &mut dyn FnMut() -> Open<dyn LogStore>) {
    for test in log_store::TESTS {
        test(fresh());
    }
}

/// Runs the suite for [`SnapshotStore`]. `fresh` makes an empty storage of group 0 each time it is called.
///
/// # Panics
/// If the store breaks its contract.
pub fn snapshot_store(fresh: &mut dyn FnMut() -> Open<dyn SnapshotStore>) {
    for test in snapshot_store::TESTS {
        test(fresh());
    }
    snapshot_store::travels_from_store_to_store(fresh(), fresh());
}
