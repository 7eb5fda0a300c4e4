//! The checkers' own test: what is planted here, the simulation must find.
#![cfg(madsim)]
#![allow(clippy::unwrap_used)]

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use lovebird_simulation::run::Run;
use lovebird_simulation::schedule::{Fault, Survives};
use lovebird_storage::disk::DiskLock;
use lovebird_storage::{Disk, DiskFile, MemoryDisk};

/// Within how many seeds a bug must be found.
const SEEDS: u64 = 5;

/// A disk that only says that it syncs the log, except when a file is made or removed there. So if it loses all that was not
/// synced, that is just the end of what was acknowledged, and nothing on the disk shows that there was more. Holes in the
/// middle would be no test of the checkers: the log finds them by itself, and refuses to start.
struct LyingDisk {
    disk: MemoryDisk,
    files: Mutex<Vec<Arc<dyn DiskFile>>>,
}

struct LyingFile(Arc<dyn DiskFile>);

impl LyingDisk {
    fn seen(&self, path: &Path, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        if !path.starts_with("/data/log") {
            return file;
        }
        self.files.lock().unwrap().push(file.clone());
        Arc::new(LyingFile(file))
    }

    fn flush(&self) {
        for file in &*self.files.lock().unwrap() {
            // Those of an earlier life fail, and have nothing left to sync.
            let _ = file.sync_data();
        }
    }
}

impl Disk for LyingDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.flush();
        Ok(self.seen(path, self.disk.create(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.seen(path, self.disk.open(path)?))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.disk.exists(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.flush();
        self.disk.remove(path)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.remove_dir(dir)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<DiskLock> {
        self.disk.lock(path)
    }
}

impl DiskFile for LyingFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_at(offset, bytes)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(offset, buffer)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        self.0.allocate(bytes)
    }

    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
}

/// The run of a seed on lying disks that lose, with the power, everything that was not synced.
fn lying_run(seed: u64) -> Run {
    let mut run =
        Run::of(seed).with_disks(Arc::new(|disk| Arc::new(LyingDisk { disk, files: Mutex::default() })));
    for step in &mut run.schedule.steps {
        if let Fault::PowerLoss { survives, .. } = &mut step.fault {
            *survives = Survives::Nothing;
        }
    }
    run
}

#[test]
fn disk_that_lies_about_syncs_is_found_to_lose_acknowledged_commands() {
    let mut told = Vec::new();
    for seed in 1..=SEEDS {
        let outcome = lying_run(seed).run();
        println!("{outcome}");
        if outcome.tally.violations.iter().any(|violation| violation.contains("was acknowledged with")) {
            return;
        }
        told.extend(outcome.tally.violations);
    }
    panic!("{SEEDS} seeds did not find that acknowledged commands were lost; they found {told:#?}");
}
