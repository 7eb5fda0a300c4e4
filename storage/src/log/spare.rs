//! The next segment, made ready while the present one is being filled, under a name that counts for nothing.
//!
//! A segment that was filled with zeros and synced has all its blocks written: a sync then has bytes to write, and no
//! records of the file system's own. On ext4 that makes the sync of a frame of 768 KiB about a third faster in the median,
//! and many times in the worst cases, than in a file whose blocks are merely reserved; for small frames the two are equal. The
//! zeros are written in small parts, each synced, so that the log's own syncs do not wait for all of them.
//!
//! Whoever needs a segment before one is ready makes one that is merely reserved, and waits for nobody.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::driver::Background;
use super::{Drive, Options, Prepare};
use crate::disk::{Disk, DiskFile};

/// How much is written between two syncs.
const PART_BYTES: u64 = 1 << 20;

const SUFFIX: &str = ".spare";

/// A file that may become a segment.
pub(super) struct Spare {
    pub(super) path: PathBuf,
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) bytes: u64,
}

/// Whether a file of this name is a spare, which may be removed whenever the log is opened.
pub(super) fn is_spare(name: &str) -> bool {
    name.ends_with(SUFFIX)
}

/// The one spare of a log.
pub(super) struct Spares {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    bytes: u64,
    prepare: Prepare,
    drive: Drive,
    making: Option<Background<Spare>>,
    ready: Option<Spare>,
    /// Makes names differ.
    next: u64,
}

impl Spares {
    pub(super) fn new(disk: Arc<dyn Disk>, dir: PathBuf, options: &Options) -> Spares {
        let Options { segment_bytes: bytes, prepare, drive, .. } = *options;
        Spares { disk, dir, bytes, prepare, drive, making: None, ready: None, next: 0 }
    }

    /// Begins to make one, if that is of use and there is none.
    pub(super) fn begin(&mut self) {
        if self.prepare == Prepare::Zeros && self.ready.is_none() && self.making.is_none() {
            let (disk, path, bytes) = (self.disk.clone(), self.path(), self.bytes);
            self.making =
                Some(Background::begin(self.drive, move || make(&*disk, path, bytes, Prepare::Zeros)));
        }
    }

    /// A spare of at least `bytes`: the one that was made ready, or one that is made now.
    pub(super) fn take(&mut self, bytes: u64) -> io::Result<Spare> {
        self.collect(false);
        if let Some(spare) = self.ready.take_if(|spare| spare.bytes >= bytes) {
            return Ok(spare);
        }
        let path = self.path();
        make(&*self.disk, path, bytes.max(self.bytes), Prepare::Reserve)
    }

    /// Removes what was made ready.
    pub(super) fn discard(&mut self) -> io::Result<()> {
        self.collect(true);
        match self.ready.take() {
            Some(spare) => self.disk.remove(&spare.path),
            None => Ok(()),
        }
    }

    /// Looks whether what is being made is ready, or waits for it.
    fn collect(&mut self, wait: bool) {
        let Some(making) = self.making.take_if(|making| wait || making.is_done()) else { return };
        match making.wait() {
            Ok(spare) => self.ready = Some(spare),
            // No harm is done yet. If there is no room for a segment when one is needed, that is the log's failure.
            Err(error) => tracing::warn!(%error, "the log's next segment could not be made ready"),
        }
    }

    fn path(&mut self) -> PathBuf {
        self.next += 1;
        self.dir.join(format!("{:016}{SUFFIX}", self.next))
    }
}

/// Makes a file: with its blocks reserved, or also written.
fn make(disk: &dyn Disk, path: PathBuf, bytes: u64, prepare: Prepare) -> io::Result<Spare> {
    let file = disk.create(&path)?;
    match fill(&*file, bytes, prepare) {
        Ok(()) => Ok(Spare { path, file, bytes }),
        Err(e) => {
            lovebird_core::sometimes!("the next segment cannot be made ready");
            if let Err(error) = disk.remove(&path) {
                // It counts for nothing under this name, and the next opening removes it.
                tracing::warn!(path = %path.display(), %error, "a spare segment could not be removed");
            }
            Err(io::Error::new(e.kind(), format!("{} could not be made ready: {e}", path.display())))
        }
    }
}

fn fill(file: &dyn DiskFile, bytes: u64, prepare: Prepare) -> io::Result<()> {
    file.allocate(bytes)?;
    if prepare == Prepare::Reserve {
        return Ok(());
    }
    let zeros = vec![0; PART_BYTES.min(bytes) as usize];
    let mut at = 0;
    while at < bytes {
        let part = PART_BYTES.min(bytes - at);
        file.write_at(at, &zeros[..part as usize])?;
        file.sync_data()?;
        at += part;
    }
    Ok(())
}
