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
    fn note(&mut self, log: &dyn LogStore) {
        self.versions.push(version(log));
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

/// Lets the `n`-th call to the disk fail, for every `n` there is, and then takes the power away. Says how many calls there are.
fn at_every_call(prepare: impl Fn(&MemoryDisk, &mut Story), act: impl Fn(&MemoryDisk, &mut Story)) -> u64 {
    for nth in 1.. {
        let mut reached = false;
        for survives in 0..4u64 {
            let disk = MemoryDisk::new();
            let mut story = Story::default();
            prepare(&disk, &mut story);
            disk.fail(Fault::Any, nth, std::io::ErrorKind::Other);
            act(&disk, &mut story);
            reached = disk.pending_failures() == 0;
            let mut chance = survives * 7919 + nth;
            disk.crash_keeping(&mut || match survives {
                0 => false,
                1 => true,
                _ => {
                    // xorshift64, by Marsaglia; never 0.
                    chance = (chance | 1) ^ (chance << 13);
                    chance ^= chance >> 7;
                    chance ^= chance << 17;
                    chance.is_multiple_of(2)
                }
            });
            let found = version(&*open(&disk).group(0));
            story.check(&found);
            disk.crash();
            assert_eq!(version(&*open(&disk).group(0)), found, "what was found once is found again");
        }
        if !reached {
            return nth - 1;
        }
    }
    unreachable!("the loop ends where the calls do")
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
