//! What the bytes of a segment are worth after a crash: a pure function.
//!
//! The frames of a segment are read one after another. At the first position that holds none, three things are possible:
//!
//! - only zeros follow: the segment ends here ([`Tail::Clean`]);
//! - something follows, but nothing proves that it was ever synced: a write was under way when the machine stopped, and
//!   nobody was told that it succeeded ([`Tail::Torn`]);
//! - something proves that the stream was synced beyond this position: either a later frame whose `durable` lies beyond
//!   it, or what the caller knows (the next segment is only begun when this one is synced). Then data that was
//!   acknowledged is damaged ([`Tail::Damaged`]), and no part of the log may be used: to go on from the rest would be to
//!   forget what was promised.

use bytes::Bytes;
use lovebird_core::planted::{self, Bug};

use super::frame::Frame;
use super::segment::SEGMENT_HEADER_BYTES;
use crate::disk::SECTOR_BYTES;

/// Compared as a whole: most of a preallocated segment is zeros.
const ZEROS: [u8; SECTOR_BYTES] = [0; SECTOR_BYTES];

/// What must come first in a segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected {
    pub(super) log: u64,
    /// Stream offset and sequence of the first frame.
    pub(super) stream: u64,
    pub(super) sequence: u64,
    /// The stream offset behind the last frame, if another segment follows: all before it was synced, and a mark that stands
    /// there gave way to what follows.
    pub(super) end: Option<u64>,
}

/// What was found in a segment.
#[derive(Debug)]
pub(super) struct Scan {
    /// The frames, each with its offset in the file. A mark is none of them.
    pub(super) frames: Vec<(u64, Frame)>,
    /// Where in the file the frames end.
    pub(super) end: u64,
    /// The highest `durable` of any frame, and of the mark.
    pub(super) durable: u64,
    /// Whether a mark stands behind the last frame, and only zeros behind that.
    pub(super) marked: bool,
    pub(super) tail: Tail,
}

/// What follows the last good frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tail {
    /// Zeros.
    Clean,
    /// The remains of an unacknowledged write, between the end of the frames and this offset in the file.
    Torn { until: u64 },
    /// Acknowledged data does not verify. The proof is at this offset in the file, or outside of it.
    Damaged { proof: Option<u64> },
}

/// Reads the frames of a segment whose header was good. `bytes` is the whole file.
pub(super) fn scan(bytes: &Bytes, expected: Expected) -> Scan {
    let mut frames = Vec::new();
    let mut end = SEGMENT_HEADER_BYTES;
    let mut stream = expected.stream;
    let mut sequence = expected.sequence;
    let mut durable = 0;
    let mut mark = false;
    while expected.end.is_none_or(|last| stream < last)
        && let Some(frame) = frame_at(bytes, end, expected.log)
    {
        if frame.header.stream != stream || frame.header.sequence != sequence {
            break;
        }
        if frame.is_mark() && !frames.is_empty() {
            // Nothing follows on it: a frame behind it follows on the one that was to take its place, and was lost.
            durable = durable.max(frame.header.durable);
            mark = true;
            break;
        }
        let at = end as u64;
        end += frame.bytes() as usize;
        stream += frame.bytes();
        sequence += 1;
        durable = durable.max(frame.header.durable);
        frames.push((at, frame));
    }
    let tail = tail(bytes, end, if mark { SECTOR_BYTES } else { 0 }, stream, expected);
    Scan { frames, end: end as u64, durable, marked: mark && tail == Tail::Clean, tail }
}

/// Looks at what is behind `end`, where `mark_bytes` hold a mark.
fn tail(bytes: &Bytes, end: usize, mark_bytes: usize, stream: u64, expected: Expected) -> Tail {
    if expected.end.is_some_and(|last| last > stream) {
        return Tail::Damaged { proof: None };
    }
    let mut until = None;
    let mut at = end + mark_bytes;
    while at < bytes.len() {
        let sector = &bytes[at..bytes.len().min(at + SECTOR_BYTES)];
        if sector != &ZEROS[..sector.len()] {
            until = Some(at + sector.len());
            if let Some(later) = frame_at(bytes, at, expected.log)
                && later.header.stream == stream + (at - end) as u64
                && later.header.durable > stream
                && !planted::is(Bug::CutDamagedMiddle)
            {
                return Tail::Damaged { proof: Some(at as u64) };
            }
        }
        at += SECTOR_BYTES;
    }
    until.map_or(Tail::Clean, |until| Tail::Torn { until: until as u64 })
}

/// The frames behind `end` that verify and stand where the stream has them, though what was at `end` does not. `stream` is
/// the stream offset of `end`.
pub(super) fn later_frames(bytes: &Bytes, end: u64, stream: u64, log: u64) -> Vec<Frame> {
    let mut later = Vec::new();
    let end = end as usize;
    let mut at = end;
    while at < bytes.len() {
        match frame_at(bytes, at, log).filter(|frame| frame.header.stream == stream + (at - end) as u64) {
            Some(frame) => {
                at += frame.bytes() as usize;
                later.push(frame);
            }
            None => at += SECTOR_BYTES,
        }
    }
    later
}

fn frame_at(bytes: &Bytes, at: usize, log: u64) -> Option<Frame> {
    if at >= bytes.len() {
        return None;
    }
    Frame::decode(&bytes.slice(at..)).filter(|frame| frame.header.log == log)
}
