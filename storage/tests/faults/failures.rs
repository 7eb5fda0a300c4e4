//! What the disk refuses while a log writes: the log is poisoned for good, and a restart finds all that was acknowledged.

use std::io::ErrorKind;

use lovebird_core::identity::RaftId;
use lovebird_core::log_store::Vote;
use lovebird_storage::MemoryDisk;
use lovebird_storage::disk::{Call, Fault};

use crate::support::*;
use crate::verdict::{Row, Verdict, verdict};

pub fn rows() -> Vec<Row> {
    let rows = [
        ("a write fails", stopped_by(Fault::Write, ErrorKind::Other, 10)),
        ("a write is cut short", stopped_by(Fault::ShortWrite, ErrorKind::Other, 10)),
        ("no space for a write", stopped_by(Fault::Write, ErrorKind::StorageFull, 10)),
        ("a sync fails, and drops what it was to write", stopped_by(Fault::Sync, ErrorKind::Other, 10)),
        ("a new segment cannot be created", stopped_by(Fault::Create, ErrorKind::Other, 20_000)),
        ("no space for a new segment", stopped_by(Fault::SetLen, ErrorKind::StorageFull, 20_000)),
        ("a new segment cannot be renamed", stopped_by(Fault::Rename, ErrorKind::Other, 20_000)),
        ("the directory cannot be synced", stopped_by(Fault::SyncDir, ErrorKind::Other, 20_000)),
    ];
    let mut rows: Vec<Row> = rows.into_iter().map(|(fault, verdict)| Row { fault, verdict }).collect();
    rows.push(Row { fault: "a purged segment cannot be removed", verdict: stopped_by_removal() });
    rows
}

fn stopped(cause: &str) -> String {
    let cause = cause.replace(&format!("{DIR}/"), "");
    format!("**stops**: {cause}; a restart has everything that was acknowledged")
}

/// Makes `fault` happen at the next write, of an entry with so many bytes.
fn stopped_by(fault: Fault, error: ErrorKind, entry_bytes: usize) -> String {
    let disk = MemoryDisk::new();
    let log = open(&disk);
    let group = log.group(0);
    stretch(&*group, 3, 10);
    let acknowledged = group.read(0..99, usize::MAX).unwrap();

    disk.fail(fault, 1, error);
    let ends = Ends::default();
    // Queuing succeeds; the write is what fails.
    group.append(vec![commands(1, 4, 4, 1, entry_bytes)], ends.of(4)).unwrap();
    assert!(matches!(&ends.all()[..], [(4, Err(_))]), "{:?}", ends.all());
    let cause = group.failure().unwrap();

    disk.start_recording();
    let vote = Vote { term: 9, node: RaftId::new(1, 1), committed: false };
    assert!(group.append(vec![blank(1, 5)], ends.of(5)).is_err());
    assert!(group.save_vote(vote, ends.of(6)).is_err());
    assert!(log.group(3).save_vote(vote, ends.of(7)).is_err(), "of every group");
    assert!(group.save_committed(None).is_err());
    assert!(group.truncate_after(None).is_err());
    assert!(group.purge(id(1, 2)).is_err());
    assert_eq!(ends.all().iter().map(|(write, _)| *write).collect::<Vec<_>>(), [4, 5, 6, 7]);
    assert!(ends.all().iter().all(|(_, end)| end.is_err()));
    assert_eq!(group.read(0..4, usize::MAX).unwrap(), acknowledged, "memory may still be read");
    drop((group, log));
    assert_eq!(disk.take_calls(), Vec::<Call>::new(), "nothing reaches the disk any more, no sync above all");

    disk.crash();
    assert_eq!(open(&disk).group(0).state().vote, None);
    assert_eq!(verdict(&disk, &acknowledged, &options()), Verdict::Kept);
    stopped(&cause)
}

fn stopped_by_removal() -> String {
    let disk = MemoryDisk::new();
    let log = open(&disk);
    let group = log.group(0);
    stretch(&*group, 100, 500);
    disk.fail(Fault::Remove, 1, ErrorKind::Other);
    group.purge(id(1, 90)).unwrap();
    let cause = group.failure().unwrap();
    let kept = group.read(0..999, usize::MAX).unwrap();
    assert_eq!(kept.first().unwrap().header.number, 91);
    disk.crash();
    assert_eq!(open(&disk).group(0).read(0..999, usize::MAX).unwrap(), kept);
    stopped(&cause)
}
