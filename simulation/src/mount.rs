//! A disk as one life of a node has it: when the node is killed, nothing that its tasks still hold reaches the disk.
//!
//! The files that a killed node had open are dead by the disk's own doing. But its tasks are dropped a moment later, and
//! what they do then (a log that is closed writes what is left) could still make, rename or remove files, which no dead
//! process can.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lovebird_storage::disk::DiskLock;
use lovebird_storage::{Disk, DiskFile};

/// One life's view of a disk. Clones are the same view.
#[derive(Clone)]
pub(crate) struct Mount {
    disk: Arc<dyn Disk>,
    gone: Arc<AtomicBool>,
}

impl Mount {
    pub(crate) fn new(disk: Arc<dyn Disk>) -> Mount {
        Mount { disk, gone: Arc::default() }
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
        self.disk()?.create(path)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.disk()?.open(path)
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
        self.disk()?.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<DiskLock> {
        self.disk()?.lock(path)
    }
}
