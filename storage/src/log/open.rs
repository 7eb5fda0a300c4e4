//! Opening: reads all segments, applies what they say, cuts a torn tail, and refuses what is damaged.
//!
//! [`super::recovery`] judges the bytes of a segment; here the verdicts become a log or a refusal.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use lovebird_core::entry::Entry;
use lovebird_core::identity::GroupId;
use lovebird_core::runtime;
use thiserror::Error;

use super::Options;
use super::frame::{FRAME_HEADER_BYTES, Frame};
use super::group::{GroupState, Location};
use super::operation::{Operation, entry_offsets};
use super::recovery::{self, Expected, Scan, Tail};
use super::segment::{self, HeaderVerdict, SEGMENT_HEADER_BYTES, SEGMENT_VERSION, Segment, SegmentHeader};
use super::trail::Trail;
use super::writer::Writer;
use crate::disk::{Disk, read_exact_at};

const ADVICE: &str = "Do not cut or delete the file: this replica would forget what it has acknowledged. Restore the \
                      directory from the same disk, or replace this replica by a new member";

/// How much is zeroed or written again at a time.
const MEND_BYTES: usize = 1 << 20;

/// Why a log cannot be opened. Nothing has been changed then.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OpenError {
    /// Bytes that were acknowledged do not verify.
    #[error("{} is damaged at byte {offset}, and {proof}: data that was acknowledged is lost. {ADVICE}", path.display())]
    Damaged {
        /// The segment.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// How it is known that the bytes had been synced, as a clause.
        proof: String,
    },
    /// A segment is not there.
    #[error("{} is missing from the log. {ADVICE}", path.display())]
    Missing {
        /// The segment.
        path: PathBuf,
    },
    /// Entries that should be there are in no segment.
    #[error(
        "entries {first} to {last} of group {group} are in no segment of {}: earlier segments are missing. {ADVICE}",
        dir.display()
    )]
    MissingEntries {
        /// The log.
        dir: PathBuf,
        /// The group.
        group: GroupId,
        /// The first missing entry's number.
        first: u64,
        /// The last one's.
        last: u64,
    },
    /// There was to be a log, but there is none.
    #[error("there is no log in {}, though there was one. {ADVICE}", dir.display())]
    NoLog {
        /// Where it should be.
        dir: PathBuf,
    },
    /// A file that does not belong where it is.
    #[error("{} {reason}: put back the file that belongs there", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, as the end of a sentence.
        reason: String,
    },
    /// Written by a later version.
    #[error("{} has format version {found}; this build knows {SEGMENT_VERSION}: upgrade this node", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// The version found.
        found: u32,
    },
    /// What verified makes no sense.
    #[error("{} says at byte {offset} what cannot follow on what came before: {reason}. {ADVICE}", path.display())]
    Contradiction {
        /// The file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What was found.
        reason: String,
    },
}

impl From<OpenError> for io::Error {
    fn from(error: OpenError) -> Self {
        io::Error::new(io::ErrorKind::InvalidData, error)
    }
}

/// What opening found: the groups as they stand, and a writer at the end of the stream.
pub(super) struct Opened {
    pub(super) groups: BTreeMap<GroupId, Arc<Mutex<GroupState>>>,
    pub(super) writer: Writer,
}

/// Opens the log in `dir`.
pub(super) fn open(disk: Arc<dyn Disk>, dir: &Path, options: &Options) -> io::Result<Opened> {
    disk.create_dir(dir)?;
    let mut found = headers(&*disk, dir)?;
    if found.is_empty() {
        if options.missing == super::Missing::Refuse {
            return Err(OpenError::NoLog { dir: dir.into() }.into());
        }
        return create(disk, dir, options);
    }
    let mut replay = Replay::new(dir, options);
    let mut last = None;
    while let Some((segment, header)) = found.pop_front() {
        let next = found.front().map(|(_, header)| *header);
        let bytes = read(&segment)?;
        if !replay.follows(&segment, &header)? {
            break;
        }
        let durable = next.flatten().map_or(0, |next| next.stream);
        let Some(header) = header else { unreachable!("a header that is not there follows on nothing") };
        let scan = judge(&segment, &bytes, &header, durable)?;
        if scan.frames.is_empty() {
            // Its head never became durable, so that nothing behind it was ever acknowledged, and nothing removed for it.
            replay.unfinished(&segment)?;
            break;
        }
        replay.segment(&segment, &header, &scan)?;
        last = Some(scan);
    }
    replay.check_complete()?;
    finish(disk, dir, options, replay, last)
}

type Headed = (Arc<Segment>, Option<SegmentHeader>);

/// All segments in order, with their headers; none where the file was made but never got one.
fn headers(disk: &dyn Disk, dir: &Path) -> io::Result<VecDeque<Headed>> {
    let mut found: VecDeque<Headed> = VecDeque::new();
    let mut numbers = Vec::new();
    for name in disk.list(dir)? {
        let number = segment::number_of(&name)
            .ok_or_else(|| foreign(&dir.join(&name), "is no segment of a log, but lies among them"))?;
        numbers.push(number);
    }
    for (at, number) in numbers.iter().copied().enumerate() {
        if at > 0 && number != numbers[at - 1] + 1 {
            return Err(OpenError::Missing { path: segment::path(dir, numbers[at - 1] + 1) }.into());
        }
        let path = segment::path(dir, number);
        let file = disk.open(&path)?;
        let mut sector = [0; SEGMENT_HEADER_BYTES];
        let bytes = file.read_at(0, &mut sector)?;
        let header = match SegmentHeader::decode(&sector[..bytes]) {
            HeaderVerdict::Good(header) => Some(header),
            HeaderVerdict::Blank if at + 1 == numbers.len() => None,
            HeaderVerdict::Blank | HeaderVerdict::Damaged => {
                let proof = "its header was synced before anything else".to_owned();
                return Err(OpenError::Damaged { path, offset: 0, proof }.into());
            }
            HeaderVerdict::Version(found) => return Err(OpenError::Version { path, found }.into()),
            HeaderVerdict::Foreign => return Err(foreign(&path, "is no segment of a log").into()),
        };
        if let Some(header) = header
            && header.number != number
        {
            let reason = format!("holds segment {}: files were renamed or swapped", header.number);
            return Err(foreign(&path, reason).into());
        }
        if let (Some(header), Some((_, Some(first)))) = (header, found.front())
            && header.log != first.log
        {
            return Err(foreign(&path, "belongs to another log than the first segment").into());
        }
        found.push_back((Arc::new(Segment { number, path, file }), header));
    }
    Ok(found)
}

fn read(segment: &Segment) -> io::Result<Bytes> {
    let length = usize::try_from(segment.file.len()?).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    read_exact_at(&*segment.file, 0, &mut bytes)?;
    Ok(bytes.into())
}

/// Scans a segment and turns damage into a refusal.
fn judge(segment: &Segment, bytes: &Bytes, header: &SegmentHeader, durable: u64) -> Result<Scan, OpenError> {
    let SegmentHeader { log, stream, sequence, .. } = *header;
    let scan = recovery::scan(bytes, Expected { log, stream, sequence, durable });
    if let Tail::Damaged { proof } = scan.tail {
        let proof = match proof {
            Some(at) => format!("the frame at byte {at} shows that these bytes had been synced"),
            None => "the segment behind it was only begun when they had been synced".to_owned(),
        };
        return Err(OpenError::Damaged { path: segment.path.clone(), offset: scan.end, proof });
    }
    Ok(scan)
}

/// Applies what the segments say, one after another.
struct Replay<'a> {
    dir: &'a Path,
    options: &'a Options,
    groups: BTreeMap<GroupId, GroupState>,
    trails: BTreeMap<GroupId, Trail>,
    segments: VecDeque<Arc<Segment>>,
    /// A segment to be removed: it was being made when the machine stopped.
    unfinished: Option<Arc<Segment>>,
    log: u64,
    stream: u64,
    sequence: u64,
}

impl<'a> Replay<'a> {
    fn new(dir: &'a Path, options: &'a Options) -> Self {
        Replay {
            dir,
            options,
            groups: BTreeMap::new(),
            trails: BTreeMap::new(),
            segments: VecDeque::new(),
            unfinished: None,
            log: 0,
            stream: 0,
            sequence: 1,
        }
    }

    /// Whether the segment goes on where the last one ended. It does not if it was never finished.
    fn follows(&mut self, segment: &Arc<Segment>, header: &Option<SegmentHeader>) -> io::Result<bool> {
        let Some(header) = header else {
            if recovery::had_header(&read(segment)?) {
                let proof = "its header was synced before the frames that stand behind it".to_owned();
                return Err(OpenError::Damaged { path: segment.path.clone(), offset: 0, proof }.into());
            }
            self.unfinished(segment)?;
            return Ok(false);
        };
        if self.segments.is_empty() {
            (self.log, self.stream, self.sequence) = (header.log, header.stream, header.sequence);
        }
        if (header.stream, header.sequence) != (self.stream, self.sequence) {
            let reason = format!(
                "it begins with frame {} at {} of the stream, the segment before it ends before frame {} at {}",
                header.sequence, header.stream, self.sequence, self.stream
            );
            return Err(OpenError::Contradiction { path: segment.path.clone(), offset: 0, reason }.into());
        }
        Ok(true)
    }

    /// The segment was being made. That is the end of the log, unless the only reason to have removed those before it
    /// was that it was complete.
    fn unfinished(&mut self, segment: &Arc<Segment>) -> Result<(), OpenError> {
        if self.segments.is_empty() && segment.number != 1 {
            let proof = "the segments before it were removed because these bytes had been synced".to_owned();
            return Err(OpenError::Damaged { path: segment.path.clone(), offset: 0, proof });
        }
        self.unfinished = Some(segment.clone());
        Ok(())
    }

    fn segment(
        &mut self,
        segment: &Arc<Segment>,
        header: &SegmentHeader,
        scan: &Scan,
    ) -> Result<(), OpenError> {
        for (offset, frame) in &scan.frames {
            self.frame(segment, *offset, frame).map_err(|reason| OpenError::Contradiction {
                path: segment.path.clone(),
                offset: *offset,
                reason,
            })?;
        }
        self.stream = header.stream + (scan.end - SEGMENT_HEADER_BYTES as u64);
        self.sequence = header.sequence + scan.frames.len() as u64;
        self.segments.push_back(segment.clone());
        Ok(())
    }

    fn frame(&mut self, segment: &Arc<Segment>, offset: u64, frame: &Frame) -> Result<(), String> {
        let mut payload = frame.payload.clone();
        while !payload.is_empty() {
            let at = offset + (FRAME_HEADER_BYTES + frame.payload.len() - payload.len()) as u64;
            let (group, operation) = Operation::decode(&mut payload)
                .ok_or_else(|| format!("an operation at byte {at} that this build does not know"))?;
            let state = self.groups.entry(group).or_insert_with(|| GroupState::new(self.options.cache_bytes));
            let trail = self.trails.entry(group).or_default();
            if let Operation::Checkpoint(checkpoint) = &operation
                && !self.segments.is_empty()
            {
                if trail.checkpoint() != checkpoint {
                    return Err(format!(
                        "group {group} stands at {:?}, not at {checkpoint:?}",
                        trail.checkpoint()
                    ));
                }
                continue;
            }
            trail.apply(&operation, segment.number)?;
            match operation {
                Operation::Append(entries) => append(state, segment, at, entries)?,
                other => state.apply(other),
            }
        }
        Ok(())
    }

    fn check_complete(&self) -> Result<(), OpenError> {
        for (group, state) in &self.groups {
            if let Some(missing) = state.missing() {
                let (first, last) = (missing.start, missing.end - 1);
                return Err(OpenError::MissingEntries { dir: self.dir.into(), group: *group, first, last });
            }
        }
        Ok(())
    }
}

fn append(
    state: &mut GroupState,
    segment: &Arc<Segment>,
    at: u64,
    entries: Vec<Entry>,
) -> Result<(), String> {
    let places: Vec<_> =
        entry_offsets(&entries).map(|(offset, entry)| (at + offset as u64, entry.id())).collect();
    // Bodies of their own, so that one entry in memory does not hold its whole segment.
    let mut owned: Vec<Entry> = entries
        .iter()
        .map(|entry| Entry { header: entry.header, body: Bytes::copy_from_slice(&entry.body) })
        .collect();
    state.stamp(&mut owned).map_err(|e| e.to_string())?;
    if let Some(other) =
        owned.iter().zip(&entries).find_map(|(owned, entry)| (owned != entry).then_some(entry))
    {
        return Err(format!("entry {} has no log index, though it counts", other.id()));
    }
    state.append(owned);
    for (offset, id) in places {
        state.locate(id, Location { segment: segment.clone(), offset });
    }
    state.shrink_tail();
    Ok(())
}

/// Makes durable what was found, removes what was not, and gives a writer that goes on behind it.
fn finish(
    disk: Arc<dyn Disk>,
    dir: &Path,
    options: &Options,
    replay: Replay<'_>,
    last: Option<Scan>,
) -> io::Result<Opened> {
    if let Some(unfinished) = &replay.unfinished {
        disk.remove(&unfinished.path)?;
        disk.sync_dir(dir)?;
    }
    let (Some(segment), Some(scan)) = (replay.segments.back().cloned(), last) else {
        return create(disk, dir, options);
    };
    mend(&segment, &scan, replay.stream)?;
    disk.sync_dir(dir)?;
    let groups =
        replay.groups.into_iter().map(|(group, state)| (group, Arc::new(Mutex::new(state)))).collect();
    let writer = Writer {
        disk,
        dir: dir.into(),
        log: replay.log,
        segment_bytes: options.segment_bytes,
        segments: replay.segments,
        end: scan.end,
        room: segment.file.len()?,
        stream: replay.stream,
        sequence: replay.sequence,
        durable: replay.stream,
        trails: replay.trails,
    };
    Ok(Opened { groups, writer })
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

fn create(disk: Arc<dyn Disk>, dir: &Path, options: &Options) -> io::Result<Opened> {
    let mut writer = Writer {
        disk,
        dir: dir.into(),
        log: runtime::random_u64(),
        segment_bytes: options.segment_bytes,
        segments: VecDeque::new(),
        end: 0,
        room: 0,
        stream: 0,
        sequence: 1,
        durable: 0,
        trails: BTreeMap::new(),
    };
    writer.rotate(0)?;
    Ok(Opened { groups: BTreeMap::new(), writer })
}

fn foreign(path: &Path, reason: impl Into<String>) -> OpenError {
    OpenError::Foreign { path: path.into(), reason: reason.into() }
}
