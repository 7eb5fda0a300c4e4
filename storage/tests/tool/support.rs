//! What all these tests need: a data directory as a node leaves it, the tool, and a picture of a directory.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use lovebird_core::entry::{Entry, EntryId, EntryKind};
use lovebird_core::fence::{Fence, Token};
use lovebird_core::identity::{ClusterId, Membership, RaftId};
use lovebird_core::log_store::{Completion, LogStore, Vote};
use lovebird_core::record::{Number, push_record};
use lovebird_core::service::Model;
use lovebird_core::snapshot_store::SnapshotMeta;
use lovebird_storage::log::{Drive, Log, Options, Prepare};
use lovebird_storage::{
    Compression, DataDirectory, Disk, Expected, Origin, RealDisk, SnapshotDirectory, SnapshotOptions,
};
use serde_json::Value;
use tempfile::TempDir;

pub const TOOL: &str = env!("CARGO_BIN_EXE_lovebird-log");

const TOKEN: Token = Token { node: 1, incarnation: 7, counter: 1 };

pub fn options() -> Options {
    Options { drive: Drive::InPlace, prepare: Prepare::Reserve, segment_bytes: 8 << 10, ..Options::default() }
}

pub fn expected() -> Expected {
    Expected {
        cluster_name: "doves".to_owned(),
        node: 2,
        origin: Origin::Initial(BTreeSet::from([1, 2, 3])),
        model: Model::StateMachine,
    }
}

pub fn durable() -> Completion {
    Box::new(|result| result.unwrap())
}

pub fn barrier() -> Entry {
    let mut entry = Entry::new(EntryKind::Barrier, Bytes::new());
    entry.header.term = 1;
    entry.header.fence.token = TOKEN;
    entry
}

/// Entry `number` of the only term: one record, whose log index is that number too.
pub fn command(number: u64) -> Entry {
    let mut run = BytesMut::new();
    push_record(&mut run, Number::NONE, format!("command {number}\t{}", "x".repeat(300)).as_bytes());
    let mut entry = Entry::new(EntryKind::Commands, run.freeze());
    (entry.header.term, entry.header.number, entry.header.record_count) = (1, number, 1);
    entry.header.time = 1_700_000_000_000_000_000 + number;
    entry.header.fence = Fence { token: TOKEN, position: number };
    entry
}

/// Entry `number` of a log in the other model: two records of session 1, the first with a sequence of 10 times that number.
pub fn outcomes(number: u64, position: u64) -> Entry {
    let mut run = BytesMut::new();
    push_record(&mut run, Number { session: 1, sequence: number * 10, window: 0 }, b"x=5");
    push_record(&mut run, Number { session: 1, sequence: number * 10 + 1, window: 1 }, b"x=6");
    let mut entry = Entry::new(EntryKind::Outcomes, run.freeze());
    (entry.header.term, entry.header.number, entry.header.record_count) = (1, number, 2);
    entry.header.fence = Fence { token: TOKEN, position };
    entry
}

/// Entry `number`: an opening of a session.
pub fn sessions(number: u64, position: u64) -> Entry {
    let mut run = BytesMut::new();
    push_record(&mut run, Number::NONE, b"an opening");
    let mut entry = Entry::new(EntryKind::Sessions, run.freeze());
    (entry.header.term, entry.header.number) = (1, number);
    entry.header.fence = Fence { token: TOKEN, position };
    entry
}

/// A snapshot of group 0 at an entry.
pub fn take_snapshot(disk: &Arc<dyn Disk>, dir: &Path, log: &dyn LogStore, number: u64) {
    // As it is, so that a test can damage the content at a place that it knows.
    let plain = SnapshotOptions { compression: Compression::Off };
    let snapshots = SnapshotDirectory::open(disk.clone(), &dir.join("snapshots"), 0, plain).unwrap();
    let meta = SnapshotMeta {
        cluster: ClusterId(7),
        group: 0,
        last: (1, number),
        numbering: log.numbering_at(number).unwrap(),
        membership_at: None,
        membership: Membership::default(),
        sessions_bytes: 0,
    };
    let mut writer = snapshots.create(&meta).unwrap();
    writer.write_all(&vec![number as u8; 3 << 20]).unwrap();
    writer.finish().unwrap();
}

/// A node's data directory: a started node, 60 entries of which 30 are purged, two snapshots, a vote, a commit point.
pub fn node() -> TempDir {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let mut directory = DataDirectory::open(disk.clone(), dir, &expected(), 0xbeef).unwrap();
    let log = Log::open(disk.clone(), &dir.join("log"), &options()).unwrap().group(0);
    directory.count_start().unwrap();
    log.save_vote(Vote { term: 1, node: RaftId::new(1, 7), committed: true }, durable()).unwrap();
    log.append(vec![barrier()], durable()).unwrap();
    for number in 1..=30 {
        log.append(vec![command(number)], durable()).unwrap();
    }
    take_snapshot(&disk, dir, &*log, 20);
    take_snapshot(&disk, dir, &*log, 30);
    log.purge(EntryId::new(1, 30)).unwrap();
    for number in 31..=60 {
        log.append(vec![command(number)], durable()).unwrap();
    }
    log.save_committed(Some(EntryId::new(1, 55))).unwrap();
    temp
}

/// The segments of a data directory, oldest first.
pub fn segments(dir: &Path) -> Vec<PathBuf> {
    files(&dir.join("log"), ".segment")
}

/// The finished snapshots of group 0, oldest first.
pub fn snapshots(dir: &Path) -> Vec<PathBuf> {
    files(&dir.join("snapshots/group-0"), ".snapshot")
}

fn files(dir: &Path, suffix: &str) -> Vec<PathBuf> {
    let names = RealDisk.list(dir).unwrap().into_iter().filter(|name| name.ends_with(suffix));
    names.map(|name| dir.join(name)).collect()
}

/// Changes one bit.
pub fn flip(path: &Path, offset: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[offset] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

/// Where in a segment its frames begin.
pub fn frames(path: &Path) -> Vec<usize> {
    let bytes = fs::read(path).unwrap();
    // A mark has no payload, and gives way to whatever is written next.
    let is_mark = |at: usize| at > 512 && bytes[at + 12..at + 16] == [0; 4];
    let is_frame = |at: &usize| bytes[*at..].starts_with(b"LBFR") && !is_mark(*at);
    (0..bytes.len()).step_by(512).filter(is_frame).collect()
}

/// Leaves the remains of a write behind the last frame. Gives where, and how many bytes an opening would cut.
pub fn tear(dir: &Path) -> (PathBuf, u64, u64) {
    let last = segments(dir).pop().unwrap();
    let end = frames(&last).last().unwrap() + 512;
    let file = RealDisk.open(&last).unwrap();
    file.write_at(end as u64, b"LBFR, and then the power went").unwrap();
    (last, end as u64, 512)
}

/// What the tool has said.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub errors: String,
}

impl Said {
    pub fn of(output: Output) -> Said {
        Said {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            errors: String::from_utf8(output.stderr).unwrap(),
        }
    }

    pub fn lines(&self) -> Vec<&str> {
        self.out.lines().collect()
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    pub fn json_lines(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Runs the tool on a directory that nobody writes to, and checks that it leaves the directory as it was.
pub fn tool(arguments: &[&str], dir: &Path) -> Said {
    let before = picture(dir);
    let said = Said::of(Command::new(TOOL).args(arguments).arg(dir).output().unwrap());
    assert_eq!(picture(dir), before, "{arguments:?} has changed something in {}", dir.display());
    said
}

/// Everything in a directory: names, bytes and when each was last changed.
pub fn picture(dir: &Path) -> BTreeMap<PathBuf, (SystemTime, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut rest = vec![dir.to_path_buf()];
    while let Some(path) = rest.pop() {
        let Ok(metadata) = fs::metadata(&path) else { continue };
        let mut bytes = Vec::new();
        if metadata.is_dir() {
            rest.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            bytes = fs::read(&path).unwrap();
        }
        found.insert(path, (metadata.modified().unwrap(), bytes));
    }
    found
}
