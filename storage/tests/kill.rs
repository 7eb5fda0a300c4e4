//! A writing process is killed at any moment: everything that it said was durable is found again.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use lovebird_core::entry::{Entry, EntryId, EntryKind};
use lovebird_core::identity::RaftId;
use lovebird_core::log_store::{LogStore, Vote};
use lovebird_core::record::{Number, push_record};
use lovebird_storage::{Log, LogOptions, RealDisk};

/// Names the log's directory to the process that is to be killed.
const DIRECTORY: &str = "LOVEBIRD_TEST_KILL_DIRECTORY";
const ROUNDS: usize = 8;

fn open(dir: &Path) -> Log {
    let options = LogOptions { segment_bytes: 256 << 10, cache_bytes: 10_000, ..LogOptions::default() };
    Log::open(Arc::new(RealDisk), dir, &options).unwrap()
}

fn entry(number: u64) -> Entry {
    let mut run = BytesMut::new();
    push_record(&mut run, Number::NONE, &vec![number as u8; (number % 700) as usize]);
    let mut entry = Entry::new(EntryKind::Barrier, Bytes::new());
    if number > 0 {
        entry = Entry::new(EntryKind::Commands, run.freeze());
        entry.header.record_count = 1;
        entry.header.fence.position = number;
    }
    (entry.header.term, entry.header.number) = (1, number);
    entry.header.fence.token.counter = 1;
    entry
}

/// Writes until it is killed, and says on its standard output what is durable.
fn write_until_killed(dir: &Path) {
    let log = open(dir).group(0);
    let next = log.state().last.map_or(0, |last| last.number + 1);
    let acknowledge = |what: String| {
        Box::new(move |result: std::io::Result<()>| {
            result.unwrap();
            // One write for a line, so that none is torn; the test's end may be gone already.
            let _ = std::io::stdout().lock().write_all(format!("\ndurable {what}\n").as_bytes());
        })
    };
    for number in next.. {
        log.append(vec![entry(number)], acknowledge(format!("entry {number}"))).unwrap();
        if number % 50 == 0 {
            let vote = Vote { term: number, node: RaftId::new(1, 2), committed: true };
            log.save_vote(vote, acknowledge(format!("vote {number}"))).unwrap();
        }
        if number % 300 == 0 && number > 0 {
            log.purge(EntryId::new(1, number - 200)).unwrap();
        }
    }
}

#[test]
fn killed_writer_has_kept_all_it_acknowledged() {
    if let Some(dir) = std::env::var_os(DIRECTORY) {
        return write_until_killed(Path::new(&dir));
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    for round in 0..ROUNDS {
        let (entries, vote) = run_and_kill(&path, 400 + 137 * round);
        let log = open(&path).group(0);
        let state = log.state();
        let last = state.last.unwrap().number;
        assert!(last >= entries, "entry {entries} was acknowledged, the log ends with {last}");
        assert!(state.vote.unwrap().term >= vote, "a vote in {vote} was acknowledged, not {:?}", state.vote);
        check(&*log, last);
    }
}

/// Lets a process write until it has acknowledged so many things, and kills it. Gives the last entry and vote acknowledged.
fn run_and_kill(dir: &Path, acknowledged: usize) -> (u64, u64) {
    let mut writer = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "killed_writer_has_kept_all_it_acknowledged", "--nocapture"])
        .env(DIRECTORY, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(writer.stdout.take().unwrap()).lines();
    let (mut entries, mut votes, mut seen) = (0, 0, 0);
    for line in lines {
        let line = line.unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["durable", "entry", number] => entries = number.parse().unwrap_or(entries),
            ["durable", "vote", number] => votes = number.parse().unwrap_or(votes),
            _ => continue,
        }
        seen += 1;
        if seen == acknowledged {
            // SIGKILL. What it still said is read to the end.
            writer.kill().unwrap();
        }
    }
    writer.wait().unwrap();
    assert!(seen >= acknowledged, "the writer ended by itself after {seen} acknowledgements");
    (entries, votes)
}

/// What is there is what was written, without a gap.
fn check(log: &dyn LogStore, last: u64) {
    let first = log.state().purged.map_or(0, |purged| purged.number + 1);
    let entries = log.read(0..u64::MAX, usize::MAX).unwrap();
    assert_eq!(entries.len() as u64, last + 1 - first);
    for (found, number) in entries.iter().zip(first..) {
        let mut expected = entry(number);
        expected.header.first_index = number;
        assert_eq!(*found, expected);
    }
}
