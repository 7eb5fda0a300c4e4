//! One group: its state in memory, which every change meets at once, and its trail, which follows the stream.
//!
//! Everything in [`GroupState`] is decided without the disk. Callers change the state and queue the operation that tells the
//! stream about it under one lock, so that both see the same order. The entries that the stream does not have yet, and as
//! many of the last ones as the bound allows, are in the state's tail; all before them are found through the trail.
//! A reader that wants none of the tail never takes the state's lock, so that it does not meet those who append.
//!
//! # Invariants
//!
//! 1. The entries from `first` to `last` are held, without gaps; those from `tail_first` on are in the tail.
//! 2. What is held, but not in the tail, the trail has: the same entry, at the same number.
//! 3. The numbering of an entry is what counting gives from the numbering at the purge point on.
//! 4. Locks are taken in the order state, trail, queue; the writer holds one of them at a time.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use lovebird_core::entry::{Entry, EntryId};
use lovebird_core::fence::Numbering;
use lovebird_core::identity::GroupId;
use lovebird_core::log_store::{LogState, Vote};
use lovebird_core::planted::{self, Bug};

use super::operation::{Operation, Point, number};
use super::trail::Trail;
use crate::sync::{lock, read};

/// See the module.
pub(super) struct Group {
    pub(super) id: GroupId,
    pub(super) state: Mutex<GroupState>,
    pub(super) trail: Arc<RwLock<Trail>>,
    pub(super) bounds: Arc<Bounds>,
}

/// What readers of the trail must know of the state. Stored under the state's lock; a reader that holds the trail's lock
/// while it loads them finds there whatever they promise, since entries leave the tail only after the trail has them.
#[derive(Default)]
pub(super) struct Bounds {
    first: AtomicU64,
    tail_first: AtomicU64,
    /// How often entries were cut off.
    cuts: AtomicU64,
}

impl Bounds {
    /// The numbers that the trail must be asked for.
    pub(super) fn in_trail(&self) -> Range<u64> {
        self.first.load(Ordering::Acquire)..self.tail_first.load(Ordering::Acquire)
    }

    /// Changes whenever an entry may have been replaced by another.
    pub(super) fn cuts(&self) -> u64 {
        self.cuts.load(Ordering::Acquire)
    }
}

/// An entry in memory, and the numbering after it.
struct Held {
    /// The operation that brought it, shared with the queue, so that no entry is copied; and which of its entries it is.
    operation: Arc<Operation>,
    at: usize,
    numbering: Option<Numbering>,
    /// Which append brought it: the same entry may be cut off and come again before the stream has either.
    append: u64,
}

impl Held {
    fn entry(&self) -> &Entry {
        match &*self.operation {
            Operation::Append(entries) => &entries[self.at],
            other => unreachable!("entries are held of appends alone, not of {other:?}"),
        }
    }
}

/// See the module.
pub(super) struct GroupState {
    trail: Arc<RwLock<Trail>>,
    bounds: Arc<Bounds>,
    purged: Option<Point>,
    /// The purge point, if there is none behind it.
    last: Option<Point>,
    /// The number of the first entry held, or of the next one if none is and there is a last.
    first: u64,
    tail: VecDeque<Held>,
    tail_bytes: usize,
    tail_bytes_max: usize,
    /// The trail has all entries before this number.
    placed: u64,
    /// The number of the next append.
    append: u64,
    installed: Option<(EntryId, Numbering)>,
    vote: Option<Vote>,
    committed: Option<EntryId>,
}

impl Group {
    /// A group as the stream has it.
    pub(super) fn new(id: GroupId, trail: Trail, tail_bytes_max: usize) -> Group {
        let checkpoint = trail.checkpoint();
        let end = checkpoint.last.map_or(0, |last| last.id.number + 1);
        let first = match checkpoint.purged {
            Some(purged) => purged.id.number + 1,
            None => trail.index().first().unwrap_or(end),
        };
        let (purged, last) = (checkpoint.purged, checkpoint.last);
        let (vote, committed) = (checkpoint.vote, checkpoint.committed);
        let (trail, bounds) = (Arc::new(RwLock::new(trail)), Arc::<Bounds>::default());
        let state = GroupState {
            trail: trail.clone(),
            bounds: bounds.clone(),
            purged,
            last,
            first,
            tail: VecDeque::new(),
            tail_bytes: 0,
            tail_bytes_max,
            placed: end,
            append: 0,
            installed: None,
            vote,
            committed,
        };
        state.publish();
        Group { id, state: Mutex::new(state), trail, bounds }
    }

    /// The trail has what this append brought, so it may leave the tail.
    pub(super) fn placed(&self, append: u64, operation: &Operation) {
        if let Operation::Append(entries) = operation {
            lock(&self.state).place(append, entries.len());
        }
    }
}

impl GroupState {
    pub(super) fn state(&self) -> LogState {
        LogState {
            purged: self.purged.map(|point| point.id),
            last: self.last.map(|point| point.id),
            vote: self.vote,
            committed: self.committed,
            first_index: self.floor().map_or(0, |numbering| numbering.last_index + 1),
            last_index: self.end_numbering().map_or(0, |numbering| numbering.last_index),
        }
    }

    /// Before the first entry that is held. A log that was never purged counts from zero.
    fn floor(&self) -> Option<Numbering> {
        self.purged.map_or(Some(Numbering::default()), |point| point.numbering)
    }

    fn end_numbering(&self) -> Option<Numbering> {
        self.last.map_or(Some(Numbering::default()), |point| point.numbering)
    }

    /// The number behind the last entry; only of use if there is one.
    fn end(&self) -> u64 {
        self.last.map_or(self.first, |last| last.id.number + 1)
    }

    fn is_empty(&self) -> bool {
        self.first == self.end()
    }

    fn tail_first(&self) -> u64 {
        self.end() - self.tail.len() as u64
    }

    fn publish(&self) {
        self.bounds.first.store(self.first, Ordering::Release);
        self.bounds.tail_first.store(self.tail_first(), Ordering::Release);
    }

    /// The entry `number` as a point, if it is held or is the purge point.
    pub(super) fn point(&self, number: u64) -> Option<Point> {
        if let Some(purged) = self.purged.filter(|purged| purged.id.number == number) {
            return Some(purged);
        }
        if number < self.first || number >= self.end() {
            return None;
        }
        match number.checked_sub(self.tail_first()) {
            Some(at) => {
                let held = &self.tail[at as usize];
                Some(Point { id: held.entry().id(), numbering: held.numbering })
            }
            None => read(&self.trail).index().point(number),
        }
    }

    /// Checks entries that are to be appended and stamps their log indexes.
    pub(super) fn stamp(&self, entries: &mut [Entry]) -> io::Result<()> {
        let mut next = self.last.map(|last| last.id.number + 1);
        let mut numbering = self.end_numbering();
        for entry in entries {
            if next.is_some_and(|next| next != entry.header.number) {
                return Err(invalid(format!(
                    "entry {} does not follow on the last one: number {} was expected",
                    entry.id(),
                    next.unwrap_or_default()
                )));
            }
            next = Some(entry.header.number + 1);
            let (after, first) = number(numbering, &entry.header).map_err(invalid)?;
            numbering = after;
            entry.header.first_index = first.unwrap_or(0);
        }
        Ok(())
    }

    /// Appends entries that were stamped.
    fn append(&mut self, operation: &Arc<Operation>, entries: &[Entry]) {
        self.tail.reserve(entries.len());
        for (at, entry) in entries.iter().enumerate() {
            if self.last.is_none() {
                (self.first, self.placed) = (entry.header.number, entry.header.number);
            }
            let (first, end) = (self.first, self.end());
            assert_eq!(entry.header.number, end, "entries {first}..{end} are held: {entry} leaves a gap");
            let (numbering, _) = number(self.end_numbering(), &entry.header)
                .expect("entries are stamped before they are appended");
            self.last = Some(Point { id: entry.id(), numbering });
            self.tail_bytes += entry.encoded_bytes();
            let (operation, append) = (operation.clone(), self.append);
            self.tail.push_back(Held { operation, at, numbering, append });
        }
        self.append += 1;
        self.shrink_tail();
    }

    /// The number that the next append has.
    pub(super) fn next_append(&self) -> u64 {
        self.append
    }

    /// The trail has the entries of this append, of which some may have been cut off since.
    fn place(&mut self, append: u64, entries: usize) {
        let from = self.placed.saturating_sub(self.tail_first()) as usize;
        let held = self.tail.range(from.min(self.tail.len())..).take(entries);
        self.placed += held.take_while(|held| held.append == append).count() as u64;
        self.shrink_tail();
        self.publish();
    }

    /// Forgets the oldest entries of the tail that can be read from the disk again, as far as the bound asks for it.
    fn shrink_tail(&mut self) {
        while self.tail_bytes > self.tail_bytes_max && self.tail_first() < self.placed {
            self.drop_first_of_tail();
        }
    }

    fn drop_first_of_tail(&mut self) {
        if let Some(held) = self.tail.pop_front() {
            self.tail_bytes -= held.entry().encoded_bytes();
        }
    }

    /// What truncation has to say to the stream, if there is anything to drop.
    pub(super) fn truncation(&self, last: Option<EntryId>) -> io::Result<Option<Operation>> {
        let Some(last) = last else {
            return Ok((!self.is_empty()).then_some(Operation::TruncateAfter(None)));
        };
        if self.is_empty() || last.number >= self.end() {
            return Ok(None);
        }
        if self.purged.is_some_and(|purged| last.number <= purged.id.number) || last.number < self.first {
            return Ok(Some(Operation::TruncateAfter(None)));
        }
        match self.point(last.number) {
            Some(point) if point.id == last => {
                let behind = last.number + 1 < self.end();
                lovebird_core::sometimes!(behind, "a follower truncates what contradicts its leader");
                Ok(behind.then_some(Operation::TruncateAfter(Some(point))))
            }
            held => Err(invalid(format!(
                "the log cannot be cut behind entry {last}: it holds {} there",
                held.map_or("nothing".to_owned(), |point| point.id.to_string())
            ))),
        }
    }

    fn truncate_after(&mut self, last: Option<Point>) {
        let end = last.map_or(self.first, |point| point.id.number + 1);
        let dropped = end + u64::from(planted::is(Bug::KeepCutEntry));
        while self.tail.back().is_some_and(|held| held.entry().header.number >= dropped) {
            if let Some(held) = self.tail.pop_back() {
                self.tail_bytes -= held.entry().encoded_bytes();
            }
        }
        self.last = last.or(self.purged);
        self.placed = self.placed.min(end);
        self.bounds.cuts.fetch_add(1, Ordering::AcqRel);
    }

    /// What a purge has to say to the stream, if there is anything to drop.
    pub(super) fn purging(&self, upto: EntryId) -> io::Result<Option<Operation>> {
        if self.purged.is_some_and(|purged| upto.number <= purged.id.number) {
            return Ok(None);
        }
        let installed = self.installed.filter(|(id, _)| *id == upto).map(|(_, numbering)| numbering);
        let numbering = match self.point(upto.number) {
            Some(held) if held.id.term != upto.term => {
                return Err(invalid(format!(
                    "the log cannot be purged up to entry {upto}: it holds {} there",
                    held.id
                )));
            }
            Some(held) => held.numbering.or(installed),
            None if self.is_empty() || upto.number >= self.end() => {
                lovebird_core::sometimes!("the log is purged beyond its end, to go on from a snapshot");
                installed
            }
            None if upto.number + 1 == self.first => self.floor(),
            None => {
                return Err(invalid(format!(
                    "the log cannot be purged up to entry {upto}: it begins with number {}, which leaves a gap",
                    self.first
                )));
            }
        };
        Ok(Some(Operation::PurgeUpTo(Point { id: upto, numbering })))
    }

    fn purge(&mut self, upto: Point) {
        let first = upto.id.number + 1;
        while self.tail.front().is_some_and(|held| held.entry().header.number < first) {
            self.drop_first_of_tail();
        }
        self.purged = Some(upto);
        self.first = first;
        self.placed = self.placed.max(first);
        if self.last.is_none_or(|last| last.id.number <= upto.id.number) {
            self.last = Some(upto);
        }
    }

    /// Takes the numbering at `last`. Gives what has to be said to the stream if the log was already purged there
    /// without it.
    pub(super) fn install(&mut self, last: EntryId, numbering: Numbering) -> io::Result<Option<Operation>> {
        let known = self.point(last.number).filter(|point| point.id == last);
        match known {
            Some(Point { numbering: Some(counted), .. }) if counted != numbering => Err(invalid(format!(
                "the snapshot says that the numbering at entry {last} is {numbering:?}, the log has counted {counted:?}"
            ))),
            Some(Point { numbering: None, .. }) if self.purged.is_some_and(|purged| purged.id == last) => {
                if !self.is_empty() {
                    return Err(invalid(format!(
                        "the numbering at entry {last} must be told before entries are appended behind it"
                    )));
                }
                Ok(Some(Operation::PurgeUpTo(Point { id: last, numbering: Some(numbering) })))
            }
            _ => {
                self.installed = Some((last, numbering));
                Ok(None)
            }
        }
    }

    /// Makes an operation true in memory. Appends must have been stamped.
    pub(super) fn apply(&mut self, operation: &Arc<Operation>) {
        match &**operation {
            Operation::Append(entries) => self.append(operation, entries),
            Operation::TruncateAfter(last) => self.truncate_after(*last),
            Operation::PurgeUpTo(point) => self.purge(*point),
            Operation::Vote(vote) => self.vote = Some(*vote),
            Operation::Committed(committed) => self.committed = *committed,
            Operation::Checkpoint(_) => {
                unreachable!("a checkpoint is made by the writer, of what the stream has")
            }
        }
        self.publish();
    }

    /// Copies the handles of entries from `numbers.start` on, which must be in the tail if it is held; stops after the one with
    /// which `bytes_max` is reached. `None` if the first one is no longer in the tail.
    pub(super) fn read_tail(
        &self,
        numbers: Range<u64>,
        bytes_max: usize,
        out: &mut Vec<Entry>,
    ) -> Option<()> {
        let from = numbers.start.checked_sub(self.tail_first())? as usize;
        let to = numbers.end.min(self.end()).saturating_sub(self.tail_first()) as usize;
        let mut bytes = 0;
        for held in self.tail.range(from.min(to)..to) {
            out.push(held.entry().clone());
            bytes += held.entry().encoded_bytes();
            if bytes >= bytes_max {
                break;
            }
        }
        Some(())
    }

    /// The first entry that is held.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    pub(super) fn numbering_at(&self, number: u64) -> Option<Numbering> {
        self.point(number)?.numbering
    }

    /// The number of the entry that holds the record `log_index`.
    pub(super) fn find(&self, log_index: u64) -> Option<u64> {
        if log_index <= self.floor()?.last_index || log_index > self.end_numbering()?.last_index {
            return None;
        }
        let last_index = |held: &Held| held.numbering.map_or(0, |numbering| numbering.last_index);
        let before_tail = match self.tail_first().checked_sub(1) {
            Some(number) => self.numbering_at(number).map_or(0, |numbering| numbering.last_index),
            None => 0,
        };
        if log_index <= before_tail {
            return read(&self.trail).index().find(log_index);
        }
        let at = self.tail.partition_point(|held| last_index(held) < log_index);
        (at < self.tail.len()).then(|| self.tail_first() + at as u64)
    }
}

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}
