//! One group's view of the log: [`LogStore`] over the group's state, the queue and the segments.

use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use lovebird_core::entry::{Entry, EntryId};
use lovebird_core::fence::Numbering;
use lovebird_core::identity::GroupId;
use lovebird_core::log_store::{Completion, LogState, LogStore, Vote};

use super::Inner;
use super::group::{GroupState, Location, Source};
use super::operation::Operation;
use super::queue::Pending;
use crate::disk::read_exact_at;
use crate::sync::lock;

/// See the module. Clones of the same group share its state.
pub(super) struct GroupLog {
    pub(super) inner: Arc<Inner>,
    pub(super) group: GroupId,
    pub(super) state: Arc<Mutex<GroupState>>,
}

impl GroupLog {
    /// Lets `decide` say what to do, queues it and does it in memory, all under the group's lock. `done` is called with an
    /// error if nothing was queued, and at once if there is nothing to do.
    fn change(
        &self,
        done: Option<Completion>,
        decide: impl FnOnce(&mut GroupState) -> io::Result<Option<Operation>>,
    ) -> io::Result<()> {
        let outcome = {
            let mut state = lock(&self.state);
            match self
                .inner
                .shared
                .failure()
                .map_or_else(|| decide(&mut state), |cause| Err(super::queue::poisoned(&cause)))
            {
                Err(e) => Err((done, e)),
                Ok(None) => Ok(()),
                Ok(Some(operation)) => {
                    let pending = Pending { group: self.group, operation: operation.clone(), done };
                    let queued = self.inner.shared.enqueue(pending);
                    if queued.is_ok() {
                        state.apply(operation);
                    }
                    queued
                }
            }
        };
        match outcome {
            Ok(()) => {
                self.inner.driver.wake(&self.inner.shared);
                Ok(())
            }
            Err((done, error)) => {
                if let Some(done) = done {
                    done(Err(io::Error::new(error.kind(), error.to_string())));
                }
                Err(error)
            }
        }
    }
}

impl LogStore for GroupLog {
    fn state(&self) -> LogState {
        lock(&self.state).state()
    }

    fn append(&self, mut entries: Vec<Entry>, done: Completion) -> io::Result<()> {
        self.change(Some(done), |state| {
            state.stamp(&mut entries)?;
            Ok(Some(Operation::Append(entries)))
        })
    }

    fn save_vote(&self, vote: Vote, done: Completion) -> io::Result<()> {
        self.change(Some(done), |_| Ok(Some(Operation::Vote(vote))))
    }

    fn save_committed(&self, committed: Option<EntryId>) -> io::Result<()> {
        self.change(None, |_| Ok(Some(Operation::Committed(committed))))
    }

    fn truncate_after(&self, last: Option<EntryId>) -> io::Result<()> {
        self.change(None, |state| state.truncation(last))
    }

    fn purge(&self, upto: EntryId) -> io::Result<()> {
        self.change(None, |state| state.purging(upto))
    }

    fn install(&self, last: EntryId, numbering: Numbering) -> io::Result<()> {
        self.change(None, |state| state.install(last, numbering))
    }

    fn read(&self, numbers: Range<u64>, bytes_max: usize) -> io::Result<Vec<Entry>> {
        let sources = lock(&self.state).sources(numbers, bytes_max);
        let mut entries = Vec::with_capacity(sources.len());
        // Neighbours on disk are read as one.
        for run in sources.chunk_by(adjacent) {
            read_run(run, &mut entries)?;
        }
        Ok(entries)
    }

    fn read_cached(&self, numbers: Range<u64>, bytes_max: usize) -> Option<Vec<Entry>> {
        let sources = lock(&self.state).sources(numbers, bytes_max);
        let in_memory = |source| match source {
            Source::Memory(entry) => Some(entry),
            Source::Disk { .. } => None,
        };
        sources.into_iter().map(in_memory).collect()
    }

    fn numbering_at(&self, number: u64) -> Option<Numbering> {
        lock(&self.state).numbering_at(number)
    }

    fn find(&self, log_index: u64) -> Option<u64> {
        lock(&self.state).find(log_index)
    }

    fn failure(&self) -> Option<String> {
        self.inner.shared.failure()
    }
}

fn adjacent(a: &Source, b: &Source) -> bool {
    match (a, b) {
        (Source::Disk { bytes, location: a, .. }, Source::Disk { location: b, .. }) => {
            Arc::ptr_eq(&a.segment, &b.segment) && a.offset + u64::from(*bytes) == b.offset
        }
        _ => false,
    }
}

/// Reads and verifies sources that lie end to end, or one that is in memory.
fn read_run(run: &[Source], entries: &mut Vec<Entry>) -> io::Result<()> {
    let Location { segment, offset } = match &run[0] {
        Source::Memory(entry) => {
            entries.push(entry.clone());
            return Ok(());
        }
        Source::Disk { location, .. } => location,
    };
    let length = |source: &Source| match source {
        Source::Memory(_) => 0,
        Source::Disk { bytes, .. } => *bytes as usize,
    };
    let mut bytes = vec![0; run.iter().map(length).sum()];
    read_exact_at(&*segment.file, *offset, &mut bytes)?;
    let mut bytes = Bytes::from(bytes);
    for source in run {
        let Source::Disk { id, location, .. } = source else { continue };
        let damaged = |what: String| {
            let text = format!(
                "{} is damaged at byte {}, where entry {id} was written: {what}; replace this replica",
                segment.path.display(),
                location.offset
            );
            io::Error::new(io::ErrorKind::InvalidData, text)
        };
        let entry = Entry::decode(&mut bytes).map_err(|e| damaged(e.to_string()))?;
        if entry.id() != *id {
            return Err(damaged(format!("entry {} is there", entry.id())));
        }
        entries.push(entry);
    }
    Ok(())
}
