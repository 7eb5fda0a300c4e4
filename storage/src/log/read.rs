//! Reads entries back from the segments, and verifies each before anyone sees it.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use lovebird_core::entry::{Entry, EntryId};

use super::index::Piece;
use super::segment::Segment;
use crate::disk::read_exact_at;

/// Pieces with less than this between them are read as one: that is cheaper than another call.
const GAP_BYTES: u64 = 4 << 10;

/// How much is read at a time. Small enough that what was read is still in the processor's cache when it is verified.
const READ_BYTES: u64 = 128 << 10;

/// Why entries cannot be read.
pub(super) enum Failure {
    Disk(io::Error),
    /// Something else stands where an entry was written.
    Damaged {
        segment: Arc<Segment>,
        offset: u64,
        id: EntryId,
        what: String,
    },
}

/// Reads the entries of pieces, in order.
pub(super) fn pieces(pieces: &[Piece], entries: &mut Vec<Entry>) -> Result<(), Failure> {
    entries.reserve(pieces.iter().map(|piece| piece.entries).sum());
    let mut rest = pieces;
    while let Some(first) = rest.first() {
        let near = |next: &&Piece| {
            let end = next.offset + next.bytes as u64;
            Arc::ptr_eq(&next.segment, &first.segment) && end - first.offset <= READ_BYTES
        };
        let close = |pair: &[Piece]| pair[1].offset - (pair[0].offset + pair[0].bytes as u64) <= GAP_BYTES;
        let count = 1 + rest.windows(2).take_while(|pair| near(&&pair[1]) && close(pair)).count();
        let (together, behind) = rest.split_at(count);
        read_together(together, entries)?;
        rest = behind;
    }
    Ok(())
}

fn read_together(pieces: &[Piece], entries: &mut Vec<Entry>) -> Result<(), Failure> {
    let (Some(first), Some(last)) = (pieces.first(), pieces.last()) else { return Ok(()) };
    let mut buffer = vec![0; (last.offset - first.offset) as usize + last.bytes];
    read_exact_at(&*first.segment.file, first.offset, &mut buffer).map_err(|error| match error.kind() {
        // The file has become shorter than what was written to it.
        io::ErrorKind::UnexpectedEof => Failure::Damaged {
            segment: first.segment.clone(),
            offset: first.offset,
            id: first.first,
            what: error.to_string(),
        },
        _ => Failure::Disk(error),
    })?;
    let buffer = Bytes::from(buffer);
    for piece in pieces {
        let from = (piece.offset - first.offset) as usize;
        let mut bytes = buffer.slice(from..from + piece.bytes);
        for at in 0..piece.entries as u64 {
            let id = EntryId::new(piece.first.term, piece.first.number + at);
            let offset = piece.offset + (piece.bytes - bytes.len()) as u64;
            let damaged =
                |what: String| Failure::Damaged { segment: piece.segment.clone(), offset, id, what };
            let entry = Entry::decode(&mut bytes).map_err(|e| damaged(e.to_string()))?;
            if entry.id() != id {
                return Err(damaged(format!("entry {} is there", entry.id())));
            }
            entries.push(entry);
        }
    }
    Ok(())
}
