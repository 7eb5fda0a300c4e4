//! What the stream is made of: one operation of one group. Little-endian, laid end to end in a frame's payload:
//!
//! | offset | bytes | field |
//! |---:|---:|---|
//! | 0 | 1 | kind: 1 append, 2 truncate after, 3 purge up to, 4 vote, 5 committed, 6 checkpoint |
//! | 1 | 3 | 0 |
//! | 4 | 4 | group |
//! | 8 | 4 | length of what follows |
//! | 12 | … | by kind, below |
//!
//! - *append*: entries laid end to end, as [`lovebird_core::entry`] encodes them.
//! - *truncate after*: an optional point, the entry that is the last from now on.
//! - *purge up to*: a point.
//! - *vote*: term (8), node (8), incarnation (8), committed (1).
//! - *committed*: an optional entry id.
//! - *checkpoint*: optional point purged, optional point last, optional vote, optional entry id committed.
//!
//! An *entry id* is term (8) and number (8). A *point* is an entry id and the optional numbering after that entry: token
//! (24), term (8), position (8), last log index (8), time (8). *Optional* is one byte, 0 or 1, and the value after a 1.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use lovebird_core::entry::{Entry, EntryId, Header};
use lovebird_core::fence::{Numbering, Token};
use lovebird_core::identity::{GroupId, RaftId};
use lovebird_core::log_store::Vote;

/// Bytes of an operation before what is special to its kind.
pub(super) const OPERATION_HEADER_BYTES: usize = 12;

/// An entry and the numbering after it, which is unknown after a purge beyond the end that nobody explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Point {
    pub(super) id: EntryId,
    pub(super) numbering: Option<Numbering>,
}

/// Everything that a group needs from segments that are gone, as it stands at the head of each segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Checkpoint {
    /// The last purged entry.
    pub(super) purged: Option<Point>,
    /// The last entry; the purge point if there is none behind it.
    pub(super) last: Option<Point>,
    pub(super) vote: Option<Vote>,
    pub(super) committed: Option<EntryId>,
}

/// One change of one group's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Append(Vec<Entry>),
    TruncateAfter(Option<Point>),
    PurgeUpTo(Point),
    Vote(Vote),
    Committed(Option<EntryId>),
    Checkpoint(Checkpoint),
}

impl Operation {
    fn kind(&self) -> u8 {
        match self {
            Operation::Append(_) => 1,
            Operation::TruncateAfter(_) => 2,
            Operation::PurgeUpTo(_) => 3,
            Operation::Vote(_) => 4,
            Operation::Committed(_) => 5,
            Operation::Checkpoint(_) => 6,
        }
    }

    /// About how many bytes it takes; exact for an append, which is what can be large.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Operation::Append(entries) => {
                OPERATION_HEADER_BYTES + entries.iter().map(Entry::encoded_bytes).sum::<usize>()
            }
            _ => 256,
        }
    }

    /// Appends the operation's bytes to `out`. The entries of an append begin [`OPERATION_HEADER_BYTES`] behind its first byte.
    pub(super) fn encode(&self, group: GroupId, out: &mut BytesMut) {
        out.put_u8(self.kind());
        out.put_bytes(0, 3);
        out.put_u32_le(group);
        let length_at = out.len();
        out.put_u32_le(0);
        match self {
            Operation::Append(entries) => {
                for entry in entries {
                    entry.encode(out);
                }
            }
            Operation::TruncateAfter(last) => put_option(out, last, put_point),
            Operation::PurgeUpTo(point) => put_point(out, point),
            Operation::Vote(vote) => put_vote(out, vote),
            Operation::Committed(committed) => put_option(out, committed, put_id),
            Operation::Checkpoint(checkpoint) => {
                put_option(out, &checkpoint.purged, put_point);
                put_option(out, &checkpoint.last, put_point);
                put_option(out, &checkpoint.vote, put_vote);
                put_option(out, &checkpoint.committed, put_id);
            }
        }
        let length = out.len() - length_at - 4;
        let length = u32::try_from(length).expect("operations are held far below 4 GiB when they are queued");
        out[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
    }

    /// Takes one operation from the front of a payload whose checksum was right. `None` means that this build does not
    /// understand it, since damage is ruled out.
    pub(super) fn decode(payload: &mut Bytes) -> Option<(GroupId, Operation)> {
        if payload.len() < OPERATION_HEADER_BYTES {
            return None;
        }
        let kind = payload.get_u8();
        // What a later version may say there must not be overlooked.
        let reserved = payload.get_uint_le(3);
        let group = payload.get_u32_le();
        let length = payload.get_u32_le() as usize;
        if reserved != 0 || payload.len() < length {
            return None;
        }
        let mut bytes = payload.split_to(length);
        let operation = match kind {
            1 => {
                let mut entries = Vec::new();
                while !bytes.is_empty() {
                    entries.push(Entry::decode(&mut bytes).ok()?);
                }
                Operation::Append(entries)
            }
            2 => Operation::TruncateAfter(get_option(&mut bytes, get_point)?),
            3 => Operation::PurgeUpTo(get_point(&mut bytes)?),
            4 => Operation::Vote(get_vote(&mut bytes)?),
            5 => Operation::Committed(get_option(&mut bytes, get_id)?),
            6 => Operation::Checkpoint(Checkpoint {
                purged: get_option(&mut bytes, get_point)?,
                last: get_option(&mut bytes, get_point)?,
                vote: get_option(&mut bytes, get_vote)?,
                committed: get_option(&mut bytes, get_id)?,
            }),
            _ => return None,
        };
        bytes.is_empty().then_some((group, operation))
    }
}

pub(super) fn put_option<T>(out: &mut BytesMut, value: &Option<T>, put: impl FnOnce(&mut BytesMut, &T)) {
    out.put_u8(u8::from(value.is_some()));
    if let Some(value) = value {
        put(out, value);
    }
}

fn put_id(out: &mut BytesMut, id: &EntryId) {
    out.put_u64_le(id.term);
    out.put_u64_le(id.number);
}

fn put_point(out: &mut BytesMut, point: &Point) {
    put_id(out, &point.id);
    put_option(out, &point.numbering, put_numbering);
}

pub(super) fn put_numbering(out: &mut BytesMut, numbering: &Numbering) {
    out.put_u64_le(numbering.token.node);
    out.put_u64_le(numbering.token.incarnation);
    out.put_u64_le(numbering.token.counter);
    out.put_u64_le(numbering.term);
    out.put_u64_le(numbering.position);
    out.put_u64_le(numbering.last_index);
    out.put_u64_le(numbering.time);
}

fn put_vote(out: &mut BytesMut, vote: &Vote) {
    out.put_u64_le(vote.term);
    out.put_u64_le(vote.node.node);
    out.put_u64_le(vote.node.incarnation);
    out.put_u8(u8::from(vote.committed));
}

pub(super) fn get_option<T>(
    bytes: &mut Bytes,
    get: impl FnOnce(&mut Bytes) -> Option<T>,
) -> Option<Option<T>> {
    match bytes.try_get_u8().ok()? {
        0 => Some(None),
        1 => get(bytes).map(Some),
        _ => None,
    }
}

fn get_id(bytes: &mut Bytes) -> Option<EntryId> {
    let term = bytes.try_get_u64_le().ok()?;
    let number = bytes.try_get_u64_le().ok()?;
    // There is always a next number, so that nobody who counts on need check.
    (number < u64::MAX).then_some(EntryId { term, number })
}

fn get_point(bytes: &mut Bytes) -> Option<Point> {
    let id = get_id(bytes)?;
    Some(Point { id, numbering: get_option(bytes, get_numbering)? })
}

pub(super) fn get_numbering(bytes: &mut Bytes) -> Option<Numbering> {
    let token = Token {
        node: bytes.try_get_u64_le().ok()?,
        incarnation: bytes.try_get_u64_le().ok()?,
        counter: bytes.try_get_u64_le().ok()?,
    };
    Some(Numbering {
        token,
        term: bytes.try_get_u64_le().ok()?,
        position: bytes.try_get_u64_le().ok()?,
        last_index: bytes.try_get_u64_le().ok()?,
        time: bytes.try_get_u64_le().ok()?,
    })
}

fn get_vote(bytes: &mut Bytes) -> Option<Vote> {
    let term = bytes.try_get_u64_le().ok()?;
    let node = RaftId::new(bytes.try_get_u64_le().ok()?, bytes.try_get_u64_le().ok()?);
    let committed = match bytes.try_get_u8().ok()? {
        0 => false,
        1 => true,
        _ => return None,
    };
    Some(Vote { term, node, committed })
}

/// The numbering after one more entry, and the log index of its first record if its records count.
///
/// An entry without records needs no log index, so it may come while the numbering is unknown, which it then stays: openings of
/// sessions too, though they may count.
///
/// # Errors
/// A sentence, if the entry brings records while the numbering is unknown, or a log index other than its own.
pub(super) fn number(
    before: Option<Numbering>,
    header: &Header,
) -> Result<(Option<Numbering>, Option<u64>), String> {
    let Some(before) = before else {
        if header.record_count > 0 {
            return Err(format!(
                "entry {}:{} brings records, but the log was purged beyond its end and nobody has told the numbering there: \
                 install the snapshot first",
                header.term, header.number
            ));
        }
        return Ok((None, None));
    };
    let (after, first) = lovebird_core::fence::count(before, header);
    if header.first_index != 0 && header.first_index != first.unwrap_or(0) {
        let why = if after == before { "it does not count" } else { "no record of it does" };
        return Err(format!(
            "entry {}:{} says that its first record has log index {}, counting gives {}",
            header.term,
            header.number,
            header.first_index,
            first.map_or(format!("none, since {why}"), |first| first.to_string())
        ));
    }
    Ok((Some(after), first))
}
