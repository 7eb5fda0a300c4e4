//! openraft's log storage over any [`LogStore`].
//!
//! Almost nothing happens here: entries pass through as they are. What openraft leaves to its storage, and we answer here:
//! `append` and `save_vote` complete through the log's own completions; `save_committed`, `purge` and `truncate_after`
//! only enqueue, since openraft's core waits for them; the saved commit point may run ahead of what a crash left of the log,
//! so it is held to what the log has when it is read.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, Range, RangeBounds};
use std::sync::Arc;

use futures_util::Stream;
use openraft::alias::{LogIdOf, VoteOf};
use openraft::entry::RaftEntry;
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::{LogState, OptionalSend, RaftLogReader};
use tokio::sync::oneshot;

use super::types::{LogEntry, Types, from_log_id, from_raft_vote, to_log_id, to_raft_vote};
use crate::entry::Entry;
use crate::identity::GroupId;
use crate::log_store::LogStore;
use crate::planted::{self, Bug};
use crate::runtime;

/// How many bytes of entries one append message carries as a rule: large enough to be worth a round trip, small enough
/// that a follower shows progress within a heartbeat on a slow disk.
const MESSAGE_BYTES: usize = 2 << 20;

/// How many bytes of entries apply takes from the log at a time.
const APPLY_BYTES: usize = 4 << 20;

/// One group's log as openraft wants it. Clones share it.
#[derive(Clone)]
pub(crate) struct LogAdapter {
    log: Arc<dyn LogStore>,
    group: GroupId,
}

impl LogAdapter {
    pub(crate) fn new(log: Arc<dyn LogStore>, group: GroupId) -> Self {
        LogAdapter { log, group }
    }

    async fn read(&self, numbers: Range<u64>, bytes_max: usize) -> io::Result<Vec<LogEntry>> {
        let entries = match self.log.read_cached(numbers.clone(), bytes_max) {
            Some(entries) => entries,
            None => {
                let log = self.log.clone();
                runtime::blocking(move || log.read(numbers, bytes_max)).await?
            }
        };
        Ok(entries.into_iter().map(LogEntry::new).collect())
    }

    /// The entries of `numbers`, a few megabytes at a time, so that catching up does not hold a whole log in memory.
    fn stream(self, numbers: Range<u64>) -> impl Stream<Item = Result<LogEntry, io::Error>> + Send {
        struct State {
            log: LogAdapter,
            numbers: Range<u64>,
            ready: std::vec::IntoIter<LogEntry>,
        }
        let state = State { log: self, numbers, ready: Vec::new().into_iter() };
        futures_util::stream::try_unfold(state, async |mut state| {
            if let Some(entry) = state.ready.next() {
                return Ok(Some((entry, state)));
            }
            if state.numbers.is_empty() {
                return Ok(None);
            }
            let entries = state.log.read(state.numbers.clone(), APPLY_BYTES).await?;
            state.numbers.start += entries.len() as u64;
            state.ready = entries.into_iter();
            match state.ready.next() {
                Some(entry) => Ok(Some((entry, state))),
                // A range may reach beyond the end of the log, where it ends, but not before its beginning.
                None if state.log.log.state().last.is_none_or(|last| last.number < state.numbers.start) => {
                    Ok(None)
                }
                None => Err(io::Error::other(format!(
                    "the log does not hold the committed entries {:?}",
                    state.numbers
                ))),
            }
        })
    }
}

fn numbers_of(range: &impl RangeBounds<u64>) -> Range<u64> {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(last) => last.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    start..end
}

impl RaftLogReader<Types> for LogAdapter {
    async fn try_get_log_entries<RB>(&mut self, range: RB) -> Result<Vec<LogEntry>, io::Error>
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        self.read(numbers_of(&range), usize::MAX).await
    }

    async fn read_vote(&mut self) -> Result<Option<VoteOf<Types>>, io::Error> {
        if planted::is(Bug::ForgetVote) {
            return Ok(None);
        }
        Ok(self.log.state().vote.map(to_raft_vote))
    }

    /// What a peer is sent. A replication that RaftCore has given up already may still ask for what was purged meanwhile: then
    /// nothing is given, which openraft takes for a heartbeat, and not what follows behind the gap, which it would send.
    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<LogEntry>, io::Error> {
        let entries = self.read(start..end, MESSAGE_BYTES).await?;
        let follows =
            planted::is(Bug::SendBehindGap) || entries.first().is_none_or(|first| first.index() == start);
        if !follows {
            crate::sometimes!("a peer is to be sent what was purged meanwhile");
        }
        Ok(if follows { entries } else { Vec::new() })
    }

    async fn entries_stream<RB>(
        &mut self,
        range: RB,
    ) -> impl Stream<Item = Result<LogEntry, io::Error>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        self.clone().stream(numbers_of(&range))
    }
}

impl RaftLogStorage<Types> for LogAdapter {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, io::Error> {
        let state = self.log.state();
        Ok(LogState {
            last_purged_log_id: state.purged.map(to_log_id),
            last_log_id: state.last.map(to_log_id),
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &VoteOf<Types>) -> Result<(), io::Error> {
        let (done, durable) = oneshot::channel();
        self.log.save_vote(
            from_raft_vote(vote),
            Box::new(move |result| {
                // Whoever waited has gone if openraft is being dropped.
                let _ = done.send(result);
            }),
        )?;
        durable.await.map_err(|_| io::Error::other("the log was closed before the vote was durable"))?
    }

    async fn save_committed(&mut self, committed: Option<LogIdOf<Types>>) -> Result<(), io::Error> {
        self.log.save_committed(committed.map(from_log_id))
    }

    async fn read_committed(&mut self) -> Result<Option<LogIdOf<Types>>, io::Error> {
        let state = self.log.state();
        if planted::is(Bug::CommitWholeLog) {
            return Ok(state.last.map(to_log_id));
        }
        let Some(committed) = state.committed else { return Ok(None) };
        if state.purged.is_some_and(|purged| committed <= purged) {
            return Ok(Some(to_log_id(committed)));
        }
        let held = self.read(committed.number..committed.number + 1, 0).await?;
        let held = held.into_iter().next().map(|entry| entry.into_entry().id());
        Ok((held == Some(committed)).then(|| to_log_id(committed)))
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = LogEntry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let group = self.group;
        let entries: Vec<Entry> = entries
            .into_iter()
            .map(|entry| {
                let mut entry = entry.into_entry();
                entry.header.group = group;
                entry
            })
            .collect();
        if planted::is(Bug::AcceptBeforeDurable) {
            self.log.append(entries, Box::new(|_| {}))?;
            callback.io_completed(Ok(()));
            return Ok(());
        }
        self.log.append(entries, Box::new(move |result| callback.io_completed(result)))
    }

    async fn truncate_after(&mut self, last: Option<LogIdOf<Types>>) -> Result<(), io::Error> {
        self.log.truncate_after(last.map(from_log_id))
    }

    async fn purge(&mut self, upto: LogIdOf<Types>) -> Result<(), io::Error> {
        if planted::is(Bug::KeepLogBehindSnapshot)
            && self.log.state().last.is_none_or(|last| last.number < upto.index)
        {
            return Ok(());
        }
        self.log.purge(from_log_id(upto))
    }
}
