//! Where a machine loses power: at every single call to the disk, with any part of what was not synced kept or lost.

use std::sync::{Arc, Mutex};

use lovebird_core::entry::{Entry, EntryId};
use lovebird_core::log_store::{Completion, LogStore};
use lovebird_storage::MemoryDisk;
use lovebird_storage::disk::Fault;

use crate::support::*;
use crate::verdict::Row;

/// A group as it stands: what was purged, and what is held.
type Version = (Option<EntryId>, Vec<Entry>);

/// What a log went through, and how far it was acknowledged.
#[derive(Default)]
struct Story {
    versions: Vec<Version>,
    acknowledged: Arc<Mutex<usize>>,
}

impl Story {
    /// What the log holds now. The disk may be dead by then, so what the log has not in memory is taken from the last version.
    fn note(&mut self, log: &dyn LogStore) {
        let state = log.state();
        let first = state.purged.map_or(0, |purged| purged.number + 1);
        let behind = state.last.map_or(0, |last| last.number + 1);
        let tail = |number| log.read_cached(number..behind, usize::MAX);
        let cached = (first..behind).find_map(|number| Some((number, tail(number)?)));
        let (cached_from, cached) = cached.unwrap_or((behind, Vec::new()));
        let before = self.versions.last().map_or(&[][..], |(_, entries)| entries);
        let kept = before.iter().filter(|entry| (first..cached_from).contains(&entry.header.number));
        let entries = kept.cloned().chain(cached).collect();
        self.versions.push((state.purged, entries));
    }

    /// For the write that makes the next version.
    fn acknowledge(&self) -> Completion {
        let (next, acknowledged) = (self.versions.len(), self.acknowledged.clone());
        Box::new(move |end| {
            if end.is_ok() {
                *acknowledged.lock().unwrap() = next;
            }
        })
    }

    /// Writes that fail come to nothing, as in a machine without power.
    fn append(&mut self, log: &dyn LogStore, entries: Vec<Entry>) {
        if log.append(entries, self.acknowledge()).is_ok() {
            self.note(log);
        }
    }

    fn check(&self, found: &Version) {
        let acknowledged = *self.acknowledged.lock().unwrap();
        assert!(
            self.versions[acknowledged..].contains(found),
            "found {found:?}, which is none of {:?}",
            &self.versions[acknowledged..]
        );
    }
}

fn version(log: &dyn LogStore) -> Version {
    (log.state().purged, log.read(0..u64::MAX, usize::MAX).unwrap())
}

/// When the power goes, as seen from the call to the disk that is the last one of a life.
#[derive(Clone, Copy, Debug)]
enum Outage {
    /// Before it does anything.
    Before,
    /// In the middle of it.
    Within,
    /// When the process has been killed before it, and another one has opened what that left, synced or not.
    AfterAKill,
}

/// Ends a life at the `n`-th call to the disk, for every `n` there is. Says how many calls there are.
fn at_every_call(prepare: impl Fn(&MemoryDisk, &mut Story), act: impl Fn(&MemoryDisk, &mut Story)) -> u64 {
    for nth in 1.. {
        let mut reached = false;
        for outage in [Outage::Before, Outage::Within, Outage::AfterAKill] {
            for survives in 0..4 {
                let disk = MemoryDisk::new();
                let mut story = Story::default();
                prepare(&disk, &mut story);
                reached = end_at(&disk, nth, outage, survivors(survives, nth), || act(&disk, &mut story));
                // Held until the power goes again: a log that is closed syncs what opening may have forgotten.
                let log = open(&disk);
                let found = version(&*log.group(0));
                story.check(&found);
                disk.crash();
                drop(log);
                let again = version(&*open(&disk).group(0));
                assert_eq!(again, found, "what was found once is found again, {outage:?} call {nth}");
            }
        }
        if !reached {
            return nth - 1;
        }
    }
    unreachable!("the loop ends where the calls do")
}

/// Ends what `act` does at the `n`-th call to the disk. Says whether there was one.
fn end_at(
    disk: &MemoryDisk,
    nth: u64,
    outage: Outage,
    mut keep: impl FnMut() -> bool + Send + 'static,
    act: impl FnOnce(),
) -> bool {
    if let Outage::Within = outage {
        let struck = Arc::new(Mutex::new(false));
        let told = struck.clone();
        disk.crash_at(nth, keep, move || *told.lock().unwrap() = true);
        act();
        disk.crash();
        return *struck.lock().unwrap();
    }
    disk.fail(Fault::Any, nth, std::io::ErrorKind::Other);
    act();
    let reached = disk.pending_failures() == 0;
    match outage {
        Outage::AfterAKill => disk.kill(),
        _ => disk.crash_keeping(&mut keep),
    }
    reached
}

/// Which of what was not synced is kept: none, all, or some.
fn survivors(survives: u64, nth: u64) -> impl FnMut() -> bool + Send + 'static {
    let mut chance = survives * 7919 + nth;
    move || match survives {
        0 => false,
        1 => true,
        _ => {
            // xorshift64, by Marsaglia; never 0.
            chance = (chance | 1) ^ (chance << 13);
            chance ^= chance >> 7;
            chance ^= chance << 17;
            chance.is_multiple_of(2)
        }
    }
}

fn nothing(_: &MemoryDisk, story: &mut Story) {
    story.versions.push((None, Vec::new()));
}

/// A barrier and so many entries of 500 bytes.
fn entries(disk: &MemoryDisk, story: &mut Story, count: u64) {
    nothing(disk, story);
    let log = open(disk);
    let group = log.group(0);
    story.append(&*group, vec![barrier(1, 0)]);
    for number in 1..=count {
        story.append(&*group, vec![commands(1, number, number, 1, 500)]);
    }
}

fn making() -> u64 {
    at_every_call(nothing, |disk, story| {
        if let Ok(log) = try_open(disk) {
            story.append(&*log.group(0), vec![barrier(1, 0)]);
        }
    })
}

/// However many sectors are left in the segment when a frame does not fit any more.
fn rotation() -> u64 {
    (1..4).map(rotation_behind).sum()
}

fn rotation_behind(short_entries: u64) -> u64 {
    at_every_call(
        |disk, story| entries(disk, story, 10),
        |disk, story| {
            let Ok(log) = try_open(disk) else { return };
            let group = log.group(0);
            for number in 11..20 {
                // After a short one there is room for a mark behind the last frame, though not for another frame.
                let bytes = if number <= 10 + short_entries { 10 } else { 500 };
                // A frame that nobody waits for, and that is not synced when the next segment is begun.
                if group.purge(id(1, number - 10)).is_ok() {
                    story.note(&*group);
                }
                story.append(&*group, vec![commands(1, number, number, 1, bytes)]);
            }
            assert!(segments(disk).len() > 1 || group.failure().is_some());
        },
    )
}

fn purge() -> u64 {
    at_every_call(
        |disk, story| entries(disk, story, 60),
        |disk, story| {
            let Ok(log) = try_open(disk) else { return };
            let group = log.group(0);
            if group.purge(id(1, 50)).is_ok() {
                story.note(&*group);
            }
            story.append(&*group, vec![blank(1, 61)]);
            assert!(segments(disk).len() < 3 || group.failure().is_some());
        },
    )
}

fn truncation() -> u64 {
    at_every_call(
        |disk, story| entries(disk, story, 30),
        |disk, story| {
            let Ok(log) = try_open(disk) else { return };
            let group = log.group(0);
            if group.truncate_after(Some(id(1, 12))).is_ok() {
                story.note(&*group);
            }
            for number in 13..30 {
                story.append(&*group, vec![blank(2, number)]);
            }
        },
    )
}

/// The last write of the log was under way when the power went, and it goes once more while the log is opened.
fn opening() -> u64 {
    at_every_call(
        |disk, story| {
            entries(disk, story, 3);
            disk.fail(Fault::ShortWrite, 1, std::io::ErrorKind::Other);
            if let Ok(log) = try_open(disk) {
                story.append(&*log.group(0), vec![commands(1, 4, 4, 1, 3000)]);
            }
            disk.crash_keeping(&mut || true);
        },
        |disk, _| drop(try_open(disk)),
    )
}

pub fn rows() -> Vec<Row> {
    let all = |calls: u64| {
        assert!(calls > 2, "{calls} calls");
        "**opens**: everything that was acknowledged is there, at whichever call to the disk".to_owned()
    };
    vec![
        Row { fault: "while a log is made", verdict: all(making()) },
        Row { fault: "while a segment is filled, sealed and the next one begun", verdict: all(rotation()) },
        Row { fault: "while a purge is written and segments are removed", verdict: all(purge()) },
        Row { fault: "while entries are cut off and others take their place", verdict: all(truncation()) },
        Row { fault: "while a log is opened and its torn tail cut", verdict: all(opening()) },
    ]
}
