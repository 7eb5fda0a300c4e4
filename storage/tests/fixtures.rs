//! The formats on disk never change unnoticed: files written by the first version are opened by every later one.
//!
//! The files under `fixtures/v1` were written by this test with `LOVEBIRD_WRITE_FIXTURES=1`. A new version of a format gets a
//! folder of its own; these stay.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use lovebird_core::entry::{Entry, EntryId, EntryKind};
use lovebird_core::fence::{Fence, Numbering, Token};
use lovebird_core::identity::{ClusterId, Membership, RaftId};
use lovebird_core::log_store::{Completion, LogState, Vote};
use lovebird_core::record::push_record;
use lovebird_core::snapshot_store::SnapshotMeta;
use lovebird_storage::log::Drive;
use lovebird_storage::{
    DataDirectory, Disk, Expected, Log, LogOptions, MemoryDisk, RealDisk, SnapshotDirectory,
};

const FILES: [&str; 6] = [
    "identity",
    "log/0000000000000002.segment",
    "log/0000000000000003.segment",
    "log/0000000000000004.segment",
    "log/0000000000000005.segment",
    "snapshots/group-0/00000000000000000004-00000000000000000003.snapshot",
];

const TOKEN: Token = Token { node: 1, incarnation: 0xfeed, counter: 1 << 32 };

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v1")
}

fn options() -> LogOptions {
    LogOptions { segment_bytes: 4 << 10, drive: Drive::InPlace, ..LogOptions::default() }
}

fn expected() -> Expected {
    Expected { cluster_name: "doves".to_owned(), node: 2, initial_members: BTreeSet::from([1, 2, 3]) }
}

fn durable() -> Completion {
    Box::new(|result| result.unwrap())
}

fn commands(number: u64, position: u64, records: u32, bytes: usize) -> Entry {
    let mut run = BytesMut::new();
    for record in 0..records {
        push_record(&mut run, 0, 0, &vec![number as u8 + record as u8; bytes]);
    }
    let mut entry = Entry::new(EntryKind::Commands, run.freeze());
    (entry.header.term, entry.header.number, entry.header.record_count) = (3, number, records);
    (entry.header.codec, entry.header.time) = (1, 1_700_000_000_000_000_000 + number);
    entry.header.fence = Fence { token: TOKEN, position };
    entry
}

fn barrier() -> Entry {
    let mut entry = Entry::new(EntryKind::Barrier, Bytes::new());
    (entry.header.term, entry.header.number) = (3, 1);
    entry.header.fence.token = TOKEN;
    entry
}

fn meta() -> SnapshotMeta {
    SnapshotMeta {
        cluster: ClusterId(7),
        group: 0,
        last: (3, 4),
        numbering: Numbering { token: TOKEN, term: 3, position: 3, last_index: 6, time: 9 },
        membership_at: Some((1, 0)),
        membership: Membership {
            voters: vec![BTreeSet::from([RaftId::new(1, 0xfeed)])],
            members: [(RaftId::new(1, 0xfeed), "127.0.0.1:7001".to_owned())].into(),
        },
    }
}

/// Every operation and every segment's head, in two groups.
fn write(disk: &Arc<dyn Disk>, dir: &Path) {
    let mut directory = DataDirectory::open(disk.clone(), dir, &expected(), 0xbeef).unwrap();
    let log = Log::open(disk.clone(), &dir.join("log"), &options()).unwrap();
    directory.count_start().unwrap();
    let (a, b) = (log.group(0), log.group(9));
    let mut blank = Entry::new(EntryKind::Blank, Bytes::new());
    blank.header.term = 1;
    a.save_vote(Vote { term: 3, node: RaftId::new(1, 0xfeed), committed: true }, durable()).unwrap();
    a.append(vec![blank, barrier()], durable()).unwrap();
    for number in 2..12 {
        a.append(vec![commands(number, number - 1, 2, 300)], durable()).unwrap();
    }
    a.truncate_after(Some(EntryId::new(3, 9))).unwrap();
    a.save_committed(Some(EntryId::new(3, 8))).unwrap();
    b.install(EntryId::new(3, 40), meta().numbering).unwrap();
    b.purge(EntryId::new(3, 40)).unwrap();
    b.append(vec![commands(41, 4, 1, 10)], durable()).unwrap();
    a.purge(EntryId::new(3, 4)).unwrap();
    a.append(vec![commands(10, 9, 3, 200)], durable()).unwrap();

    let snapshots = SnapshotDirectory::open(disk.clone(), &dir.join("snapshots"), 0).unwrap();
    let mut writer = snapshots.create(&meta()).unwrap();
    writer.write_all(b"the state at log index 6").unwrap();
    writer.finish().unwrap();
}

/// The fixtures on a disk that may be written to.
fn disk() -> Arc<dyn Disk> {
    let memory: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
    for name in FILES {
        let from = RealDisk.open(&fixtures().join(name)).unwrap();
        let mut bytes = vec![0; from.len().unwrap() as usize];
        from.read_at(0, &mut bytes).unwrap();
        let to = Path::new("/v1").join(name);
        memory.create_dir(to.parent().unwrap()).unwrap();
        memory.create(&to).unwrap().write_at(0, &bytes).unwrap();
    }
    memory
}

#[test]
fn first_version_of_every_format_is_understood() {
    if std::env::var_os("LOVEBIRD_WRITE_FIXTURES").is_some() {
        write(&(Arc::new(RealDisk) as Arc<dyn Disk>), &fixtures());
    }
    let (disk, dir) = (disk(), Path::new("/v1"));

    let directory = DataDirectory::open(disk.clone(), dir, &expected(), 1).unwrap();
    assert_eq!((directory.identity().id, directory.identity().starts), (RaftId::new(2, 0xbeef), 1));

    let log = Log::open(disk.clone(), &dir.join("log"), &options()).unwrap();
    let (a, b) = (log.group(0), log.group(9));
    let state = LogState {
        purged: Some(EntryId::new(3, 4)),
        last: Some(EntryId::new(3, 10)),
        vote: Some(Vote { term: 3, node: RaftId::new(1, 0xfeed), committed: true }),
        committed: Some(EntryId::new(3, 8)),
        first_index: 7,
        last_index: 19,
    };
    assert_eq!(a.state(), state);
    let mut entries: Vec<Entry> = (5..10).map(|number| commands(number, number - 1, 2, 300)).collect();
    entries.push(commands(10, 9, 3, 200));
    for (entry, first) in entries.iter_mut().zip([7, 9, 11, 13, 15, 17]) {
        entry.header.first_index = first;
    }
    assert_eq!(a.read(0..99, usize::MAX).unwrap(), entries);
    assert_eq!(b.numbering_at(40), Some(meta().numbering));
    assert_eq!(b.state().last_index, 7);

    let snapshots = SnapshotDirectory::open(disk, &dir.join("snapshots"), 0).unwrap();
    let snapshot = snapshots.latest().unwrap().unwrap();
    assert_eq!(*snapshot.meta(), meta());
    let mut content = String::new();
    snapshot.open().unwrap().read_to_string(&mut content).unwrap();
    assert_eq!(content, "the state at log index 6");
}
