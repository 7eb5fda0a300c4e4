//! What the fuzz targets need of the log's own functions, in terms of their own: a change of the engine's types ends here.
//!
//! Each function goes one way and back: it decodes bytes and says what the same bytes would be if this version had
//! written what it understood.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use lovebird_core::identity::GroupId;

use super::footer;
use super::frame::{self, FrameHeader};
use super::index::Index;
use super::operation::Operation;
use super::recovery::{self, Expected, Tail};
use super::segment::Segment;
use super::trail::Trail;
use crate::disk::{Disk, MemoryDisk};

/// The fields of a frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameFields {
    /// The log that it belongs to.
    pub log: u64,
    /// Its number in the stream.
    pub sequence: u64,
    /// Where in the stream it begins.
    pub stream: u64,
    /// Up to where the stream was synced when it was written.
    pub durable: u64,
}

/// A frame that a scan took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Where in the file it begins.
    pub offset: u64,
    /// Its header.
    pub fields: FrameFields,
    /// Its payload.
    pub payload: Bytes,
}

/// What a scan says of what follows the last frame that it took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Zeros follow.
    Clean,
    /// The remains of an unacknowledged write follow, up to this offset.
    Torn(u64),
    /// Acknowledged data does not verify. The proof is at this offset, or is what the caller knew.
    Damaged(Option<u64>),
}

/// What a scan found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scanned {
    /// The frames that it took, in order.
    pub taken: Vec<Taken>,
    /// Where in the file they end.
    pub end: u64,
    /// The highest `durable` of any of them.
    pub durable: u64,
    /// What follows.
    pub verdict: Verdict,
}

/// Judges the bytes of a segment. `first` says what its first frame must be; `end`, where in the stream the next segment
/// begins, if there is one.
pub fn scan(bytes: &Bytes, first: FrameFields, end: Option<u64>) -> Scanned {
    let FrameFields { log, sequence, stream, .. } = first;
    let scan = recovery::scan(bytes, Expected { log, stream, sequence, end });
    let taken = scan.frames.into_iter().map(|(offset, frame)| {
        let FrameHeader { log, sequence, stream, durable } = frame.header;
        Taken { offset, fields: FrameFields { log, sequence, stream, durable }, payload: frame.payload }
    });
    let verdict = match scan.tail {
        Tail::Clean => Verdict::Clean,
        Tail::Torn { until } => Verdict::Torn(until),
        Tail::Damaged { proof } => Verdict::Damaged(proof),
    };
    Scanned { taken: taken.collect(), end: scan.end, durable: scan.durable, verdict }
}

/// A frame as the writer makes it, padding included.
pub fn seal(payload: &[u8], fields: FrameFields) -> BytesMut {
    let FrameFields { log, sequence, stream, durable } = fields;
    let mut frame = BytesMut::new();
    frame::begin(&mut frame);
    frame.extend_from_slice(payload);
    frame::seal(&mut frame, FrameHeader { log, sequence, stream, durable });
    frame
}

/// Takes one operation from the front of a payload. Says for which group it is, and what its bytes are if it is encoded.
pub fn operation(payload: &mut Bytes) -> Option<(GroupId, BytesMut)> {
    let (group, operation) = Operation::decode(payload)?;
    let mut bytes = BytesMut::new();
    operation.encode(group, &mut bytes);
    Some((group, bytes))
}

/// Reads the footer of a file that is segment `number`. Says what its bytes are if it is encoded, up to the end of the
/// file.
///
/// # Panics
/// If the index of one of its groups contradicts itself.
pub fn footer(file: &[u8], number: u64) -> Option<BytesMut> {
    let segment = segment(file, number);
    let footer = footer::read(&segment).expect("a disk in memory does not fail")?;
    let mut trails = Vec::new();
    for (group, checkpoint, run) in footer.groups {
        let mut trail = Trail::default();
        let held = run.is_some();
        trail.follow(checkpoint, run);
        check(trail.index());
        // A run of purged entries alone is dropped as the segment is followed, and could not be written again.
        if held && trail.index().first().is_none() {
            return None;
        }
        if held {
            let last = trail.checkpoint().last.map(|last| last.id.number + 1);
            assert_eq!(trail.index().end(), last, "group {group} ends elsewhere than its entries do");
        }
        trails.push((group, trail));
    }
    let trails = trails.iter().map(|(group, trail)| (*group, trail));
    Some(footer::encode(footer.sealed, footer.at, trails))
}

fn segment(bytes: &[u8], number: u64) -> Arc<Segment> {
    let (disk, path) = (MemoryDisk::new(), Path::new("segment"));
    disk.create_dir(Path::new("")).expect("a disk in memory does not fail");
    let file = disk.create(path).expect("a disk in memory does not fail");
    file.write_at(0, bytes).expect("a disk in memory does not fail");
    Arc::new(Segment { number, path: PathBuf::from(path), file })
}

/// What was believed of an index must hold wherever one asks.
fn check(index: &Index) {
    let (Some(first), Some(end)) = (index.first(), index.end()) else { return };
    let mut pieces = Vec::new();
    let (behind, _) = index.pieces(first..end, usize::MAX, &mut pieces);
    assert_eq!(behind, end, "the pieces of entries {first}..{end} end early");
    for pair in pieces.windows(2) {
        let end = pair[0].offset + pair[0].bytes as u64;
        assert!(end <= pair[1].offset, "a piece at byte {} begins before byte {end}", pair[1].offset);
    }
    let entries: usize = pieces.iter().map(|piece| piece.entries).sum();
    assert_eq!(
        entries as u64,
        end - first,
        "the pieces of entries {first}..{end} hold another number of them"
    );
    for number in first..end {
        let point = index.point(number).expect("an entry within the index");
        assert_eq!(point.id.number, number, "the index has another entry at number {number}");
        if let Some(found) = point.numbering.and_then(|numbering| index.find(numbering.last_index)) {
            assert!((first..end).contains(&found), "entry {found} is not among {first}..{end}");
        }
    }
}
