//! The writer: takes what is queued, makes one frame of it, writes, syncs, and tells those who wait.
//!
//! [`Writer::step`] does this once and returns; who calls it, and on which thread, is the driver's business.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::BytesMut;
use lovebird_core::entry::EntryId;
use lovebird_core::identity::GroupId;

use super::frame::{self, FRAME_HEADER_BYTES, FrameHeader};
use super::group::Location;
use super::operation::Operation;
use super::queue::{Pending, Shared};
use super::segment::{self, SEGMENT_HEADER_BYTES, Segment, SegmentHeader};
use super::trail::Trail;
use crate::disk::Disk;
use crate::sync::lock;

/// The end of the stream, and what it takes to go on from there.
pub(super) struct Writer {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
    pub(super) log: u64,
    pub(super) segment_bytes: u64,
    /// All segments, the one that is written to last.
    pub(super) segments: VecDeque<Arc<Segment>>,
    /// Where in the last segment the next frame goes.
    pub(super) end: u64,
    /// How large the last segment is.
    pub(super) room: u64,
    /// Stream offset and sequence of the next frame.
    pub(super) stream: u64,
    pub(super) sequence: u64,
    /// Everything of the stream before this offset is synced.
    pub(super) durable: u64,
    pub(super) trails: BTreeMap<GroupId, Trail>,
}

/// An entry within a frame that is being made.
struct Placed {
    group: GroupId,
    id: EntryId,
    offset: usize,
}

impl Writer {
    /// Writes one frame of what is queued, if anything is. Says whether there was.
    pub(super) fn step(&mut self, shared: &Shared) -> bool {
        let batch = shared.take();
        if batch.is_empty() {
            return false;
        }
        if let Err(e) = self.commit(shared, &batch) {
            shared.poison(&e.to_string(), batch);
            return true;
        }
        for done in batch.into_iter().filter_map(|pending| pending.done) {
            done(Ok(()));
        }
        if let Err(e) = self.remove_segments() {
            shared.poison(&e.to_string(), Vec::new());
        }
        true
    }

    /// Writes what rides along with others and syncs it. Called once, when nothing more is queued.
    pub(super) fn finish(&mut self, shared: &Shared) {
        while self.step(shared) {}
        if shared.failure().is_none()
            && let Err(e) = self.sync()
        {
            shared.poison(&e.to_string(), Vec::new());
        }
    }

    fn commit(&mut self, shared: &Shared, batch: &[Pending]) -> io::Result<()> {
        self.write(shared, batch)?;
        // Commit points, purges and truncations need no sync of their own: nobody waits for them, and whatever is synced
        // later is behind them in the stream. Only before segments are removed must the purge be durable.
        if batch.iter().any(|pending| pending.done.is_some()) || self.removable() > 0 {
            self.sync()?;
        }
        Ok(())
    }

    fn write(&mut self, shared: &Shared, batch: &[Pending]) -> io::Result<()> {
        let mut frame = frame::begin();
        frame.reserve(batch.iter().map(|pending| pending.operation.bytes()).sum());
        let mut placed = Vec::new();
        for Pending { group, operation, .. } in batch {
            operation.encode(*group, &mut frame, |offset, entry| {
                placed.push(Placed { group: *group, id: entry.id(), offset });
            });
        }
        let bytes = frame::padded(frame.len()) as u64;
        if self.end + bytes > self.room {
            self.rotate(bytes)?;
        }
        let offset = self.end;
        self.write_frame(frame)?;

        let segment = self.segments.back().expect("a log has a segment from the start").clone();
        for Pending { group, operation, .. } in batch {
            let trail = self.trails.entry(*group).or_default();
            trail
                .apply(operation, segment.number)
                .expect("what is queued has been checked against the same numbering");
        }
        locate(shared, &segment, offset, &placed);
        Ok(())
    }

    fn write_frame(&mut self, mut frame: BytesMut) -> io::Result<()> {
        let (stream, sequence, durable) = (self.stream, self.sequence, self.durable);
        frame::seal(&mut frame, FrameHeader { log: self.log, sequence, stream, durable });
        let segment = self.segments.back().expect("a log has a segment from the start");
        segment.file.write_at(self.end, &frame).map_err(|e| failed("written", segment, e))?;
        self.end += frame.len() as u64;
        self.stream += frame.len() as u64;
        self.sequence += 1;
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.durable < self.stream {
            let segment = self.segments.back().expect("a log has a segment from the start");
            segment.file.sync_data().map_err(|e| failed("synced", segment, e))?;
            self.durable = self.stream;
        }
        Ok(())
    }

    /// Begins a segment that has room for a frame of `bytes`. Everything before it is durable then, and so is its head.
    pub(super) fn rotate(&mut self, bytes: u64) -> io::Result<()> {
        self.sync()?;
        let mut head = frame::begin();
        for (group, trail) in &self.trails {
            Operation::Checkpoint(trail.checkpoint().clone()).encode(*group, &mut head, |_, _| {});
        }
        let number = self.segments.back().map_or(1, |last| last.number + 1);
        let header =
            SegmentHeader { log: self.log, number, stream: self.stream, sequence: self.sequence }.encode();
        let need = (SEGMENT_HEADER_BYTES + frame::padded(head.len())) as u64 + bytes;

        let path = segment::path(&self.dir, number);
        let file = self.disk.create(&path)?;
        let segment = Arc::new(Segment { number, path, file });
        self.room = self.segment_bytes.max(need);
        segment.file.allocate(self.room).map_err(|e| failed("allocated", &segment, e))?;
        segment.file.write_at(0, &header).map_err(|e| failed("written", &segment, e))?;
        self.segments.push_back(segment);
        self.end = SEGMENT_HEADER_BYTES as u64;
        self.write_frame(head)?;
        self.sync()?;
        self.disk.sync_dir(&self.dir)
    }

    /// How many segments, from the first, hold nothing that any group needs.
    fn removable(&self) -> usize {
        let current = self.segments.back().map_or(0, |segment| segment.number);
        let needed = self.trails.values().filter_map(Trail::first_segment).min().unwrap_or(current);
        self.segments.iter().take_while(|segment| segment.number < needed.min(current)).count()
    }

    fn remove_segments(&mut self) -> io::Result<()> {
        // Only what is durable may justify it. Whoever had a reason to remove segments has synced before.
        if self.durable < self.stream {
            return Ok(());
        }
        for _ in 0..self.removable() {
            if let Some(segment) = self.segments.pop_front() {
                // One by one, so that a crash never leaves a gap between those that remain.
                self.disk.remove(&segment.path)?;
                self.disk.sync_dir(&self.dir)?;
            }
        }
        Ok(())
    }
}

fn locate(shared: &Shared, segment: &Arc<Segment>, frame_at: u64, placed: &[Placed]) {
    for run in placed.chunk_by(|a, b| a.group == b.group) {
        let group = lock(&shared.groups).get(&run[0].group).cloned();
        let group = group.expect("whoever queued an entry has a group");
        let mut state = lock(&group);
        for Placed { id, offset, .. } in run {
            let offset = frame_at + *offset as u64;
            state.locate(*id, Location { segment: segment.clone(), offset });
        }
        state.shrink_tail();
    }
}

fn failed(what: &str, segment: &Segment, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{} could not be {what}: {error}", segment.path.display()))
}

const _: () = assert!(FRAME_HEADER_BYTES.is_multiple_of(8), "payloads begin aligned");
