//! A rescue, and what it refuses.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lovebird_core::codec::{Bincode, Codec};
use lovebird_core::entry::EntryKind;
use lovebird_core::error::StartError;
use lovebird_core::identity::{ClusterId, Identity, Membership};
use lovebird_core::log_store::Vote;
use lovebird_storage::rescue::{RescueError, Rescued, rescue, survey};
use lovebird_storage::{DataDirectory, Disk, MemoryDisk, RealDisk};

use super::support::*;

fn disk() -> (MemoryDisk, Arc<dyn Disk>, PathBuf) {
    let memory = MemoryDisk::new();
    (memory.clone(), Arc::new(memory), PathBuf::from("/data"))
}

/// That the directory of node 2 is what a rescue was to make of it.
fn is_rescued(disk: &Arc<dyn Disk>, path: &Path, rescued: &Rescued) {
    let found = identity(disk, path, 2).unwrap();
    assert_eq!(found, rescued.identity);
    let initial_members = initial_members();
    assert_eq!(
        found,
        Identity {
            cluster: found.cluster,
            cluster_name: NAME.to_owned(),
            initial_members,
            id: life(2),
            model: found.model,
            starts: 1
        }
    );
    let entry = last_entry(disk, path);
    assert_eq!((entry.id(), entry.header.kind), (rescued.entry, EntryKind::Membership));
    assert_eq!(Bincode::decode::<Membership>(&entry.body).unwrap(), alone(2));
    assert_eq!(
        entry,
        membership(rescued.entry.term, rescued.entry.number, &alone(2)),
        "as consensus writes it"
    );
    let vote = Vote { term: rescued.entry.term, node: life(2), committed: false };
    assert_eq!(log_state(disk, path).vote, Some(vote));
}

#[test]
fn survivor_goes_on_alone_as_another_cluster() {
    let temp = tempfile::tempdir().unwrap();
    let (disk, path): (Arc<dyn Disk>, _) = (Arc::new(RealDisk), temp.path().join("data"));
    leave(&disk, &path, 2, history(60), Some(id(1, 55)));
    let rescued = rescue(disk.clone(), &path, NEW).unwrap();
    assert_eq!(rescued.identity.cluster, NEW);
    assert_eq!((rescued.was, rescued.entry, rescued.last_index), (old(), id(2, 61), 59));
    assert_eq!(rescued.membership, alone(2));
    is_rescued(&disk, &path, &rescued);
    let entries = log(&disk, &path).read(0..61, usize::MAX).unwrap();
    assert_eq!(entries.len(), 61);
    let found = survey(&*disk, &path).unwrap();
    assert!(found.is_sound(), "{:?}", found.problems);
    assert_eq!((found.membership, found.membership_at), (alone(2), Some(id(2, 61))));
}

#[test]
fn term_is_later_than_any_vote_and_any_entry() {
    let (_, disk, path) = disk();
    leave(&disk, &path, 2, [history(10), vec![barrier(7, 11)]].concat(), None);
    assert_eq!(rescue(disk.clone(), &path, NEW).unwrap().entry, id(8, 12));
    let path = PathBuf::from("/voted");
    leave(&disk, &path, 2, history(10), None);
    let vote = Vote { term: 9, node: life(3), committed: false };
    log(&disk, &path).save_vote(vote, durable()).unwrap();
    let rescued = rescue(disk.clone(), &path, NEW).unwrap();
    assert_eq!(rescued.entry, id(10, 11));
    is_rescued(&disk, &path, &rescued);
}

#[test]
fn learner_is_rescued_too() {
    let (_, disk, path) = disk();
    leave(&disk, &path, 2, [history(10), vec![membership(1, 11, &members(&[1, 3], &[2]))]].concat(), None);
    let rescued = rescue(disk.clone(), &path, NEW).unwrap();
    is_rescued(&disk, &path, &rescued);
}

#[test]
fn node_that_was_just_removed_is_rescued_at_the_address_that_it_had() {
    let (_, disk, path) = disk();
    leave(&disk, &path, 2, [history(10), vec![membership(1, 11, &members(&[1, 3], &[]))]].concat(), None);
    let rescued = rescue(disk.clone(), &path, NEW).unwrap();
    is_rescued(&disk, &path, &rescued);
}

#[test]
fn snapshot_that_reaches_further_than_the_log_is_gone_on_from() {
    let (_, disk, path) = disk();
    let whole = PathBuf::from("/whole");
    leave(&disk, &whole, 1, history(60), None);
    let meta = meta_at(&*log(&disk, &whole), 50, &members(&[1, 2, 3], &[]));
    leave(&disk, &path, 2, history(40), None);
    take_snapshot(&disk, &path, &meta);
    let rescued = rescue(disk.clone(), &path, NEW).unwrap();
    assert_eq!((rescued.entry, rescued.last_index), (id(2, 51), 49));
    is_rescued(&disk, &path, &rescued);
    let log = log(&disk, &path);
    assert_eq!((log.state().purged, log.numbering_at(51)), (Some(id(1, 50)), Some(meta.numbering)));
}

#[test]
fn log_that_contradicts_the_snapshot_is_cut() {
    let (_, disk, path) = disk();
    let whole = PathBuf::from("/whole");
    leave(&disk, &whole, 1, [history(9), vec![barrier(2, 10)]].concat(), None);
    let meta = meta_at(&*log(&disk, &whole), 10, &members(&[1, 2, 3], &[]));
    leave(&disk, &path, 2, history(60), Some(id(1, 8)));
    take_snapshot(&disk, &path, &meta);
    let rescued = rescue(disk.clone(), &path, NEW).unwrap();
    assert_eq!((rescued.entry, rescued.last_index), (id(3, 11), 8));
    is_rescued(&disk, &path, &rescued);
}

#[test]
fn rescue_that_is_run_again_with_the_same_id_finds_that_all_is_done() {
    let (_, disk, path) = disk();
    leave(&disk, &path, 2, history(60), None);
    let first = rescue(disk.clone(), &path, NEW).unwrap();
    let again = rescue(disk.clone(), &path, NEW).unwrap();
    assert_eq!(again, Rescued { was: NEW, ..first.clone() });
    is_rescued(&disk, &path, &first);
}

#[test]
fn cluster_may_be_rescued_more_than_once() {
    let (_, disk, path) = disk();
    leave(&disk, &path, 2, history(60), None);
    rescue(disk.clone(), &path, NEW).unwrap();
    log(&disk, &path).append(vec![membership(3, 62, &members(&[2, 4], &[]))], durable()).unwrap();
    let error = rescue(disk.clone(), &path, NEW).unwrap_err().to_string();
    assert!(error.contains("choose a new one"), "{error}");
    let rescued = rescue(disk.clone(), &path, ClusterId(8)).unwrap();
    assert_eq!((rescued.was, rescued.entry), (NEW, id(4, 63)));
    is_rescued(&disk, &path, &rescued);
}

#[test]
fn id_that_is_not_new_is_refused() {
    let (_, disk, path) = disk();
    leave(&disk, &path, 2, history(60), None);
    assert!(matches!(rescue(disk.clone(), &path, old()), Err(RescueError::Config(_))));
    rescue(disk.clone(), &path, NEW).unwrap();
    // Those who were never rescued know the cluster by it.
    assert!(matches!(rescue(disk.clone(), &path, old()), Err(RescueError::Config(_))));
}

#[test]
fn running_node_is_not_rescued() {
    let temp = tempfile::tempdir().unwrap();
    let (disk, path): (Arc<dyn Disk>, _) = (Arc::new(RealDisk), temp.path().join("data"));
    leave(&disk, &path, 2, history(60), None);
    let running = DataDirectory::open(disk.clone(), &path, &expected(2), 1).unwrap();
    let refused = rescue(disk.clone(), &path, NEW).unwrap_err();
    assert!(matches!(&refused, RescueError::Directory(StartError::Locked { .. })), "{refused}");
    drop(running);
    assert_eq!(identity(&disk, &path, 2).unwrap().cluster, old());
    assert_eq!(log_state(&disk, &path).last, Some(id(1, 60)));
    rescue(disk, &path, NEW).unwrap();
}

/// Rescues what is not in order; it is refused, and as it was.
fn refused(disk: &Arc<dyn Disk>, path: &Path) -> String {
    let before = survey(&**disk, path).unwrap();
    let refused = rescue(disk.clone(), path, NEW).unwrap_err();
    assert!(matches!(refused, RescueError::Unfit { .. }), "{refused}");
    assert_eq!(survey(&**disk, path).unwrap(), before);
    refused.to_string()
}

#[test]
fn damaged_log_is_refused() {
    let (memory, disk, path) = disk();
    leave(&disk, &path, 2, history(60), None);
    memory.flip_bit(7, |path| path.ends_with("log/0000000000000001.segment")).unwrap();
    let error = refused(&disk, &path);
    assert!(error.contains("cannot be gone on from") && error.contains("is damaged at byte"), "{error}");
}

#[test]
fn damaged_snapshot_is_refused() {
    let (memory, disk, path) = disk();
    leave(&disk, &path, 2, history(60), None);
    take_snapshot(&disk, &path, &meta_at(&*log(&disk, &path), 40, &members(&[1, 2, 3], &[])));
    memory.flip_bit(1000, |path| path.to_string_lossy().ends_with(".snapshot")).unwrap();
    let error = refused(&disk, &path);
    assert!(error.contains("snapshot"), "{error}");
}

#[test]
fn empty_log_and_stranger_are_refused() {
    let (_, disk, path) = disk();
    leave(&disk, &path, 2, Vec::new(), None);
    let error = refused(&disk, &path);
    assert!(error.contains("the log is empty"), "{error}");
    let path = PathBuf::from("/stranger");
    leave(&disk, &path, 9, history(10), None);
    let error = refused(&disk, &path);
    assert!(error.contains("belongs to 9#99, which no membership in its log names"), "{error}");
}

#[test]
fn what_is_no_data_directory_is_not_even_locked() {
    let (_, disk, path) = disk();
    disk.create_dir(&path).unwrap();
    assert!(matches!(rescue(disk.clone(), &path, NEW), Err(RescueError::Unfit { .. })));
    assert_eq!(disk.list(&path).unwrap(), [""; 0]);
}

#[test]
fn full_disk_is_told_and_the_rescue_finished_when_there_is_space() {
    let (memory, disk, path) = disk();
    leave(&disk, &path, 2, history(60), None);
    memory.set_space(lovebird_storage::disk::Space::Full);
    let error = rescue(disk.clone(), &path, NEW).unwrap_err();
    assert!(matches!(error, RescueError::Disk(_)), "{error}");
    assert!(error.to_string().contains("run the same again"), "{error}");
    memory.set_space(lovebird_storage::disk::Space::Free);
    let rescued = rescue(disk.clone(), &path, NEW).unwrap();
    is_rescued(&disk, &path, &rescued);
}
