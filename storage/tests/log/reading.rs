use std::path::Path;
use std::sync::Arc;

use lovebird_storage::MemoryDisk;
use lovebird_storage::log::{Log, Options};

use crate::support::*;

/// A cache so small that it holds the last few entries only.
fn open_small(disk: &MemoryDisk) -> Log {
    let options = Options { cache_bytes: 1000, ..options() };
    Log::open(Arc::new(disk.clone()), Path::new(DIR), &options).unwrap()
}

#[test]
fn old_entries_come_from_the_disk_and_new_ones_from_memory() {
    let disk = MemoryDisk::new();
    let log = open_small(&disk);
    let group = log.group(0);
    stretch(&*group, 100, 200);
    let reopened = open_small(&disk).group(0);
    assert_eq!(reopened.read_cached(99..101, usize::MAX), None, "nothing is in memory after an opening");
    for group in [&group, &reopened] {
        let all = group.read(0..1000, usize::MAX).unwrap();
        assert_eq!(all.len(), 101);
        assert_eq!(all[50], {
            let mut entry = commands(1, 50, 50, 1, 200);
            entry.header.first_index = 50;
            entry
        });
        assert_eq!(group.read_cached(0..10, usize::MAX), None);
        assert_eq!(group.read_cached(200..300, usize::MAX), Some(vec![]));
        assert_eq!(ids(&group.read(40..1000, 700).unwrap()), [(1, 40), (1, 41), (1, 42)]);
        assert_eq!(ids(&group.read(40..1000, 0).unwrap()), [(1, 40)], "at least one");
        assert_eq!(group.read(101..1000, 0).unwrap(), []);
    }
    assert_eq!(group.read_cached(99..101, usize::MAX).unwrap(), group.read(99..101, usize::MAX).unwrap());
}

#[test]
fn records_are_found_by_log_index() {
    let disk = MemoryDisk::new();
    let log = open(&disk);
    let group = log.group(0);
    group
        .append(
            vec![
                blank(1, 10),
                barrier(1, 11),
                commands(1, 12, 1, 3, 1),
                blank(1, 13),
                commands(1, 14, 5, 9, 1),
                commands(1, 15, 2, 2, 1),
            ],
            ignore(),
        )
        .unwrap();
    let found: Vec<_> = (0..7).map(|index| group.find(index)).collect();
    assert_eq!(found, [None, Some(12), Some(12), Some(12), Some(15), Some(15), None]);
    assert_eq!(group.numbering_at(14).unwrap().last_index, 3);
    assert_eq!(group.numbering_at(16), None);
    group.purge(id(1, 12)).unwrap();
    assert_eq!((group.find(3), group.find(4)), (None, Some(15)));
    assert_eq!(group.numbering_at(12).unwrap().last_index, 3, "the purge point carries its numbering");
    assert_eq!((group.state().first_index, group.state().last_index), (4, 5));
}

#[test]
fn entry_damaged_on_disk_is_not_returned() {
    let disk = MemoryDisk::new();
    let log = open_small(&disk);
    let group = log.group(0);
    stretch(&*group, 100, 200);
    let file = file(&disk, &segments(&disk)[0]);
    // Within the body of an early entry.
    let at = contents(&*file).windows(100).position(|bytes| bytes == [5; 100]).unwrap();
    flip(&*file, at as u64 + 50);
    let error = group.read(0..1000, usize::MAX).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
    assert!(error.to_string().contains("entry 1:5"), "{error}");
}

#[test]
fn reader_is_not_disturbed_by_purge() {
    let disk = MemoryDisk::new();
    let log = open_small(&disk);
    let group = log.group(0);
    stretch(&*group, 100, 200);
    let reading = std::thread::spawn({
        let group = group.clone();
        move || {
            // Whatever is purged meanwhile, what is returned is right and without gaps.
            while group.state().purged.is_none_or(|purged| purged.number < 95) {
                let numbers: Vec<u64> = group
                    .read(0..1000, usize::MAX)
                    .unwrap()
                    .iter()
                    .map(|entry| entry.header.number)
                    .collect();
                assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{numbers:?}");
            }
        }
    });
    for number in 1..=95 {
        group.purge(id(1, number)).unwrap();
    }
    reading.join().unwrap();
}

#[test]
fn reader_does_not_join_what_was_cut_off_with_what_came_instead() {
    let disk = MemoryDisk::new();
    let options = Options { cache_bytes: 1000, ..options() };
    let group = Log::open(Arc::new(disk.clone()), Path::new(DIR), &options).unwrap().group(0);
    stretch(&*group, 50, 100);
    let meanwhile = group.clone();
    disk.while_reading(move || {
        meanwhile.truncate_after(Some(id(1, 10))).unwrap();
        meanwhile.append((11..60).map(|number| blank(2, number)).collect(), ignore()).unwrap();
    });
    // The first part comes from the disk, and while it is read the rest becomes another.
    let found = ids(&group.read(0..999, usize::MAX).unwrap());
    assert_eq!(group.state().last, Some(id(2, 59)), "it was cut meanwhile");
    let expected: Vec<_> =
        (0..11).map(|number| (1, number)).chain((11..60).map(|number| (2, number))).collect();
    assert_eq!(found, expected);
}
