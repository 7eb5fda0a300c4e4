//! The log's format with footers and marks never changes unnoticed: directories written by this version are opened, and refused
//! in the right words, by every later one.
//!
//! The directories under `fixtures/sealed` were written by this test with `LOVEBIRD_WRITE_FIXTURES=1`, which never touches one that is
//! there. Those under `fixtures/v1` are older and have neither footers nor marks (`tests/fixtures.rs`).
#![allow(clippy::unwrap_used)]

#[allow(unreachable_pub)]
#[path = "log/support.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lovebird_core::entry::Entry;
use lovebird_core::identity::RaftId;
use lovebird_core::log_store::Vote;
use lovebird_storage::log::{Check, Log, Options};
use lovebird_storage::{Disk, MemoryDisk, RealDisk};
use support::*;

/// What the directories are called, and what is said of those that are refused.
const DIRECTORIES: [(&str, Option<&str>); 6] = [
    ("good", None),
    ("torn", None),
    ("footer", None),
    ("frame", Some("group 0 from log index 12 on. Do not cut")),
    ("header", Some("0000000000000002.segment is damaged at byte 0, and its header was synced before")),
    ("missing", Some("0000000000000002.segment is missing from the log: group 0 from log index")),
];

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/sealed")
}

fn small() -> Options {
    Options { segment_bytes: 4 << 10, ..options() }
}

fn vote() -> Vote {
    Vote { term: 1, node: RaftId::new(1, 7), committed: true }
}

/// Writes the log that all of the directories hold, in three segments, and closes it.
fn write(disk: Arc<dyn Disk>, dir: &Path) -> Vec<Entry> {
    let log = Log::open(disk, dir, &small()).unwrap();
    let group = log.group(0);
    group.save_vote(vote(), ignore()).unwrap();
    stretch(&*group, 12, 300);
    group.read(0..99, usize::MAX).unwrap()
}

/// Names and bytes of a directory.
fn files(disk: &dyn Disk, dir: &Path) -> Vec<(String, Vec<u8>)> {
    let names = disk.list(dir).unwrap();
    names
        .into_iter()
        .map(|name| {
            let bytes = contents(&*disk.open(&dir.join(&name)).unwrap());
            (name, bytes)
        })
        .collect()
}

fn place(disk: &dyn Disk, dir: &Path, files: &[(String, Vec<u8>)]) {
    disk.create_dir(dir).unwrap();
    for (name, bytes) in files {
        disk.create(&dir.join(name)).unwrap().write_at(0, bytes).unwrap();
    }
}

/// How the directories came to be.
fn damaged(what: &str, files: &mut Vec<(String, Vec<u8>)>) {
    let last = files.len() - 1;
    let frames = |bytes: &[u8]| -> Vec<usize> {
        (0..bytes.len()).step_by(512).filter(|at| bytes[*at..].starts_with(b"LBFR")).collect()
    };
    let in_last = frames(&files[last].1);
    let mark = in_last[in_last.len() - 1];
    match what {
        "good" => {}
        "torn" => files[last].1[mark + 512..mark + 520].copy_from_slice(b"LBFRtorn"),
        "footer" => {
            let bytes = &mut files[0].1;
            let footer = bytes.len() - 512;
            bytes[footer + 100] ^= 1;
        }
        "frame" => files[last].1[in_last[in_last.len() - 2] + 100] ^= 1,
        "header" => files[1].1[20] ^= 1,
        "missing" => drop(files.remove(1)),
        _ => unreachable!("{what}"),
    }
}

#[test]
fn logs_with_footers_and_marks_are_understood_and_damaged_ones_are_refused() {
    let (memory, dir) = (Arc::new(MemoryDisk::new()), Path::new(DIR));
    let entries = write(memory.clone(), dir);
    if std::env::var_os("LOVEBIRD_WRITE_FIXTURES").is_some() && !RealDisk.exists(&fixtures()).unwrap() {
        let whole = files(&*memory, dir);
        for (what, _) in DIRECTORIES {
            let mut files = whole.clone();
            damaged(what, &mut files);
            place(&RealDisk, &fixtures().join(what), &files);
        }
    }
    let good = files(&RealDisk, &fixtures().join("good"));
    let (last, sealed) = good.split_last().unwrap();
    assert_eq!(sealed.len(), 2);
    assert!(sealed.iter().all(|(_, bytes)| bytes.ends_with(b"LBIRDEOS")) && !last.1.ends_with(b"LBIRDEOS"));
    for (what, words) in DIRECTORIES {
        for check in [Check::LastSegment, Check::Everything] {
            let disk = MemoryDisk::new();
            place(&disk, dir, &files(&RealDisk, &fixtures().join(what)));
            let opened = Log::open(Arc::new(disk), dir, &Options { check, ..small() });
            match (opened, words) {
                (Ok(log), None) => {
                    assert_eq!(log.group(0).read(0..99, usize::MAX).unwrap(), entries, "{what}");
                    assert_eq!(log.group(0).state().vote, Some(vote()), "{what}");
                }
                (Err(error), Some(words)) => assert!(error.to_string().contains(words), "{what}: {error}"),
                (opened, words) => panic!("{what}: {opened:?}, where {words:?} was due"),
            }
        }
    }
}
