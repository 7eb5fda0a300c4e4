//! What the stream holds, from frames down to records, each with its offset in the file.

use bytes::Bytes;
use lovebird_core::entry::{Entry, EntryId, HEADER_BYTES};
use lovebird_core::identity::GroupId;
use lovebird_core::log_store::Vote;
use lovebird_core::record::{RECORD_HEADER_BYTES, Record, RecordError, records};

use crate::log::frame::{FRAME_HEADER_BYTES, Frame};
use crate::log::operation::{OPERATION_HEADER_BYTES, Operation, Point};

/// A frame that verified: what one group commit wrote.
#[derive(Clone, Debug)]
pub struct FrameView {
    /// Where in the file it begins.
    pub offset: u64,
    /// How many bytes it takes, with padding.
    pub bytes: u64,
    /// Its number in the stream, from 1.
    pub sequence: u64,
    /// Where in the stream it begins.
    pub stream: u64,
    /// Up to where in the stream everything was synced when it was written.
    pub durable: u64,
    payload: Bytes,
}

/// One change of one group's log.
#[derive(Clone, Debug)]
pub struct OperationView {
    /// Where in the file it begins.
    pub offset: u64,
    /// The group.
    pub group: GroupId,
    /// What changes.
    pub change: Change,
}

/// What an operation changes.
#[derive(Clone, Debug)]
pub enum Change {
    /// Entries are appended.
    Append(Vec<EntryView>),
    /// All entries behind this one are dropped, or all that are held.
    TruncateAfter(Option<EntryId>),
    /// All entries up to this one are dropped.
    PurgeUpTo {
        /// The entry.
        last: EntryId,
        /// The last log index up to there, if it is known.
        last_index: Option<u64>,
    },
    /// A vote is saved.
    Vote(Vote),
    /// The commit point is saved.
    Committed(Option<EntryId>),
    /// How the group stands at the head of a segment.
    Checkpoint {
        /// The last purged entry.
        purged: Option<EntryId>,
        /// The last entry, or the purge point if there is none behind it.
        last: Option<EntryId>,
        /// The last log index up to there, if it is known.
        last_index: Option<u64>,
        /// The vote.
        vote: Option<Vote>,
        /// The commit point.
        committed: Option<EntryId>,
    },
}

/// An entry.
#[derive(Clone, Debug)]
pub struct EntryView {
    /// Where in the file it begins.
    pub offset: u64,
    /// The entry.
    pub entry: Entry,
}

/// A record.
#[derive(Clone, Debug)]
pub struct RecordView {
    /// Where in the file it begins.
    pub offset: u64,
    /// Its log index; none if its entry does not count.
    pub log_index: Option<u64>,
    /// The record.
    pub record: Record,
}

impl FrameView {
    pub(super) fn new(offset: u64, frame: &Frame) -> FrameView {
        let header = frame.header;
        FrameView {
            offset,
            bytes: frame.bytes(),
            sequence: header.sequence,
            stream: header.stream,
            durable: header.durable,
            payload: frame.payload.clone(),
        }
    }

    /// Its operations, in order. An error is where in the file one begins that this build does not understand; it is the last.
    pub fn operations(&self) -> impl Iterator<Item = Result<OperationView, u64>> + use<> {
        let end = self.offset + (FRAME_HEADER_BYTES + self.payload.len()) as u64;
        let mut rest = self.payload.clone();
        std::iter::from_fn(move || {
            let offset = end - rest.len() as u64;
            if rest.is_empty() {
                return None;
            }
            let operation = Operation::decode(&mut rest);
            if operation.is_none() {
                rest.clear();
            }
            Some(operation.ok_or(offset).map(|(group, operation)| OperationView {
                offset,
                group,
                change: change(operation, offset + OPERATION_HEADER_BYTES as u64),
            }))
        })
    }
}

fn change(operation: Operation, mut offset: u64) -> Change {
    let last_index = |point: Point| point.numbering.map(|numbering| numbering.last_index);
    match operation {
        Operation::Append(entries) => {
            let placed = entries.into_iter().map(|entry| {
                let view = EntryView { offset, entry };
                offset += view.entry.encoded_bytes() as u64;
                view
            });
            Change::Append(placed.collect())
        }
        Operation::TruncateAfter(last) => Change::TruncateAfter(last.map(|point| point.id)),
        Operation::PurgeUpTo(point) => Change::PurgeUpTo { last: point.id, last_index: last_index(point) },
        Operation::Vote(vote) => Change::Vote(vote),
        Operation::Committed(committed) => Change::Committed(committed),
        Operation::Checkpoint(checkpoint) => Change::Checkpoint {
            purged: checkpoint.purged.map(|point| point.id),
            last: checkpoint.last.map(|point| point.id),
            last_index: checkpoint.last.map_or(Some(0), last_index),
            vote: checkpoint.vote,
            committed: checkpoint.committed,
        },
    }
}

impl EntryView {
    /// Its records, in order; none for entries other than batches of commands. An error is the last.
    pub fn records(&self) -> impl Iterator<Item = Result<RecordView, RecordError>> + use<> {
        let header = self.entry.header;
        let run = if header.record_count > 0 { self.entry.body.clone() } else { Bytes::new() };
        let first = (header.first_index > 0).then_some(header.first_index);
        let mut offset = self.offset + HEADER_BYTES as u64;
        records(run).zip(0..).map(move |(record, at)| {
            let record = record?;
            let view = RecordView { offset, log_index: first.map(|first| first + at), record };
            offset += (RECORD_HEADER_BYTES + view.record.payload.len()) as u64;
            Ok(view)
        })
    }
}
