//! What the stream says of a group: where it stands as of the last frame, and where its entries are.
//!
//! The group's own state runs ahead of the stream; what may be removed from the disk, what the head of a new segment has to
//! repeat, and where an entry is read from are questions to the stream. The writer follows what it writes, and opening
//! follows what it finds, through the same functions.

use std::ops::Range;
use std::sync::Arc;

use lovebird_core::fence::Numbering;

use super::index::{Index, Place, Run};
use super::operation::{Checkpoint, Operation, Point, number};
use super::segment::Segment;

/// See the module.
#[derive(Default)]
pub(super) struct Trail {
    checkpoint: Checkpoint,
    index: Index,
    /// Where the log stood before the first segment there is. What it holds of entries up to there was in segments that
    /// are gone.
    floor: Option<Point>,
}

impl Trail {
    /// The state as of the last operation.
    pub(super) fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Where the entries are. It may begin with entries that are purged.
    pub(super) fn index(&self) -> &Index {
        &self.index
    }

    /// The first segment that holds an entry of this group.
    pub(super) fn first_segment(&self) -> Option<u64> {
        self.index.first_segment()
    }

    /// Follows an operation that stands in `segment`; `offset` is where in the file its entries begin, if it has any.
    ///
    /// # Errors
    /// A sentence, if entries do not follow on what is held, or do not count as they say.
    pub(super) fn apply(
        &mut self,
        operation: &Operation,
        segment: &Arc<Segment>,
        mut offset: u64,
    ) -> Result<(), String> {
        match operation {
            Operation::Append(entries) => {
                for entry in entries {
                    let before = match self.checkpoint.last {
                        Some(last) if last.id.number + 1 != entry.header.number => {
                            return Err(format!("entry {} does not follow on entry {}", entry.id(), last.id));
                        }
                        Some(last) => last.numbering,
                        None => Some(Numbering::default()),
                    };
                    let (after, first) = number(before, &entry.header)?;
                    if entry.header.first_index != first.unwrap_or(0) {
                        return Err(format!("entry {} has no log index, though it counts", entry.id()));
                    }
                    let bytes = entry.encoded_bytes();
                    let place = Place { id: entry.id(), offset, bytes: bytes as u32 };
                    self.index.push(segment, place, before, after);
                    self.checkpoint.last = Some(Point { id: entry.id(), numbering: after });
                    offset += bytes as u64;
                }
            }
            Operation::TruncateAfter(last) => {
                self.checkpoint.last = last.or(self.checkpoint.purged);
                self.index.truncate(last.map_or(0, |point| point.id.number + 1));
                self.forget_purged();
            }
            Operation::PurgeUpTo(point) => {
                self.checkpoint.purged = Some(*point);
                if self.checkpoint.last.is_none_or(|last| last.id.number <= point.id.number) {
                    self.checkpoint.last = Some(*point);
                }
                self.forget_purged();
            }
            Operation::Vote(vote) => self.checkpoint.vote = Some(*vote),
            Operation::Committed(committed) => self.checkpoint.committed = *committed,
            Operation::Checkpoint(checkpoint) => {
                self.floor = checkpoint.last;
                self.checkpoint = checkpoint.clone();
                self.index.clear();
            }
        }
        Ok(())
    }

    /// Follows a whole segment, of which a footer says how the group stood at its end and which entries live in it.
    pub(super) fn follow(&mut self, checkpoint: Checkpoint, run: Option<Run>) {
        match run {
            Some(run) => self.index.push_run(run),
            None => self.index.truncate(checkpoint.last.map_or(0, |last| last.id.number + 1)),
        }
        self.checkpoint = checkpoint;
        self.forget_purged();
    }

    fn forget_purged(&mut self) {
        if let Some(purged) = self.checkpoint.purged {
            self.index.forget(purged.id.number);
        }
    }

    /// Which entries should be held at the end of an opening, but are not.
    pub(super) fn missing(&self) -> Option<Range<u64>> {
        let last = self.checkpoint.last?;
        let held = self.index.first().unwrap_or(last.id.number + 1);
        let due = match (self.checkpoint.purged, self.floor) {
            (Some(purged), _) => purged.id.number + 1,
            (None, Some(_)) => 0,
            // A log that was never purged begins wherever its first entry does.
            (None, None) => held,
        };
        (held > due).then_some(due..held)
    }
}
