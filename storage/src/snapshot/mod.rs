//! Snapshot files: one directory a group, one file a snapshot, the newest two kept.
//!
//! # How a snapshot comes to be
//!
//! It is written in chunks of 1 MiB under a temporary name (`partial`), by the state machine (`write`) or by another
//! node (`receive`), and synced every few megabytes, so that no sync makes the log's own wait for long. Then it is synced,
//! renamed and its directory synced; only then does anyone see it, and only then do older ones go. `format` describes the
//! bytes, `compression` says what becomes of a chunk on the way, `chunk` and `file` read them.
//!
//! # Invariants
//!
//! 1. A file under a final name is complete: header, chunks and footer were durable before it got the name.
//! 2. What comes from another node is verified as a whole before it gets a name.
//! 3. No more than one chunk of a snapshot is in memory for each who writes or reads one, and what it is compressed to.
//! 4. How a file was written shows in the file; reading asks no option.
//! 5. A reader's handle outlives the file's name.
//!
//! # What it does not do
//!
//! It does not resume a transfer across a restart of the process: what had arrived is removed at open. It does not choose when
//! to take a snapshot, and does not purge the log.

mod compression;

mod format;

mod chunk;

mod partial;
mod receive;
mod write;

mod file;

// What is on disk, for those who only look.
pub mod inspect;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use lovebird_core::entry::EntryId;
use lovebird_core::identity::GroupId;
use lovebird_core::snapshot_store::{
    SnapshotFile, SnapshotId, SnapshotMeta, SnapshotReceiver, SnapshotStore, SnapshotWriter,
};

use crate::disk::{Disk, DiskFile};
use crate::sync::lock;
pub use compression::Compression;
use file::OpenSnapshot;
use partial::Partial;
use receive::{Arrived, FileReceiver};
use write::ChunkWriter;

/// How many finished files are kept: the newest, and the one before it, which a peer may still be receiving.
const KEPT: usize = 2;

const SUFFIX: &str = ".snapshot";
const PARTIAL_SUFFIX: &str = ".partial";

/// How snapshots are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SnapshotOptions {
    /// What becomes of the chunks of new files. Those that are there, and those that come from another node, stay as they are.
    pub compression: Compression,
}

/// A group's snapshots in a directory. Clones share it.
#[derive(Clone)]
pub struct SnapshotDirectory(Arc<Files>);

struct Files {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    group: GroupId,
    options: SnapshotOptions,
    /// Finished files, oldest first.
    finished: Mutex<Vec<Arc<OpenSnapshot>>>,
    arrived: Mutex<Option<Arrived>>,
    /// Makes temporary names differ.
    partials: AtomicU64,
}

impl SnapshotDirectory {
    /// Opens the snapshots of `group`, which stand in a directory of their own under `dir`. Removes what was left
    /// unfinished.
    ///
    /// # Errors
    /// Those of the disk. `InvalidData` if a finished file is damaged: the log before it may be purged, so that nothing else
    /// holds what it held. Also if something else than this group's snapshots lies there. `Unsupported` if a file was written by
    /// a newer version.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        group: GroupId,
        options: SnapshotOptions,
    ) -> io::Result<Arc<dyn SnapshotStore>> {
        let dir = dir.join(format!("group-{group}"));
        disk.create_dir(&dir)?;
        let mut finished = Vec::new();
        let mut left = false;
        for name in disk.list(&dir)? {
            let path = dir.join(&name);
            if name.ends_with(PARTIAL_SUFFIX) {
                lovebird_core::sometimes!("a snapshot that was left unfinished is removed at open");
                disk.remove(&path)?;
                left = true;
            } else if name.ends_with(SUFFIX) {
                finished.push(Arc::new(open_finished(&path, disk.open(&path)?, group)?));
            } else {
                let text = "it is no snapshot, but lies among them; put it elsewhere".to_owned();
                return Err(file::at(&path, format::invalid(text)));
            }
        }
        if left {
            disk.sync_dir(&dir)?;
        }
        finished.sort_by_key(|snapshot| age(snapshot));
        let finished = Mutex::new(finished);
        let (arrived, partials) = Default::default();
        let files = Files { disk, dir, group, options, finished, arrived, partials };
        Ok(Arc::new(SnapshotDirectory(Arc::new(files))))
    }
}

impl SnapshotStore for SnapshotDirectory {
    fn create(&self, meta: &SnapshotMeta) -> io::Result<Box<dyn SnapshotWriter>> {
        if meta.group != self.0.group {
            let text = format!("a snapshot of group {} in the directory of {}", meta.group, self.0.group);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        Ok(Box::new(ChunkWriter::create(self.0.clone(), meta)?))
    }

    fn receive(&self, id: SnapshotId) -> io::Result<Box<dyn SnapshotReceiver>> {
        Ok(Box::new(FileReceiver::start(self.0.clone(), id)?))
    }

    fn latest(&self) -> io::Result<Option<Arc<dyn SnapshotFile>>> {
        Ok(lock(&self.0.finished).last().map(|newest| newest.clone() as Arc<dyn SnapshotFile>))
    }
}

impl fmt::Debug for SnapshotDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotDirectory").field("dir", &self.0.dir).finish_non_exhaustive()
    }
}

impl Files {
    fn partial_path(&self) -> PathBuf {
        let number = self.partials.fetch_add(1, Ordering::Relaxed);
        self.dir.join(format!("{number:08}{PARTIAL_SUFFIX}"))
    }

    /// Gives a complete file its name and drops those that are no longer kept.
    fn publish(&self, partial: &mut Partial, name: &str) -> io::Result<Arc<dyn SnapshotFile>> {
        let path = self.dir.join(name);
        // Before it gets the name, so that none is there under its name that cannot be opened.
        let snapshot = Arc::new(OpenSnapshot::open(&path, partial.file().clone())?);
        let mut finished = lock(&self.finished);
        partial.rename(&path)?;
        // A file of the same name has just been replaced; whoever holds it still reads it.
        finished.retain(|other| age(other) != age(&snapshot));
        finished.push(snapshot.clone());
        finished.sort_by_key(|snapshot| age(snapshot));
        while finished.len() > KEPT {
            lovebird_core::sometimes!("an old snapshot is removed");
            let oldest = finished.remove(0);
            // Not synced: after a crash it is merely there once more, until the next one is published.
            self.disk.remove(&self.dir.join(file_name(oldest.meta().last_entry())))?;
        }
        Ok(snapshot)
    }
}

/// What makes one snapshot newer than another.
fn age(snapshot: &OpenSnapshot) -> (u64, u64) {
    let EntryId { term, number } = snapshot.meta().last_entry();
    (number, term)
}

fn file_name(last: EntryId) -> String {
    format!("{:020}-{:020}{SUFFIX}", last.number, last.term)
}

/// What stands under a final name was whole when it got it.
fn open_finished(path: &Path, file: Arc<dyn DiskFile>, group: GroupId) -> io::Result<OpenSnapshot> {
    let snapshot = OpenSnapshot::open(path, file).map_err(damaged)?;
    let misplaced = |text: String| file::at(path, format::invalid(text));
    let meta = snapshot.meta();
    if meta.group != group {
        let text = format!("it belongs to group {}, not to group {group}; put it back there", meta.group);
        return Err(misplaced(text));
    }
    let name = file_name(meta.last_entry());
    if path.file_name() != Some(name.as_ref()) {
        return Err(misplaced(format!("it was written as {name}; give it that name again")));
    }
    Ok(snapshot)
}

fn damaged(error: io::Error) -> io::Error {
    if !matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) {
        return error;
    }
    lovebird_core::sometimes!("a damaged snapshot is refused at open");
    let advice =
        "the log before it may be gone. Restore the file from the same disk, or replace this replica";
    io::Error::new(error.kind(), format!("{error}; {advice}"))
}
