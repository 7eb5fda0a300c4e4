//! The footer of a sealed segment: what a scan of all its frames would find, so that opening need not scan them.
//!
//! When a segment is full and the next one is durable, the footer is written behind its last frame, at a multiple of 512
//! bytes, the file is cut behind it, and synced. So a footer says two things: that everything before it is durable, and that
//! the next segment exists. Little-endian:
//!
//! | offset | bytes | field |
//! |---:|---:|---|
//! | 0 | 8 | magic, `LBIRDFTR` |
//! | 8 | 4 | version, 1 |
//! | 12 | 4 | CRC-32C of bytes 16 to the end of the groups |
//! | 16 | 8 | log: the random number that all files of one log share |
//! | 24 | 8 | number of the segment |
//! | 32 | 8 | stream offset behind the last frame |
//! | 40 | 8 | sequence of the next frame |
//! | 48 | 8 | length of the groups |
//! | 56 | 4 | number of the groups |
//! | 60 | 4 | 0 |
//! | 64 | … | the groups, end to end |
//!
//! Zeros follow to the last 16 bytes of a sector, which are the last of the file: where in the file the footer begins
//! (8), and the magic `LBIRDEOS`. A *group*:
//!
//! | bytes | field |
//! |---:|---|
//! | … | a checkpoint ([`super::operation`]): how the group stood at the end of the segment |
//! | 4 | number of anchors, 0 if no entry lives in this segment |
//! | 4 | length of the rows |
//! | 8 | the number behind the last entry |
//! | … | the anchors: number (8), term (8), offset in the file (8), last log index before (8), where its row begins (4), optional numbering after it |
//! | … | the rows, as [`super::index`] describes them |
//!
//! A footer that does not verify costs no data: the segment is then scanned like the last one.

use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use lovebird_core::identity::GroupId;

use super::frame::padded;
use super::index::{Anchor, Run};
use super::operation::{Checkpoint, Operation, get_numbering, get_option, put_numbering, put_option};
use super::segment::{SEGMENT_HEADER_BYTES, Segment, SegmentHeader};
use super::trail::Trail;
use crate::disk::{SECTOR_BYTES, read_exact_at};

const HEADER_BYTES: usize = 64;
const END_BYTES: usize = 16;
const MAGIC: &[u8; 8] = b"LBIRDFTR";
const END_MAGIC: &[u8; 8] = b"LBIRDEOS";
const VERSION: u32 = 1;

/// The smallest anchor: one whose numbering is unknown.
const ANCHOR_BYTES_MIN: usize = 37;

/// Which segment a footer ends, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sealed {
    pub(super) log: u64,
    pub(super) number: u64,
    /// Stream offset and sequence of the first frame behind this segment.
    pub(super) stream: u64,
    pub(super) sequence: u64,
}

/// A footer that verified.
pub(super) struct Footer {
    pub(super) sealed: Sealed,
    pub(super) groups: Vec<(GroupId, Checkpoint, Option<Run>)>,
    /// Where in the file it begins: behind the last frame.
    pub(super) at: u64,
}

impl Footer {
    /// Whether it is the footer of a segment that begins like this.
    pub(super) fn ends(&self, header: &SegmentHeader) -> bool {
        let frames = self.at.checked_sub(SEGMENT_HEADER_BYTES as u64);
        let stream = frames.and_then(|bytes| header.stream.checked_add(bytes));
        (self.sealed.log, self.sealed.number) == (header.log, header.number)
            && stream == Some(self.sealed.stream)
    }
}

/// The bytes of a footer that begins at `at`.
pub(super) fn encode<'a>(
    sealed: Sealed,
    at: u64,
    trails: impl Iterator<Item = (GroupId, &'a Trail)>,
) -> BytesMut {
    let mut out = BytesMut::zeroed(HEADER_BYTES);
    let mut groups = 0;
    for (group, trail) in trails {
        groups += 1;
        Operation::Checkpoint(trail.checkpoint().clone()).encode(group, &mut out);
        let run = trail.index().last_run(sealed.number);
        let (anchors, rows) = run.map_or((&[][..], &[][..]), |run| (run.anchors(), run.rows()));
        out.put_u32_le(anchors.len() as u32);
        out.put_u32_le(rows.len() as u32);
        out.put_u64_le(run.map_or(0, Run::end));
        anchors.iter().for_each(|anchor| put_anchor(&mut out, anchor));
        out.put_slice(rows);
    }
    let length = out.len() - HEADER_BYTES;
    let mut header = &mut out[..HEADER_BYTES];
    header.put_slice(MAGIC);
    header.put_u32_le(VERSION);
    header.put_u32_le(0);
    header.put_u64_le(sealed.log);
    header.put_u64_le(sealed.number);
    header.put_u64_le(sealed.stream);
    header.put_u64_le(sealed.sequence);
    header.put_u64_le(length as u64);
    header.put_u32_le(groups);
    let crc = crc32c::crc32c(&out[16..]);
    out[12..16].copy_from_slice(&crc.to_le_bytes());
    out.resize(padded(out.len() + END_BYTES) - END_BYTES, 0);
    out.put_u64_le(at);
    out.put_slice(END_MAGIC);
    out
}

/// Reads the footer of a segment. None if it has none that verifies.
///
/// # Errors
/// Those of the disk.
pub(super) fn read(segment: &Arc<Segment>) -> std::io::Result<Option<Footer>> {
    let length = segment.file.len()?;
    let mut end = [0; END_BYTES];
    let Some(end_at) = length.checked_sub(END_BYTES as u64) else { return Ok(None) };
    read_exact_at(&*segment.file, end_at, &mut end)?;
    let Some(at) = starts_at(&end).filter(|at| *at < end_at) else { return Ok(None) };
    let Ok(bytes) = usize::try_from(end_at - at) else { return Ok(None) };
    let mut footer = vec![0; bytes];
    read_exact_at(&*segment.file, at, &mut footer)?;
    Ok(decode(footer.into(), segment, at))
}

/// Where the footer begins, if these are the last bytes of a file that has one.
fn starts_at(mut end: &[u8]) -> Option<u64> {
    let at = end.get_u64_le();
    (end == END_MAGIC && at.is_multiple_of(SECTOR_BYTES as u64)).then_some(at)
}

/// Reads a footer that begins at `at`.
pub(super) fn decode(mut bytes: Bytes, segment: &Arc<Segment>, at: u64) -> Option<Footer> {
    if bytes.len() < HEADER_BYTES || !bytes.starts_with(MAGIC) {
        return None;
    }
    let covered = bytes.slice(16..);
    let mut header = bytes.split_to(HEADER_BYTES);
    header.advance(8);
    let (version, crc) = (header.get_u32_le(), header.get_u32_le());
    let sealed = Sealed {
        log: header.get_u64_le(),
        number: header.get_u64_le(),
        stream: header.get_u64_le(),
        sequence: header.get_u64_le(),
    };
    let length = usize::try_from(header.get_u64_le()).ok()?;
    let (count, reserved) = (header.get_u32_le(), header.get_u32_le());
    if version != VERSION || reserved != 0 || length > bytes.len() || sealed.number != segment.number {
        return None;
    }
    if crc32c::crc32c(&covered[..HEADER_BYTES - 16 + length]) != crc {
        return None;
    }
    bytes.truncate(length);
    let mut groups = Vec::new();
    for _ in 0..count {
        groups.push(get_group(&mut bytes, segment)?);
    }
    bytes.is_empty().then_some(Footer { sealed, groups, at })
}

fn get_group(bytes: &mut Bytes, segment: &Arc<Segment>) -> Option<(GroupId, Checkpoint, Option<Run>)> {
    let (group, Operation::Checkpoint(checkpoint)) = Operation::decode(bytes)? else { return None };
    let anchors = bytes.try_get_u32_le().ok()? as usize;
    let rows = bytes.try_get_u32_le().ok()? as usize;
    let end = bytes.try_get_u64_le().ok()?;
    if anchors.checked_mul(ANCHOR_BYTES_MIN)? > bytes.len() {
        return None;
    }
    let anchors: Vec<Anchor> = (0..anchors).map(|_| get_anchor(bytes)).collect::<Option<_>>()?;
    if rows > bytes.len() {
        return None;
    }
    let rows = bytes.split_to(rows);
    if anchors.is_empty() {
        return (rows.is_empty() && end == 0).then_some((group, checkpoint, None));
    }
    let run = Run::load(segment.clone(), anchors, rows.to_vec(), end)?;
    // Entries that live in a segment are the last that the group has at its end.
    (run.end() == checkpoint.last?.id.number + 1).then_some((group, checkpoint, Some(run)))
}

fn put_anchor(out: &mut BytesMut, anchor: &Anchor) {
    out.put_u64_le(anchor.number);
    out.put_u64_le(anchor.term);
    out.put_u64_le(anchor.offset);
    out.put_u64_le(anchor.before);
    out.put_u32_le(anchor.at);
    put_option(out, &anchor.after, put_numbering);
}

fn get_anchor(bytes: &mut Bytes) -> Option<Anchor> {
    Some(Anchor {
        number: bytes.try_get_u64_le().ok()?,
        term: bytes.try_get_u64_le().ok()?,
        offset: bytes.try_get_u64_le().ok()?,
        before: bytes.try_get_u64_le().ok()?,
        at: bytes.try_get_u32_le().ok()?,
        after: get_option(bytes, get_numbering)?,
    })
}
