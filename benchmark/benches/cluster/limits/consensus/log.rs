//! A log that is a vector: durable at once, and lost with the process.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openraft::alias::{EntryOf, LogIdOf, VoteOf};
use openraft::entry::RaftEntry;
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::{LogState, OptionalSend, RaftLogReader};

use super::Types;

/// Clones share it.
#[derive(Clone, Default)]
pub(super) struct Log(Arc<Mutex<Held>>);

#[derive(Default)]
struct Held {
    vote: Option<VoteOf<Types>>,
    /// The entry with number `n` is at place `n`: nothing is purged.
    entries: Vec<EntryOf<Types>>,
}

impl Log {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RaftLogReader<Types> for Log {
    async fn try_get_log_entries<B>(&mut self, range: B) -> Result<Vec<EntryOf<Types>>, io::Error>
    where
        B: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let held = self.held();
        let length = held.entries.len();
        let start = match range.start_bound() {
            Bound::Included(start) => *start as usize,
            Bound::Excluded(before) => *before as usize + 1,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(last) => *last as usize + 1,
            Bound::Excluded(end) => *end as usize,
            Bound::Unbounded => length,
        };
        Ok(held.entries.get(start..end.min(length)).unwrap_or_default().to_vec())
    }

    async fn read_vote(&mut self) -> Result<Option<VoteOf<Types>>, io::Error> {
        Ok(self.held().vote)
    }
}

impl RaftLogStorage<Types> for Log {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, io::Error> {
        let last_log_id = self.held().entries.last().map(RaftEntry::log_id);
        Ok(LogState { last_purged_log_id: None, last_log_id })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &VoteOf<Types>) -> Result<(), io::Error> {
        self.held().vote = Some(*vote);
        Ok(())
    }

    async fn append<I>(&mut self, entries: I, done: IOFlushed<Types>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = EntryOf<Types>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        self.held().entries.extend(entries);
        done.io_completed(Ok(()));
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogIdOf<Types>>) -> Result<(), io::Error> {
        self.held().entries.truncate(last.map_or(0, |last| last.index as usize + 1));
        Ok(())
    }

    async fn purge(&mut self, _: LogIdOf<Types>) -> Result<(), io::Error> {
        Err(io::Error::other("there are no snapshots, so nothing can be purged"))
    }
}
