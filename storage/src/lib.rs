//! Lovebird: the log on disk, snapshot files, the data directory, and the in-memory twin of all of it.
//!
//! # How durable things come to be here
//!
//! [`disk`] is the file system as this crate wants it: small, synchronous, and honest about what a crash may take. Over it
//! stand two stores that implement the seams of `lovebird-core`:
//!
//! - [`log`]: one ordered stream for all groups of a node: entries, votes, commit points, purges. One write and one sync
//!   a batch; a caller is told "durable" only after that sync.
//! - [`snapshot`]: one file a snapshot, in chunks that verify, under its name only when it is complete.
//!
//! [`DataDirectory`] ties them to a node: it locks the directory and knows whose it is. [`MemoryStorage`] is the same
//! engine over a disk in memory that can be made to fail and to crash.
//!
//! When consensus cannot go on by itself, an operator does with [`rescue`]: from a survivor's disk, or from an exported snapshot.
//!
//! The tool `lovebird-log` (feature `tool`) and whoever else only looks go through [`log::inspect`], [`snapshot::inspect`] and a
//! [`ReadOnlyDisk`], also while a node writes.
//!
//! # Invariants
//!
//! 1. What was acknowledged survives `kill -9` and loss of power at any moment, or opening fails and says what was lost.
//! 2. What was not acknowledged may be lost, but only as a suffix of the stream.
//! 3. After a failed write or sync nothing is acknowledged any more; the sync is not tried again.
//! 4. Every byte that is read back is verified before it is used.
//! 5. No file is touched in a directory that is not ours.
//!
//! Of the first there is one exception, which no log without a second copy can tell: if the machine loses power in the seconds
//! behind the last write, and the disk has damaged just that write, it looks like one that was never finished, and is cut.
//!
//! # Every fault and its verdict
//!
//! Each row was produced by a test (`tests/faults`), which fails where this table is not what happens. *Refused* is what opening the log
//! says, but for the advice that follows: not to cut or delete anything, and to replace this replica.
//!
#![doc = include_str!("faults.md")]
//!
//! What becomes of a damaged snapshot file is told, in the same way, by `tests/snapshots`.
//!
//! # What it does not do
//!
//! It knows nothing of consensus: when to truncate, purge or take a snapshot is for `lovebird-core` to decide. It decodes no
//! commands, and tells records apart only to show them. Nothing here is asynchronous.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod steady;
mod sync;

pub mod disk;

pub mod log;

pub mod snapshot;

mod identity;

mod directory;

pub mod rescue;

mod memory;

#[cfg(feature = "testing")]
pub mod conformance;

pub use directory::{DataDirectory, Expected, Origin};
pub use disk::{Disk, DiskFile, MemoryDisk, ReadOnlyDisk, RealDisk};
pub use log::{Log, Options as LogOptions};
pub use memory::MemoryStorage;
pub use snapshot::{Compression, SnapshotDirectory, SnapshotOptions};
