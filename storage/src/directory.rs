//! A node's data directory: whose it is, and that only one process uses it.
//!
//! | name | what |
//! |---|---|
//! | `lock` | held while a node uses the directory |
//! | `identity` | whose it is, as text; its lines are told in `identity.rs` |
//! | `log/` | the log ([`crate::log`]) |
//! | `snapshots/` | the snapshots ([`crate::snapshot`]) |
//!
//! The identity is written before anything else, with `starts 0`; only when the log exists too is the first start counted. So
//! a crash in between does no harm, and a directory that has been started and has no log has lost it, which is refused.
//!
//! While a directory is being rescued or made of a snapshot ([`crate::rescue`]) its identity says so, and it is refused too.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lovebird_core::error::StartError;
use lovebird_core::identity::{ClusterId, Identity, NodeId, RaftId};
use lovebird_core::service::Model;

use crate::disk::{Disk, DiskLock};
use crate::identity::{self, IDENTITY, IDENTITY_NEW, Stated, foreign};
use crate::log::Missing;

/// What becomes of the identity while a directory is being deleted.
const IDENTITY_REMOVED: &str = "identity.removed";
const LOCK: &str = "lock";
/// Where in a data directory the log is.
pub(crate) const LOG: &str = "log";
/// Where in a data directory the snapshots are.
pub(crate) const SNAPSHOTS: &str = "snapshots";

/// Everything that may stand in a data directory.
const OURS: [&str; 6] = [IDENTITY, IDENTITY_NEW, IDENTITY_REMOVED, LOCK, LOG, SNAPSHOTS];

/// Whose directory it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The cluster's name: no control characters.
    pub cluster_name: String,
    /// The node.
    pub node: NodeId,
    /// How it is known which cluster of that name it is.
    pub origin: Origin,
    /// In which model the service runs.
    pub model: Model,
}

/// How it is known which cluster a directory belongs to, beside the cluster's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// By the members that the cluster begins with, at least one, as its operator says. A new directory gets the id that follows
    /// from them; one that is there must have been made for the same, and whatever id it has is believed.
    Initial(BTreeSet<NodeId>),
    /// As a member of the cluster has told. One that is there must have the same id.
    Told {
        /// The cluster's id.
        cluster: ClusterId,
        /// The members that it began with, at least one.
        initial_members: BTreeSet<NodeId>,
    },
    /// By the directory, which must be there and says it itself.
    Found,
}

impl Origin {
    /// What a new directory is to say; none if there must be one.
    fn of_new(&self, cluster_name: &str) -> Option<(ClusterId, BTreeSet<NodeId>)> {
        match self {
            Origin::Initial(members) => Some((ClusterId::of(cluster_name, members), members.clone())),
            Origin::Told { cluster, initial_members } => Some((*cluster, initial_members.clone())),
            Origin::Found => None,
        }
    }
}

/// A directory that is locked and is whose it should be.
pub struct DataDirectory {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    identity: Identity,
    _lock: DiskLock,
}

impl DataDirectory {
    /// Locks the directory at `path` and checks whose it is. An empty one, or none, becomes that of `expected`, with
    /// `incarnation` for its life.
    ///
    /// # Errors
    /// If it is in use or somebody else's, or if a rescue or an import of it was begun and not finished. Nothing in it has then been
    /// changed.
    pub fn open(
        disk: Arc<dyn Disk>,
        path: &Path,
        expected: &Expected,
        incarnation: u64,
    ) -> Result<Self, StartError> {
        let new = expected.origin.of_new(&expected.cluster_name);
        check_name(&expected.cluster_name)?;
        if new.as_ref().is_some_and(|(_, members)| members.is_empty()) {
            return Err(StartError::Config("the cluster has no initial members: name them".to_owned()));
        }
        check_content(&*disk, path)?;
        if new.is_none() && !disk.exists(&path.join(IDENTITY)).map_err(StartError::Storage)? {
            return Err(foreign(
                path,
                "is not there or is empty, so nothing says which cluster it belongs to: choose the directory of a node, or name \
                 the members that a new cluster is to begin with",
            ));
        }
        disk.create_dir(path).map_err(StartError::Storage)?;
        let lock = lock(&*disk, path)?;
        let identity = match new {
            Some((cluster, initial_members))
                if !disk.exists(&path.join(IDENTITY)).map_err(StartError::Storage)? =>
            {
                let identity = Identity {
                    cluster,
                    cluster_name: expected.cluster_name.clone(),
                    initial_members,
                    id: RaftId::new(expected.node, incarnation),
                    model: expected.model,
                    starts: 0,
                };
                write(&*disk, path, &identity)?;
                identity
            }
            _ => {
                let identity = identity::read(&*disk, path)?.finished(path)?;
                check(path, &identity, expected)?;
                identity
            }
        };
        Ok(DataDirectory { disk, path: path.into(), identity, _lock: lock })
    }

    /// Reads what the directory at `path` says of itself. Nothing is locked, so a node may be using it.
    ///
    /// # Errors
    /// If it says nothing, or nothing that can be believed, or that a rescue or an import was begun and not finished.
    pub fn look(disk: &dyn Disk, path: &Path) -> Result<Identity, StartError> {
        identity::read(disk, path)?.finished(path)
    }

    /// Whether there is a data directory of a node at `path`, whatever state it is in.
    ///
    /// # Errors
    /// If that cannot be found out.
    pub fn exists(disk: &dyn Disk, path: &Path) -> Result<bool, StartError> {
        disk.exists(&path.join(IDENTITY)).map_err(StartError::Storage)
    }

    /// What it says of itself.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// What to do if there is no log in it.
    pub fn missing_log(&self) -> Missing {
        if self.identity.starts == 0 { Missing::Create } else { Missing::Refuse }
    }

    /// Counts one more start, durably. To be called once the log is open, and before the node is.
    pub fn count_start(&mut self) -> Result<(), StartError> {
        let mut identity = self.identity.clone();
        identity.starts = identity.starts.checked_add(1).ok_or_else(|| {
            foreign(&self.path, "was started as often as can be counted: replace this member")
        })?;
        write(&*self.disk, &self.path, &identity)?;
        self.identity = identity;
        Ok(())
    }

    /// Deletes a data directory and all that is in it. If that is interrupted, it can be called again, and until then the
    /// directory is refused by [`DataDirectory::open`].
    ///
    /// # Errors
    /// If it is no data directory of a node, holds other files too, or is in use. Nothing is deleted then.
    pub fn remove(disk: &dyn Disk, path: &Path) -> io::Result<()> {
        let refused = |error: StartError| match error {
            StartError::Storage(error) => error,
            error => io::Error::new(io::ErrorKind::InvalidInput, error.to_string()),
        };
        let left_alone = |reason: &str| {
            let text = format!("{} {reason}, and is left alone", path.display());
            Err(io::Error::new(io::ErrorKind::InvalidInput, text))
        };
        let (identity, removed) = (path.join(IDENTITY), path.join(IDENTITY_REMOVED));
        if !disk.exists(&identity)? && !disk.exists(&removed)? {
            return left_alone("holds no data of a node");
        }
        if let Some(name) = disk.list(path)?.iter().find(|name| !OURS.contains(&name.as_str())) {
            return left_alone(&format!("holds {name:?} beside a node's data"));
        }
        let lock = lock(disk, path).map_err(refused)?;
        if disk.exists(&identity)? {
            identity::read(disk, path).map_err(refused)?;
            // From here on it is no node's directory, so that no half of its log is ever taken for the whole.
            disk.rename(&identity, &removed)?;
            disk.sync_dir(path)?;
        }
        for dir in [LOG, SNAPSHOTS].map(|name| path.join(name)) {
            if disk.exists(&dir)? {
                disk.remove_dir(&dir)?;
            }
        }
        disk.sync_dir(path)?;
        // Last, so that whatever is left until here still says what it is.
        disk.remove_dir(path)?;
        drop(lock);
        disk.sync_dir(path.parent().unwrap_or(Path::new(".")))
    }
}

impl std::fmt::Debug for DataDirectory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DataDirectory").field("path", &self.path).field("identity", &self.identity).finish()
    }
}

pub(crate) fn lock(disk: &dyn Disk, path: &Path) -> Result<DiskLock, StartError> {
    disk.lock(&path.join(LOCK)).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => StartError::Locked { directory: path.display().to_string() },
        _ => StartError::Storage(error),
    })
}

fn write(disk: &dyn Disk, path: &Path, identity: &Identity) -> Result<(), StartError> {
    let stated = Stated { identity: identity.clone(), unfinished: None };
    identity::write(disk, path, &stated).map_err(StartError::Storage)
}

/// The name stands in a line of the identity.
pub(crate) fn check_name(cluster_name: &str) -> Result<(), StartError> {
    if cluster_name.chars().any(char::is_control) {
        return Err(StartError::Config(
            "the cluster's name has control characters: choose another".to_owned(),
        ));
    }
    Ok(())
}

/// Whether what lies at `path` is nothing at all, or a node's.
pub(crate) fn check_content(disk: &dyn Disk, path: &Path) -> Result<(), StartError> {
    if !disk.exists(path).map_err(StartError::Storage)? {
        return Ok(());
    }
    let names = disk.list(path).map_err(StartError::Storage)?;
    let harmless = |name: &String| name == LOCK || name == IDENTITY_NEW;
    if !names.iter().any(|name| name == IDENTITY) && !names.iter().all(harmless) {
        return Err(foreign(path, "is not empty and is no data directory of a node: choose another one"));
    }
    Ok(())
}

/// Compares what the directory says with what it should be.
fn check(path: &Path, found: &Identity, expected: &Expected) -> Result<(), StartError> {
    if found.cluster_name != expected.cluster_name {
        return Err(foreign(
            path,
            format!(
                "belongs to the cluster {:?}, not to {:?}: choose another directory, or correct the name",
                found.cluster_name, expected.cluster_name
            ),
        ));
    }
    if found.id.node != expected.node {
        return Err(foreign(
            path,
            format!(
                "belongs to node {}, not to node {}: choose another directory, or correct the id",
                found.id.node, expected.node
            ),
        ));
    }
    check_origin(path, found, &expected.origin)?;
    if found.model != expected.model {
        return Err(foreign(
            path,
            format!(
                "holds the log of a service in the {} model, and was to be opened in the {} model: start it in the model that it \
                 was made for, or choose another directory",
                found.model, expected.model
            ),
        ));
    }
    Ok(())
}

fn check_origin(path: &Path, found: &Identity, origin: &Origin) -> Result<(), StartError> {
    match origin {
        Origin::Initial(members) if found.initial_members != *members => Err(foreign(
            path,
            format!(
                "was made for the initial members {:?}, not {:?}: give the members that the cluster began with; whoever is \
                 a member today is in the log",
                found.initial_members, members
            ),
        )),
        Origin::Told { cluster, .. } if found.cluster != *cluster => Err(foreign(
            path,
            format!(
                "belongs to the cluster {:?} with the id {}, and a member says that its cluster has the id {cluster}: the \
                 clusters have a name in common, and nothing else. If that cluster was rescued without this directory, or made \
                 of a snapshot, begin with an empty one",
                found.cluster_name, found.cluster
            ),
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::MemoryDisk;
    use crate::identity::Unfinished;

    fn expected() -> Expected {
        Expected {
            cluster_name: "doves".to_owned(),
            node: 2,
            origin: Origin::Initial(BTreeSet::from([1, 2, 3])),
            model: Model::StateMachine,
        }
    }

    fn open(disk: &MemoryDisk, expected: &Expected, incarnation: u64) -> Result<DataDirectory, StartError> {
        DataDirectory::open(Arc::new(disk.clone()), Path::new("data"), expected, incarnation)
    }

    #[test]
    fn a_new_directory_is_the_same_life_at_every_start() {
        let disk = MemoryDisk::new();
        let mut directory = open(&disk, &expected(), 7).unwrap();
        assert_eq!(directory.missing_log(), Missing::Create);
        directory.count_start().unwrap();
        drop(directory);
        disk.crash();
        let mut directory = open(&disk, &expected(), 8).unwrap();
        assert_eq!(directory.missing_log(), Missing::Refuse);
        directory.count_start().unwrap();
        assert_eq!(directory.identity().id, RaftId::new(2, 7));
        assert_eq!(directory.identity().starts, 2);
    }

    #[test]
    fn a_start_that_crashed_before_it_was_counted_is_a_new_directory_still() {
        let disk = MemoryDisk::new();
        drop(open(&disk, &expected(), 7).unwrap());
        disk.crash();
        let directory = open(&disk, &expected(), 8).unwrap();
        assert_eq!((directory.missing_log(), directory.identity().id.incarnation), (Missing::Create, 7));
    }

    #[test]
    fn somebody_elses_directory_is_refused_and_stays_as_it_is() {
        let disk = MemoryDisk::new();
        drop(open(&disk, &expected(), 7).unwrap());
        let before = identity::read(&disk, Path::new("data")).unwrap();
        let other_name = Expected { cluster_name: "hawks".to_owned(), ..expected() };
        let other_node = Expected { node: 3, ..expected() };
        let other_members = Expected { origin: Origin::Initial(BTreeSet::from([2, 3])), ..expected() };
        let other_model = Expected { model: Model::PrimaryBackup, ..expected() };
        for (other, words) in [
            (other_name, "\"doves\", not to \"hawks\""),
            (other_node, "node 2, not to node 3"),
            (other_members, "{1, 2, 3}, not {2, 3}"),
            (
                other_model,
                "the data directory data holds the log of a service in the state-machine model, and was to be opened in the \
                 primary-backup model: start it in the model that it was made for, or choose another directory",
            ),
        ] {
            let error = open(&disk, &other, 8).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        assert_eq!(identity::read(&disk, Path::new("data")).unwrap(), before);
    }

    #[test]
    fn a_directory_is_used_by_one_at_a_time() {
        let disk = MemoryDisk::new();
        let first = open(&disk, &expected(), 7).unwrap();
        assert!(matches!(open(&disk, &expected(), 8), Err(StartError::Locked { .. })));
        assert!(DataDirectory::remove(&disk, Path::new("data")).unwrap_err().to_string().contains("in use"));
        drop(first);
        open(&disk, &expected(), 8).unwrap();
    }

    #[test]
    fn what_is_not_ours_is_neither_used_nor_deleted() {
        let disk = MemoryDisk::new();
        disk.create_dir(Path::new("data")).unwrap();
        disk.create(Path::new("data/thesis.tex")).unwrap();
        assert!(matches!(open(&disk, &expected(), 7), Err(StartError::Foreign { .. })));
        assert!(DataDirectory::remove(&disk, Path::new("data")).is_err());
        assert_eq!(disk.list(Path::new("data")).unwrap(), ["thesis.tex"]);
    }

    #[test]
    fn our_own_is_deleted_with_all_that_is_in_it() {
        let disk = MemoryDisk::new();
        drop(open(&disk, &expected(), 7).unwrap());
        DataDirectory::remove(&disk, Path::new("data")).unwrap();
        assert!(!disk.exists(Path::new("data")).unwrap());
    }

    #[test]
    fn what_lies_beside_our_own_is_not_deleted_with_it() {
        let disk = MemoryDisk::new();
        drop(open(&disk, &expected(), 7).unwrap());
        disk.create(Path::new("data/thesis.tex")).unwrap();
        let error = DataDirectory::remove(&disk, Path::new("data")).unwrap_err().to_string();
        assert!(error.contains("thesis.tex"), "{error}");
        open(&disk, &expected(), 8).unwrap();
    }

    #[test]
    fn a_half_deleted_directory_is_not_used_but_can_be_deleted_again() {
        let disk = MemoryDisk::new();
        drop(open(&disk, &expected(), 7).unwrap());
        disk.create_dir(Path::new("data/log")).unwrap();
        let data = Path::new("data");
        disk.rename(&data.join(IDENTITY), &data.join(IDENTITY_REMOVED)).unwrap();
        assert!(matches!(open(&disk, &expected(), 8), Err(StartError::Foreign { .. })));
        DataDirectory::remove(&disk, data).unwrap();
        open(&disk, &expected(), 8).unwrap();
    }

    #[test]
    fn a_directory_stays_in_the_model_that_it_was_made_for() {
        let disk = MemoryDisk::new();
        let primary = Expected { model: Model::PrimaryBackup, ..expected() };
        open(&disk, &primary, 7).unwrap().count_start().unwrap();
        disk.crash();
        let error = open(&disk, &expected(), 8).unwrap_err().to_string();
        assert!(
            error.contains("in the primary-backup model, and was to be opened in the state-machine"),
            "{error}"
        );
        let directory = open(&disk, &primary, 8).unwrap();
        assert_eq!((directory.identity().model, directory.identity().starts), (Model::PrimaryBackup, 1));
    }

    #[test]
    fn a_directory_has_the_cluster_id_that_a_member_has_told() {
        let disk = MemoryDisk::new();
        let told = |cluster| {
            let initial_members = BTreeSet::from([7]);
            Expected { origin: Origin::Told { cluster, initial_members }, ..expected() }
        };
        open(&disk, &told(ClusterId(5)), 7).unwrap().count_start().unwrap();
        for again in [
            told(ClusterId(5)),
            Expected { origin: Origin::Found, ..expected() },
            Expected { origin: Origin::Initial(BTreeSet::from([7])), ..expected() },
        ] {
            let directory = open(&disk, &again, 8).unwrap();
            let Identity { cluster, initial_members, starts, .. } = directory.identity();
            assert_eq!((*cluster, initial_members.clone(), *starts), (ClusterId(5), BTreeSet::from([7]), 1));
        }
        let error = open(&disk, &told(ClusterId(6)), 8).unwrap_err().to_string();
        assert!(error.contains("id 0000000000000005, and a member says"), "{error}");
        assert!(error.contains("has the id 0000000000000006"), "{error}");
    }

    #[test]
    fn a_directory_whose_initial_members_a_member_tells_otherwise_is_believed() {
        let disk = MemoryDisk::new();
        drop(open(&disk, &expected(), 7).unwrap());
        let cluster = ClusterId::of("doves", &BTreeSet::from([1, 2, 3]));
        let origin = Origin::Told { cluster, initial_members: BTreeSet::from([9]) };
        let directory = open(&disk, &Expected { origin, ..expected() }, 8).unwrap();
        assert_eq!(directory.identity().initial_members, BTreeSet::from([1, 2, 3]));
    }

    #[test]
    fn where_a_directory_must_be_found_none_is_made() {
        let disk = MemoryDisk::new();
        let found = Expected { origin: Origin::Found, ..expected() };
        let refused = || open(&disk, &found, 7).unwrap_err().to_string();
        assert!(refused().contains("nothing says which cluster"), "{}", refused());
        assert!(!disk.exists(Path::new("data")).unwrap());
        disk.create_dir(Path::new("data")).unwrap();
        assert!(refused().contains("nothing says which cluster"), "{}", refused());
        assert_eq!(disk.list(Path::new("data")).unwrap(), [""; 0]);
    }

    #[test]
    fn a_cluster_without_initial_members_is_refused() {
        let disk = MemoryDisk::new();
        for origin in [
            Origin::Initial(BTreeSet::new()),
            Origin::Told { cluster: ClusterId(1), initial_members: BTreeSet::new() },
        ] {
            let error = open(&disk, &Expected { origin, ..expected() }, 7).unwrap_err();
            assert!(matches!(error, StartError::Config(_)), "{error}");
        }
        assert!(!disk.exists(Path::new("data")).unwrap());
    }

    #[test]
    fn a_cluster_id_that_does_not_follow_from_name_and_members_is_believed() {
        let disk = MemoryDisk::new();
        drop(open(&disk, &expected(), 7).unwrap());
        let data = Path::new("data");
        let mut stated = identity::read(&disk, data).unwrap();
        stated.identity.cluster = ClusterId(0xfeed);
        identity::write(&disk, data, &stated).unwrap();
        assert_eq!(open(&disk, &expected(), 8).unwrap().identity().cluster, ClusterId(0xfeed));
    }

    #[test]
    fn a_directory_with_which_something_is_unfinished_is_refused_but_can_be_deleted() {
        for (unfinished, words) in [
            (
                Unfinished::Rescue(ClusterId(5)),
                "was being rescued, and that was not finished: run the rescue again",
            ),
            (Unfinished::Import, "run the import again, or delete the directory"),
        ] {
            let disk = MemoryDisk::new();
            drop(open(&disk, &expected(), 7).unwrap());
            let data = Path::new("data");
            let stated = Stated { unfinished: Some(unfinished), ..identity::read(&disk, data).unwrap() };
            identity::write(&disk, data, &stated).unwrap();
            let error = open(&disk, &expected(), 8).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
            let error = DataDirectory::look(&disk, data).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
            assert_eq!(identity::read(&disk, data).unwrap(), stated);
            DataDirectory::remove(&disk, data).unwrap();
        }
    }
}
