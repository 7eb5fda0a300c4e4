//! A directory that is made of a snapshot file, and what is refused.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lovebird_core::identity::{ClusterId, Identity, Membership, RaftId};
use lovebird_core::log_store::Vote;
use lovebird_core::service::Model;
use lovebird_core::snapshot_store::SnapshotMeta;
use lovebird_storage::disk::Fault;
use lovebird_storage::log::Missing;
use lovebird_storage::rescue::{Import, Imported, RescueError, import, survey};
use lovebird_storage::{
    DataDirectory, Disk, Expected, MemoryDisk, Origin, ReadOnlyDisk, RealDisk, SnapshotDirectory,
    SnapshotOptions,
};

use super::support::*;

pub fn wanted() -> Import {
    Import {
        cluster: NEW,
        cluster_name: "hawks".to_owned(),
        node: 9,
        incarnation: 0x99,
        address: address(9),
        model: Model::StateMachine,
    }
}

/// Leaves on a disk the snapshot that node 2 has taken at entry 40 and has exported, and says where that lies.
pub fn exported(disk: &Arc<dyn Disk>) -> (PathBuf, SnapshotMeta) {
    leave(disk, Path::new("/old"), 2, history(60), None);
    export(disk, 40)
}

/// Takes and exports a snapshot at another entry.
fn export(disk: &Arc<dyn Disk>, number: u64) -> (PathBuf, SnapshotMeta) {
    let path = Path::new("/old");
    let meta = meta_at(&*log(disk, path), number, &members(&[1, 2, 3], &[4]));
    let meta = SnapshotMeta { sessions_bytes: 4, ..meta };
    let bytes = take_snapshot(disk, path, &meta).read_raw(0, usize::MAX).unwrap();
    let file = PathBuf::from(format!("/exported-{number}"));
    disk.create(&file).unwrap().write_at(0, &bytes).unwrap();
    (file, meta)
}

/// That the directory is what an import was to make of it.
pub fn is_imported(disk: &Arc<dyn Disk>, path: &Path, old: &SnapshotMeta, import: &Import) {
    let origin = Origin::Initial(BTreeSet::from([9]));
    let expected = Expected { cluster_name: "hawks".to_owned(), node: 9, origin, model: Model::StateMachine };
    let directory = DataDirectory::open(disk.clone(), path, &expected, 1).unwrap();
    assert_eq!(directory.missing_log(), Missing::Refuse, "a log that is gone would be missed");
    let identity = Identity {
        cluster: import.cluster,
        cluster_name: "hawks".to_owned(),
        initial_members: BTreeSet::from([9]),
        id: RaftId::new(9, import.incarnation),
        model: Model::StateMachine,
        starts: 1,
    };
    assert_eq!(*directory.identity(), identity);
    let store = SnapshotDirectory::open(disk.clone(), &path.join("snapshots"), 0, SnapshotOptions::default());
    let snapshot = store.unwrap().latest().unwrap().unwrap();
    let membership = Membership {
        voters: vec![BTreeSet::from([identity.id])],
        members: [(identity.id, address(9))].into(),
    };
    let (cluster, membership_at) = (import.cluster, Some(old.last));
    let meta =
        SnapshotMeta { cluster, group: 0, membership_at, membership: membership.clone(), ..old.clone() };
    assert_eq!(*snapshot.meta(), meta);
    let mut content = Vec::new();
    snapshot.open().unwrap().read_to_end(&mut content).unwrap();
    assert_eq!(content, CONTENT);
    let log = log(disk, path);
    let state = log.state();
    let end = Some(old.last_entry());
    assert_eq!((state.purged, state.last), (end, end));
    assert_eq!(state.last_index, old.numbering.last_index);
    assert_eq!(log.numbering_at(old.last.1), Some(old.numbering));
    let vote = Vote { term: old.last.0 + 1, node: identity.id, committed: false };
    assert_eq!(state.vote, Some(vote), "no election is ever held in a term before the snapshot's");
    drop(log);
    let found = survey(&**disk, path).unwrap();
    assert!(found.is_sound(), "{:?}", found.problems);
    assert_eq!((found.last, found.membership), (end, membership));
}

#[test]
fn snapshot_begins_a_cluster() {
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
    let (file, meta) = exported(&disk);
    let imported = import(&*disk, &file, disk.clone(), Path::new("/new"), &wanted()).unwrap();
    let Imported { identity, last_index, time, entry, was } = imported;
    assert_eq!((identity.cluster, last_index, time, entry), (NEW, 39, TIME + 40, id(1, 40)));
    assert_eq!(was, (old(), members(&[1, 2, 3], &[4])));
    is_imported(&disk, Path::new("/new"), &meta, &wanted());
}

#[test]
fn file_that_may_only_be_read_is_imported() {
    let temp = tempfile::tempdir().unwrap();
    let memory: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
    let (exported, meta) = exported(&memory);
    let bytes = contents(&memory, &exported);
    let file = temp.path().join("exported");
    std::fs::write(&file, bytes).unwrap();
    let mut permissions = std::fs::metadata(&file).unwrap().permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(&file, permissions).unwrap();
    let (real, path): (Arc<dyn Disk>, _) = (Arc::new(RealDisk), temp.path().join("deep/data"));
    import(&ReadOnlyDisk, &file, real.clone(), &path, &wanted()).unwrap();
    is_imported(&real, &path, &meta, &wanted());
}

fn contents(disk: &Arc<dyn Disk>, path: &Path) -> Vec<u8> {
    let file = disk.open(path).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_at(0, &mut bytes).unwrap();
    bytes
}

#[test]
fn file_that_does_not_verify_is_refused_and_nothing_made() {
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
    let (file, _) = exported(&disk);
    let whole = contents(&disk, &file);
    let mut cases: Vec<(Vec<u8>, &str)> = vec![
        (b"a poem".to_vec(), "it is no snapshot file"),
        (whole[..whole.len() - 1].to_vec(), "it has no footer, so it was never finished"),
        (Vec::new(), "it has no footer"),
    ];
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        cases.push((damaged, ""));
    }
    let broken = Path::new("/broken");
    for (bytes, words) in cases {
        disk.create(broken).unwrap().write_at(0, &bytes).unwrap();
        let error = import(&*disk, broken, disk.clone(), Path::new("/new"), &wanted()).unwrap_err();
        let RescueError::Snapshot(inner) = &error else { panic!("{error}") };
        // A version that is not known is told from damage.
        assert!(matches!(inner.kind(), ErrorKind::InvalidData | ErrorKind::Unsupported), "{error}");
        let text = error.to_string();
        assert!(text.contains(words) && text.contains("nothing can be begun with it"), "{text}");
        assert!(!disk.exists(Path::new("/new")).unwrap());
        disk.remove(broken).unwrap();
    }
}

#[test]
fn place_that_is_taken_is_refused_and_left_alone() {
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
    let (file, _) = exported(&disk);
    let path = Path::new("/new");
    disk.create_dir(path).unwrap();
    disk.create(&path.join("thesis.tex")).unwrap();
    let refused = |path: &Path| import(&*disk, &file, disk.clone(), path, &wanted()).unwrap_err().to_string();
    assert!(refused(path).contains("is not empty and is no data directory"), "{}", refused(path));
    assert_eq!(disk.list(path).unwrap(), ["thesis.tex"]);
    let before = survey(&*disk, Path::new("/old")).unwrap();
    let text = refused(Path::new("/old"));
    assert!(text.contains("belongs to node 2 of the cluster \"doves\": choose an empty one"), "{text}");
    assert_eq!(survey(&*disk, Path::new("/old")).unwrap(), before);
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_made() {
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
    let (file, _) = exported(&disk);
    for (import_, words) in [
        (Import { cluster: old(), ..wanted() }, "must not have the old one's id"),
        (Import { node: 0, ..wanted() }, "at least 1"),
        (Import { address: String::new(), ..wanted() }, "no address"),
        (Import { cluster_name: "two\nlines".to_owned(), ..wanted() }, "control characters"),
    ] {
        let error = import(&*disk, &file, disk.clone(), Path::new("/new"), &import_).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
        assert!(!disk.exists(Path::new("/new")).unwrap());
    }
}

/// Where an import fails: at the first call within the log.
fn fail(memory: &MemoryDisk, path: &Path) {
    memory.fail_within(&path.join("log"), Fault::Any, 1, ErrorKind::Other);
}

#[test]
fn unfinished_import_is_nothing_to_go_on_from() {
    let memory = MemoryDisk::new();
    let disk: Arc<dyn Disk> = Arc::new(memory.clone());
    let (file, meta) = exported(&disk);
    let path = Path::new("/new");
    fail(&memory, path);
    let error = import(&*disk, &file, disk.clone(), path, &wanted()).unwrap_err();
    assert!(matches!(error, RescueError::Disk(_)), "{error}");
    let error = survey(&*disk, path).unwrap_err().to_string();
    assert!(error.contains("run the import again, or delete the directory"), "{error}");
    DataDirectory::remove(&*disk, path).unwrap();
    import(&*disk, &file, disk.clone(), path, &wanted()).unwrap();
    is_imported(&disk, path, &meta, &wanted());
}

#[test]
fn nothing_of_an_import_that_was_not_finished_is_left_in_the_next() {
    let memory = MemoryDisk::new();
    let disk: Arc<dyn Disk> = Arc::new(memory.clone());
    let (later, _) = exported(&disk);
    // Another one is wanted after all, and it is earlier.
    let (earlier, meta) = export(&disk, 20);
    let path = Path::new("/new");
    // The second identity, the one with which it would be finished.
    memory.fail_within(&path.join("identity.new"), Fault::Rename, 2, ErrorKind::Other);
    import(&*disk, &later, disk.clone(), path, &wanted()).unwrap_err();
    assert_ne!(disk.list(&path.join("snapshots/group-0")).unwrap(), [""; 0]);
    assert_ne!(disk.list(&path.join("log")).unwrap(), [""; 0]);
    let again = Import { cluster: ClusterId(5), incarnation: 0x98, ..wanted() };
    import(&*disk, &earlier, disk.clone(), path, &again).unwrap();
    is_imported(&disk, path, &meta, &again);
}
