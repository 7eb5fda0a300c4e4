//! A snapshot file that is being written, under a temporary name.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{Disk, DiskFile};

/// How much is written between two syncs. One sync at the end of a large file makes the log's own syncs wait for all of it.
const SYNC_BYTES: u64 = 8 << 20;

/// Appends to a file, and syncs as it goes. Dropped unfinished, it removes the file.
pub(super) struct Partial {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    bytes: u64,
    synced: u64,
    crc: u32,
    /// Whether the file has got its final name, so that there is nothing to remove.
    named: bool,
}

impl Partial {
    pub(super) fn create(disk: Arc<dyn Disk>, path: PathBuf) -> io::Result<Partial> {
        let file = disk.create(&path)?;
        Ok(Partial { disk, path, file, bytes: 0, synced: 0, crc: 0, named: false })
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Of all bytes so far.
    pub(super) fn crc(&self) -> u32 {
        self.crc
    }

    pub(super) fn file(&self) -> &Arc<dyn DiskFile> {
        &self.file
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_at(self.bytes, bytes)?;
        self.crc = crc32c::crc32c_append(self.crc, bytes);
        self.bytes += bytes.len() as u64;
        if self.bytes - self.synced >= SYNC_BYTES {
            self.file.sync_data()?;
            self.synced = self.bytes;
        }
        Ok(())
    }

    /// Makes the file durable and gives it its name, durably.
    pub(super) fn rename(&mut self, name: &Path) -> io::Result<()> {
        self.file.sync_data()?;
        self.disk.rename(&self.path, name)?;
        self.named = true;
        self.disk.sync_dir(name.parent().unwrap_or(Path::new("")))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.named
            && let Err(error) = self.disk.remove(&self.path)
        {
            // It counts for nothing under this name, and the next opening removes it.
            tracing::warn!(path = %self.path.display(), %error, "an unfinished snapshot could not be removed");
        }
    }
}
