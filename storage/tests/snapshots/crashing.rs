//! Loss of power between any two calls: a snapshot is found whole, the old one or the new one.

use std::cell::Cell;
use std::ffi::OsString;
use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;

use lovebird_core::snapshot_store::{SnapshotFile, SnapshotStore};
use lovebird_storage::{Compression, MemoryDisk};

use super::power::{FailingPower, Keep};
use super::support::{
    BOTH, Contents, files, latest, meta, name, noise, open, raw, read, receive, take, try_open,
};

/// What a machine does, to be interrupted anywhere.
type Work<'a> = dyn Fn(&dyn SnapshotStore, &Progress) -> io::Result<()> + 'a;

/// Numbers of snapshots, 0 before there is one.
struct Progress {
    begun: Cell<u64>,
    finished: Cell<u64>,
}

impl Progress {
    /// Does what makes the snapshot `number`.
    fn make(&self, number: u64, act: impl FnOnce() -> io::Result<Arc<dyn SnapshotFile>>) -> io::Result<()> {
        self.begun.set(number);
        act()?;
        self.finished.set(number);
        Ok(())
    }
}

/// Changes that were not synced are lost, or kept, or by chance one or the other.
fn keeps() -> Vec<fn() -> Keep> {
    fn chance(seed: u64) -> Keep {
        let mut bits = noise(seed, 4096).into_iter().cycle();
        Box::new(move || bits.next().unwrap().is_multiple_of(2))
    }
    vec![|| Box::new(|| false), || Box::new(|| true), || chance(1)]
}

/// Interrupts `work` before each of its calls, then lets it end and interrupts what comes behind it; says how often. Each time a
/// snapshot is found that is no older than the last one that was finished.
fn interrupted_anywhere(
    compression: Compression,
    before: &[u64],
    contents: &Contents,
    work: &Work<'_>,
) -> u64 {
    let mut interrupted = 0;
    for keep in keeps() {
        for nth in 1.. {
            let disk = MemoryDisk::new();
            for number in before {
                take(&*open(&disk, compression), *number, &contents.of(*number)).unwrap();
            }
            let old = before.last().copied().unwrap_or(0);
            let progress = Progress { begun: Cell::new(old), finished: Cell::new(old) };
            let power = FailingPower::at(&disk, nth, keep());
            let worked =
                try_open(Arc::new(power.clone()), compression).and_then(|store| work(&*store, &progress));
            let ended = !power.is_off();
            if ended {
                worked.unwrap();
                disk.crash_keeping(&mut *keep());
            }
            found_whole(&disk, compression, contents, progress.finished.get()..=progress.begun.get());
            if ended {
                break;
            }
            interrupted += 1;
        }
    }
    interrupted
}

fn found_whole(
    disk: &MemoryDisk,
    compression: Compression,
    contents: &Contents,
    allowed: RangeInclusive<u64>,
) {
    let store = open(disk, compression);
    let found = latest(&*store).unwrap_or(0);
    assert!(allowed.contains(&found), "the newest is {found}; {allowed:?} were finished and begun");
    if found > 0 {
        assert!(read(&*store.latest().unwrap().unwrap()).unwrap() == *contents.of(found));
    }
    for path in files(disk) {
        assert!(path.to_str().unwrap().ends_with(".snapshot"), "{} was left", path.display());
    }
    // And all goes on: the next ones are taken, and two are kept.
    for number in [9, 10] {
        take(&*store, number, &contents.of(number)).unwrap();
    }
    let kept: Vec<_> = files(disk).iter().map(|path| path.file_name().unwrap().to_owned()).collect();
    assert_eq!(kept, [name(9), name(10)].map(OsString::from));
}

#[test]
fn crash_while_a_snapshot_is_taken_leaves_the_old_or_the_new() {
    for compression in BOTH {
        let contents = Contents::new(3);
        for before in [&[][..], &[1, 2]] {
            let interrupted = interrupted_anywhere(compression, before, &contents, &|store, progress| {
                progress.make(3, || take(store, 3, &contents.of(3)))
            });
            // Directory, file, header, three chunks of two writes, footer, two syncs, name, directory.
            assert!(interrupted >= 13 * 3, "only {interrupted} interruptions");
        }
    }
}

#[test]
fn crash_while_a_snapshot_is_received_leaves_the_old_or_the_new() {
    for compression in BOTH {
        let contents = Contents::new(3);
        let sent = take(&*open(&MemoryDisk::new(), compression), 3, &contents.of(3)).unwrap();
        let bytes = raw(&*sent);
        for before in [&[][..], &[1, 2]] {
            let interrupted = interrupted_anywhere(compression, before, &contents, &|store, progress| {
                progress.make(3, || {
                    // The first transfer breaks off, the second goes on where it ended.
                    store.receive(sent.id())?.write(&bytes[..400_000])?;
                    receive(store, sent.id(), &bytes)
                })
            });
            // Directory, file, a write of the first transfer, some of the second, two syncs, name, directory.
            assert!(interrupted >= 13 * 3, "only {interrupted} interruptions");
        }
    }
}

/// Several one after another, so that old ones go while new ones come.
#[test]
fn crash_while_old_snapshots_go_leaves_the_newest_that_was_finished() {
    for compression in BOTH {
        let contents = Contents::new(99);
        let interrupted = interrupted_anywhere(compression, &[1, 2], &contents, &|store, progress| {
            (3..6).try_for_each(|number| progress.make(number, || take(store, number, &contents.of(number))))
        });
        // Each time also one that is removed.
        assert!(interrupted >= 3 * 9 * 3, "only {interrupted} interruptions");
    }
}

/// What a crash has left is removed at the next opening, and a crash in that is no harm either.
#[test]
fn crash_while_what_was_left_is_removed() {
    let contents = Contents::new(99);
    for keep in keeps() {
        for nth in 1.. {
            let disk = MemoryDisk::new();
            let store = open(&disk, Compression::Lz4);
            take(&*store, 1, &contents.of(1)).unwrap();
            let writers = [2, 3].map(|number| store.create(&meta(number)).unwrap());
            disk.crash_keeping(&mut || true);
            drop(writers);
            assert_eq!(files(&disk).len(), 3);
            let power = FailingPower::at(&disk, nth, keep());
            let opened = try_open(Arc::new(power.clone()), Compression::Lz4);
            let ended = !power.is_off();
            assert_eq!(opened.is_ok(), ended);
            disk.crash_keeping(&mut *keep());
            found_whole(&disk, Compression::Lz4, &contents, 1..=1);
            if ended {
                assert_eq!(nth, 5, "the directory, two files, the directory again");
                break;
            }
        }
    }
}
