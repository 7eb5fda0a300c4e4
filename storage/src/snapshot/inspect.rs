//! Looking at snapshot files without opening their directory: while a node writes and replaces them, on a disk that cannot be
//! written. Nothing is made, changed or removed.

use std::io;
use std::path::{Path, PathBuf};

use lovebird_core::identity::GroupId;
use lovebird_core::snapshot_store::{SnapshotFile, SnapshotId, SnapshotMeta};

use super::file::{self, OpenSnapshot};
use super::{PARTIAL_SUFFIX, SUFFIX, age, damaged, format, open_finished};
use crate::disk::Disk;
use crate::steady::steady;

/// How much of each file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Header and footer, as when a node starts.
    Ends,
    /// Every chunk too.
    Everything,
}

/// A file among a group's snapshots.
#[derive(Clone, Debug)]
pub struct SnapshotView {
    /// The group in whose directory it lies.
    pub group: GroupId,
    /// The file.
    pub path: PathBuf,
    /// How long it is.
    pub bytes: u64,
    /// What it is.
    pub state: State,
}

/// What a file is.
#[derive(Clone, Debug)]
pub enum State {
    /// A finished snapshot that verifies, as far as it was read.
    Finished {
        /// What it says of itself.
        meta: Box<SnapshotMeta>,
        /// Its name among all files.
        id: SnapshotId,
    },
    /// A snapshot that is being written or received, or was when its node stopped: the next start removes it.
    Unfinished,
    /// Something for which a node would not start, or would fail later; a sentence that says what to do.
    Refused(String),
}

/// A finished snapshot, wherever its file lies: among a node's, or where somebody has put what a node has exported.
#[derive(Clone, Debug)]
pub struct FileView {
    /// The file.
    pub path: PathBuf,
    /// How long it is.
    pub bytes: u64,
    /// How long the sessions and the state are that it holds, before anything is compressed.
    pub content_bytes: u64,
    /// What it says of itself.
    pub meta: SnapshotMeta,
    /// Its name among all files.
    pub id: SnapshotId,
}

/// Looks at one snapshot file, whatever its name.
///
/// # Errors
/// `InvalidData` if it is no finished snapshot that verifies, as far as it was read; `Unsupported` if it was written by a newer
/// version; else those of the disk.
pub fn look_at_file(disk: &dyn Disk, path: &Path, depth: Depth) -> io::Result<FileView> {
    let snapshot = open_file(disk, path, depth)?;
    Ok(FileView {
        path: path.into(),
        bytes: snapshot.id().length,
        content_bytes: snapshot.content_bytes(),
        meta: snapshot.meta().clone(),
        id: snapshot.id(),
    })
}

/// Opens one snapshot file, whatever its name.
pub(crate) fn open_file(disk: &dyn Disk, path: &Path, depth: Depth) -> io::Result<OpenSnapshot> {
    let snapshot = OpenSnapshot::open(path, disk.open(path)?)?;
    if depth == Depth::Everything {
        snapshot.verify()?;
    }
    Ok(snapshot)
}

/// Looks at the snapshots of all groups, which stand in directories of their own under `dir`. A group's files come in the order
/// of their age, the oldest first, and behind them those that are no finished snapshots.
///
/// # Errors
/// Those of the disk: then nobody could look.
pub fn look(disk: &dyn Disk, dir: &Path, depth: Depth) -> io::Result<Vec<SnapshotView>> {
    let mut groups: Vec<GroupId> = disk.list(dir)?.iter().filter_map(|name| group_of(name)).collect();
    groups.sort_unstable();
    let mut views = Vec::new();
    for group in groups {
        let dir = dir.join(directory_of(group));
        // What goes while it is looked at has been replaced by something newer.
        views.extend(steady(&dir, || look_at_group(disk, &dir, group, depth), |_| None::<()>)?);
    }
    Ok(views)
}

fn directory_of(group: GroupId) -> String {
    format!("group-{group}")
}

fn group_of(name: &str) -> Option<GroupId> {
    let group = name.strip_prefix("group-")?.parse().ok()?;
    (directory_of(group) == name).then_some(group)
}

fn look_at_group(disk: &dyn Disk, dir: &Path, group: GroupId, depth: Depth) -> io::Result<Vec<SnapshotView>> {
    let (mut finished, mut others) = (Vec::new(), Vec::new());
    for name in disk.list(dir)? {
        let path = dir.join(&name);
        let file = disk.open(&path)?;
        let mut view =
            SnapshotView { group, path: path.clone(), bytes: file.len()?, state: State::Unfinished };
        if name.ends_with(PARTIAL_SUFFIX) {
            others.push(view);
        } else if !name.ends_with(SUFFIX) {
            let text = "it is no snapshot, but lies among them; put it elsewhere".to_owned();
            view.state = State::Refused(file::at(&path, format::invalid(text)).to_string());
            others.push(view);
        } else {
            match open_finished(&path, file, group).and_then(|snapshot| check(snapshot, depth)) {
                Ok(snapshot) => {
                    let meta = Box::new(snapshot.meta().clone());
                    view.state = State::Finished { meta, id: snapshot.id() };
                    finished.push((age(&snapshot), view));
                }
                Err(e) => {
                    view.state = State::Refused(refusal(e)?);
                    others.push(view);
                }
            }
        }
    }
    finished.sort_by_key(|(age, _)| *age);
    Ok(finished.into_iter().map(|(_, view)| view).chain(others).collect())
}

fn check(snapshot: OpenSnapshot, depth: Depth) -> io::Result<OpenSnapshot> {
    if depth == Depth::Everything {
        snapshot.verify().map_err(damaged)?;
    }
    Ok(snapshot)
}

/// What is wrong with a file; the error itself if it is the disk's. A finished file is complete before it gets its name, so that
/// also its early end is its own fault.
fn refusal(error: io::Error) -> io::Result<String> {
    match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof | io::ErrorKind::Unsupported => {
            Ok(error.to_string())
        }
        _ => Err(error),
    }
}
