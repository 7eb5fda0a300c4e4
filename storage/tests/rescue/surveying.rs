//! What a survey says of a directory, and that it leaves it alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lovebird_core::identity::Membership;
use lovebird_core::log_store::Vote;
use lovebird_storage::log::inspect::Verdict;
use lovebird_storage::rescue::{RescueError, SnapshotPoint, Survey, survey};
use lovebird_storage::{DataDirectory, Disk, MemoryDisk, ReadOnlyDisk, RealDisk};

use super::support::*;

fn disk() -> (MemoryDisk, Arc<dyn Disk>, PathBuf) {
    let memory = MemoryDisk::new();
    (memory.clone(), Arc::new(memory), PathBuf::from("/data"))
}

fn look(disk: &Arc<dyn Disk>, path: &Path) -> Survey {
    survey(&**disk, path).unwrap()
}

#[test]
fn directory_of_a_survivor_is_told_as_it_is() {
    let (_, disk, path) = disk();
    leave(&disk, &path, 2, history(60), Some(id(1, 55)));
    let found = look(&disk, &path);
    assert!(found.is_sound(), "{:?}", found.problems);
    assert_eq!((found.verdict.clone(), found.unfinished), (Verdict::Good, None));
    assert_eq!(found.identity, identity(&disk, &path, 2).unwrap());
    assert_eq!(found.vote, Some(Vote { term: 1, node: life(1), committed: true }));
    assert_eq!((found.last, found.last_index), (Some(id(1, 60)), 59));
    assert_eq!((found.committed, found.committed_index), (Some(id(1, 55)), 54));
    assert_eq!(found.snapshot, None);
    assert_eq!((found.membership, found.membership_at), (members(&[1, 2, 3], &[]), Some(id(1, 0))));
    assert_eq!(found.address, Some(address(2)));
}

#[test]
fn newest_membership_counts_whether_it_was_committed_or_not() {
    let (_, disk, path) = disk();
    let joint = Membership {
        voters: vec![[1, 2, 3].map(life).into(), [2, 4, 5].map(life).into()],
        ..members(&[1, 2, 3, 4, 5], &[])
    };
    let mut entries = history(10);
    entries.push(membership(1, 11, &joint));
    leave(&disk, &path, 2, entries, Some(id(1, 3)));
    let found = look(&disk, &path);
    assert_eq!((found.membership, found.membership_at), (joint, Some(id(1, 11))));

    // It is cut off by the next leader, who never heard of it.
    let log = log(&disk, &path);
    log.truncate_after(Some(id(1, 10))).unwrap();
    log.append(vec![barrier(2, 11)], durable()).unwrap();
    drop(log);
    let found = look(&disk, &path);
    assert_eq!((found.last, found.last_index), (Some(id(2, 11)), 9));
    assert_eq!((found.membership, found.membership_at), (members(&[1, 2, 3], &[]), Some(id(1, 0))));
}

#[test]
fn membership_that_is_purged_is_found_in_the_snapshot() {
    let (_, disk, path) = disk();
    leave(&disk, &path, 3, history(60), Some(id(1, 30)));
    let voters = members(&[1, 2, 3], &[4]);
    let log = log(&disk, &path);
    let meta = meta_at(&*log, 40, &voters);
    take_snapshot(&disk, &path, &meta);
    log.purge(id(1, 35)).unwrap();
    drop(log);
    let found = look(&disk, &path);
    let snapshot = SnapshotPoint { last: id(1, 40), last_index: 39, time: TIME + 40 };
    assert_eq!(found.snapshot, Some(snapshot));
    assert_eq!((found.membership, found.membership_at), (voters, Some(id(1, 0))));
    assert_eq!((found.last, found.last_index), (Some(id(1, 60)), 59));
    // What is in a snapshot was committed, though the log knows of less.
    assert_eq!((found.committed, found.committed_index), (Some(id(1, 40)), 39));
}

#[test]
fn snapshot_that_reaches_further_than_the_log_is_where_it_ends() {
    let (_, disk, path) = disk();
    let whole = PathBuf::from("/whole");
    let mut entries = history(40);
    entries.push(membership(1, 41, &members(&[3], &[])));
    leave(&disk, &whole, 1, history(60), None);
    let meta = meta_at(&*log(&disk, &whole), 50, &members(&[1, 2, 3], &[]));
    leave(&disk, &path, 2, entries, Some(id(1, 41)));
    take_snapshot(&disk, &path, &meta);
    let found = look(&disk, &path);
    assert!(found.is_sound(), "{:?}", found.problems);
    assert_eq!((found.last, found.last_index), (Some(id(1, 50)), 49));
    assert_eq!((found.committed, found.committed_index), (Some(id(1, 50)), 49));
    assert_eq!(found.membership, members(&[1, 2, 3], &[]), "that of the log was never committed");
}

#[test]
fn log_that_contradicts_the_snapshot_is_not_believed() {
    let (_, disk, path) = disk();
    let whole = PathBuf::from("/whole");
    leave(&disk, &whole, 1, [history(9), vec![barrier(2, 10)]].concat(), None);
    let meta = meta_at(&*log(&disk, &whole), 10, &members(&[1, 2, 3], &[]));
    leave(&disk, &path, 2, history(60), Some(id(1, 8)));
    take_snapshot(&disk, &path, &meta);
    let found = look(&disk, &path);
    assert_eq!((found.last, found.last_index), (Some(id(2, 10)), 8));
    assert_eq!((found.committed, found.committed_index), (Some(id(2, 10)), 8));
}

#[test]
fn commit_point_that_the_log_does_not_hold_says_nothing() {
    for committed in [id(1, 61), id(2, 30)] {
        let (_, disk, path) = disk();
        leave(&disk, &path, 2, history(60), Some(committed));
        let found = look(&disk, &path);
        assert_eq!((found.committed, found.committed_index), (None, 0), "{committed}");
    }
}

#[test]
fn what_is_damaged_is_no_survivor_to_go_on_from() {
    let (memory, disk, path) = disk();
    leave(&disk, &path, 2, history(60), Some(id(1, 55)));
    memory.flip_bit(7, |path| path.ends_with("log/0000000000000001.segment")).unwrap();
    let found = look(&disk, &path);
    assert!(matches!(found.verdict, Verdict::Refused(_)));
    assert_eq!(found.problems, [found.verdict.to_string()]);
    assert_eq!((found.last, found.vote), (None, None));
}

#[test]
fn directory_that_has_lost_its_log_or_its_snapshots_is_no_survivor_either() {
    let (_, disk, path) = disk();
    leave(&disk, &path, 2, history(60), Some(id(1, 55)));
    let opened = log(&disk, &path);
    take_snapshot(&disk, &path, &meta_at(&*opened, 40, &members(&[1, 2, 3], &[])));
    opened.purge(id(1, 40)).unwrap();
    drop(opened);
    assert!(look(&disk, &path).is_sound());
    disk.remove_dir(&path.join("snapshots")).unwrap();
    let problems = look(&disk, &path).problems;
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].contains("purged up to entry 1:40 and there is no snapshot"), "{problems:?}");
    disk.remove_dir(&path.join("log")).unwrap();
    let problems = look(&disk, &path).problems;
    assert!(problems[0].contains("there is no log in /data/log, though there was one"), "{problems:?}");
}

#[test]
fn damaged_snapshot_is_told() {
    let (memory, disk, path) = disk();
    leave(&disk, &path, 2, history(60), Some(id(1, 55)));
    take_snapshot(&disk, &path, &meta_at(&*log(&disk, &path), 40, &members(&[1, 2, 3], &[])));
    let snapshot = |path: &Path| path.extension().is_some_and(|extension| extension == "snapshot");
    memory.flip_bit(1000, snapshot).unwrap();
    let problems = look(&disk, &path).problems;
    assert!(problems[0].contains("replace this replica"), "{problems:?}");
}

#[test]
fn node_that_was_never_in_a_cluster_has_nothing() {
    let (_, disk, path) = disk();
    leave(&disk, &path, 2, Vec::new(), None);
    let found = look(&disk, &path);
    assert_eq!(found.problems, ["the log is empty: its node was never in a cluster that was formed"]);
    assert_eq!((found.last, found.membership, found.address), (None, Membership::default(), None));
}

#[test]
fn other_groups_are_not_passed_over() {
    let (_, disk, path) = disk();
    leave(&disk, &path, 2, history(60), None);
    let vote = Vote { term: 1, node: life(1), committed: true };
    let log = lovebird_storage::Log::open(
        disk.clone(),
        &path.join("log"),
        &options(lovebird_storage::log::Missing::Refuse),
    );
    log.unwrap().group(4).save_vote(vote, durable()).unwrap();
    let problems = look(&disk, &path).problems;
    assert!(problems[0].contains("holds group 4 too"), "{problems:?}");
}

#[test]
fn what_is_no_data_directory_is_refused() {
    let (_, disk, path) = disk();
    let refused = survey(&*disk, &path).unwrap_err();
    assert!(matches!(refused, RescueError::Unfit { .. }), "{refused}");
    assert!(refused.to_string().contains("name the directory of a survivor"), "{refused}");
}

fn picture(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(picture(&path));
        } else {
            found.insert(path.clone(), std::fs::read(&path).unwrap());
        }
    }
    found
}

#[test]
fn survey_changes_nothing_and_needs_no_lock() {
    let temp = tempfile::tempdir().unwrap();
    let (path, real): (_, Arc<dyn Disk>) = (temp.path().join("data"), Arc::new(RealDisk));
    leave(&real, &path, 2, history(60), Some(id(1, 55)));
    take_snapshot(&real, &path, &meta_at(&*log(&real, &path), 40, &members(&[1, 2, 3], &[])));
    let running = DataDirectory::open(real, &path, &expected(2), 1).unwrap();
    let before = picture(&path);
    let found = survey(&ReadOnlyDisk, &path).unwrap();
    assert!(found.is_sound(), "{:?}", found.problems);
    assert_eq!(picture(&path), before);
    drop(running);
}
