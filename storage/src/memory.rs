//! A whole storage in memory, for tests and simulation: the very same engine over a [`MemoryDisk`].

use std::io;
use std::path::Path;
use std::sync::Arc;

use lovebird_core::identity::GroupId;
use lovebird_core::log_store::LogStore;
use lovebird_core::snapshot_store::SnapshotStore;

use crate::disk::MemoryDisk;
use crate::log::{Drive, Log, Options, Prepare};
use crate::snapshot::{SnapshotDirectory, SnapshotOptions};

/// Storage that survives restarts and crashes of what uses it, but not of the process. Clones are the same storage.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// use lovebird_storage::MemoryStorage;
///
/// let storage = MemoryStorage::new();
/// let (log, snapshots) = storage.open(0)?;
/// assert!(log.state().last.is_none() && snapshots.latest()?.is_none());
/// drop((log, snapshots));
///
/// storage.disk().crash(); // what was not durable is gone …
/// let (log, snapshots) = storage.open(0)?; // … and all the rest is found again
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct MemoryStorage(MemoryDisk);

impl MemoryStorage {
    /// Empty storage.
    pub fn new() -> Self {
        Self::default()
    }

    /// The disk underneath, to record its calls, to make it fail and to crash it.
    pub fn disk(&self) -> &MemoryDisk {
        &self.0
    }

    /// Opens log and snapshots of one group, as a node does when it starts. What was opened before, of any group, must have
    /// been dropped, or the disk have crashed.
    ///
    /// Everything happens on the caller's thread: when `append` returns, the entries are durable.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn open(&self, group: GroupId) -> io::Result<(Arc<dyn LogStore>, Arc<dyn SnapshotStore>)> {
        let options = Options {
            drive: Drive::InPlace,
            prepare: Prepare::Reserve,
            segment_bytes: 1 << 20,
            ..Options::default()
        };
        let disk = Arc::new(self.0.mount());
        let log = Log::open(disk.clone(), Path::new("/log"), &options)?;
        let snapshots =
            SnapshotDirectory::open(disk, Path::new("/snapshots"), group, SnapshotOptions::default())?;
        Ok((log.group(group), snapshots))
    }
}
