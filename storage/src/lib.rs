//! Lovebird: storage.
#![forbid(unsafe_code)]

pub mod disk;
pub mod log;
mod sync;

pub use disk::{Disk, DiskFile, MemoryDisk, RealDisk};
pub use log::{Log, Options as LogOptions};
