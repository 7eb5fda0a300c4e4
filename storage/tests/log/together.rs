//! Readers, a writer and the log's own thread at the same time.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use lovebird_core::entry::Entry;
use lovebird_core::log_store::LogStore;
use lovebird_storage::MemoryDisk;
use lovebird_storage::log::{Drive, Log, Options};

use crate::support::*;

/// An entry that knows which one it follows on: its time is a digest of all before it.
fn entry(before: u64, term: u64, number: u64) -> Entry {
    let mut entry = blank(term, number);
    // The mixing constant of Steele, Lea and Flood's SplitMix.
    entry.header.time = (before ^ term << 32 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 1;
    entry
}

fn check(entries: &[Entry], from: u64) {
    assert!(entries.first().is_none_or(|first| first.header.number >= from));
    for pair in entries.windows(2) {
        let (before, found) = (pair[0].header, pair[1].header);
        assert_eq!(found.number, before.number + 1, "a gap");
        assert_eq!(pair[1], entry(before.time, found.term, found.number), "entries of two histories");
    }
}

/// Cuts, purges and appends as fast as it goes.
fn write(log: &dyn LogStore, rounds: u64) {
    let (durable, wait) = mpsc::channel();
    let last = |log: &dyn LogStore| {
        let last = log.state().last.map_or(0, |last| last.number);
        log.read(last..last + 1, 1).unwrap().pop()
    };
    for round in 0..rounds {
        let end = log.state().last.map_or(0, |last| last.number + 1);
        let purged = log.state().purged.map_or(0, |purged| purged.number);
        let held = |before: u64| log.read(end - before..end - before + 1, 1).unwrap()[0].id();
        if round % 4 == 1 && end > purged + 90 {
            log.truncate_after(Some(held(30 + round % 50))).unwrap();
        }
        if round % 50 == 7 && end > purged + 400 {
            log.purge(held(200)).unwrap();
        }
        let mut entries = Vec::new();
        for at in 0..40 {
            let before = entries.last().cloned().or_else(|| last(log)).map(|entry: Entry| entry.header);
            let (time, number) = before.map_or((0, 0), |before| (before.time, before.number + 1));
            // Now and then an entry comes again that was just cut off, before the stream has seen either.
            entries.push(entry(time, round / 3 + 1 + at / 39, number));
        }
        let range = entries[0].header.number..entries[39].header.number + 1;
        let durable = durable.clone();
        // Those that are not waited for may end after the last look.
        log.append(entries.clone(), Box::new(move |end| drop(durable.send(end)))).unwrap();
        if round % 8 == 0 {
            // What was written may leave the tail now.
            wait.recv().unwrap().unwrap();
        }
        assert_eq!(log.read(range, usize::MAX).unwrap(), entries);
    }
    let all = log.read(0..u64::MAX, usize::MAX).unwrap();
    check(&all, 0);
    assert_eq!(Some(all.last().unwrap().id()), log.state().last);
}

#[test]
fn readers_see_one_history_while_entries_come_and_go() {
    let disk = MemoryDisk::new();
    let options = Options { drive: Drive::Thread, cache_bytes: 2000, ..options() };
    let log = Log::open(Arc::new(disk.clone()), Path::new(DIR), &options).unwrap();
    let group = log.group(0);
    let over = AtomicBool::new(false);
    let read = Mutex::new(0u64);
    std::thread::scope(|scope| {
        for reader in 0..2u64 {
            let (group, over, read) = (&group, &over, &read);
            scope.spawn(move || {
                let mut chance = 88_172_645_463_325_252 + reader;
                while !over.load(Ordering::Acquire) {
                    // xorshift64, by Marsaglia.
                    chance ^= chance << 13;
                    chance ^= chance >> 7;
                    chance ^= chance << 17;
                    let last = group.state().last.map_or(0, |last| last.number);
                    let from = last.saturating_sub(chance % 200);
                    let entries = group.read(from..from + 200, usize::MAX).unwrap();
                    check(&entries, from);
                    *read.lock().unwrap() += entries.len() as u64;
                }
            });
        }
        write(&*group, 2000);
        over.store(true, Ordering::Release);
    });
    let read = *read.lock().unwrap();
    assert!(read > 1000, "{read} entries were read");
    let held = group.read(0..u64::MAX, usize::MAX).unwrap();
    drop((group, log));
    let reopened = Log::open(Arc::new(disk), Path::new(DIR), &options).unwrap().group(0);
    assert_eq!(reopened.read(0..u64::MAX, usize::MAX).unwrap(), held);
}
