//! The formats on disk never change unnoticed: files written by the first version are opened by every later one.
//!
//! The files under `fixtures/v1` were written by this test with `LOVEBIRD_WRITE_FIXTURES=1`. A new version of a format gets a
//! folder of its own; these stay: a folder that exists is not written to. `fixtures/v2` has compressed snapshots, whole and
//! damaged.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use lovebird_core::entry::{Entry, EntryId, EntryKind};
use lovebird_core::fence::{Fence, Numbering, Token};
use lovebird_core::identity::{ClusterId, Membership, RaftId};
use lovebird_core::log_store::{Completion, LogState, Vote};
use lovebird_core::record::{Number, push_record};
use lovebird_core::service::Model;
use lovebird_core::snapshot_store::{SnapshotMeta, SnapshotStore};
use lovebird_storage::log::Drive;
use lovebird_storage::{
    Compression, DataDirectory, Disk, Expected, Log, LogOptions, MemoryDisk, Origin, RealDisk,
    SnapshotDirectory, SnapshotOptions,
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

fn fixtures(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(version)
}

fn is_to_be_written(version: &str) -> bool {
    std::env::var_os("LOVEBIRD_WRITE_FIXTURES").is_some() && !RealDisk.exists(&fixtures(version)).unwrap()
}

fn snapshots(
    disk: Arc<dyn Disk>,
    dir: &Path,
    compression: Compression,
) -> io::Result<Arc<dyn SnapshotStore>> {
    let options = SnapshotOptions { compression };
    SnapshotDirectory::open(disk, dir, 0, options)
}

fn options() -> LogOptions {
    LogOptions { segment_bytes: 4 << 10, drive: Drive::InPlace, ..LogOptions::default() }
}

fn expected() -> Expected {
    Expected {
        cluster_name: "doves".to_owned(),
        node: 2,
        origin: Origin::Initial(BTreeSet::from([1, 2, 3])),
        model: Model::StateMachine,
    }
}

fn durable() -> Completion {
    Box::new(|result| result.unwrap())
}

fn commands(number: u64, position: u64, records: u32, bytes: usize) -> Entry {
    let mut run = BytesMut::new();
    for record in 0..records {
        push_record(&mut run, Number::NONE, &vec![number as u8 + record as u8; bytes]);
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
        sessions_bytes: 0,
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

    let snapshots = snapshots(disk.clone(), &dir.join("snapshots"), Compression::Off).unwrap();
    let mut writer = snapshots.create(&meta()).unwrap();
    writer.write_all(b"the state at log index 6").unwrap();
    writer.finish().unwrap();
}

fn contents(path: &Path) -> Vec<u8> {
    let file = RealDisk.open(path).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_at(0, &mut bytes).unwrap();
    bytes
}

fn place(disk: &dyn Disk, path: &Path, bytes: &[u8]) {
    disk.create_dir(path.parent().unwrap()).unwrap();
    disk.create(path).unwrap().write_at(0, bytes).unwrap();
}

/// The fixtures on a disk that may be written to.
fn disk() -> Arc<dyn Disk> {
    let memory: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
    for name in FILES {
        place(&*memory, &Path::new("/v1").join(name), &contents(&fixtures("v1").join(name)));
    }
    memory
}

#[test]
fn first_version_of_every_format_is_understood() {
    if is_to_be_written("v1") {
        write(&(Arc::new(RealDisk) as Arc<dyn Disk>), &fixtures("v1"));
    }
    let (disk, dir) = (disk(), Path::new("/v1"));

    let directory = DataDirectory::open(disk.clone(), dir, &expected(), 1).unwrap();
    assert_eq!((directory.identity().id, directory.identity().starts), (RaftId::new(2, 0xbeef), 1));
    assert_eq!(directory.identity().model, Model::StateMachine, "there was no other model then");

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

    let snapshots = snapshots(disk, &dir.join("snapshots"), Compression::default()).unwrap();
    let snapshot = snapshots.latest().unwrap().unwrap();
    assert_eq!(*snapshot.meta(), meta());
    let mut content = String::new();
    snapshot.open().unwrap().read_to_string(&mut content).unwrap();
    assert_eq!(content, "the state at log index 6");
}

/// The segments of a log hold a number drawn at random; of the rest each byte is what it was.
#[test]
fn what_the_first_version_wrote_is_written_the_same_today() {
    let (memory, dir) = (MemoryDisk::new(), Path::new("/again"));
    write(&(Arc::new(memory.clone()) as Arc<dyn Disk>), dir);
    for name in FILES.iter().filter(|name| !name.ends_with(".segment")) {
        let file = memory.open(&dir.join(name)).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_at(0, &mut bytes).unwrap();
        assert!(bytes == contents(&fixtures("v1").join(name)), "{name} is written differently");
    }
}

const SNAPSHOT: &str = "group-0/00000000000000000004-00000000000000000003.snapshot";

/// What the damaged files are called, and what must be said of them.
const DAMAGED: [(&str, &str); 7] = [
    ("foreign", "it is no snapshot file"),
    ("cut", "it has no footer, so it was never finished"),
    ("header", "its header does not match its checksum"),
    ("newer", "it has format version 3; this build knows 1 and 2: upgrade this node"),
    ("chunk", "does not match its checksum"),
    ("lie", "says that it has 1048577 bytes in"),
    ("footer", "its footer does not match its checksum"),
];

/// A chunk that gets smaller, and one that does not.
fn compressed_content() -> Vec<u8> {
    let mut content = b"the state at log index 6, ".repeat((1 << 20) / 26 + 1);
    content.truncate(1 << 20);
    let mut state = 6_u32;
    for _ in 0..100 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        content.push((state >> 24) as u8);
    }
    content
}

fn write_compressed(dir: &Path) {
    let store = snapshots(Arc::new(RealDisk), &dir.join("snapshots"), Compression::Lz4).unwrap();
    let mut writer = store.create(&meta()).unwrap();
    writer.write_all(&compressed_content()).unwrap();
    writer.finish().unwrap();

    let store = snapshots(Arc::new(MemoryDisk::new()), Path::new("/small"), Compression::Lz4).unwrap();
    let mut writer = store.create(&meta()).unwrap();
    writer.write_all(&b"the state at log index 6, ".repeat(10)).unwrap();
    let whole = writer.finish().unwrap().read_raw(0, usize::MAX).unwrap();
    for (what, _) in DAMAGED {
        place(&RealDisk, &dir.join("damaged").join(what), &damaged(what, whole.to_vec()));
    }
}

/// How the damaged files came to be.
fn damaged(what: &str, mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.len();
    let header = 20 + bytes[12] as usize;
    match what {
        "foreign" => bytes[..8].copy_from_slice(b"LBIRDLOG"),
        "cut" => bytes.truncate(end - 1),
        "header" => bytes[20] ^= 1,
        "newer" => {
            bytes[8] = 3;
            let crc = crc32c::crc32c(&bytes[..header - 4]);
            bytes[header - 4..header].copy_from_slice(&crc.to_le_bytes());
        }
        "chunk" => bytes[header + 20] ^= 1,
        "lie" => {
            // With a checksum that is right.
            bytes[header..header + 4].copy_from_slice(&((1_u32 << 20) + 1).to_le_bytes());
            let crc = crc32c::crc32c_append(crc32c::crc32c(&[0; 8]), &bytes[header..header + 12]);
            let crc = crc32c::crc32c_append(crc, &bytes[header + 16..end - 32]);
            bytes[header + 12..header + 16].copy_from_slice(&crc.to_le_bytes());
        }
        "footer" => bytes[end - 20] ^= 1,
        _ => unreachable!("{what}"),
    }
    bytes
}

#[test]
fn compressed_snapshots_are_understood_and_damaged_ones_are_refused() {
    if is_to_be_written("v2") {
        write_compressed(&fixtures("v2"));
    }
    let read = |bytes: &[u8]| {
        let disk = Arc::new(MemoryDisk::new());
        place(&*disk, &Path::new("/v2").join(SNAPSHOT), bytes);
        let snapshot = snapshots(disk, Path::new("/v2"), Compression::default())?.latest()?.unwrap();
        let mut content = Vec::new();
        snapshot.open()?.read_to_end(&mut content)?;
        Ok::<_, io::Error>((snapshot.meta().clone(), content))
    };
    let (found, content) = read(&contents(&fixtures("v2").join("snapshots").join(SNAPSHOT))).unwrap();
    assert_eq!(found, meta());
    assert!(content == compressed_content());
    for (what, words) in DAMAGED {
        let error = read(&contents(&fixtures("v2").join("damaged").join(what))).unwrap_err();
        assert!(error.to_string().contains(words), "{what}: {error}");
    }
}
