use std::path::Path;
use std::sync::{Arc, mpsc};

use lovebird_core::fence::Numbering;
use lovebird_core::identity::RaftId;
use lovebird_core::log_store::Vote;
use lovebird_storage::MemoryDisk;
use lovebird_storage::disk::Call;
use lovebird_storage::log::{Drive, Log, Options};

use crate::support::*;

fn vote(term: u64) -> Vote {
    Vote { term, node: RaftId::new(3, 9), committed: term.is_multiple_of(2) }
}

/// The calls behind the first position, as one letter each: w(rite), s(ync), a(cknowledged).
fn letters(disk: &MemoryDisk) -> String {
    let letter = |call: &Call| match call {
        Call::Write { .. } => 'w',
        Call::Sync(_) => 's',
        Call::Note(_) => 'a',
        _ => '.',
    };
    disk.take_calls().iter().map(letter).collect()
}

#[test]
fn acknowledgement_comes_after_the_sync_that_covers_the_write() {
    let disk = MemoryDisk::new();
    let log = open(&disk);
    let group = log.group(0);
    disk.start_recording();
    let note = || {
        let disk = disk.clone();
        Box::new(move |result: std::io::Result<()>| disk.note(format!("{result:?}")))
    };
    // What is written last is the mark of a log that rests, which nobody waits for.
    group.append(vec![barrier(1, 0)], note()).unwrap();
    assert_eq!(letters(&disk), "wsaw");
    group.save_vote(vote(2), note()).unwrap();
    assert_eq!(letters(&disk), "wsaw");
}

#[test]
fn acknowledgement_comes_after_the_sync_with_the_writer_thread_too() {
    let disk = MemoryDisk::new();
    let options = Options { drive: Drive::Thread, ..options() };
    let log = Log::open(Arc::new(disk.clone()), Path::new(DIR), &options).unwrap();
    disk.start_recording();
    let (ended, ends) = mpsc::channel();
    for number in 0..200 {
        let (disk, ended) = (disk.clone(), ended.clone());
        let done = Box::new(move |result: std::io::Result<()>| {
            disk.note(number.to_string());
            ended.send(result).unwrap();
        });
        log.group(0).append(vec![blank(1, number)], done).unwrap();
    }
    for _ in 0..200 {
        ends.recv().unwrap().unwrap();
    }
    // Between a write and an acknowledgement there is always a sync, and the acknowledgements are in order.
    let mut dirty = false;
    let mut next = 0;
    for call in disk.take_calls() {
        match call {
            Call::Write { .. } => dirty = true,
            Call::Sync(_) => dirty = false,
            Call::Note(number) => {
                assert!(!dirty, "write {number} was acknowledged before it was synced");
                assert_eq!(number, next.to_string());
                next += 1;
            }
            _ => {}
        }
    }
    assert_eq!(next, 200);
}

#[test]
fn what_gathers_during_a_sync_is_the_next_batch() {
    let disk = MemoryDisk::new();
    let log = open(&disk);
    let group = log.group(0);
    let ends = Ends::default();
    disk.start_recording();
    let (again, others) = (group.clone(), ends.clone());
    // The completion runs while the writer is busy, as other callers do during its sync.
    let done = Box::new(move |result: std::io::Result<()>| {
        result.unwrap();
        for number in 1..=50 {
            again.append(vec![blank(1, number)], others.of(number)).unwrap();
        }
        again.save_vote(vote(1), others.of(51)).unwrap();
    });
    group.append(vec![blank(1, 0)], done).unwrap();
    assert_eq!(letters(&disk), "wswsw", "51 writes behind the first share one write and one sync");
    assert_eq!(ends.all(), (1..=51).map(|write| (write, Ok(()))).collect::<Vec<_>>());
}

#[test]
fn commit_points_and_purges_cost_no_sync() {
    let disk = MemoryDisk::new();
    let log = open(&disk);
    let group = log.group(0);
    stretch(&*group, 5, 10);
    disk.start_recording();
    group.save_committed(Some(id(1, 3))).unwrap();
    assert_eq!(letters(&disk), "", "a commit point alone is not even written");
    group.purge(id(1, 2)).unwrap();
    assert_eq!(letters(&disk), "w");
    assert_eq!(group.state().committed, Some(id(1, 3)));
    drop((group, log));
    assert_eq!(letters(&disk), "sws", "closing makes everything durable, and says so");
    assert_eq!(open(&disk).group(0).state().committed, Some(id(1, 3)));
}

#[test]
fn votes_entries_and_commit_points_survive_a_crash_in_order() {
    let disk = MemoryDisk::new();
    let log = open(&disk);
    let (a, b) = (log.group(0), log.group(7));
    stretch(&*a, 3, 10);
    a.save_committed(Some(id(1, 2))).unwrap();
    b.append(vec![blank(4, 100)], ignore()).unwrap();
    b.save_vote(vote(5), ignore()).unwrap();
    let (state_a, state_b) = (a.state(), b.state());
    disk.crash();
    let log = open(&disk);
    assert_eq!(log.group(0).state(), state_a);
    assert_eq!(log.group(7).state(), state_b);
    assert_eq!(state_b.vote, Some(vote(5)));
    assert_eq!(log.group(9).state().last, None);
}

#[test]
fn leader_stamps_and_follower_checks() {
    let disk = MemoryDisk::new();
    let log = open(&disk);
    let leader = log.group(0);
    leader.append(vec![blank(1, 0), barrier(1, 1), commands(1, 2, 1, 3, 5)], ignore()).unwrap();
    leader.append(vec![commands(1, 3, 2, 2, 5), commands(1, 4, 9, 2, 5)], ignore()).unwrap();
    let entries = leader.read(0..9, usize::MAX).unwrap();
    let first: Vec<u64> = entries.iter().map(|entry| entry.header.first_index).collect();
    assert_eq!(first, [0, 0, 1, 4, 0], "the last one is out of its leader's order and does not count");
    assert_eq!(leader.state().last_index, 5);

    let follower = log.group(1);
    follower.append(entries.clone(), ignore()).unwrap();
    assert_eq!(follower.read(0..9, usize::MAX).unwrap(), entries);

    let ends = Ends::default();
    let mut wrong = commands(1, 5, 3, 1, 5);
    wrong.header.first_index = 8;
    let error = follower.append(vec![wrong], ends.of(0)).unwrap_err().to_string();
    assert!(error.contains("log index 8") && error.contains("gives 6"), "{error}");
    let mut wrong = commands(1, 5, 7, 1, 5);
    wrong.header.first_index = 6;
    let error = follower.append(vec![blank(1, 5), wrong], ends.of(1)).unwrap_err().to_string();
    assert!(error.contains("does not count") || error.contains("expected"), "{error}");
    let error = follower.append(vec![blank(1, 6)], ends.of(2)).unwrap_err().to_string();
    assert!(error.contains("number 5 was expected"), "{error}");
    assert_eq!(ends.all().len(), 3, "each completion is called, with its error");
    assert_eq!(follower.read(0..9, usize::MAX).unwrap(), entries, "nothing of a refused append remains");
}

#[test]
fn truncation_rolls_the_numbering_back() {
    let disk = MemoryDisk::new();
    let log = open(&disk);
    let group = log.group(0);
    stretch(&*group, 4, 10);
    assert_eq!(group.state().last_index, 4);
    group.truncate_after(Some(id(1, 2))).unwrap();
    assert_eq!((group.state().last, group.state().last_index), (Some(id(1, 2)), 2));
    group.append(vec![barrier(2, 3), commands(2, 4, 1, 5, 10)], ignore()).unwrap();
    let entries = group.read(0..10, usize::MAX).unwrap();
    assert_eq!(ids(&entries), [(1, 0), (1, 1), (1, 2), (2, 3), (2, 4)]);
    assert_eq!(entries[4].header.first_index, 3);
    drop((group, log));
    assert_eq!(open(&disk).group(0).read(0..10, usize::MAX).unwrap(), entries);
    assert!(open(&disk).group(0).truncate_after(Some(id(1, 4))).is_err(), "the log holds 2:4");
}

#[test]
fn purge_beyond_the_end_knows_the_numbering_only_if_installed() {
    let disk = MemoryDisk::new();
    let log = open(&disk);
    let unknown = log.group(0);
    stretch(&*unknown, 2, 10);
    unknown.purge(id(3, 50)).unwrap();
    assert_eq!((unknown.state().purged, unknown.state().last), (Some(id(3, 50)), Some(id(3, 50))));
    unknown.append(vec![blank(3, 51), barrier(3, 52)], ignore()).unwrap();
    let refused = unknown.append(vec![commands(3, 53, 1, 1, 1)], Box::new(|result| assert!(result.is_err())));
    assert!(refused.unwrap_err().to_string().contains("install the snapshot"));

    let known = log.group(1);
    let numbering = Numbering { token: token(3), term: 3, position: 4, last_index: 900, time: 5 };
    known.install(id(3, 50), numbering).unwrap();
    known.purge(id(3, 50)).unwrap();
    assert_eq!(known.numbering_at(50), Some(numbering));
    known.append(vec![commands(3, 51, 5, 2, 1)], ignore()).unwrap();
    drop((unknown, known, log));

    let known = open(&disk).group(1);
    assert_eq!((known.state().first_index, known.state().last_index), (901, 902));
    assert_eq!(known.find(902), Some(51));
    let other = Numbering { last_index: 3, ..numbering };
    assert!(known.install(id(3, 50), other).is_err(), "a snapshot that counts otherwise is refused");
    let unknown = open(&disk).group(0);
    assert_eq!(ids(&unknown.read(0..99, usize::MAX).unwrap()), [(3, 51), (3, 52)]);
    assert_eq!(unknown.numbering_at(52), None);
}

#[test]
fn purged_segments_are_removed_and_nothing_is_forgotten() {
    let disk = MemoryDisk::new();
    let log = open(&disk);
    let (busy, quiet) = (log.group(0), log.group(1));
    quiet.save_vote(vote(8), ignore()).unwrap();
    quiet.purge(id(2, 30)).unwrap();
    quiet.save_committed(Some(id(2, 30))).unwrap();
    stretch(&*busy, 200, 500);
    let before = segments(&disk).len();
    assert!(before > 10, "{before} segments");
    disk.start_recording();
    busy.purge(id(1, 190)).unwrap();
    let calls = disk.take_calls();
    let sync = calls.iter().position(|call| matches!(call, Call::Sync(_))).unwrap();
    let remove = calls.iter().position(|call| matches!(call, Call::Remove(_))).unwrap();
    assert!(sync < remove, "the purge is durable before what it purges goes");
    assert!(segments(&disk).len() <= 2, "{:?}", segments(&disk));

    let (busy_state, quiet_state) = (busy.state(), quiet.state());
    let entries = busy.read(0..999, usize::MAX).unwrap();
    disk.crash();
    let log = open(&disk);
    assert_eq!(log.group(0).state(), busy_state);
    assert_eq!(log.group(1).state(), quiet_state);
    assert_eq!(log.group(0).read(0..999, usize::MAX).unwrap(), entries);
    assert_eq!(busy_state.first_index, 191);
}

#[test]
fn truncation_below_the_head_of_the_first_segment_left() {
    let disk = MemoryDisk::new();
    let log = open(&disk);
    let group = log.group(0);
    stretch(&*group, 30, 500);
    group.append(vec![blank(1, 31)], ignore()).unwrap();
    let before = segments(&disk).len();
    group.truncate_after(Some(id(1, 20))).unwrap();
    group.append((21..80).map(|number| blank(2, number)).collect(), ignore()).unwrap();
    group.purge(id(2, 60)).unwrap();
    assert!(segments(&disk).len() < before, "{before} segments, then {:?}", segments(&disk));
    let (state, entries) = (group.state(), group.read(0..999, usize::MAX).unwrap());
    disk.crash();
    let group = open(&disk).group(0);
    assert_eq!(group.state(), state);
    assert_eq!(group.read(0..999, usize::MAX).unwrap(), entries);
}

#[test]
fn entry_larger_than_a_segment_gets_a_segment_of_its_own() {
    let disk = MemoryDisk::new();
    let log = open(&disk);
    let group = log.group(0);
    stretch(&*group, 2, 100_000);
    group.append(vec![commands(1, 3, 3, 1, 10)], ignore()).unwrap();
    let entries = group.read(0..9, usize::MAX).unwrap();
    disk.crash();
    assert_eq!(open(&disk).group(0).read(0..9, usize::MAX).unwrap(), entries);
}
