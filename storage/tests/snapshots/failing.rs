//! A disk that fails once, in a process that goes on.

use std::io::{ErrorKind, Write};

use lovebird_core::snapshot_store::SnapshotStore;
use lovebird_storage::disk::Fault;
use lovebird_storage::{Compression, MemoryDisk};

use super::support::{
    BOTH, Contents, MIB, content, files, latest, meta, noise, open, raw, read, receive, take,
};

/// Fails each call of `work` in turn, with 1 and 2 there before: what `work` would add counts or does not, also after a crash.
fn failing_anywhere(
    compression: Compression,
    contents: &Contents,
    work: &dyn Fn(&dyn SnapshotStore) -> std::io::Result<()>,
) {
    for keep in [true, false] {
        for nth in 1.. {
            let disk = MemoryDisk::new();
            let store = open(&disk, compression);
            for number in [1, 2] {
                take(&*store, number, &contents.of(number)).unwrap();
            }
            disk.fail(Fault::Any, nth, ErrorKind::StorageFull);
            let worked = work(&*store);
            let found = latest(&*store).unwrap();
            assert!(found == 3 || (worked.is_err() && found == 2), "call {nth}: {found}");
            assert!(read(&*store.latest().unwrap().unwrap()).unwrap() == *contents.of(found));

            disk.crash_keeping(&mut || keep);
            let store = open(&disk, compression);
            let found = latest(&*store).unwrap();
            assert!(found == 3 || (worked.is_err() && found == 2), "call {nth}, after a crash: {found}");
            assert!(read(&*store.latest().unwrap().unwrap()).unwrap() == *contents.of(found));
            assert!(files(&disk).iter().all(|path| path.extension().unwrap() == "snapshot"));
            if worked.is_ok() {
                assert!(nth > 12, "only {nth} calls failed");
                break;
            }
            assert!(nth < 100, "it fails by itself: {worked:?}");
        }
    }
}

#[test]
fn failure_of_any_call_of_taking_a_snapshot_leaves_the_old_or_the_new() {
    for compression in BOTH {
        let contents = Contents::new(3);
        failing_anywhere(compression, &contents, &|store| take(store, 3, &contents.of(3)).map(drop));
    }
}

#[test]
fn failure_of_any_call_of_receiving_a_snapshot_leaves_the_old_or_the_new() {
    for compression in BOTH {
        let contents = Contents::new(3);
        let sent = take(&*open(&MemoryDisk::new(), compression), 3, &contents.of(3)).unwrap();
        let bytes = raw(&*sent);
        failing_anywhere(compression, &contents, &|store| receive(store, sent.id(), &bytes).map(drop));
    }
}

/// A failed sync is not tried again, and a failed write leaves no hole: a state machine that takes no notice of an error gets
/// no snapshot.
#[test]
fn error_that_the_state_machine_ignores_is_not_forgotten() {
    let content = noise(1, 3 * MIB);
    for compression in BOTH {
        for nth in 1.. {
            let disk = MemoryDisk::new();
            let store = open(&disk, compression);
            let mut writer = store.create(&meta(1)).unwrap();
            disk.fail(Fault::Any, nth, ErrorKind::Other);
            let mut failed = false;
            for part in content.chunks(100_000) {
                failed |= writer.write_all(part).is_err();
            }
            if !failed {
                assert!(nth > 5, "only {nth} calls failed");
                break;
            }
            let error = writer.finish().err().expect("a snapshot was finished after an error");
            assert!(error.to_string().contains("begin it again"), "{error}");
            assert!(latest(&*store).is_none() && files(&disk).is_empty());
        }
    }
}

#[test]
fn transfer_that_failed_begins_anew() {
    let sent = take(&*open(&MemoryDisk::new(), Compression::Lz4), 3, &content(3, 9000)).unwrap();
    let disk = MemoryDisk::new();
    let store = open(&disk, Compression::Lz4);
    let mut receiver = store.receive(sent.id()).unwrap();
    receiver.write(&raw(&*sent)[..100]).unwrap();
    disk.fail(Fault::Write, 1, ErrorKind::StorageFull);
    assert_eq!(receiver.write(&raw(&*sent)[100..200]).unwrap_err().kind(), ErrorKind::StorageFull);
    assert!(receiver.write(&raw(&*sent)[100..200]).is_err() && receiver.finish().is_err());
    assert_eq!(store.receive(sent.id()).unwrap().offset(), 0);
    receive(&*store, sent.id(), &raw(&*sent)).unwrap();
}
