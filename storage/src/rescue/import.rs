//! Makes a data directory of a snapshot file, for the first node of a new cluster.
//!
//! # Steps
//!
//! 1. The whole file is read, and the place looked at. Nothing is made before both are in order.
//! 2. The directory is made and locked, and its identity says that an import is unfinished. No node starts from it.
//! 3. A snapshot with the same content, whose meta names the new cluster and the node as its only member.
//! 4. A log that begins behind the snapshot's last entry and counts on from there, and a vote for the node itself in a later term.
//! 5. The identity says that nothing is unfinished, and that a node has started once, so that a log which is gone later is missed.
//!
//! Each step is durable before the next. What a crash has left behind step 2 is thrown away when the import is run again.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use lovebird_core::entry::EntryId;
use lovebird_core::identity::{ClusterId, Identity, Membership, NodeId, RaftId};
use lovebird_core::service::Model;
use lovebird_core::snapshot_store::{SnapshotFile, SnapshotMeta};

use super::alone::{self, durably};
use super::error::{RescueError, unfit};
use super::{GROUP, open_log};
use crate::directory::{self, LOG, SNAPSHOTS};
use crate::disk::Disk;
use crate::identity::{self, IDENTITY, Stated, Unfinished};
use crate::log::Missing;
use crate::snapshot::inspect::{Depth, open_file};
use crate::snapshot::{SnapshotDirectory, SnapshotOptions};

/// Who the first node of the new cluster is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// The cluster's id: new, drawn at random.
    pub cluster: ClusterId,
    /// The cluster's name: no control characters. It may be that of the old one.
    pub cluster_name: String,
    /// The node, at least 1.
    pub node: NodeId,
    /// The life of the directory, drawn at random.
    pub incarnation: u64,
    /// The address at which others will reach the node.
    pub address: String,
    /// In which model the service runs. The snapshot does not say it.
    pub model: Model,
}

/// What was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// What the directory says of itself. Its node is the only initial member.
    pub identity: Identity,
    /// The log index of the last record that the state holds. The next one follows on it.
    pub last_index: u64,
    /// Log time there, in nanoseconds since the Unix epoch.
    pub time: u64,
    /// The entry at which the snapshot was taken.
    pub entry: EntryId,
    /// The cluster in which it was taken, and who its members were.
    pub was: (ClusterId, Membership),
}

/// Makes a data directory at `path`, where there is none, of the snapshot `file` on the disk `from`. A node that is started on it
/// with itself as the only initial member has the snapshot's state and sessions, goes on counting behind its last record, and is the
/// only member.
///
/// If this has failed, or the machine has stopped in the middle of it, the same is to be run again, or the directory deleted.
///
/// # Errors
/// If the file is no snapshot that verifies, the place is in use or taken, or what is asked for cannot be: then nothing has been
/// made. [`RescueError::Disk`] also in the middle.
pub fn import(
    from: &dyn Disk,
    file: &Path,
    disk: Arc<dyn Disk>,
    path: &Path,
    import: &Import,
) -> Result<Imported, RescueError> {
    let snapshot = open_file(from, file, Depth::Everything).map_err(RescueError::Snapshot)?;
    let old = snapshot.meta();
    check(import, old)?;
    check_place(&*disk, path)?;
    disk.create_dir(path).map_err(RescueError::Disk)?;
    let _lock = directory::lock(&*disk, path)?;
    // Once more, now that nobody else comes between.
    check_place(&*disk, path)?;
    let identity = Identity {
        cluster: import.cluster,
        cluster_name: import.cluster_name.clone(),
        initial_members: [import.node].into(),
        id: RaftId::new(import.node, import.incarnation),
        model: import.model,
        starts: 1,
    };
    let done = Stated { identity: identity.clone(), unfinished: None };
    let begun = Stated { unfinished: Some(Unfinished::Import), ..done.clone() };
    let meta = meta(import, old);
    let act = || {
        identity::write(&*disk, path, &begun)?;
        clear(&*disk, path)?;
        copy(&snapshot, &disk, path, &meta)?;
        begin_log(&disk, path, &meta, identity.id)?;
        identity::write(&*disk, path, &done)
    };
    act().map_err(RescueError::Disk)?;
    let last_index = old.numbering.last_index;
    tracing::info!(directory = %path.display(), cluster = %import.cluster, last_index, "made of a snapshot");
    Ok(Imported {
        identity,
        last_index,
        time: old.numbering.time,
        entry: old.last_entry(),
        was: (old.cluster, old.membership.clone()),
    })
}

fn check(import: &Import, old: &SnapshotMeta) -> Result<(), RescueError> {
    directory::check_name(&import.cluster_name)?;
    let wrong = if import.node == 0 {
        "a node's id is at least 1".to_owned()
    } else if import.address.is_empty() {
        "the node has no address: say where others will reach it".to_owned()
    } else if import.cluster == old.cluster {
        format!("the new cluster must not have the old one's id {}: choose a new one", old.cluster)
    } else if old.last.0 == u64::MAX {
        "the snapshot's cluster has come to the end of its terms: no node can be elected behind it".to_owned()
    } else {
        return Ok(());
    };
    Err(RescueError::Config(wrong))
}

/// That nothing is at `path`, or only what an import has left that was not finished.
fn check_place(disk: &dyn Disk, path: &Path) -> Result<(), RescueError> {
    directory::check_content(disk, path)?;
    if !disk.exists(&path.join(IDENTITY)).map_err(RescueError::Disk)? {
        return Ok(());
    }
    let Stated { identity, unfinished } = identity::read(disk, path)?;
    if unfinished != Some(Unfinished::Import) {
        return Err(unfit(
            path,
            format!(
                "belongs to node {} of the cluster {:?}: choose an empty one",
                identity.id.node, identity.cluster_name
            ),
        ));
    }
    Ok(())
}

/// The meta of the new cluster's snapshot. Nothing is left in it of those who are no members.
fn meta(import: &Import, old: &SnapshotMeta) -> SnapshotMeta {
    SnapshotMeta {
        cluster: import.cluster,
        group: GROUP,
        // As if the last entry had made it.
        membership_at: Some(old.last),
        membership: alone::membership(RaftId::new(import.node, import.incarnation), &import.address),
        ..old.clone()
    }
}

/// Throws away what an earlier import has left.
fn clear(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    for dir in [LOG, SNAPSHOTS].map(|name| path.join(name)) {
        if disk.exists(&dir)? {
            disk.remove_dir(&dir)?;
        }
    }
    disk.sync_dir(path)
}

/// Writes the new snapshot. Every byte that is read verifies once more on the way.
fn copy(
    snapshot: &dyn SnapshotFile,
    disk: &Arc<dyn Disk>,
    path: &Path,
    meta: &SnapshotMeta,
) -> io::Result<()> {
    let store =
        SnapshotDirectory::open(disk.clone(), &path.join(SNAPSHOTS), GROUP, SnapshotOptions::default())?;
    let mut writer = store.create(meta)?;
    let mut content: Box<dyn Read + Send> = snapshot.open()?;
    io::copy(&mut content, &mut writer)?;
    writer.finish()?;
    Ok(())
}

/// Makes a log without entries that begins behind the snapshot.
fn begin_log(disk: &Arc<dyn Disk>, path: &Path, meta: &SnapshotMeta, id: RaftId) -> io::Result<()> {
    let log = open_log(disk, path, Missing::Create)?;
    log.install(meta.last_entry(), meta.numbering)?;
    log.purge(meta.last_entry())?;
    let vote = alone::vote(id, meta.last.0).ok_or_else(|| io::Error::other("there is no later term"))?;
    // In one stream with the purge, so that it is durable too.
    durably(|done| log.save_vote(vote, done))
}
