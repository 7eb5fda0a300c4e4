//! What the writer knows of a group: where it stands as of the last frame written, and which segments hold its entries.
//!
//! The group's own state runs ahead of the stream; what may be removed from the disk, and what the head of a new segment
//! has to repeat, are questions to the stream.

use std::collections::VecDeque;

use lovebird_core::fence::Numbering;

use super::operation::{Checkpoint, Operation, Point, number};

/// See the module.
#[derive(Default)]
pub(super) struct Trail {
    checkpoint: Checkpoint,
    /// Which entries live in which segment, in order of both.
    runs: VecDeque<Run>,
}

struct Run {
    segment: u64,
    first: u64,
    last: u64,
}

impl Trail {
    /// The state as of the last operation.
    pub(super) fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The first segment that holds an entry of this group.
    pub(super) fn first_segment(&self) -> Option<u64> {
        self.runs.front().map(|run| run.segment)
    }

    /// Follows an operation that stands in `segment`.
    ///
    /// # Errors
    /// A sentence, if entries do not count as they say.
    pub(super) fn apply(&mut self, operation: &Operation, segment: u64) -> Result<(), String> {
        match operation {
            Operation::Append(entries) => {
                for entry in entries {
                    let before = match self.checkpoint.last {
                        Some(last) => last.numbering,
                        None => Some(Numbering::default()),
                    };
                    let (numbering, _) = number(before, &entry.header)?;
                    self.checkpoint.last = Some(Point { id: entry.id(), numbering });
                    self.extend(entry.header.number, segment);
                }
            }
            Operation::TruncateAfter(last) => {
                self.checkpoint.last = last.or(self.checkpoint.purged);
                let end = last.map_or(0, |point| point.id.number + 1);
                while self.runs.back().is_some_and(|run| run.first >= end) {
                    self.runs.pop_back();
                }
                if let Some(run) = self.runs.back_mut() {
                    run.last = run.last.min(end - 1);
                }
            }
            Operation::PurgeUpTo(point) => {
                self.checkpoint.purged = Some(*point);
                if self.checkpoint.last.is_none_or(|last| last.id.number <= point.id.number) {
                    self.checkpoint.last = Some(*point);
                }
                while self.runs.front().is_some_and(|run| run.last <= point.id.number) {
                    self.runs.pop_front();
                }
            }
            Operation::Vote(vote) => self.checkpoint.vote = Some(*vote),
            Operation::Committed(committed) => self.checkpoint.committed = *committed,
            Operation::Checkpoint(checkpoint) => {
                self.checkpoint = checkpoint.clone();
                self.runs.clear();
            }
        }
        Ok(())
    }

    fn extend(&mut self, number: u64, segment: u64) {
        match self.runs.back_mut() {
            Some(run) if run.segment == segment => run.last = number,
            _ => self.runs.push_back(Run { segment, first: number, last: number }),
        }
    }
}
