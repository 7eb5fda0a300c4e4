//! Takes a snapshot from another node, byte by byte as its file is, and believes nothing before all of it verifies.

use std::io;
use std::sync::Arc;

use lovebird_core::snapshot_store::{SnapshotFile, SnapshotId, SnapshotReceiver};

use super::file::OpenSnapshot;
use super::format::invalid;
use super::partial::Partial;
use super::{Files, file_name};
use crate::sync::lock;

/// What has arrived of a file. It waits in the directory while nobody receives, for the transfer to go on; it does not
/// outlive the process.
pub(super) struct Arrived {
    pub(super) id: SnapshotId,
    pub(super) partial: Partial,
}

/// One transfer. Dropped, it leaves what has arrived for the next one.
pub(super) struct FileReceiver {
    files: Arc<Files>,
    arrived: Option<Arrived>,
}

impl FileReceiver {
    pub(super) fn start(files: Arc<Files>, id: SnapshotId) -> io::Result<FileReceiver> {
        let waiting = lock(&files.arrived).take();
        lovebird_core::sometimes!(
            waiting.as_ref().is_some_and(|arrived| arrived.id != id),
            "what has arrived of a snapshot is given up for another one"
        );
        let arrived = match waiting.filter(|arrived| arrived.id == id) {
            Some(arrived) => arrived,
            None => Arrived { id, partial: Partial::create(files.disk.clone(), files.partial_path())? },
        };
        Ok(FileReceiver { files, arrived: Some(arrived) })
    }
}

impl SnapshotReceiver for FileReceiver {
    fn offset(&self) -> u64 {
        self.arrived.as_ref().map_or(0, |arrived| arrived.partial.bytes())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(arrived) = &mut self.arrived else {
            return Err(io::Error::other("this transfer has failed; begin it again"));
        };
        let end = arrived.partial.bytes() + bytes.len() as u64;
        if end > arrived.id.length {
            let length = arrived.id.length;
            self.arrived = None;
            return Err(invalid(format!("{end} bytes have arrived of a snapshot that was to have {length}")));
        }
        let written = arrived.partial.append(bytes);
        if written.is_err() {
            // What the file holds now is unknown.
            self.arrived = None;
        }
        written
    }

    fn finish(mut self: Box<Self>) -> io::Result<Arc<dyn SnapshotFile>> {
        let Some(Arrived { id, mut partial }) = self.arrived.take() else {
            return Err(io::Error::other("this transfer has failed; begin it again"));
        };
        if partial.bytes() != id.length {
            return Err(invalid(format!(
                "{} bytes have arrived of a snapshot that was to have {}",
                partial.bytes(),
                id.length
            )));
        }
        let received = OpenSnapshot::open(partial.path(), partial.file().clone())?;
        let (theirs, ours) = (received.meta().group, self.files.group);
        if theirs != ours {
            return Err(invalid(format!("a snapshot of group {theirs} was sent to group {ours}")));
        }
        received.verify()?;
        if received.id() != id {
            return Err(invalid(format!("the file that has arrived is {:?}, not {id:?}", received.id())));
        }
        self.files.publish(&mut partial, &file_name(id.last))
    }
}

impl Drop for FileReceiver {
    fn drop(&mut self) {
        if let Some(arrived) = self.arrived.take() {
            // A transfer that began later knows better what is wanted; what it left is not to be replaced.
            lock(&self.files.arrived).get_or_insert(arrived);
        }
    }
}
