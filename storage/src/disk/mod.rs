//! The seam to the file system: every byte that Lovebird stores goes through [`Disk`] and [`DiskFile`].
//!
//! The traits are synchronous and small, so that a simulator can put a lying disk under the very same code.
//!
//! # Contract
//!
//! - What [`DiskFile::write_at`] and [`DiskFile::set_len`] did may be lost in a crash, in any subset of 512-byte sectors,
//!   until [`DiskFile::sync_data`] has returned. A single aligned sector is written as a whole or not at all.
//! - What [`Disk::create`], [`Disk::rename`] and [`Disk::remove`] did to a directory may be lost in a crash until
//!   [`Disk::sync_dir`] of that directory has returned.
//! - After `sync_data` or `sync_dir` has failed nobody knows what is durable. Callers never try again: a second call may
//!   succeed without having written anything.
//! - A file that was removed or replaced stays readable through the handles that are open.
//!
//! [`RealDisk`] is the operating system's, [`ReadOnlyDisk`] the same for those who may only look, [`MemoryDisk`] the in-memory
//! twin that tests can make fail and crash.

mod memory;
mod real;
mod read_only;

use std::any::Any;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

pub use memory::{Call, Fault, Lost, MemoryDisk, Space};
pub use read_only::ReadOnlyDisk;
pub use real::RealDisk;

/// The sector: what a disk writes as a whole or not at all.
pub const SECTOR_BYTES: usize = 512;

/// Files and directories. See the module's contract.
pub trait Disk: Send + Sync + 'static {
    /// Makes a new, empty file, open for reading and writing.
    ///
    /// # Errors
    /// `AlreadyExists` if there is one.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens a file for reading and writing.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// Whether there is a file or a directory.
    fn exists(&self, path: &Path) -> io::Result<bool>;

    /// The names of all files and directories in a directory, sorted.
    ///
    /// # Errors
    /// `NotFound` if there is no such directory.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Gives a file another name in the same directory, replacing what has that name, as one step.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Removes a directory and everything in it.
    fn remove_dir(&self, dir: &Path) -> io::Result<()>;

    /// Makes a directory and its parents, durably. Fine if it is already there.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Locks a file, making it if need be, until the returned guard is dropped or the process ends.
    ///
    /// # Errors
    /// `WouldBlock` if someone else holds the lock.
    fn lock(&self, path: &Path) -> io::Result<DiskLock>;
}

/// One open file. See the module's contract.
pub trait DiskFile: Send + Sync + 'static {
    /// Writes all of `bytes` at `offset`, or fails.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Fills `buffer` from `offset` on. The number of bytes is smaller only where the file ends.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// Makes what was written, and the length, durable.
    fn sync_data(&self) -> io::Result<()>;

    /// Cuts the file or extends it with zeros.
    fn set_len(&self, bytes: u64) -> io::Result<()>;

    /// Extends the file with zeros to `bytes` and reserves the space, as far as the file system can.
    fn allocate(&self, bytes: u64) -> io::Result<()>;

    /// Its length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Whether it has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// Fills all of `buffer` from `offset` on.
///
/// # Errors
/// `UnexpectedEof` if the file ends before.
pub fn read_exact_at(file: &dyn DiskFile, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
    let read = file.read_at(offset, buffer)?;
    if read < buffer.len() {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            format!("{} bytes were expected at byte {offset}, the file has {read}", buffer.len()),
        ));
    }
    Ok(())
}

/// Holds a lock until it is dropped.
pub struct DiskLock(
    #[expect(dead_code, reason = "held for what dropping it does")] Box<dyn Any + Send + Sync>,
);

impl DiskLock {
    /// A lock that `guard` releases when it is dropped.
    pub fn new(guard: impl Any + Send + Sync) -> Self {
        DiskLock(Box::new(guard))
    }
}

impl fmt::Debug for DiskLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DiskLock")
    }
}
