//! The seam to the log on disk: what the machinery asks of a log engine.
//!
//! One [`LogStore`] is one group's view of a log. A log begins anywhere: the first entry that is ever appended to an empty
//! one may have any number, and later ones follow without gaps, counting from the last purge point or snapshot.
//!
//! # Contract
//!
//! - **Order.** All writes of all groups (`append`, `save_vote`, `save_committed`, `truncate_after`, `purge`) take effect on
//!   disk in the order of the calls. A vote is never reordered with entries.
//! - **Durable before done.** A [`Completion`] is called with `Ok` only after everything up to and including its write is
//!   durable (one `fdatasync` may serve many). Completions are called in order, exactly once, on any thread, and are quick.
//! - **Readable at once.** When `append` returns, every reader sees the entries, durable or not.
//! - **Numbering.** `append` stamps each entry's log index by [`crate::fence::count`] (a leader's entry arrives with 0) or,
//!   if it is already there, checks it; both only through the numbering of the entries before it. Truncation rolls the
//!   numbering back; purge points and snapshots carry it.
//! - **Poisoned for good.** After any failed write, sync or rotation every pending and later completion gets an error, every
//!   later write returns one, nothing more reaches the disk, and sync is never retried. Reads of what is in memory may go on.
//! - **Blocking.** Only `read` may wait for the disk; all other methods work in memory and enqueue.
//!
//! Callers are the consensus adapters, from any thread; writes come from one task, reads from many.

use std::io;
use std::ops::Range;

use crate::entry::{Entry, EntryId};
use crate::fence::Numbering;
use crate::identity::RaftId;

/// A vote, as raft persists it: for whom, in which term, and whether a majority has granted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vote {
    /// The term.
    pub term: u64,
    /// The candidate or leader.
    pub node: RaftId,
    /// Whether a majority granted it, so that it names a leader.
    pub committed: bool,
}

/// Called once, when a write is durable or has failed for good.
pub type Completion = Box<dyn FnOnce(io::Result<()>) + Send + 'static>;

/// All that a log knows of itself, from memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogState {
    /// The last entry that was purged.
    pub purged: Option<EntryId>,
    /// The last entry, or the purge point if there is none behind it.
    pub last: Option<EntryId>,
    /// The last saved vote.
    pub vote: Option<Vote>,
    /// The last saved commit point. It may name an entry that the log does not hold.
    pub committed: Option<EntryId>,
    /// The log index of the first record held; the next one to come if none is held.
    pub first_index: u64,
    /// The log index of the last record that counted, purged ones included; 0 before the first.
    pub last_index: u64,
}

/// One group's log. See the module's contract.
pub trait LogStore: Send + Sync + 'static {
    /// What the log knows of itself.
    fn state(&self) -> LogState;

    /// Appends entries whose numbers follow on the last one. `done` is called when they are durable.
    ///
    /// # Errors
    /// A gap, a first log index other than the one that counting gives, records while the numbering is unknown (after a
    /// purge beyond the end without [`LogStore::install`]), or a poisoned log.
    fn append(&self, entries: Vec<Entry>, done: Completion) -> io::Result<()>;

    /// Saves a vote. `done` is called when it is durable; [`LogStore::state`] shows it at once.
    fn save_vote(&self, vote: Vote, done: Completion) -> io::Result<()>;

    /// Saves the commit point, with the next sync that happens anyway.
    fn save_committed(&self, committed: Option<EntryId>) -> io::Result<()>;

    /// Drops all entries behind `last`, or all there are.
    fn truncate_after(&self, last: Option<EntryId>) -> io::Result<()>;

    /// Drops all entries up to and including `upto`, which may lie beyond the end; the log then goes on behind it.
    fn purge(&self, upto: EntryId) -> io::Result<()>;

    /// Tells the numbering at `last`, the last entry of a snapshot that is about to take the log's place. A following
    /// `purge(last)` uses it if the log does not hold that entry.
    fn install(&self, last: EntryId, numbering: Numbering) -> io::Result<()>;

    /// The entries of `numbers` that the log holds, in order. Stops after the entry with which `bytes_max` is reached,
    /// but gives at least one if there is one. May wait for the disk.
    fn read(&self, numbers: Range<u64>, bytes_max: usize) -> io::Result<Vec<Entry>>;

    /// Like [`LogStore::read`] if memory alone can answer, else `None`. Never waits.
    fn read_cached(&self, numbers: Range<u64>, bytes_max: usize) -> Option<Vec<Entry>>;

    /// The numbering after the entry `number`, if the log holds that entry or it is the purge point.
    fn numbering_at(&self, number: u64) -> Option<Numbering>;

    /// The number of the entry that holds the record with this log index.
    fn find(&self, log_index: u64) -> Option<u64>;

    /// Why the log is poisoned, if it is.
    fn failure(&self) -> Option<String>;
}
