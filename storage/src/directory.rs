//! A node's data directory: whose it is, and that only one process uses it.
//!
//! | name | what |
//! |---|---|
//! | `lock` | held while a node uses the directory |
//! | `identity` | whose it is, as text; written to `identity.new`, synced and renamed |
//! | `log/` | the log ([`crate::log`]) |
//! | `snapshots/` | the snapshots ([`crate::snapshot`]) |
//!
//! The identity is written before anything else, with `starts 0`; only when the log exists too is the first start counted. So
//! a crash in between does no harm, and a directory that has been started and has no log has lost it, which is refused.
//!
//! ```text
//! lovebird data directory
//! format 1
//! cluster 6d1a4e1c5b3f0a77
//! name arithmetic
//! members 1 2 3
//! node 1
//! incarnation 9f86d081884c7d65
//! starts 4
//! checksum 5a1b0c2d
//! ```
//!
//! `cluster`, `incarnation` and `checksum` are hexadecimal; the checksum is CRC-32C of all lines before it. If the log is that of a
//! service in the primary-backup model, a line `model primary-backup` stands behind `incarnation`. A directory without that line is
//! one of the state machine model, since those were there before there was another.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lovebird_core::error::StartError;
use lovebird_core::identity::{ClusterId, Identity, NodeId, RaftId};
use lovebird_core::service::Model;

use crate::disk::{Disk, DiskLock, read_exact_at};
use crate::log::Missing;

const TITLE: &str = "lovebird data directory";
const FORMAT: u32 = 1;
const IDENTITY: &str = "identity";
const IDENTITY_NEW: &str = "identity.new";
/// What becomes of the identity while a directory is being deleted.
const IDENTITY_REMOVED: &str = "identity.removed";
const LOCK: &str = "lock";

/// Everything that may stand in a data directory.
const OURS: [&str; 6] = [IDENTITY, IDENTITY_NEW, IDENTITY_REMOVED, LOCK, "log", "snapshots"];

/// An identity file is a few lines; whatever is longer is none.
const IDENTITY_BYTES_MAX: u64 = 64 << 10;

/// Said of an identity that cannot be read, as the end of a sentence about the directory.
const DAMAGED: &str = "has a damaged identity file: restore it, or replace this member";

/// Whose directory it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The cluster's name: no control characters.
    pub cluster_name: String,
    /// The node.
    pub node: NodeId,
    /// The members that the cluster begins with.
    pub initial_members: BTreeSet<NodeId>,
    /// In which model the service runs.
    pub model: Model,
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
    /// If it is in use or somebody else's. Nothing in it has then been changed.
    pub fn open(
        disk: Arc<dyn Disk>,
        path: &Path,
        expected: &Expected,
        incarnation: u64,
    ) -> Result<Self, StartError> {
        if expected.cluster_name.chars().any(char::is_control) {
            return Err(StartError::Config(
                "the cluster's name has control characters: choose another".to_owned(),
            ));
        }
        if disk.exists(path).map_err(StartError::Storage)? {
            let names = disk.list(path).map_err(StartError::Storage)?;
            let harmless = |name: &String| name == LOCK || name == IDENTITY_NEW;
            if !names.iter().any(|name| name == IDENTITY) && !names.iter().all(harmless) {
                return Err(foreign(
                    path,
                    "is not empty and is no data directory of a node: choose another one",
                ));
            }
        }
        disk.create_dir(path).map_err(StartError::Storage)?;
        let lock = lock(&*disk, path)?;
        let cluster = ClusterId::of(&expected.cluster_name, &expected.initial_members);
        let identity = if disk.exists(&path.join(IDENTITY)).map_err(StartError::Storage)? {
            let identity = read(&*disk, path)?;
            check(path, &identity, expected, cluster)?;
            identity
        } else {
            let identity = Identity {
                cluster,
                cluster_name: expected.cluster_name.clone(),
                initial_members: expected.initial_members.clone(),
                id: RaftId::new(expected.node, incarnation),
                model: expected.model,
                starts: 0,
            };
            write(&*disk, path, &identity).map_err(StartError::Storage)?;
            identity
        };
        Ok(DataDirectory { disk, path: path.into(), identity, _lock: lock })
    }

    /// Reads what the directory at `path` says of itself. Nothing is locked, so a node may be using it.
    ///
    /// # Errors
    /// If it says nothing, or nothing that can be believed.
    pub fn look(disk: &dyn Disk, path: &Path) -> Result<Identity, StartError> {
        read(disk, path)
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
        write(&*self.disk, &self.path, &identity).map_err(StartError::Storage)?;
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
            read(disk, path).map_err(refused)?;
            // From here on it is no node's directory, so that no half of its log is ever taken for the whole.
            disk.rename(&identity, &removed)?;
            disk.sync_dir(path)?;
        }
        for dir in ["log", "snapshots"].map(|name| path.join(name)) {
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

fn foreign(path: &Path, reason: impl Into<String>) -> StartError {
    StartError::Foreign { directory: path.display().to_string(), reason: reason.into() }
}

fn lock(disk: &dyn Disk, path: &Path) -> Result<DiskLock, StartError> {
    disk.lock(&path.join(LOCK)).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => StartError::Locked { directory: path.display().to_string() },
        _ => StartError::Storage(error),
    })
}

/// Compares what the directory says with what it should be.
fn check(path: &Path, found: &Identity, expected: &Expected, cluster: ClusterId) -> Result<(), StartError> {
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
    if found.initial_members != expected.initial_members || found.cluster != cluster {
        return Err(foreign(
            path,
            format!(
                "was made for the initial members {:?}, not {:?}: give the members that the cluster began with; whoever is \
                 a member today is in the log",
                found.initial_members, expected.initial_members
            ),
        ));
    }
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

fn write(disk: &dyn Disk, path: &Path, identity: &Identity) -> io::Result<()> {
    let new = path.join(IDENTITY_NEW);
    if disk.exists(&new)? {
        lovebird_core::sometimes!("an identity that was only half written is written anew");
        disk.remove(&new)?;
    }
    let file = disk.create(&new)?;
    file.write_at(0, encode(identity).as_bytes())?;
    file.sync_data()?;
    disk.rename(&new, &path.join(IDENTITY))?;
    disk.sync_dir(path)
}

fn read(disk: &dyn Disk, path: &Path) -> Result<Identity, StartError> {
    let file = disk.open(&path.join(IDENTITY)).map_err(StartError::Storage)?;
    let length = file.len().map_err(StartError::Storage)?.min(IDENTITY_BYTES_MAX);
    let mut bytes = vec![0; length as usize];
    read_exact_at(&*file, 0, &mut bytes).map_err(StartError::Storage)?;
    decode(&String::from_utf8_lossy(&bytes)).map_err(|reason| {
        lovebird_core::sometimes!("a damaged identity is refused");
        foreign(path, reason)
    })
}

fn encode(identity: &Identity) -> String {
    let members: Vec<String> = identity.initial_members.iter().map(NodeId::to_string).collect();
    let model = match identity.model {
        // So that such a directory has the bytes that it had before there was another model.
        Model::StateMachine => String::new(),
        Model::PrimaryBackup => format!("model {}\n", identity.model),
    };
    let mut text = format!(
        "{TITLE}\nformat {FORMAT}\ncluster {}\nname {}\nmembers {}\nnode {}\nincarnation {:016x}\n{model}starts {}\n",
        identity.cluster,
        identity.cluster_name,
        members.join(" "),
        identity.id.node,
        identity.id.incarnation,
        identity.starts
    );
    let checksum = crc32c::crc32c(text.as_bytes());
    writeln!(text, "checksum {checksum:08x}").expect("a string takes whatever is written to it");
    text
}

/// Reads an identity; an error is the end of a sentence about the directory.
fn decode(text: &str) -> Result<Identity, String> {
    let lines = &mut text.lines().peekable();
    if lines.next() != Some(TITLE) {
        return Err("has an identity file that is none of a node's: choose another directory".to_owned());
    }
    let format: u32 = field(lines, "format")?.parse().map_err(|_| DAMAGED)?;
    if format != FORMAT {
        return Err(format!("has format {format}; this build knows {FORMAT}: upgrade this node"));
    }
    let covered = text.rfind("checksum ").ok_or(DAMAGED)?;
    let cluster = u64::from_str_radix(field(lines, "cluster")?, 16).map_err(|_| DAMAGED)?;
    let cluster_name = field(lines, "name")?.to_owned();
    let initial_members: Result<_, _> = field(lines, "members")?.split(' ').map(str::parse).collect();
    let node = field(lines, "node")?.parse().map_err(|_| DAMAGED)?;
    let incarnation = u64::from_str_radix(field(lines, "incarnation")?, 16).map_err(|_| DAMAGED)?;
    let model = lines.next_if(|line| line.starts_with("model ")).map(|line| &line["model ".len()..]);
    let starts = field(lines, "starts")?.parse().map_err(|_| DAMAGED)?;
    let checksum = u32::from_str_radix(field(lines, "checksum")?, 16).map_err(|_| DAMAGED)?;
    if crc32c::crc32c(&text.as_bytes()[..covered]) != checksum {
        return Err(DAMAGED.to_owned());
    }
    Ok(Identity {
        cluster: ClusterId(cluster),
        cluster_name,
        initial_members: initial_members.map_err(|_| DAMAGED)?,
        id: RaftId::new(node, incarnation),
        // Behind the checksum, so that damage is not taken for what a later version wrote.
        model: model.map_or(Ok(Model::StateMachine), model_of)?,
        starts,
    })
}

/// What stands behind `name` in the next line.
fn field<'a>(lines: &mut impl Iterator<Item = &'a str>, name: &str) -> Result<&'a str, String> {
    let line = lines.next();
    line.and_then(|line| line.strip_prefix(name)?.strip_prefix(' ')).ok_or_else(|| DAMAGED.to_owned())
}

/// The model of that name.
fn model_of(name: &str) -> Result<Model, String> {
    let mut known = [Model::StateMachine, Model::PrimaryBackup].into_iter();
    known.find(|model| model.to_string() == name).ok_or_else(|| {
        format!("holds the log of a service in the {name} model, which this build does not know: upgrade this node")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::MemoryDisk;

    fn expected() -> Expected {
        Expected {
            cluster_name: "doves".to_owned(),
            node: 2,
            initial_members: BTreeSet::from([1, 2, 3]),
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
        let before = read(&disk, Path::new("data")).unwrap();
        let other_name = Expected { cluster_name: "hawks".to_owned(), ..expected() };
        let other_node = Expected { node: 3, ..expected() };
        let other_members = Expected { initial_members: BTreeSet::from([2, 3]), ..expected() };
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
        assert_eq!(read(&disk, Path::new("data")).unwrap(), before);
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

    fn identity(model: Model) -> Identity {
        Identity {
            cluster: ClusterId(1),
            cluster_name: "doves".to_owned(),
            initial_members: BTreeSet::from([1, 2]),
            id: RaftId::new(1, 9),
            model,
            starts: 1,
        }
    }

    #[test]
    fn a_damaged_identity_is_refused() {
        for model in [Model::StateMachine, Model::PrimaryBackup] {
            let text = encode(&identity(model));
            assert_eq!(decode(&text).unwrap(), identity(model));
            for at in 0..text.len() - 1 {
                let mut bytes = text.clone().into_bytes();
                bytes[at] ^= 1;
                let damaged = String::from_utf8_lossy(&bytes).into_owned();
                assert!(decode(&damaged).is_err(), "a flip of byte {at} goes unnoticed:\n{damaged}");
            }
        }
    }

    /// The identity of the primary-backup model with other lines, and a checksum that is right.
    fn altered(from: &str, to: &str) -> String {
        let text = encode(&identity(Model::PrimaryBackup)).replace(from, to);
        let covered = &text[..text.rfind("checksum").unwrap()];
        format!("{covered}checksum {:08x}\n", crc32c::crc32c(covered.as_bytes()))
    }

    #[test]
    fn the_line_of_the_model_is_there_in_the_primary_backup_model_alone() {
        let text = encode(&identity(Model::StateMachine));
        assert_eq!(
            altered("model primary-backup\n", ""),
            text,
            "a directory of the state machine model has changed"
        );
        let line = "incarnation 0000000000000009\nmodel primary-backup\nstarts 1\n";
        assert!(encode(&identity(Model::PrimaryBackup)).contains(line));
    }

    #[test]
    fn a_model_that_is_not_known_is_told_from_damage() {
        let later = altered("primary-backup", "chain");
        assert!(
            decode(&later)
                .unwrap_err()
                .contains("in the chain model, which this build does not know: upgrade")
        );
        let flipped = later.replace("chain", "chair");
        assert!(decode(&flipped).unwrap_err().contains("damaged"), "what does not verify says nothing");
        for (from, to) in [
            ("model primary-backup", "model"),
            ("model primary-backup\n", "model primary-backup\nmodel primary-backup\n"),
            (
                "incarnation 0000000000000009\nmodel primary-backup",
                "model primary-backup\nincarnation 0000000000000009",
            ),
        ] {
            assert!(decode(&altered(from, to)).unwrap_err().contains("damaged"), "{to}");
        }
    }
}
