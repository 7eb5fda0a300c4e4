//! Follows the stream again, segment by segment: takes over what the footers of the sealed ones say, scans the last one, and
//! refuses what is damaged.
//!
//! [`super::recovery`] judges the bytes of a segment; here the verdicts become trails or a refusal. Nothing is changed.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use lovebird_core::identity::GroupId;

use super::Check;
use super::damage;
use super::error::{Affected, OpenError, foreign};
use super::footer::{self, Footer};
use super::frame::{FRAME_HEADER_BYTES, Frame};
use super::operation::{OPERATION_HEADER_BYTES, Operation};
use super::recovery::{self, Expected, Scan, Tail};
use super::segment::{self, HeaderVerdict, SEGMENT_HEADER_BYTES, Segment, SegmentHeader};
use super::trail::Trail;

/// Shown a segment all of which was read: how the log stands at its end, its header, and what was found in it.
pub(super) type Observe<'a> = &'a mut dyn FnMut(&Replay, &SegmentHeader, &Scan) -> io::Result<()>;

/// Follows all segments, and gives what was found in the last one.
pub(super) fn replay(
    dir: &Path,
    segments: VecDeque<(Arc<Segment>, HeaderVerdict)>,
    check: Check,
    observe: Observe,
) -> io::Result<(Replay, Scan)> {
    of_one_log(&segments)?;
    let mut replay = Replay { rest: segments, ..Replay::default() };
    loop {
        let (segment, header) = replay.next(dir)?;
        let footer = footer::read(&segment)?.filter(|footer| footer.ends(&header));
        let Some((behind, next)) = replay.rest.front() else {
            if footer.is_some() {
                // It was written when the next one was durable.
                return Err(replay.missing(dir, segment.number + 1).into());
            }
            let scan = replay.scan(&segment, &header, None)?;
            observe(&replay, &header, &scan)?;
            replay.check_complete(dir)?;
            return Ok((replay, scan));
        };
        // What is missing or damaged behind this one is refused when its turn comes.
        let end = match next {
            HeaderVerdict::Good(next) if behind.number == segment.number + 1 => Some(next.stream),
            _ => None,
        };
        if let (Check::LastSegment, Some(footer), Some(head)) = (check, footer, head(&segment, &header)?) {
            replay.seal(&segment, &head, footer)?;
        } else {
            if check == Check::LastSegment {
                lovebird_core::sometimes!("a segment that has no good footer is read as a whole");
                tracing::warn!(segment = %segment.path.display(), "no good footer: reading all of the segment");
            }
            let scan = replay.scan(&segment, &header, end)?;
            observe(&replay, &header, &scan)?;
        }
    }
}

/// Looks at all headers before anything else: what a file of another log holds proves nothing of this one.
fn of_one_log(segments: &VecDeque<(Arc<Segment>, HeaderVerdict)>) -> Result<(), OpenError> {
    let mut first = None;
    for (segment, verdict) in segments {
        if let HeaderVerdict::Good(header) = verdict
            && *first.get_or_insert(header.log) != header.log
        {
            return Err(foreign(&segment.path, "belongs to another log than the first segment"));
        }
    }
    Ok(())
}

/// The first frame of a segment, if it verifies.
fn head(segment: &Segment, header: &SegmentHeader) -> io::Result<Option<Frame>> {
    let at = SEGMENT_HEADER_BYTES as u64;
    let mut start = [0; FRAME_HEADER_BYTES];
    if segment.file.read_at(at, &mut start)? < start.len() {
        return Ok(None);
    }
    let length = FRAME_HEADER_BYTES as u64 + Frame::payload_bytes(&start) as u64;
    let mut bytes = vec![0; length.min(segment.file.len()?) as usize];
    let read = segment.file.read_at(at, &mut bytes)?;
    bytes.truncate(read);
    let frame = Frame::decode(&bytes.into());
    let expected = (header.log, header.stream, header.sequence);
    Ok(frame.filter(|frame| (frame.header.log, frame.header.stream, frame.header.sequence) == expected))
}

/// The header of a segment, if it is what it should be.
fn good(segment: &Segment, verdict: HeaderVerdict) -> Result<SegmentHeader, OpenError> {
    let path = &segment.path;
    match verdict {
        HeaderVerdict::Good(header) if header.number != segment.number => {
            Err(foreign(path, format!("holds segment {}: files were renamed or swapped", header.number)))
        }
        HeaderVerdict::Good(header) => Ok(header),
        HeaderVerdict::Damaged => {
            lovebird_core::sometimes!("a segment whose header is damaged is refused");
            let proof = "its header was synced before it got its name".to_owned();
            Err(OpenError::Damaged { path: path.clone(), offset: 0, proof, affected: Vec::new() })
        }
        HeaderVerdict::Version(found) => Err(OpenError::Version { path: path.clone(), found }),
        HeaderVerdict::Foreign => Err(foreign(path, "is no segment of a log")),
    }
}

/// Reads and judges the header of a segment.
pub(super) fn header(segment: &Segment) -> io::Result<SegmentHeader> {
    Ok(good(segment, segment::verdict(segment)?)?)
}

/// What proves that the bytes at the end of a scan were acknowledged, if anything does: then they are damaged.
pub(super) fn proof(scan: &Scan) -> Option<String> {
    match scan.tail {
        Tail::Damaged { proof: Some(at) } => {
            Some(format!("the frame at byte {at} shows that these bytes had been synced"))
        }
        Tail::Damaged { proof: None } => {
            Some("the segment behind it was only begun when they had been synced".to_owned())
        }
        _ if scan.frames.is_empty() => Some("its head was synced before it got its name".to_owned()),
        Tail::Clean | Tail::Torn { .. } => None,
    }
}

/// Follows what the segments say, one after another.
#[derive(Default)]
pub(super) struct Replay {
    pub(super) trails: BTreeMap<GroupId, Trail>,
    pub(super) segments: VecDeque<Arc<Segment>>,
    /// Those that are still to be followed.
    rest: VecDeque<(Arc<Segment>, HeaderVerdict)>,
    pub(super) log: u64,
    /// Stream offset and sequence of the frame that comes next.
    pub(super) stream: u64,
    pub(super) sequence: u64,
}

impl Replay {
    /// The next segment and its header, which go on where the last one ended.
    fn next(&mut self, dir: &Path) -> io::Result<(Arc<Segment>, SegmentHeader)> {
        let (segment, verdict) = self.rest.pop_front().expect("a log that is replayed has a segment");
        if let Some(last) = self.segments.back()
            && segment.number != last.number + 1
        {
            let missing = last.number + 1;
            self.rest.push_front((segment, verdict));
            return Err(self.missing(dir, missing).into());
        }
        let header = match good(&segment, verdict) {
            Err(OpenError::Damaged { path, offset, proof, .. }) => {
                let affected = self.affected(Vec::new());
                return Err(OpenError::Damaged { path, offset, proof, affected }.into());
            }
            header => header?,
        };
        self.follows(&segment, &header)?;
        Ok((segment, header))
    }

    fn follows(&mut self, segment: &Segment, header: &SegmentHeader) -> Result<(), OpenError> {
        if self.segments.is_empty() {
            (self.log, self.stream, self.sequence) = (header.log, header.stream, header.sequence);
        }
        if (header.stream, header.sequence) != (self.stream, self.sequence) {
            let reason = format!(
                "it begins with frame {} at {} of the stream, the segment before it ends before frame {} at {}",
                header.sequence, header.stream, self.sequence, self.stream
            );
            return Err(OpenError::Contradiction { path: segment.path.clone(), offset: 0, reason });
        }
        Ok(())
    }

    fn missing(&self, dir: &Path, number: u64) -> OpenError {
        OpenError::Missing { path: segment::path(dir, number), affected: self.affected(Vec::new()) }
    }

    fn damaged(&self, segment: &Segment, offset: u64, proof: String, later: Vec<Frame>) -> OpenError {
        lovebird_core::sometimes!("damage in the middle of the log is refused");
        OpenError::Damaged { path: segment.path.clone(), offset, proof, affected: self.affected(later) }
    }

    /// What stands behind the last operation that was followed, as far as `later` frames and later segments tell.
    fn affected(&self, mut later: Vec<Frame>) -> Vec<Affected> {
        let heads = self.rest.iter().filter_map(|(segment, verdict)| match verdict {
            // Whoever cannot read a head either knows less, and refuses all the same.
            HeaderVerdict::Good(header) => head(segment, header).ok().flatten(),
            _ => None,
        });
        later.extend(heads);
        damage::affected(&self.trails, &later)
    }

    /// Takes over what the footer says.
    fn seal(&mut self, segment: &Arc<Segment>, head: &Frame, footer: Footer) -> Result<(), OpenError> {
        self.frame(segment, SEGMENT_HEADER_BYTES as u64, head)?;
        for (group, checkpoint, run) in footer.groups {
            self.trails.entry(group).or_default().follow(checkpoint, run);
        }
        (self.stream, self.sequence) = (footer.sealed.stream, footer.sealed.sequence);
        self.segments.push_back(segment.clone());
        Ok(())
    }

    /// Reads all of a segment. The next one, if there is one, begins at `end` of the stream.
    fn scan(&mut self, segment: &Arc<Segment>, header: &SegmentHeader, end: Option<u64>) -> io::Result<Scan> {
        let bytes = segment::bytes(segment)?;
        let scan = self.judge(segment, &bytes, header, end)?;
        for (offset, frame) in &scan.frames {
            self.frame(segment, *offset, frame)?;
        }
        self.stream = header.stream + (scan.end - SEGMENT_HEADER_BYTES as u64);
        self.sequence = header.sequence + scan.frames.len() as u64;
        self.segments.push_back(segment.clone());
        Ok(scan)
    }

    /// Scans a segment and turns damage into a refusal.
    fn judge(
        &mut self,
        segment: &Arc<Segment>,
        bytes: &Bytes,
        header: &SegmentHeader,
        end: Option<u64>,
    ) -> Result<Scan, OpenError> {
        let SegmentHeader { log, stream, sequence, .. } = *header;
        let scan = recovery::scan(bytes, Expected { log, stream, sequence, end });
        let Some(proof) = proof(&scan) else { return Ok(scan) };
        // Up to the damage, so that it is known what stood before.
        for (offset, frame) in &scan.frames {
            self.frame(segment, *offset, frame)?;
        }
        let end = stream + (scan.end - SEGMENT_HEADER_BYTES as u64);
        let later = recovery::later_frames(bytes, scan.end, end, log);
        Err(self.damaged(segment, scan.end, proof, later))
    }

    fn frame(&mut self, segment: &Arc<Segment>, offset: u64, frame: &Frame) -> Result<(), OpenError> {
        let contradiction = |reason| OpenError::Contradiction { path: segment.path.clone(), offset, reason };
        let mut payload = frame.payload.clone();
        while !payload.is_empty() {
            let at = offset + (FRAME_HEADER_BYTES + frame.payload.len() - payload.len()) as u64;
            let (group, operation) = Operation::decode(&mut payload).ok_or_else(|| {
                contradiction(format!("an operation at byte {at} that this build does not know"))
            })?;
            let trail = self.trails.entry(group).or_default();
            match &operation {
                Operation::Checkpoint(checkpoint) if !self.segments.is_empty() => {
                    if trail.checkpoint() != checkpoint {
                        tracing::debug!(group, held = ?trail.checkpoint(), ?checkpoint, "a head contradicts");
                        let reason = format!(
                            "group {group} stands there otherwise than at the end of the segment before, as if the two came from \
                             copies of one log that have gone separate ways"
                        );
                        return Err(contradiction(reason));
                    }
                }
                operation => trail
                    .apply(operation, segment, at + OPERATION_HEADER_BYTES as u64)
                    .map_err(contradiction)?,
            }
        }
        Ok(())
    }

    fn check_complete(&self, dir: &Path) -> Result<(), OpenError> {
        for (group, trail) in &self.trails {
            if let Some(missing) = trail.missing() {
                let (first, last) = (missing.start, missing.end - 1);
                return Err(OpenError::MissingEntries { dir: dir.into(), group: *group, first, last });
            }
        }
        Ok(())
    }
}
