//! The suite for [`LogStore`].

use std::io;
use std::sync::{Arc, mpsc};

use bytes::{Bytes, BytesMut};
use lovebird_core::entry::{Entry, EntryId, EntryKind};
use lovebird_core::fence::{Fence, Numbering, Token, count};
use lovebird_core::identity::RaftId;
use lovebird_core::log_store::{Completion, LogStore, Vote};
use lovebird_core::record::{Number, push_record};

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
    openings_of_sessions_count_and_take_no_log_index,
    numbering_is_what_counting_gives_wherever_one_looks,
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
        push_record(&mut run, Number::NONE, &number.to_le_bytes());
    }
    batch(EntryKind::Commands, run, (term, number, position), records)
}

/// Commands of the other model, each of a session.
fn outcomes(term: u64, number: u64, position: u64, records: u32) -> Entry {
    let mut run = BytesMut::new();
    for record in 0..records {
        let sequence = number * 10 + u64::from(record) + 1;
        push_record(&mut run, Number { session: 3, sequence, window: record as u16 }, &number.to_le_bytes());
    }
    batch(EntryKind::Outcomes, run, (term, number, position), records)
}

/// Openings of sessions, which no count of records counts.
fn sessions(term: u64, number: u64, position: u64) -> Entry {
    let mut run = BytesMut::new();
    push_record(&mut run, Number::NONE, b"two openings, whatever");
    push_record(&mut run, Number::NONE, b"they look like");
    batch(EntryKind::Sessions, run, (term, number, position), 0)
}

fn batch(kind: EntryKind, run: BytesMut, place: (u64, u64, u64), records: u32) -> Entry {
    let mut entry = Entry::new(kind, run.freeze());
    let (term, number, position) = place;
    (entry.header.term, entry.header.number, entry.header.record_count) = (term, number, records);
    entry.header.fence = Fence { token: TOKEN, position };
    entry.header.time = number * 10;
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

fn openings_of_sessions_count_and_take_no_log_index(mut open: Open<dyn LogStore>) {
    let log = open();
    append(&*log, vec![entry(EntryKind::Barrier, 1, 0), commands(1, 1, 1, 3), sessions(1, 2, 2)]);
    append(&*log, vec![sessions(1, 3, 3), outcomes(1, 4, 4, 2), sessions(1, 5, 7), commands(1, 6, 5, 1)]);
    append(&*log, vec![sessions(1, 7, 6)]);
    let mut wrong = sessions(1, 8, 7);
    wrong.header.first_index = 7;
    refused(&*log, vec![wrong], "an entry of openings that has a log index");
    let log = reopen(&mut open, log);
    let first: Vec<u64> = read(&*log).iter().map(|entry| entry.header.first_index).collect();
    assert_eq!(first, [0, 1, 0, 0, 4, 0, 6, 0]);
    let found = |log: &dyn LogStore| -> Vec<_> { (0..8).map(|index| log.find(index)).collect() };
    assert_eq!(found(&*log), [None, Some(1), Some(1), Some(1), Some(4), Some(4), Some(6), None]);
    let behind =
        |position, last_index, time| Some(Numbering { token: TOKEN, term: 1, position, last_index, time });
    assert_eq!(log.numbering_at(3), behind(3, 3, 30), "openings move position and log time, and no more");
    assert_eq!(log.numbering_at(5), behind(4, 5, 40), "openings out of their leader's order do nothing");
    assert_eq!(log.numbering_at(7), behind(6, 6, 70));

    log.truncate_after(Some(EntryId::new(1, 3))).expect("truncate behind openings");
    assert_eq!((log.state().last_index, log.find(4), log.numbering_at(4)), (3, None, None));
    let log = reopen(&mut open, log);
    assert_eq!(log.numbering_at(3), behind(3, 3, 30));
    append(&*log, vec![outcomes(1, 4, 4, 1), sessions(1, 5, 5)]);
    log.truncate_after(Some(EntryId::new(1, 4))).expect("truncate openings");
    append(&*log, vec![commands(1, 5, 5, 2)]);
    assert_eq!(found(&*log), [None, Some(1), Some(1), Some(1), Some(4), Some(5), Some(5), None]);

    log.purge(EntryId::new(1, 3)).expect("purge up to openings");
    let log = reopen(&mut open, log);
    assert_eq!((log.state().first_index, log.state().last_index), (4, 6));
    assert_eq!(log.numbering_at(3), behind(3, 3, 30), "the purge point");
    assert_eq!(found(&*log), [None, None, None, None, Some(4), Some(5), Some(5), None]);
    log.purge(EntryId::new(1, 5)).expect("purge all");
    append(&*log, vec![sessions(1, 6, 6), outcomes(1, 7, 7, 1)]);
    assert_eq!((log.numbering_at(6), log.find(7)), (behind(6, 6, 60), Some(7)));
    reopen(&mut open, log);
}

/// Every kind of entry, so many of them that an engine that has a short way to keep numberings takes it.
fn numbering_is_what_counting_gives_wherever_one_looks(mut open: Open<dyn LogStore>) {
    let log = open();
    let mut entries = vec![entry(EntryKind::Barrier, 1, 0)];
    let mut position = 0;
    for number in 1..400 {
        let next = position + 1;
        let one = match number % 9 {
            0 | 5 => commands(1, number, next, (number % 3) as u32 + 1),
            1 | 2 | 7 => sessions(1, number, next),
            3 | 6 => outcomes(1, number, next, (number % 4) as u32 + 1),
            4 => sessions(1, number, next + 1),
            _ => entry(EntryKind::Blank, 1, number),
        };
        // Those in their leader's order count.
        position = position.max(if one.header.fence.position == next { next } else { 0 });
        entries.push(one);
    }
    entries.chunks(7).for_each(|part| append(&*log, part.to_vec()));
    counts(&*log, 399);
    let log = reopen(&mut open, log);
    counts(&*log, 399);
    // Openings are the last that is left, then the first that is cut, then the purge point.
    log.truncate_after(Some(EntryId::new(1, 371))).expect("truncate");
    counts(&*log, 371);
    log.truncate_after(Some(EntryId::new(1, 369))).expect("truncate");
    let log = reopen(&mut open, log);
    counts(&*log, 369);
    let numbering = log.numbering_at(200);
    log.purge(EntryId::new(1, 200)).expect("purge");
    let log = reopen(&mut open, log);
    assert_eq!(log.numbering_at(200), numbering);
    counts(&*log, 369);
}

/// The log says of each entry that it holds, up to `last`, what counting gives, and finds each record.
fn counts(log: &dyn LogStore, last: u64) {
    let purged = log.state().purged.map(|id| log.numbering_at(id.number).expect("the purge point"));
    let mut numbering = purged.unwrap_or_default();
    let entries = read(log);
    assert_eq!(entries.last().map(|entry| entry.header.number), Some(last));
    for entry in entries {
        let (number, before) = (entry.header.number, numbering.last_index);
        numbering = count(numbering, &entry.header).0;
        assert_eq!(log.numbering_at(number), Some(numbering), "behind {entry}");
        for log_index in before + 1..=numbering.last_index {
            assert_eq!(log.find(log_index), Some(number), "log index {log_index}");
        }
    }
    assert_eq!((log.state().last_index, log.find(numbering.last_index + 1)), (numbering.last_index, None));
}
