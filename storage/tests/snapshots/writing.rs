//! How a file comes to be, and what is kept.

use std::io::Write;
use std::path::Path;

use lovebird_core::snapshot_store::SnapshotStore;
use lovebird_storage::disk::Call;
use lovebird_storage::{Compression, Disk, MemoryDisk};

use super::support::{BOTH, MIB, content, files, meta, name, noise, open, raw, read, take};

#[test]
fn large_file_is_synced_as_it_grows_and_named_only_when_durable() {
    for compression in BOTH {
        let disk = MemoryDisk::new();
        let store = open(&disk, compression);
        disk.start_recording();
        take(&*store, 1, &noise(1, 20 * MIB)).unwrap();
        let calls = disk.take_calls();
        let (mut unsynced, mut syncs) = (0, 0);
        for call in &calls {
            match call {
                Call::Write { bytes, .. } => {
                    assert!(*bytes <= MIB, "more than a chunk at once");
                    unsynced += bytes;
                    assert!(unsynced < 4 * MIB, "{unsynced} bytes were written without a sync");
                }
                Call::Sync(_) => (unsynced, syncs) = (0, syncs + 1),
                Call::Rename(..) => assert_eq!(unsynced, 0, "named before it was durable"),
                _ => {}
            }
        }
        assert!((5..21).contains(&syncs), "{syncs} syncs");
        assert!(matches!(&calls[calls.len() - 2..], [Call::Rename(..), Call::SyncDir(_)]));
    }
}

#[test]
fn newest_two_are_kept() {
    let disk = MemoryDisk::new();
    let store = open(&disk, Compression::default());
    for number in 1..6 {
        take(&*store, number, &[1; 10]).unwrap();
    }
    let names: Vec<_> = files(&disk).iter().map(|path| path.display().to_string()).collect();
    assert_eq!(names.len(), 2);
    assert!(names[0].ends_with(&name(4)) && names[1].ends_with(&name(5)), "{names:?}");
}

#[test]
fn what_was_left_unfinished_is_removed_at_open() {
    let disk = MemoryDisk::new();
    let sent = take(&*open(&disk, Compression::default()), 5, &content(5, MIB)).unwrap();
    let other = MemoryDisk::new();
    let store = open(&other, Compression::default());
    let mut receiver = store.receive(sent.id()).unwrap();
    receiver.write(&sent.read_raw(0, 1000).unwrap()).unwrap();
    let mut writer = store.create(&meta(6)).unwrap();
    writer.write_all(&vec![1; 2 * MIB]).unwrap();
    assert_eq!(files(&other).len(), 2);
    other.crash_keeping(&mut || true);
    let reopened = open(&other, Compression::default());
    assert_eq!(files(&other).len(), 0);
    assert!(reopened.latest().unwrap().is_none());
    assert_eq!(reopened.receive(sent.id()).unwrap().offset(), 0);
}

#[test]
fn compressed_file_is_smaller_and_noise_costs_a_few_bytes() {
    let disk = MemoryDisk::new();
    let bytes = 3 * MIB + 1000;
    let length = |store: &dyn SnapshotStore, content: &[u8]| {
        let file = take(store, 1, content).unwrap();
        assert!(read(&*file).unwrap() == content);
        file.id().length as usize
    };
    let (plain, compressed) = (open(&disk, Compression::Off), open(&disk, Compression::Lz4));
    let stored = length(&*plain, &content(1, bytes));
    assert!((bytes..bytes + 200).contains(&stored), "{stored} bytes");
    let stored = length(&*compressed, &content(1, bytes));
    assert!(stored < bytes / 2, "{stored} bytes");
    let stored = length(&*compressed, &noise(1, bytes));
    assert!((bytes..bytes + 200).contains(&stored), "{stored} bytes");

    // One by one: a chunk that gets smaller behind one that does not.
    let mixed = [noise(2, MIB), content(2, MIB), noise(3, 10)].concat();
    let stored = length(&*compressed, &mixed);
    assert!(stored < 2 * MIB, "{stored} bytes");
}

#[test]
fn files_are_read_whichever_way_they_were_written() {
    let disk = MemoryDisk::new();
    for (number, compression) in [(1, Compression::Off), (2, Compression::Lz4)] {
        take(&*open(&disk, compression), number, &content(number, 100_000)).unwrap();
    }
    for compression in BOTH {
        let store = open(&disk, compression);
        let latest = store.latest().unwrap().unwrap();
        assert_eq!(latest.id().last.number, 2);
        assert!(read(&*latest).unwrap() == content(2, 100_000));
    }
    let versions: Vec<u8> = files(&disk).iter().map(|path| version(&disk, path)).collect();
    assert_eq!(versions, [1, 2]);
}

fn version(disk: &MemoryDisk, path: &Path) -> u8 {
    let mut byte = [0];
    disk.open(path).unwrap().read_at(8, &mut byte).unwrap();
    byte[0]
}

#[test]
fn same_content_makes_the_same_file() {
    for compression in BOTH {
        let [one, other] = [1, 2].map(|_| {
            let disk = MemoryDisk::new();
            let file = take(&*open(&disk, compression), 1, &content(1, 2 * MIB)).unwrap();
            (file.id(), raw(&*file))
        });
        assert!(one == other);
    }
}
