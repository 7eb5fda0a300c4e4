//! Opening: finds the segments, takes over what the footers of the sealed ones say, scans the last one, cuts a torn tail,
//! and refuses what is damaged.
//!
//! [`super::recovery`] judges the bytes of a segment; here the verdicts become a log or a refusal. Nothing is changed before
//! everything is found to be in order.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use lovebird_core::identity::GroupId;
use lovebird_core::runtime;

use super::error::OpenError;
use super::footer::{self, Footer};
use super::frame::{FRAME_HEADER_BYTES, Frame};
use super::group::Group;
use super::operation::{OPERATION_HEADER_BYTES, Operation};
use super::recovery::{self, Expected, Scan, Tail};
use super::segment::{self, HeaderVerdict, SEGMENT_HEADER_BYTES, Segment, SegmentHeader};
use super::trail::Trail;
use super::writer::{End, Writer};
use super::{Check, Missing, Options, spare};
use crate::disk::{Disk, read_exact_at};

/// How much is zeroed or written again at a time.
const MEND_BYTES: usize = 1 << 20;

/// What opening found: the groups as they stand, and a writer at the end of the stream.
pub(super) struct Opened {
    pub(super) groups: BTreeMap<GroupId, Arc<Group>>,
    pub(super) writer: Writer,
}

/// What lies in a log's directory.
pub(super) struct Found {
    /// All segments in order, with their headers.
    pub(super) segments: VecDeque<(Arc<Segment>, SegmentHeader)>,
    /// Names of files that were to become segments.
    pub(super) spares: Vec<String>,
}

/// Opens the log in `dir`.
pub(super) fn open(disk: Arc<dyn Disk>, dir: &Path, options: &Options) -> io::Result<Opened> {
    disk.create_dir(dir)?;
    let Found { segments, spares } = find(&*disk, dir)?;
    let replayed = match segments.is_empty() {
        true if options.missing == Missing::Refuse => return Err(OpenError::NoLog { dir: dir.into() }.into()),
        true => None,
        false => Some(replay(dir, segments, options.check, &mut |_, _, _| Ok(()))?),
    };
    for name in spares {
        disk.remove(&dir.join(name))?;
    }
    let Some((replay, last)) = replayed else {
        let writer = Writer::create(disk, dir, options, runtime::random_u64())?;
        return Ok(Opened { groups: BTreeMap::new(), writer });
    };
    let segment = replay.segments.back().expect("a log that was replayed has a segment");
    mend(segment, &last, replay.stream)?;
    disk.sync_dir(dir)?;
    let end = End {
        log: replay.log,
        room: segment.file.len()?,
        segments: replay.segments,
        end: last.end,
        stream: replay.stream,
        sequence: replay.sequence,
    };
    let group = |(id, trail)| (id, Arc::new(Group::new(id, trail, options.cache_bytes)));
    let groups = replay.trails.into_iter().map(group).collect();
    Ok(Opened { groups, writer: Writer::new(disk, dir, options, end) })
}

/// Lists and checks what lies in the directory.
pub(super) fn find(disk: &dyn Disk, dir: &Path) -> io::Result<Found> {
    let mut found = Found { segments: VecDeque::new(), spares: Vec::new() };
    for name in disk.list(dir)? {
        if spare::is_spare(&name) {
            found.spares.push(name);
            continue;
        }
        let path = dir.join(&name);
        let number = segment::number_of(&name)
            .ok_or_else(|| foreign(&path, "is no segment of a log, but lies among them"))?;
        if let Some((last, _)) = found.segments.back()
            && number != last.number + 1
        {
            return Err(OpenError::Missing { path: segment::path(dir, last.number + 1) }.into());
        }
        let segment = Segment { number, file: disk.open(&path)?, path };
        let header = header(&segment)?;
        if let Some((_, first)) = found.segments.front()
            && header.log != first.log
        {
            return Err(foreign(&segment.path, "belongs to another log than the first segment").into());
        }
        found.segments.push_back((Arc::new(segment), header));
    }
    Ok(found)
}

pub(super) fn header(segment: &Segment) -> io::Result<SegmentHeader> {
    let path = &segment.path;
    let mut sector = [0; SEGMENT_HEADER_BYTES];
    let bytes = segment.file.read_at(0, &mut sector)?;
    match SegmentHeader::decode(&sector[..bytes]) {
        HeaderVerdict::Good(header) if header.number != segment.number => {
            let reason = format!("holds segment {}: files were renamed or swapped", header.number);
            Err(foreign(path, reason).into())
        }
        HeaderVerdict::Good(header) => Ok(header),
        HeaderVerdict::Damaged => {
            let proof = "its header was synced before it got its name".to_owned();
            Err(OpenError::Damaged { path: path.clone(), offset: 0, proof }.into())
        }
        HeaderVerdict::Version(found) => Err(OpenError::Version { path: path.clone(), found }.into()),
        HeaderVerdict::Foreign => Err(foreign(path, "is no segment of a log").into()),
    }
}

/// Shown a segment all of which was read: how the log stands at its end, its header, and what was found in it.
pub(super) type Observe<'a> = &'a mut dyn FnMut(&Replay, &SegmentHeader, &Scan) -> io::Result<()>;

/// Follows all segments, and gives what was found in the last one.
pub(super) fn replay(
    dir: &Path,
    mut segments: VecDeque<(Arc<Segment>, SegmentHeader)>,
    check: Check,
    observe: Observe,
) -> io::Result<(Replay, Scan)> {
    let mut replay = Replay::default();
    loop {
        let (segment, header) = segments.pop_front().expect("a log that is replayed has a segment");
        replay.follows(&segment, &header)?;
        let footer = footer::read(&segment)?.filter(|footer| footer.ends(&header));
        let Some((_, next)) = segments.front() else {
            if footer.is_some() {
                // It was written when the next one was durable.
                return Err(OpenError::Missing { path: segment::path(dir, segment.number + 1) }.into());
            }
            let scan = replay.scan(&segment, &header, 0)?;
            observe(&replay, &header, &scan)?;
            replay.check_complete(dir)?;
            return Ok((replay, scan));
        };
        if let (Check::LastSegment, Some(footer), Some(head)) = (check, footer, head(&segment, &header)?) {
            replay.seal(&segment, &head, footer)?;
        } else {
            if check == Check::LastSegment {
                tracing::warn!(segment = %segment.path.display(), "no good footer: reading all of the segment");
            }
            let scan = replay.scan(&segment, &header, next.stream)?;
            observe(&replay, &header, &scan)?;
        }
    }
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

/// Follows what the segments say, one after another.
#[derive(Default)]
pub(super) struct Replay {
    pub(super) trails: BTreeMap<GroupId, Trail>,
    pub(super) segments: VecDeque<Arc<Segment>>,
    log: u64,
    stream: u64,
    sequence: u64,
}

impl Replay {
    /// Checks that the segment goes on where the last one ended.
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

    /// Reads all of a segment. The stream is known to have been synced up to `durable`.
    fn scan(&mut self, segment: &Arc<Segment>, header: &SegmentHeader, durable: u64) -> io::Result<Scan> {
        let length = usize::try_from(segment.file.len()?).map_err(io::Error::other)?;
        let mut bytes = vec![0; length];
        read_exact_at(&*segment.file, 0, &mut bytes)?;
        let scan = judge(segment, &bytes.into(), header, durable)?;
        for (offset, frame) in &scan.frames {
            self.frame(segment, *offset, frame)?;
        }
        self.stream = header.stream + (scan.end - SEGMENT_HEADER_BYTES as u64);
        self.sequence = header.sequence + scan.frames.len() as u64;
        self.segments.push_back(segment.clone());
        Ok(scan)
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
                        let held = trail.checkpoint();
                        let reason = format!("group {group} stands at {held:?}, not at {checkpoint:?}");
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

/// Scans a segment and turns damage into a refusal.
pub(super) fn judge(
    segment: &Segment,
    bytes: &Bytes,
    header: &SegmentHeader,
    durable: u64,
) -> Result<Scan, OpenError> {
    let SegmentHeader { log, stream, sequence, .. } = *header;
    let scan = recovery::scan(bytes, Expected { log, stream, sequence, durable });
    let proof = match scan.tail {
        Tail::Damaged { proof: Some(at) } => {
            format!("the frame at byte {at} shows that these bytes had been synced")
        }
        Tail::Damaged { proof: None } => {
            "the segment behind it was only begun when they had been synced".to_owned()
        }
        _ if scan.frames.is_empty() => "its head was synced before it got its name".to_owned(),
        Tail::Clean | Tail::Torn { .. } => return Ok(scan),
    };
    Err(OpenError::Damaged { path: segment.path.clone(), offset: scan.end, proof })
}

/// Zeros what follows the last frame, so that it never comes back, and makes all frames durable.
///
/// Frames that were read may stand in the system's cache alone, even after a sync that failed has marked them as clean;
/// so those not proven durable are written once more before the sync.
fn mend(segment: &Segment, scan: &Scan, stream: u64) -> io::Result<()> {
    if let Tail::Torn { until } = scan.tail {
        tracing::warn!(
            segment = %segment.path.display(),
            offset = scan.end,
            bytes = until - scan.end,
            "cut the remains of a write that was under way when the node stopped, and was not acknowledged"
        );
        let zeros = vec![0; MEND_BYTES.min((until - scan.end) as usize)];
        let mut at = scan.end;
        while at < until {
            let part = zeros.len().min((until - at) as usize);
            segment.file.write_at(at, &zeros[..part])?;
            at += part as u64;
        }
    }
    let unproven = stream.saturating_sub(scan.durable);
    let mut at = scan.end.saturating_sub(unproven).max(SEGMENT_HEADER_BYTES as u64);
    let mut bytes = vec![0; MEND_BYTES];
    while at < scan.end {
        let part = bytes.len().min((scan.end - at) as usize);
        read_exact_at(&*segment.file, at, &mut bytes[..part])?;
        segment.file.write_at(at, &bytes[..part])?;
        at += part as u64;
    }
    segment.file.sync_data()
}

fn foreign(path: &Path, reason: impl Into<String>) -> OpenError {
    OpenError::Foreign { path: path.into(), reason: reason.into() }
}
