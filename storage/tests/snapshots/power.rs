//! A machine that loses power at a certain call.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use lovebird_storage::disk::DiskLock;
use lovebird_storage::{Disk, DiskFile, MemoryDisk};

/// Whether a change that was not synced has reached the disk.
pub type Keep = Box<dyn FnMut() -> bool + Send>;

/// A disk whose machine loses power when a certain call that changes something is made, before the call does anything.
/// Nothing works any more then, so that nobody tidies up either.
#[derive(Clone)]
pub struct FailingPower {
    machine: MemoryDisk,
    disk: MemoryDisk,
    state: Arc<(AtomicU64, Mutex<Keep>)>,
}

impl FailingPower {
    /// Over `disk`, at its `nth` change from now on; 1 is the next one.
    pub fn at(disk: &MemoryDisk, nth: u64, keep: Keep) -> FailingPower {
        let state = Arc::new((AtomicU64::new(nth), Mutex::new(keep)));
        FailingPower { machine: disk.clone(), disk: disk.mount(), state }
    }

    /// Whether it has lost power.
    pub fn is_off(&self) -> bool {
        self.state.0.load(Ordering::Relaxed) == 0
    }

    fn change(&self) {
        let (left, keep) = &*self.state;
        if left.load(Ordering::Relaxed) > 0 && left.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.machine.crash_keeping(&mut *keep.lock().unwrap());
        }
    }

    fn file(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(PoweredFile { power: self.clone(), file })
    }
}

impl Disk for FailingPower {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.change();
        self.disk.create(path).map(|file| self.file(file))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.open(path).map(|file| self.file(file))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.disk.exists(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change();
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.change();
        self.disk.remove(path)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.change();
        self.disk.remove_dir(dir)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.change();
        self.disk.create_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.change();
        self.disk.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<DiskLock> {
        self.disk.lock(path)
    }
}

struct PoweredFile {
    power: FailingPower,
    file: Arc<dyn DiskFile>,
}

impl DiskFile for PoweredFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.power.change();
        self.file.write_at(offset, bytes)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(offset, buffer)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.power.change();
        self.file.sync_data()
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.power.change();
        self.file.set_len(bytes)
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        self.power.change();
        self.file.allocate(bytes)
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
}
