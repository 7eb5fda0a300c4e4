//! Lovebird: storage.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod directory;
pub mod disk;
pub mod log;
pub mod snapshot;
mod sync;

pub use directory::{DataDirectory, Expected};
pub use disk::{Disk, DiskFile, MemoryDisk, RealDisk};
pub use log::{Log, Options as LogOptions};
pub use snapshot::SnapshotDirectory;
