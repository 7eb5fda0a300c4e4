//! Snapshot files as their disk sees them; what every store must do is in the conformance suite.
#![allow(clippy::unwrap_used)]

use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lovebird_core::fence::Numbering;
use lovebird_core::identity::{ClusterId, Membership};
use lovebird_core::snapshot_store::{SnapshotFile, SnapshotMeta, SnapshotStore};
use lovebird_storage::disk::{Call, Fault};
use lovebird_storage::{Disk, MemoryDisk, SnapshotDirectory};

const MIB: usize = 1 << 20;

fn open(disk: &MemoryDisk) -> Arc<dyn SnapshotStore> {
    SnapshotDirectory::open(Arc::new(disk.mount()), Path::new("/snapshots"), 0).unwrap()
}

fn files(disk: &MemoryDisk) -> Vec<PathBuf> {
    let dir = Path::new("/snapshots/group-0");
    disk.list(dir).unwrap().into_iter().map(|name| dir.join(name)).collect()
}

fn meta(number: u64) -> SnapshotMeta {
    SnapshotMeta {
        cluster: ClusterId(1),
        group: 0,
        last: (1, number),
        numbering: Numbering::default(),
        membership_at: None,
        membership: Membership::default(),
    }
}

fn take(store: &dyn SnapshotStore, number: u64, bytes: usize) -> std::io::Result<Arc<dyn SnapshotFile>> {
    let mut writer = store.create(&meta(number))?;
    for part in vec![number as u8; bytes].chunks(100_000) {
        writer.write_all(part)?;
    }
    writer.finish()
}

fn latest(store: &dyn SnapshotStore) -> Option<u64> {
    store.latest().unwrap().map(|file| file.id().last.number)
}

#[test]
fn large_file_is_synced_as_it_grows_and_named_only_when_durable() {
    let disk = MemoryDisk::new();
    let store = open(&disk);
    disk.start_recording();
    take(&*store, 1, 40 * MIB).unwrap();
    let calls = disk.take_calls();
    let (mut unsynced, mut syncs) = (0, 0);
    for call in &calls {
        match call {
            Call::Write { bytes, .. } => {
                assert!(*bytes <= MIB, "more than a chunk at once");
                unsynced += bytes;
                assert!(unsynced < 9 * MIB, "{unsynced} bytes were written without a sync");
            }
            Call::Sync(_) => (unsynced, syncs) = (0, syncs + 1),
            Call::Rename(..) => assert_eq!(unsynced, 0, "named before it was durable"),
            _ => {}
        }
    }
    assert!((5..12).contains(&syncs), "{syncs} syncs");
    assert!(matches!(&calls[calls.len() - 2..], [Call::Rename(..), Call::SyncDir(_)]));
}

#[test]
fn crash_leaves_the_old_snapshot_or_the_new_one() {
    for fault in [Fault::Create, Fault::Write, Fault::Sync, Fault::Rename, Fault::SyncDir] {
        for keep in [true, false] {
            let disk = MemoryDisk::new();
            let store = open(&disk);
            take(&*store, 1, 3 * MIB).unwrap();
            disk.fail(fault, 1, ErrorKind::Other);
            assert!(take(&*store, 2, 3 * MIB).is_err(), "{fault:?}");
            disk.crash_keeping(&mut || keep);
            let store = open(&disk);
            let found = latest(&*store).unwrap();
            assert!(found == 1 || (found == 2 && fault == Fault::SyncDir && keep), "{fault:?}: {found}");
            let mut content = Vec::new();
            store.latest().unwrap().unwrap().open().unwrap().read_to_end(&mut content).unwrap();
            assert_eq!(content, vec![found as u8; 3 * MIB]);
        }
    }
}

#[test]
fn what_was_left_unfinished_is_removed_at_open() {
    let disk = MemoryDisk::new();
    let store = open(&disk);
    let sent = take(&*store, 5, MIB).unwrap();
    let other = MemoryDisk::new();
    let receiving = open(&other);
    let mut receiver = receiving.receive(sent.id()).unwrap();
    receiver.write(&sent.read_raw(0, 1000).unwrap()).unwrap();
    let mut writer = receiving.create(&meta(6)).unwrap();
    writer.write_all(&vec![1; 2 * MIB]).unwrap();
    assert_eq!(files(&other).len(), 2);
    other.crash_keeping(&mut || true);
    let reopened = open(&other);
    assert_eq!((files(&other).len(), latest(&*reopened)), (0, None));
    assert_eq!(reopened.receive(sent.id()).unwrap().offset(), 0);
}

#[test]
fn newest_two_are_kept() {
    let disk = MemoryDisk::new();
    let store = open(&disk);
    for number in 1..6 {
        take(&*store, number, 10).unwrap();
    }
    let names: Vec<_> = files(&disk).iter().map(|path| path.display().to_string()).collect();
    assert_eq!(names.len(), 2);
    assert!(names[0].contains("0004-") && names[1].contains("0005-"), "{names:?}");
}

#[test]
fn damaged_chunk_fails_the_reader_where_it_is() {
    let disk = MemoryDisk::new();
    let store = open(&disk);
    let file = take(&*store, 1, 3 * MIB).unwrap();
    let raw = disk.open(&files(&disk)[0]).unwrap();
    raw.write_at(MIB as u64 + 5000, &[9]).unwrap();
    let mut reading = file.open().unwrap();
    let mut content = vec![0; MIB];
    reading.read_exact(&mut content).unwrap();
    let error = reading.read_exact(&mut content).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
}

#[test]
fn file_without_its_end_is_refused_at_open() {
    let disk = MemoryDisk::new();
    take(&*open(&disk), 1, 3 * MIB).unwrap();
    let raw = disk.open(&files(&disk)[0]).unwrap();
    raw.set_len(raw.len().unwrap() - 1).unwrap();
    let opened = SnapshotDirectory::open(Arc::new(disk), Path::new("/snapshots"), 0);
    let error = opened.err().unwrap().to_string();
    assert!(error.contains("never finished") && error.contains("replace this replica"), "{error}");
}

#[test]
fn transfer_that_was_replaced_does_not_come_back() {
    let disk = MemoryDisk::new();
    let sent = take(&*open(&disk), 5, MIB).unwrap();
    let other = MemoryDisk::new();
    let store = open(&other);
    let mut old = store.receive(sent.id()).unwrap();
    old.write(&sent.read_raw(0, 5000).unwrap()).unwrap();
    // The same file again, over another stream, while the first has not been noticed to be dead.
    let mut new = store.receive(sent.id()).unwrap();
    assert_eq!(new.offset(), 0);
    new.write(&sent.read_raw(0, 100).unwrap()).unwrap();
    drop(new);
    drop(old);
    assert_eq!(store.receive(sent.id()).unwrap().offset(), 100);
    let length = sent.id().length as usize;
    let mut receiver = store.receive(sent.id()).unwrap();
    let offset = receiver.offset();
    receiver.write(&sent.read_raw(offset, length).unwrap()).unwrap();
    assert!(receiver.write(&[0]).is_err(), "longer than it was to be");
}
