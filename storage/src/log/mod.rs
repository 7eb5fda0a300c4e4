//! The log: one ordered stream on disk for all groups of a node.
//!
//! # How a write passes through
//!
//! A [`LogStore`] checks and stamps what it is given, changes its group's state in memory (`group`) and queues an
//! operation (`operation`, `queue`), all under the group's lock; readers see it at once. The writer (`writer`) takes
//! what is queued, makes one frame of it (`frame`), writes it behind the last one in the last segment (`segment`), syncs
//! once, and calls the completions in order. While one sync runs the next batch forms; nothing waits for a timer. Commit
//! points alone wake nobody: they go with the next frame, or when the log is closed. When nothing is queued, the writer leaves
//! a mark behind the last frame, which says that all before it is durable, and which the next frame replaces.
//!
//! # How it is found again
//!
//! Opening follows the stream again (`open`, `replay`). A sealed segment ends with a footer, which says what reading all of
//! its frames would tell; so only the last segment is read as a whole, and its bytes are judged by `recovery`, a pure
//! function. What was acknowledged and does not verify is a refusal that says how far it reaches (`damage`, `error`). Each
//! segment begins with a checkpoint of every group, so that segments whose entries are all purged can be removed; what the
//! checkpoints and the frames say must agree.
//!
//! # Invariants
//!
//! 1. Frames stand in the stream in the order of the calls, across groups.
//! 2. A completion is called with `Ok` only after a sync that began after its frame was written.
//! 3. A segment is begun only when all before it is durable, and is complete before anything follows its head.
//! 4. A segment is removed only when the purges that make it superfluous are durable, and oldest first.
//! 5. After a failure nothing more is written, and nothing is acknowledged ever.
//! 6. What is acknowledged is found again, or opening or reading it fails and says where it was lost. The one exception is in
//!    the crate's documentation.
//!
//! # What it does not do
//!
//! It does not interpret entries beyond their headers, does not clamp the commit point, does not bound what is queued (raft
//! does), and does not lock the directory (`DataDirectory` does).
//!
//! # Errors and completions
//!
//! A completion is called exactly once, also when the method that took it returns an error: then with that error, before
//! the method returns.

// What a group is told, until it is queued.
mod group;
mod operation;
mod queue;
mod store;

// What is queued, until it is on disk.
mod driver;
mod frame;
mod spare;
mod segment;
mod footer;
mod writer;
mod turns;

// Where on disk an entry is, and how it is read again.
mod trail;
mod index;
mod read;

// What is on disk, until it is a log again.
mod recovery;
mod replay;
mod damage;
mod error;
mod open;

// What is on disk, for those who only look.
pub mod inspect;

// What of it the fuzz targets call.
#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod fuzzing;

use std::io;
use std::path::Path;
use std::sync::Arc;

use lovebird_core::identity::GroupId;
use lovebird_core::log_store::LogStore;

use crate::disk::Disk;
use driver::Driver;
use queue::Shared;
use store::GroupLog;

pub use error::{Affected, OpenError};
pub use turns::{Turn, Turns};

/// Who writes. A simulator does it itself: [`Log::open_in_turns`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Drive {
    /// A thread of its own. Under `--cfg madsim` the same as [`Drive::InPlace`].
    Thread,
    /// The caller of each method, before it returns. It then waits for the disk, so this is for tests.
    InPlace,
}

/// What to do where no log is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Make one.
    Create,
    /// Fail with [`OpenError::NoLog`]: there was one, so whatever has become of it, votes and entries are lost.
    Refuse,
}

/// How the file of the next segment is made ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Prepare {
    /// Its blocks are reserved when it is needed. Right for file systems that never write in place, and in simulation.
    Reserve,
    /// It is filled with zeros beforehand, in the background: a sync then has no blocks to mark as written. Writes every
    /// segment twice, and takes the space of one segment more. The first segment of a new log is merely reserved.
    Zeros,
}

/// How much is read when a log is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Check {
    /// The last segment, and the footers of all others. What is damaged in those is noticed when it is read.
    LastSegment,
    /// Everything.
    Everything,
}

/// How a log is kept. All of it may change from one opening to the next.
#[derive(Clone, Debug)]
pub struct Options {
    /// The size of a segment. A single frame that is larger gets a larger one.
    pub segment_bytes: u64,
    /// How many bytes of entries, the last ones, each group keeps in memory once they are on disk. What one call appended is
    /// let go together, when the last of it may go.
    pub cache_bytes: usize,
    /// What to do where no log is found.
    pub missing: Missing,
    /// How much is read when the log is opened.
    pub check: Check,
    /// How the next segment is made ready.
    pub prepare: Prepare,
    /// Who writes.
    pub drive: Drive,
}

impl Default for Options {
    /// Segments of 64 MiB, written beforehand; 32 MiB of cache; created if missing; opened by the last segment and the
    /// footers of the others; written by a thread.
    fn default() -> Self {
        Options {
            segment_bytes: 64 << 20,
            cache_bytes: 32 << 20,
            missing: Missing::Create,
            check: Check::LastSegment,
            prepare: Prepare::Zeros,
            drive: Drive::Thread,
        }
    }
}

/// An open log. It is closed when this and all [`LogStore`]s from it are dropped; what is queued is written before.
#[derive(Clone)]
pub struct Log(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    driver: Driver,
    cache_bytes: usize,
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").field("failure", &self.0.shared.failure()).finish_non_exhaustive()
    }
}

impl Log {
    /// Opens the log in `dir`, which must be no one else's meanwhile.
    ///
    /// # Errors
    /// Those of the disk, and [`OpenError`] inside of an `InvalidData`. Nothing has been changed in the second case.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path, options: &Options) -> io::Result<Log> {
        let opened = open::open(disk, dir, options)?;
        let shared = Arc::new(Shared::new(opened.groups));
        let driver = Driver::start(&shared, opened.writer, options.drive)?;
        Ok(Log(Arc::new(Inner { shared, driver, cache_bytes: options.cache_bytes })))
    }

    /// As [`Log::open`], but it writes when the caller says so, and there is a moment between a write and its sync: what a
    /// simulator needs in which a disk takes its time. Takes the place of [`Options::drive`].
    ///
    /// `wake` is called whenever there may be something to do, and once more when the log is closed. It is called in the middle
    /// of what others do, and so must not take a turn itself, but have it taken. What is queued when the log is closed is
    /// written in place, as ever.
    ///
    /// ```
    /// # use std::{path::Path, sync::Arc};
    /// # use lovebird_core::log_store::Vote;
    /// # use lovebird_core::identity::RaftId;
    /// # use lovebird_storage::{Log, LogOptions, MemoryDisk, log::Turn};
    /// # fn main() -> std::io::Result<()> {
    /// let disk = Arc::new(MemoryDisk::new());
    /// let (log, turns) = Log::open_in_turns(disk, Path::new("/log"), &LogOptions::default(), || ())?;
    /// # let vote = Vote { term: 1, node: RaftId::new(1, 1), committed: false };
    /// log.group(0).save_vote(vote, Box::new(|result| assert!(result.is_ok())))?;
    /// while turns.write() == Turn::Sync {
    ///     // Here time passes, and what is queued makes the next frame.
    ///     turns.sync();
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Log::open`].
    pub fn open_in_turns(
        disk: Arc<dyn Disk>,
        dir: &Path,
        options: &Options,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> io::Result<(Log, Turns)> {
        let options = Options { drive: Drive::InPlace, ..options.clone() };
        let opened = open::open(disk, dir, &options)?;
        let shared = Arc::new(Shared::new(opened.groups));
        let (driver, turns) = Driver::in_turns(&shared, opened.writer, Box::new(wake));
        Ok((Log(Arc::new(Inner { shared, driver, cache_bytes: options.cache_bytes })), turns))
    }

    /// One group's view. A group begins to exist with its first write.
    pub fn group(&self, group: GroupId) -> Arc<dyn LogStore> {
        let group = self.0.shared.group(group, self.0.cache_bytes);
        Arc::new(GroupLog { inner: self.0.clone(), group })
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.driver.stop(&self.shared);
    }
}
