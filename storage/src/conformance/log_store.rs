//! The suite for [`LogStore`].

use std::io;
use std::sync::{Arc, mpsc};

use bytes::{Bytes, BytesMut};
use lovebird_core::entry::{Entry, EntryId, EntryKind};
use lovebird_core::fence::{Fence, Numbering, Token};
use lovebird_core::identity::RaftId;
use lovebird_core::log_store::{Completion, LogStore, Vote};
use lovebird_core::record::push_record;

use super::Open;

type Test = fn(Open<dyn LogStore>);

pub(super) const TESTS: &[Test] = &[
    new_log_is_empty,
    entries_are_readable_at_once_and_durable_when_completed,
    log_begins_anywhere_and_has_no_gaps,
    completions_come_in_order_and_once,
    leader_stamps_and_follower_checks,
    truncation_drops_the_end_and_rolls_back,
    purge_drops_the_beginning_and_keeps_counting,
    purge_beyond_the_end_goes_on_behind_it,
    votes_and_commit_points_are_kept,
    reads_stop_at_their_bound,
];

const TOKEN: Token = Token { node: 1, incarnation: 2, counter: 3 };

fn entry(kind: EntryKind, term: u64, number: u64) -> Entry {
    let mut entry = Entry::new(kind, Bytes::new());
    entry.header.term = term;
    entry.header.number = number;
    if kind == EntryKind::Barrier {
        entry.header.fence.token = TOKEN;
    }
    entry
}

fn commands(term: u64, number: u64, position: u64, records: u32) -> Entry {
    let mut run = BytesMut::new();
    for _ in 0..records {
        push_record(&mut run, 0, 0, &number.to_le_bytes());
    }
    let mut entry = Entry::new(EntryKind::Commands, run.freeze());
    entry.header.term = term;
    entry.header.number = number;
    entry.header.record_count = records;
    entry.header.fence = Fence { token: TOKEN, position };
    entry
}

fn blanks(term: u64, numbers: std::ops::Range<u64>) -> Vec<Entry> {
    numbers.map(|number| entry(EntryKind::Blank, term, number)).collect()
}

/// A completion, and what waits for it.
fn completion() -> (Completion, mpsc::Receiver<io::Result<()>>) {
    let (ended, end) = mpsc::channel();
    let done = move |result| {
        // Whoever does not wait has dropped the other end.
        let _ = ended.send(result);
    };
    (Box::new(done), end)
}

fn append(log: &dyn LogStore, entries: Vec<Entry>) {
    let (done, end) = completion();
    log.append(entries, done).expect("append");
    end.recv().expect("the completion was dropped").expect("append");
}

fn refused(log: &dyn LogStore, entries: Vec<Entry>, why: &str) {
    let state = log.state();
    let (done, _end) = completion();
    assert!(log.append(entries, done).is_err(), "{why} was appended");
    assert_eq!(log.state(), state, "{why} was refused, but changed the log");
}

fn read(log: &dyn LogStore) -> Vec<Entry> {
    log.read(0..u64::MAX, usize::MAX).expect("read")
}

fn numbers(log: &dyn LogStore) -> Vec<u64> {
    read(log).iter().map(|entry| entry.header.number).collect()
}

/// Drops the log and opens it again; all it says of itself and holds must be the same.
fn reopen(open: &mut Open<dyn LogStore>, log: Arc<dyn LogStore>) -> Arc<dyn LogStore> {
    let (state, entries) = (log.state(), read(&*log));
    drop(log);
    let log = open();
    assert_eq!(log.state(), state, "the log says something else after it was opened again");
    assert_eq!(read(&*log), entries, "the log holds something else after it was opened again");
    log
}

fn new_log_is_empty(mut open: Open<dyn LogStore>) {
    let log = open();
    let state = log.state();
    assert_eq!((state.purged, state.last, state.vote, state.committed), (None, None, None, None));
    assert_eq!((state.first_index, state.last_index), (1, 0));
    assert_eq!(read(&*log), []);
    assert_eq!(log.read_cached(0..9, 9), Some(vec![]));
    assert_eq!((log.numbering_at(0), log.find(1), log.failure()), (None, None, None));
}

fn entries_are_readable_at_once_and_durable_when_completed(mut open: Open<dyn LogStore>) {
    let log = open();
    let (done, end) = completion();
    log.append(blanks(1, 0..3), done).expect("append");
    assert_eq!(numbers(&*log), [0, 1, 2]);
    assert_eq!(log.state().last, Some(EntryId::new(1, 2)));
    end.recv().expect("the completion was dropped").expect("append");
    let log = reopen(&mut open, log);
    append(&*log, blanks(2, 3..4));
    reopen(&mut open, log);
}

fn log_begins_anywhere_and_has_no_gaps(mut open: Open<dyn LogStore>) {
    let log = open();
    append(&*log, blanks(1, 7..9));
    refused(&*log, blanks(1, 10..11), "an entry behind a gap");
    refused(&*log, blanks(1, 8..9), "an entry that is already there");
    append(&*log, blanks(1, 9..10));
    assert_eq!(numbers(&*log), [7, 8, 9]);
    reopen(&mut open, log);
}

fn completions_come_in_order_and_once(mut open: Open<dyn LogStore>) {
    let log = open();
    let (ended, ends) = mpsc::channel();
    for number in 0..100 {
        let ended = ended.clone();
        let done = Box::new(move |result: io::Result<()>| {
            let _ = ended.send((number, result.is_ok()));
        });
        log.append(blanks(1, number..number + 1), done).expect("append");
    }
    drop(ended);
    let ends: Vec<(u64, bool)> = ends.iter().collect();
    assert_eq!(ends, (0..100).map(|number| (number, true)).collect::<Vec<_>>());
}

fn leader_stamps_and_follower_checks(mut open: Open<dyn LogStore>) {
    let log = open();
    append(&*log, vec![entry(EntryKind::Barrier, 1, 0), commands(1, 1, 1, 3), commands(1, 2, 3, 5)]);
    let mut stamped = commands(1, 3, 2, 2);
    stamped.header.first_index = 4;
    append(&*log, vec![stamped]);
    let first: Vec<u64> = read(&*log).iter().map(|entry| entry.header.first_index).collect();
    assert_eq!(first, [0, 1, 0, 4], "the third is out of order and does not count");
    let mut wrong = commands(1, 4, 3, 1);
    wrong.header.first_index = 5;
    refused(&*log, vec![wrong], "an entry with another log index than counting gives");
    let mut wrong = commands(1, 4, 9, 1);
    wrong.header.first_index = 6;
    refused(&*log, vec![wrong], "an entry that does not count but has a log index");
    assert_eq!((log.state().first_index, log.state().last_index), (1, 5));
    let found: Vec<_> = (0..7).map(|index| log.find(index)).collect();
    assert_eq!(found, [None, Some(1), Some(1), Some(1), Some(3), Some(3), None]);
    assert_eq!(log.numbering_at(2).expect("held").last_index, 3);
    reopen(&mut open, log);
}

fn truncation_drops_the_end_and_rolls_back(mut open: Open<dyn LogStore>) {
    let log = open();
    append(&*log, vec![entry(EntryKind::Barrier, 1, 0), commands(1, 1, 1, 1), commands(1, 2, 2, 1)]);
    log.truncate_after(Some(EntryId::new(1, 2))).expect("truncate nothing");
    assert_eq!(numbers(&*log), [0, 1, 2]);
    log.truncate_after(Some(EntryId::new(1, 1))).expect("truncate");
    assert_eq!((log.state().last, log.state().last_index), (Some(EntryId::new(1, 1)), 1));
    append(&*log, vec![commands(1, 2, 2, 4)]);
    assert_eq!(log.state().last_index, 5);
    let log = reopen(&mut open, log);
    log.truncate_after(None).expect("truncate all");
    assert_eq!((log.state().last, log.state().last_index), (None, 0));
    append(&*log, blanks(2, 0..1));
    reopen(&mut open, log);
}

fn purge_drops_the_beginning_and_keeps_counting(mut open: Open<dyn LogStore>) {
    let log = open();
    let entries = vec![entry(EntryKind::Barrier, 1, 0), commands(1, 1, 1, 3), commands(1, 2, 2, 1)];
    append(&*log, entries);
    log.purge(EntryId::new(1, 1)).expect("purge");
    let state = log.state();
    assert_eq!((state.purged, state.last), (Some(EntryId::new(1, 1)), Some(EntryId::new(1, 2))));
    assert_eq!((state.first_index, state.last_index), (4, 4));
    assert_eq!(log.numbering_at(1).expect("the purge point").last_index, 3);
    assert_eq!((log.find(3), log.find(4), log.numbering_at(0)), (None, Some(2), None));
    log.purge(EntryId::new(1, 0)).expect("purge again what is gone");
    log.purge(EntryId::new(1, 2)).expect("purge all");
    assert_eq!(log.state().last, Some(EntryId::new(1, 2)));
    assert_eq!((log.state().first_index, log.state().last_index), (5, 4));
    append(&*log, vec![commands(1, 3, 3, 1)]);
    assert_eq!(log.find(5), Some(3));
    reopen(&mut open, log);
}

fn purge_beyond_the_end_goes_on_behind_it(mut open: Open<dyn LogStore>) {
    let log = open();
    append(&*log, blanks(1, 0..3));
    log.purge(EntryId::new(2, 10)).expect("purge");
    assert_eq!(log.state().last, Some(EntryId::new(2, 10)));
    append(&*log, blanks(2, 11..12));
    refused(&*log, vec![commands(2, 12, 1, 1)], "a batch of records, though the numbering is unknown,");
    let log = reopen(&mut open, log);
    let numbering = Numbering { token: TOKEN, term: 2, position: 6, last_index: 40, time: 9 };
    log.install(EntryId::new(2, 20), numbering).expect("install");
    log.purge(EntryId::new(2, 20)).expect("purge");
    assert_eq!(log.numbering_at(20), Some(numbering));
    append(&*log, vec![commands(2, 21, 7, 2)]);
    assert_eq!((log.state().first_index, log.state().last_index), (41, 42));
    reopen(&mut open, log);
}

fn votes_and_commit_points_are_kept(mut open: Open<dyn LogStore>) {
    let log = open();
    for term in 1..4 {
        let vote = Vote { term, node: RaftId::new(term, 99), committed: term == 3 };
        let (done, end) = completion();
        log.save_vote(vote, done).expect("vote");
        assert_eq!(log.state().vote, Some(vote));
        end.recv().expect("the completion was dropped").expect("vote");
    }
    log.save_committed(Some(EntryId::new(1, 5))).expect("commit point");
    assert_eq!(log.state().committed, Some(EntryId::new(1, 5)));
    // What is completed later is behind it in the order.
    append(&*log, blanks(3, 0..1));
    reopen(&mut open, log);
}

fn reads_stop_at_their_bound(mut open: Open<dyn LogStore>) {
    let log = open();
    append(&*log, blanks(1, 0..10));
    let size = read(&*log)[0].encoded_bytes();
    let count = |bytes_max| log.read(2..8, bytes_max).expect("read").len();
    assert_eq!([count(0), count(size), count(size + 1), count(3 * size), count(usize::MAX)], [1, 1, 2, 3, 6]);
    assert_eq!(log.read(20..30, 9).expect("read"), []);
    if let Some(cached) = log.read_cached(2..8, size + 1) {
        assert_eq!(cached.len(), 2);
    }
}
