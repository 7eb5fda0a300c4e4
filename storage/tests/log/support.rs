//! What all these tests need: entries, logs over a memory disk, and completions that can be asked.
#![allow(dead_code)] // Shared by tests/log and tests/faults, of which neither needs all of it.

use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::{Bytes, BytesMut};
use lovebird_core::entry::{Entry, EntryId, EntryKind};
use lovebird_core::fence::{Fence, Token};
use lovebird_core::log_store::{Completion, LogStore};
use lovebird_core::record::{Number, push_record};
use lovebird_storage::log::{Drive, Log, Options, Prepare};
use lovebird_storage::{Disk, DiskFile, MemoryDisk};

pub const DIR: &str = "/data/log";

/// Every step in its place, and segments so small that a handful of entries fills one.
pub fn options() -> Options {
    Options {
        drive: Drive::InPlace,
        prepare: Prepare::Reserve,
        segment_bytes: 16 << 10,
        ..Options::default()
    }
}

pub fn open(disk: &MemoryDisk) -> Log {
    try_open(disk).unwrap()
}

pub fn try_open(disk: &MemoryDisk) -> std::io::Result<Log> {
    Log::open(Arc::new(disk.mount()), Path::new(DIR), &options())
}

pub fn id(term: u64, number: u64) -> EntryId {
    EntryId::new(term, number)
}

pub fn token(term: u64) -> Token {
    Token { node: 1, incarnation: 7, counter: term }
}

fn placed(mut entry: Entry, term: u64, number: u64) -> Entry {
    entry.header.term = term;
    entry.header.number = number;
    entry
}

pub fn blank(term: u64, number: u64) -> Entry {
    placed(Entry::new(EntryKind::Blank, Bytes::new()), term, number)
}

pub fn barrier(term: u64, number: u64) -> Entry {
    let mut entry = placed(Entry::new(EntryKind::Barrier, Bytes::new()), term, number);
    entry.header.fence = Fence { token: token(term), position: 0 };
    entry.header.time = number;
    entry
}

/// `count` records of `bytes` each, at `position` behind the barrier of `term`.
pub fn commands(term: u64, number: u64, position: u64, count: u32, bytes: usize) -> Entry {
    let mut run = BytesMut::new();
    for record in 0..count {
        push_record(&mut run, Number::NONE, &vec![(number as u8).wrapping_add(record as u8); bytes]);
    }
    batch(EntryKind::Commands, run, (term, number, position), count)
}

/// Like [`commands`], in the other model and of a session, whose client still awaits the record before.
pub fn outcomes(term: u64, number: u64, position: u64, count: u32, bytes: usize) -> Entry {
    let mut run = BytesMut::new();
    for record in 0..count {
        let number = Number { session: 5, sequence: number * 100 + u64::from(record) + 2, window: 1 };
        push_record(&mut run, number, &vec![(number.sequence as u8).wrapping_add(record as u8); bytes]);
    }
    batch(EntryKind::Outcomes, run, (term, number, position), count)
}

/// Two openings of sessions, of `bytes` each.
pub fn sessions(term: u64, number: u64, position: u64, bytes: usize) -> Entry {
    let mut run = BytesMut::new();
    for _ in 0..2 {
        push_record(&mut run, Number::NONE, &vec![number as u8; bytes]);
    }
    batch(EntryKind::Sessions, run, (term, number, position), 0)
}

fn batch(kind: EntryKind, run: BytesMut, place: (u64, u64, u64), count: u32) -> Entry {
    let (term, number, position) = place;
    let mut entry = placed(Entry::new(kind, run.freeze()), term, number);
    entry.header.record_count = count;
    entry.header.codec = 1;
    entry.header.fence = Fence { token: token(term), position };
    entry.header.time = number;
    entry
}

/// A barrier at 0, then `entries` batches of one record.
pub fn stretch(log: &dyn LogStore, entries: u64, bytes: usize) {
    log.append(vec![barrier(1, 0)], ignore()).unwrap();
    for number in 1..=entries {
        log.append(vec![commands(1, number, number, 1, bytes)], ignore()).unwrap();
    }
}

/// For writes whose end a test does not ask for; they must still succeed.
pub fn ignore() -> Completion {
    Box::new(|result| result.unwrap())
}

/// Collects how writes ended, in the order in which they did.
#[derive(Clone, Default)]
pub struct Ends(Arc<Mutex<Vec<End>>>);

type End = (u64, Result<(), String>);

impl Ends {
    pub fn of(&self, write: u64) -> Completion {
        let ends = self.0.clone();
        Box::new(move |result| ends.lock().unwrap().push((write, result.map_err(|e| e.to_string()))))
    }

    pub fn all(&self) -> Vec<End> {
        self.0.lock().unwrap().clone()
    }
}

pub fn ids(entries: &[Entry]) -> Vec<(u64, u64)> {
    entries.iter().map(|entry| (entry.header.term, entry.header.number)).collect()
}

pub fn segments(disk: &MemoryDisk) -> Vec<String> {
    disk.list(Path::new(DIR)).unwrap()
}

pub fn file(disk: &MemoryDisk, name: &str) -> Arc<dyn DiskFile> {
    disk.open(&Path::new(DIR).join(name)).unwrap()
}

pub fn contents(file: &dyn DiskFile) -> Vec<u8> {
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_at(0, &mut bytes).unwrap();
    bytes
}

/// Changes one bit, durably.
pub fn flip(file: &dyn DiskFile, offset: u64) {
    let mut byte = [0];
    file.read_at(offset, &mut byte).unwrap();
    file.write_at(offset, &[byte[0] ^ 0x10]).unwrap();
    file.sync_data().unwrap();
}
