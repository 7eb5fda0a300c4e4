//! A disk as one life of a node has it: when the node is killed, nothing that its tasks still hold reaches the disk. Whoever
//! watches the node hears of each sync.
//!
//! The files that a killed node had open are dead by the disk's own doing. But its tasks are dropped a moment later, and
//! what they do then (a log that is closed writes what is left) could still make, rename or remove files, which no dead
//! process can.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lovebird_storage::disk::DiskLock;
use lovebird_storage::{Disk, DiskFile};

use crate::pace::Pace;

/// One life's view of a disk. Clones are the same view.
#[derive(Clone)]
pub(crate) struct Mount {
    disk: Arc<dyn Disk>,
    gone: Arc<AtomicBool>,
    pace: Pace,
}

/// A file that was opened through a mount.
struct MountedFile {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    pace: Pace,
}

impl Mount {
    /// Tells `pace` of each sync.
    pub(crate) fn new(disk: Arc<dyn Disk>, pace: Pace) -> Mount {
        Mount { disk, gone: Arc::default(), pace }
    }

    fn mounted(&self, path: &Path, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(MountedFile { file, path: path.to_owned(), pace: self.pace.clone() })
    }

    /// The life is over.
    pub(crate) fn revoke(&self) {
        self.gone.store(true, Ordering::Relaxed);
    }

    fn disk(&self) -> io::Result<&dyn Disk> {
        if self.gone.load(Ordering::Relaxed) {
            return Err(io::Error::other("the process that asks was killed"));
        }
        Ok(&*self.disk)
    }
}

impl Disk for Mount {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.mounted(path, self.disk()?.create(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.mounted(path, self.disk()?.open(path)?))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.disk()?.exists(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk()?.list(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk()?.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk()?.remove(path)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk()?.remove_dir(dir)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk()?.create_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let result = self.disk()?.sync_dir(dir);
        self.pace.synced(dir, &result);
        result
    }

    fn lock(&self, path: &Path) -> io::Result<DiskLock> {
        self.disk()?.lock(path)
    }
}

impl DiskFile for MountedFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_at(offset, bytes)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(offset, buffer)
    }

    fn sync_data(&self) -> io::Result<()> {
        let result = self.file.sync_data();
        self.pace.synced(&self.path, &result);
        result
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        self.file.allocate(bytes)
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
}
