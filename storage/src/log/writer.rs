//! The writer: takes what is queued, makes one frame of it, writes, syncs, and tells those who wait.
//!
//! [`Writer::step`] does this once and returns; who calls it, and on which thread, is the driver's business. So is whether
//! time passes between its two halves.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::BytesMut;
use lovebird_core::planted::{self, Bug};

use super::Options;
use super::footer::{self, Sealed};
use super::frame::{self, FRAME_HEADER_BYTES, FrameHeader};
use super::group::Group;
use super::operation::{OPERATION_HEADER_BYTES, Operation};
use super::queue::{Pending, Shared};
use super::segment::{self, SEGMENT_HEADER_BYTES, Segment, SegmentHeader};
use super::spare::Spares;
use super::trail::Trail;
use crate::disk::{Disk, SECTOR_BYTES};
use crate::sync::{read, write};

/// A buffer that a large frame has left is not kept beyond this.
const BUFFER_BYTES_KEPT: usize = 16 << 20;

/// The end of the stream, and what it takes to go on from there.
pub(super) struct Writer {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    log: u64,
    segment_bytes: u64,
    /// All segments, the one that is written to last.
    segments: VecDeque<Arc<Segment>>,
    /// Where in the last segment the next frame goes.
    end: u64,
    /// How large the last segment is.
    room: u64,
    /// Stream offset and sequence of the next frame.
    stream: u64,
    sequence: u64,
    /// Everything of the stream before this offset is synced.
    durable: u64,
    /// Whether a mark stands behind the last frame.
    marked: bool,
    spares: Spares,
    /// The segment before the last one, while its footer is still to be written.
    unsealed: Option<Unsealed>,
    /// The frame that is being made, and where in it each operation begins.
    frame: BytesMut,
    operations_at: Vec<usize>,
}

/// A frame that the disk has, and that may not be durable yet.
pub(super) struct Written {
    /// What is in it.
    batch: Vec<Pending>,
    /// Whether it must be durable before anything else happens.
    pub(super) to_sync: bool,
}

/// A full segment, the footer that it gets, and where.
struct Unsealed {
    segment: Arc<Segment>,
    at: u64,
    footer: BytesMut,
}

/// Where the stream ends.
pub(super) struct End {
    pub(super) log: u64,
    pub(super) segments: VecDeque<Arc<Segment>>,
    /// Where in the last segment the next frame goes, and how large the segment is.
    pub(super) end: u64,
    pub(super) room: u64,
    /// Stream offset and sequence of the next frame; everything before is durable.
    pub(super) stream: u64,
    pub(super) sequence: u64,
    /// Whether the last frame is a mark.
    pub(super) marked: bool,
}

impl Writer {
    /// Goes on at the end of a stream.
    pub(super) fn new(disk: Arc<dyn Disk>, dir: &Path, options: &Options, end: End) -> Writer {
        Writer {
            spares: Spares::new(disk.clone(), dir.into(), options),
            disk,
            dir: dir.into(),
            log: end.log,
            segment_bytes: options.segment_bytes,
            segments: end.segments,
            end: end.end,
            room: end.room,
            stream: end.stream,
            sequence: end.sequence,
            durable: end.stream,
            marked: end.marked,
            unsealed: None,
            frame: BytesMut::new(),
            operations_at: Vec::new(),
        }
    }

    /// Begins a stream.
    pub(super) fn create(disk: Arc<dyn Disk>, dir: &Path, options: &Options, log: u64) -> io::Result<Writer> {
        let end =
            End { log, segments: VecDeque::new(), end: 0, room: 0, stream: 0, sequence: 1, marked: false };
        let mut writer = Writer::new(disk, dir, options, end);
        writer.rotate(&[], 0)?;
        Ok(writer)
    }

    /// Writes one frame of what is queued, if anything is, syncs it and tells those who wait. Says whether there was any.
    pub(super) fn step(&mut self, shared: &Shared) -> bool {
        let written = self.begin(shared);
        written.map(|written| self.complete(shared, written)).is_some()
    }

    /// The first half of a step: hands the disk one frame of what is queued. None if nothing is, or if that failed.
    pub(super) fn begin(&mut self, shared: &Shared) -> Option<Written> {
        let batch = shared.take();
        if batch.is_empty() {
            if let Err(e) = self.mark(shared) {
                shared.poison(&e.to_string(), Vec::new());
            }
            return None;
        }
        if let Err(e) = self.write(shared, &batch) {
            shared.poison(&e.to_string(), batch);
            return None;
        }
        // Commit points, purges and truncations need no sync of their own: nobody waits for them, and whatever is synced
        // later is behind them in the stream. Only before segments are removed must the purge be durable.
        let awaited =
            batch.iter().any(|pending| pending.done.is_some() && !is_told_early(&pending.operation));
        let frees = purges(&batch) && self.removable(shared) > 0 && !planted::is(Bug::RemoveSegmentsEarly);
        let to_sync = awaited || frees;
        Some(Written { batch, to_sync })
    }

    /// The second half: makes the frame durable, if that is called for, and tells those who wait.
    pub(super) fn complete(&mut self, shared: &Shared, Written { batch, to_sync }: Written) {
        if to_sync && let Err(e) = self.sync() {
            return shared.poison(&e.to_string(), batch);
        }
        for done in batch.into_iter().filter_map(|pending| pending.done) {
            done(Ok(()));
        }
        if let Err(e) = self.tidy(shared) {
            shared.poison(&e.to_string(), Vec::new());
        }
    }

    /// Writes what rides along with others and syncs it. Called once, when nothing more is queued.
    pub(super) fn finish(&mut self, shared: &Shared) {
        while self.step(shared) {}
        if shared.failure().is_none()
            && let Err(e) = self.close(shared)
        {
            shared.poison(&e.to_string(), Vec::new());
        }
        if let Err(error) = self.spares.discard() {
            // The next opening removes it.
            tracing::warn!(%error, "the log's spare segment could not be removed");
        }
    }

    /// Says in a frame without operations that all before it is durable, so that no part of a log that rests can be taken for
    /// the remains of a write. Nobody waits for this mark, and no sync is its own: it is in the system's hands, survives the
    /// process, and becomes durable with whatever is synced next. The next frame takes its place in the stream and on the disk.
    fn mark(&mut self, shared: &Shared) -> io::Result<()> {
        let durable = self.durable == self.stream && shared.failure().is_none();
        // A segment that has no room for it is not worth another one.
        if durable && !self.marked && self.end + SECTOR_BYTES as u64 <= self.room {
            let segment = self.segments.back().expect("a log has a segment from the start").clone();
            let mut mark = std::mem::take(&mut self.frame);
            frame::begin(&mut mark);
            self.put(&segment, &mut mark)?;
            self.frame = mark;
            self.marked = true;
        }
        Ok(())
    }

    /// Makes everything durable, the mark too.
    fn close(&mut self, shared: &Shared) -> io::Result<()> {
        self.sync()?;
        self.mark(shared)?;
        let segment = self.segments.back().expect("a log has a segment from the start");
        segment.file.sync_data().map_err(|e| failed("synced", segment, e))
    }

    /// What may be done when those who wait have been told.
    fn tidy(&mut self, shared: &Shared) -> io::Result<()> {
        if let Some(Unsealed { segment, at, footer }) = self.unsealed.take() {
            let sealed = || {
                segment.file.write_at(at, &footer)?;
                segment.file.set_len(at + footer.len() as u64)?;
                segment.file.sync_data()
            };
            sealed().map_err(|e| failed("sealed", &segment, e))?;
        }
        if self.end > self.room / 4 {
            self.spares.begin();
        }
        self.remove_segments(shared)
    }

    fn write(&mut self, shared: &Shared, batch: &[Pending]) -> io::Result<()> {
        let mut frame = std::mem::take(&mut self.frame);
        frame::begin(&mut frame);
        self.operations_at.clear();
        for Pending { group, operation, .. } in batch {
            self.operations_at.push(frame.len());
            frame.reserve(operation.bytes());
            match **operation {
                // What is said in its place changes nothing.
                Operation::TruncateAfter(_) if planted::is(Bug::ForgetTruncation) => {
                    let committed = read(&group.trail).checkpoint().committed;
                    Operation::Committed(committed).encode(group.id, &mut frame);
                }
                _ => operation.encode(group.id, &mut frame),
            }
        }
        let bytes = frame::padded(frame.len()) as u64;
        if self.end + bytes > self.room {
            self.rotate(&shared.groups(), bytes)?;
        }
        let frame_at = self.end;
        let segment = self.segments.back().expect("a log has a segment from the start").clone();
        self.write_frame(&segment, &mut frame)?;
        if frame.capacity() <= BUFFER_BYTES_KEPT {
            self.frame = frame;
        }
        for (Pending { group, operation, append, .. }, at) in batch.iter().zip(&self.operations_at) {
            let entries_at = frame_at + (at + OPERATION_HEADER_BYTES) as u64;
            write(&group.trail)
                .apply(operation, &segment, entries_at)
                .expect("what is queued has been checked against the same numbering");
            group.placed(*append, operation);
        }
        Ok(())
    }

    /// Writes a frame and goes on behind it.
    fn write_frame(&mut self, segment: &Segment, frame: &mut BytesMut) -> io::Result<()> {
        self.put(segment, frame)?;
        self.end += frame.len() as u64;
        self.stream += frame.len() as u64;
        self.sequence += 1;
        self.marked = false;
        Ok(())
    }

    /// Writes a frame at the end of the stream.
    fn put(&self, segment: &Segment, frame: &mut BytesMut) -> io::Result<()> {
        let Writer { log, stream, sequence, durable, .. } = *self;
        frame::seal(frame, FrameHeader { log, sequence, stream, durable });
        segment.file.write_at(self.end, frame).map_err(|e| failed("written", segment, e))
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.durable < self.stream {
            let segment = self.segments.back().expect("a log has a segment from the start");
            segment.file.sync_data().map_err(|e| failed("synced", segment, e))?;
            self.durable = self.stream;
        }
        Ok(())
    }

    /// Begins a segment that has room for a frame of `bytes`. Everything before it is durable then, and so is its head: it
    /// gets its name only when both are.
    fn rotate(&mut self, groups: &[Arc<Group>], bytes: u64) -> io::Result<()> {
        self.sync()?;
        let mut head = BytesMut::new();
        frame::begin(&mut head);
        for group in groups {
            Operation::Checkpoint(read(&group.trail).checkpoint().clone()).encode(group.id, &mut head);
        }
        let number = self.segments.back().map_or(1, |last| last.number + 1);
        let header = SegmentHeader { log: self.log, number, stream: self.stream, sequence: self.sequence };
        let need = (SEGMENT_HEADER_BYTES + frame::padded(head.len())) as u64 + bytes;
        let unsealed = self.segments.back().map(|full| self.unsealed(full.clone(), groups));

        let spare = self.spares.take(need.max(self.segment_bytes))?;
        let segment =
            Arc::new(Segment { number, path: segment::path(&self.dir, number), file: spare.file.clone() });
        spare.file.write_at(0, &header.encode()).map_err(|e| failed("written", &segment, e))?;
        (self.end, self.room) = (SEGMENT_HEADER_BYTES as u64, spare.bytes);
        self.write_frame(&segment, &mut head)?;
        spare.file.sync_data().map_err(|e| failed("synced", &segment, e))?;
        self.disk.rename(&spare.path, &segment.path).map_err(|e| failed("named", &segment, e))?;
        self.disk.sync_dir(&self.dir).map_err(|e| failed("named", &segment, e))?;
        self.durable = self.stream;
        self.segments.push_back(segment);
        self.unsealed = unsealed;
        Ok(())
    }

    /// What the footer of a segment says that is full now. It is written when those who wait have been told.
    fn unsealed(&self, segment: Arc<Segment>, groups: &[Arc<Group>]) -> Unsealed {
        let sealed =
            Sealed { log: self.log, number: segment.number, stream: self.stream, sequence: self.sequence };
        let trails: Vec<_> = groups.iter().map(|group| (group.id, read(&group.trail))).collect();
        let trails = trails.iter().map(|(id, trail)| -> (_, &Trail) { (*id, trail) });
        let footer = footer::encode(sealed, self.end, trails);
        Unsealed { segment, at: self.end, footer }
    }

    /// How many segments, from the first, hold nothing that any group needs.
    fn removable(&self, shared: &Shared) -> usize {
        let current = self.segments.back().map_or(0, |segment| segment.number);
        let groups = shared.groups();
        let needed = groups.iter().filter_map(|group| read(&group.trail).first_segment()).min();
        let needed = needed.unwrap_or(current).min(current);
        self.segments.iter().take_while(|segment| segment.number < needed).count()
    }

    fn remove_segments(&mut self, shared: &Shared) -> io::Result<()> {
        // Only what is durable may justify it. Whoever had a reason to remove segments has synced before.
        let durable = self.durable == self.stream || planted::is(Bug::RemoveSegmentsEarly);
        if self.segments.len() < 2 || !durable {
            return Ok(());
        }
        for _ in 0..self.removable(shared) {
            if let Some(segment) = self.segments.pop_front() {
                // One by one, so that a crash never leaves a gap between those that remain.
                self.disk.remove(&segment.path)?;
                self.disk.sync_dir(&self.dir)?;
            }
        }
        Ok(())
    }
}

/// Whether any of this may make segments superfluous.
fn purges(batch: &[Pending]) -> bool {
    let frees =
        |operation: &Operation| matches!(operation, Operation::PurgeUpTo(_) | Operation::TruncateAfter(_));
    batch.iter().any(|pending| frees(&pending.operation))
}

/// Whether those who wait for this are told before it is durable.
fn is_told_early(operation: &Operation) -> bool {
    match operation {
        Operation::Append(_) => planted::is(Bug::AcknowledgeBeforeSync),
        Operation::Vote(_) => planted::is(Bug::VoteBeforeSync),
        _ => false,
    }
}

fn failed(what: &str, segment: &Segment, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{} could not be {what}: {error}", segment.path.display()))
}

const _: () = assert!(FRAME_HEADER_BYTES.is_multiple_of(8), "payloads begin aligned");
