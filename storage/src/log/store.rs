//! One group's view of the log: [`LogStore`] over the group, the queue and the segments.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use lovebird_core::entry::{Entry, EntryId};
use lovebird_core::fence::Numbering;
use lovebird_core::log_store::{Completion, LogState, LogStore, Vote};

use super::Inner;
use super::group::{Group, GroupState};
use super::operation::Operation;
use super::queue::Pending;
use super::read::Failure;
use crate::sync::{lock, read};

/// See the module. Clones of the same group share its state.
pub(super) struct GroupLog {
    pub(super) inner: Arc<Inner>,
    pub(super) group: Arc<Group>,
}

impl GroupLog {
    /// Lets `decide` say what to do, queues it and does it in memory, all under the group's lock. `done` is called with an
    /// error if nothing was queued, and at once if there is nothing to do.
    fn change(
        &self,
        done: Option<Completion>,
        decide: impl FnOnce(&mut GroupState) -> io::Result<Option<Operation>>,
    ) -> io::Result<()> {
        let shared = &self.inner.shared;
        let outcome = {
            let mut state = lock(&self.group.state);
            match shared
                .failure()
                .map_or_else(|| decide(&mut state), |cause| Err(super::queue::poisoned(&cause)))
            {
                Err(e) => Err((done, e)),
                Ok(None) => Ok(()),
                Ok(Some(operation)) => {
                    let operation = Arc::new(operation);
                    let queued = shared.enqueue(Pending {
                        group: self.group.clone(),
                        operation: operation.clone(),
                        append: state.next_append(),
                        done,
                    });
                    if queued.is_ok() {
                        state.apply(&operation);
                    }
                    queued
                }
            }
        };
        match outcome {
            Ok(()) => {
                self.inner.driver.wake(shared);
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

    /// Reads what the trail has of `numbers`, without the state's lock. Gives the number behind, and how many bytes it was.
    fn read_trail(
        &self,
        numbers: Range<u64>,
        bytes_max: usize,
        entries: &mut Vec<Entry>,
    ) -> io::Result<(u64, usize)> {
        let mut pieces = Vec::new();
        let read = {
            let trail = read(&self.group.trail);
            let held = self.group.bounds.in_trail();
            if numbers.start < held.start {
                return Ok((numbers.start, 0));
            }
            trail.index().pieces(numbers.start..numbers.end.min(held.end), bytes_max, &mut pieces)
        };
        super::read::pieces(&pieces, entries).map_err(|failure| self.explain(failure))?;
        Ok(read)
    }

    /// Says what is lost where an entry does not verify.
    fn explain(&self, failure: Failure) -> io::Error {
        let (segment, offset, id, what) = match failure {
            Failure::Disk(error) => return error,
            Failure::Damaged { segment, offset, id, what } => {
                lovebird_core::sometimes!("an entry that is read back is damaged");
                (segment, offset, id, what)
            }
        };
        let last_index = |number| Some(read(&self.group.trail).index().point(number)?.numbering?.last_index);
        let last = last_index(id.number);
        let before = id.number.checked_sub(1).map_or(Some(0), last_index);
        let indexes = match (before, last) {
            (Some(before), Some(last)) if before < last => format!("log indexes {} to {last}", before + 1),
            (Some(_), Some(_)) => "no log index".to_owned(),
            (None, Some(last)) => format!("log indexes up to {last}"),
            _ => "log indexes that are not known".to_owned(),
        };
        let text = format!(
            "{} is damaged at byte {offset}, where entry {id} was written with {indexes}: {what}. Do not cut or \
             delete the file; replace this replica",
            segment.path.display()
        );
        io::Error::new(io::ErrorKind::InvalidData, text)
    }

    /// Reads entries, those in the trail first. None if a cut came between: what was read before it and what was read
    /// behind may not belong together.
    fn read_once(&self, numbers: Range<u64>, bytes_max: usize) -> io::Result<Option<Vec<Entry>>> {
        let bounds = &self.group.bounds;
        let cuts = bounds.cuts();
        let (mut entries, mut next, mut bytes) = (Vec::new(), numbers.start, 0);
        loop {
            let held = bounds.in_trail();
            if next < held.start {
                if !entries.is_empty() {
                    // What would be next was purged meanwhile.
                    break;
                }
                next = held.start;
            }
            if next < held.end.min(numbers.end) {
                let (behind, read) = self.read_trail(next..numbers.end, bytes_max - bytes, &mut entries)?;
                if behind == next && bounds.cuts() == cuts && bounds.in_trail() == held {
                    return Err(io::Error::other(format!("entry {next} is not held, though {held:?} are")));
                }
                (next, bytes) = (behind, bytes + read);
            }
            if next >= numbers.end || bytes >= bytes_max || bounds.cuts() != cuts {
                break;
            }
            let state = lock(&self.group.state);
            // Otherwise it has left the tail meanwhile: then the trail has it.
            if next >= state.first()
                && state.read_tail(next..numbers.end, bytes_max - bytes, &mut entries).is_some()
            {
                break;
            }
        }
        Ok((bounds.cuts() == cuts).then_some(entries))
    }
}

impl LogStore for GroupLog {
    fn state(&self) -> LogState {
        lock(&self.group.state).state()
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
        loop {
            if let Some(entries) = self.read_once(numbers.clone(), bytes_max.max(1))? {
                return Ok(entries);
            }
        }
    }

    fn read_cached(&self, numbers: Range<u64>, bytes_max: usize) -> Option<Vec<Entry>> {
        let state = lock(&self.group.state);
        let mut entries = Vec::new();
        let from = numbers.start.max(state.first());
        state.read_tail(from..numbers.end, bytes_max, &mut entries)?;
        Some(entries)
    }

    fn numbering_at(&self, number: u64) -> Option<Numbering> {
        lock(&self.group.state).numbering_at(number)
    }

    fn find(&self, log_index: u64) -> Option<u64> {
        lock(&self.group.state).find(log_index)
    }

    fn failure(&self) -> Option<String> {
        self.inner.shared.failure()
    }
}
