use std::io::ErrorKind;

use lovebird_core::identity::RaftId;
use lovebird_core::log_store::Vote;
use lovebird_storage::MemoryDisk;
use lovebird_storage::disk::{Call, Fault};

use crate::support::*;

/// Makes `fault` happen at the next write and checks that the log is poisoned for good, and that a restart finds all that
/// was acknowledged.
fn poisoned_by(fault: Fault, error: ErrorKind, entry_bytes: usize) {
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
    assert!(group.failure().is_some());

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
    let group = open(&disk).group(0);
    assert_eq!(group.read(0..4, usize::MAX).unwrap(), acknowledged);
    assert_eq!(group.state().vote, None);
    group.append(vec![blank(1, group.state().last.unwrap().number + 1)], ignore()).unwrap();
}

#[test]
fn poisoned_by_a_failing_write() {
    poisoned_by(Fault::Write, ErrorKind::Other, 10);
}

#[test]
fn poisoned_by_no_space() {
    poisoned_by(Fault::Write, ErrorKind::StorageFull, 10);
}

#[test]
fn poisoned_by_a_failing_sync() {
    poisoned_by(Fault::Sync, ErrorKind::Other, 10);
}

#[test]
fn poisoned_by_a_segment_that_cannot_be_made() {
    poisoned_by(Fault::Create, ErrorKind::StorageFull, 20_000);
}

#[test]
fn poisoned_by_a_directory_that_cannot_be_synced() {
    poisoned_by(Fault::SyncDir, ErrorKind::Other, 20_000);
}

#[test]
fn poisoned_in_the_middle_of_a_queue_tells_everyone_in_order() {
    let disk = MemoryDisk::new();
    let log = open(&disk);
    let group = log.group(0);
    let ends = Ends::default();
    let (again, others, failing) = (group.clone(), ends.clone(), disk.clone());
    let done = Box::new(move |result: std::io::Result<()>| {
        result.unwrap();
        for number in 1..=10 {
            again.append(vec![blank(1, number)], others.of(number)).unwrap();
        }
        failing.fail(Fault::Sync, 1, ErrorKind::Other);
    });
    group.append(vec![blank(1, 0)], done).unwrap();
    let ends = ends.all();
    assert_eq!(ends.iter().map(|(write, _)| *write).collect::<Vec<_>>(), (1..=10).collect::<Vec<_>>());
    assert!(ends.iter().all(|(_, end)| end.is_err()), "{ends:?}");
}

#[test]
fn what_a_restart_finds_behind_a_failed_sync_is_made_durable_before_it_counts() {
    let disk = MemoryDisk::new();
    let log = open(&disk);
    let group = log.group(0);
    stretch(&*group, 3, 10);
    disk.fail(Fault::Sync, 1, ErrorKind::Other);
    group.append(vec![commands(1, 4, 4, 1, 10)], Box::new(|end| assert!(end.is_err()))).unwrap();
    drop((group, log));
    // The process starts again, the machine does not: the frame stands in the system's cache, marked as clean.
    let group = open(&disk).group(0);
    assert_eq!(group.state().last, Some(id(1, 4)));
    disk.crash();
    assert_eq!(open(&disk).group(0).state().last, Some(id(1, 4)), "it was there, and is lost");
}

#[test]
fn poisoned_when_a_purged_segment_cannot_be_removed() {
    let disk = MemoryDisk::new();
    let log = open(&disk);
    let group = log.group(0);
    stretch(&*group, 100, 500);
    disk.fail(Fault::Remove, 1, ErrorKind::Other);
    group.purge(id(1, 90)).unwrap();
    assert!(group.failure().unwrap().contains("Remove"), "{:?}", group.failure());
    let kept = group.read(0..999, usize::MAX).unwrap();
    disk.crash();
    assert_eq!(open(&disk).group(0).read(0..999, usize::MAX).unwrap(), kept);
}
