//! A disk that fills up stops the log; with space back, a restart has everything that was acknowledged.
//!
//! On a file system that is really full where `LOVEBIRD_SMALL_DIRECTORY` names one of a few MiB (`.ci/full-disk` makes one, which
//! takes the right to mount), else on real files behind a budget.
#![allow(clippy::unwrap_used)]

#[allow(unreachable_pub)]
#[path = "log/support.rs"]
mod support;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;

use lovebird_core::log_store::LogStore;
use lovebird_storage::disk::DiskLock;
use lovebird_storage::log::{Log, Options, Prepare};
use lovebird_storage::{Disk, DiskFile, RealDisk};
use support::*;

/// Real files that may have so many bytes together.
struct Budget(Arc<AtomicU64>);

struct BudgetFile(Arc<dyn DiskFile>, Arc<AtomicU64>);

impl BudgetFile {
    fn grow(&self, bytes: u64) -> io::Result<()> {
        let more = bytes.saturating_sub(self.0.len()?);
        let taken = self.1.try_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(more));
        taken.map(drop).map_err(|_| io::ErrorKind::StorageFull.into())
    }
}

impl Disk for Budget {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(BudgetFile(RealDisk.create(path)?, self.0.clone())))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(BudgetFile(RealDisk.open(path)?, self.0.clone())))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        RealDisk.exists(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        RealDisk.list(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.remove_dir(dir)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.create_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<DiskLock> {
        RealDisk.lock(path)
    }
}

impl DiskFile for BudgetFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.grow(offset + bytes.len() as u64)?;
        self.0.write_at(offset, bytes)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(offset, buffer)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.grow(bytes)?;
        self.0.set_len(bytes)
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        self.grow(bytes)?;
        self.0.allocate(bytes)
    }

    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
}

/// Where the log is, and how it gets space back.
struct Place {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    free: Box<dyn FnOnce()>,
    _vanishes: Option<tempfile::TempDir>,
}

fn place() -> Place {
    if let Some(small) = std::env::var_os("LOVEBIRD_SMALL_DIRECTORY") {
        let ballast = Path::new(&small).join("ballast");
        RealDisk.create(&ballast).unwrap().allocate(1 << 20).unwrap();
        let dir = Path::new(&small).join("log");
        let free = Box::new(move || RealDisk.remove(&ballast).unwrap());
        return Place { disk: Arc::new(RealDisk), dir, free, _vanishes: None };
    }
    let left = Arc::new(AtomicU64::new(3 << 20));
    let dir = tempfile::tempdir().unwrap();
    Place {
        disk: Arc::new(Budget(left.clone())),
        dir: dir.path().join("log"),
        free: Box::new(move || {
            left.fetch_add(1 << 20, Ordering::SeqCst);
        }),
        _vanishes: Some(dir),
    }
}

/// Appends until the log takes no more, and gives the last entry that was acknowledged.
fn fill(log: &dyn LogStore) -> u64 {
    let (ended, ends) = mpsc::channel();
    log.append(vec![barrier(1, 0)], ignore()).unwrap();
    for number in 1..100_000 {
        let ended = ended.clone();
        let done = Box::new(move |end: io::Result<()>| ended.send(end).unwrap());
        if log.append(vec![commands(1, number, number, 1, 3000)], done).is_err() {
            return number - 1;
        }
        if ends.recv().unwrap().is_err() {
            return number - 1;
        }
    }
    panic!("there was no end of space");
}

fn full_disk(prepare: Prepare) {
    let Place { disk, dir, free, _vanishes } = place();
    let options = Options { segment_bytes: 512 << 10, cache_bytes: 10_000, prepare, ..Options::default() };
    let log = Log::open(disk.clone(), &dir, &options).unwrap();
    let group = log.group(0);
    let acknowledged = fill(&*group);
    assert!(acknowledged > 100, "{acknowledged} entries");
    let failure = group.failure().unwrap();
    assert!(failure.contains("could not be"), "{failure}");
    assert!(group.append(vec![blank(1, acknowledged + 1)], Box::new(|end| assert!(end.is_err()))).is_err());
    drop((group, log));

    // Still full: what is there can be read, and a log that needs no new segment would go on.
    let log = Log::open(disk.clone(), &dir, &options).unwrap();
    check(&*log.group(0), acknowledged);
    drop(log);

    free();
    let log = Log::open(disk.clone(), &dir, &options).unwrap();
    let last = check(&*log.group(0), acknowledged);
    for number in last + 1..last + 50 {
        log.group(0).append(vec![commands(1, number, number, 1, 3000)], ignore()).unwrap();
    }
    drop(log);
    check(&*Log::open(disk.clone(), &dir, &options).unwrap().group(0), last + 49);
    disk.remove_dir(&dir).unwrap();
}

/// Every entry up to the last one acknowledged is there. More may be.
fn check(log: &dyn LogStore, acknowledged: u64) -> u64 {
    let entries = log.read(0..u64::MAX, usize::MAX).unwrap();
    for (number, entry) in entries.iter().enumerate().skip(1) {
        let mut written = commands(1, number as u64, number as u64, 1, 3000);
        written.header.first_index = number as u64;
        assert_eq!(*entry, written);
    }
    let last = entries.last().unwrap().header.number;
    assert!(last >= acknowledged, "entry {acknowledged} was acknowledged, the log ends with {last}");
    last
}

#[test]
fn log_on_a_full_disk_stops_and_with_space_back_has_everything() {
    full_disk(Prepare::Reserve);
    full_disk(Prepare::Zeros);
}
