//! Lovebird: storage.
#![forbid(unsafe_code)]

mod sync;
pub mod disk;
pub mod log;
pub mod snapshot;

pub use disk::{Disk, DiskFile, MemoryDisk, RealDisk};
pub use log::{Log, Options as LogOptions};
pub use snapshot::SnapshotDirectory;
