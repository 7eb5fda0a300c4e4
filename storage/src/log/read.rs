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

/// How much is read at a time.
const READ_BYTES: u64 = 4 << 20;

/// Reads the entries of pieces, in order.
///
/// # Errors
/// Those of the disk, and `InvalidData` where something other than the entry stands where it was written.
pub(super) fn pieces(pieces: &[Piece], entries: &mut Vec<Entry>) -> io::Result<()> {
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

fn read_together(pieces: &[Piece], entries: &mut Vec<Entry>) -> io::Result<()> {
    let (Some(first), Some(last)) = (pieces.first(), pieces.last()) else { return Ok(()) };
    let mut buffer = vec![0; (last.offset - first.offset) as usize + last.bytes];
    read_exact_at(&*first.segment.file, first.offset, &mut buffer)?;
    let buffer = Bytes::from(buffer);
    for piece in pieces {
        let from = (piece.offset - first.offset) as usize;
        let mut bytes = buffer.slice(from..from + piece.bytes);
        for at in 0..piece.entries as u64 {
            let id = EntryId::new(piece.first.term, piece.first.number + at);
            let offset = piece.offset + (piece.bytes - bytes.len()) as u64;
            let entry = Entry::decode(&mut bytes).map_err(|e| damaged(&piece.segment, offset, id, e))?;
            if entry.id() != id {
                return Err(damaged(&piece.segment, offset, id, format!("entry {} is there", entry.id())));
            }
            entries.push(entry);
        }
    }
    Ok(())
}

fn damaged(segment: &Segment, offset: u64, id: EntryId, what: impl ToString) -> io::Error {
    let text = format!(
        "{} is damaged at byte {offset}, where entry {id} was written: {}; replace this replica",
        segment.path.display(),
        what.to_string()
    );
    io::Error::new(io::ErrorKind::InvalidData, text)
}
