//! How failures reach those who wait. What each kind of failure comes to is told by `tests/faults`.

use std::io::ErrorKind;

use lovebird_storage::MemoryDisk;
use lovebird_storage::disk::Fault;

use crate::support::*;

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
