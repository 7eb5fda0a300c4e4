//! One group's log in memory: an index of all entries that it holds, and the entries of its tail.
//!
//! Everything here is decided without the disk. Callers change the state and queue the operation that tells the stream
//! about it under one lock, so that both see the same order; opening applies the same operations again.
//!
//! # Invariants
//!
//! 1. `index` holds the entries behind `floor`, without gaps; outside of opening, `floor` is the purge point.
//! 2. `tail` holds the last entries of `index`, each that has no location yet among them.
//! 3. A slot's numbering is what counting gives from the numbering at `floor` on.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use lovebird_core::entry::{Entry, EntryId};
use lovebird_core::fence::Numbering;
use lovebird_core::log_store::{LogState, Vote};

use super::operation::{Checkpoint, Operation, Point, number};
use super::segment::Segment;

/// Where an entry's bytes begin.
#[derive(Clone)]
pub(super) struct Location {
    pub(super) segment: Arc<Segment>,
    pub(super) offset: u64,
}

/// What is always in memory of an entry, some hundred bytes.
struct Slot {
    term: u64,
    /// As encoded. Entries are bounded far below 4 GiB.
    bytes: u32,
    /// After this entry.
    numbering: Option<Numbering>,
    /// Unknown until it has been written.
    location: Option<Location>,
}

/// Where to find an entry that is to be read.
pub(super) enum Source {
    Memory(Entry),
    Disk { id: EntryId, bytes: u32, location: Location },
}

/// See the module.
pub(super) struct GroupState {
    floor: Option<Point>,
    purged: Option<Point>,
    /// The number of `index[0]`, or of the next entry if the index is empty and there is a floor.
    first: u64,
    index: VecDeque<Slot>,
    tail: VecDeque<Entry>,
    tail_bytes: usize,
    tail_bytes_max: usize,
    installed: Option<(EntryId, Numbering)>,
    vote: Option<Vote>,
    committed: Option<EntryId>,
}

impl GroupState {
    pub(super) fn new(tail_bytes_max: usize) -> Self {
        GroupState {
            floor: None,
            purged: None,
            first: 0,
            index: VecDeque::new(),
            tail: VecDeque::new(),
            tail_bytes: 0,
            tail_bytes_max,
            installed: None,
            vote: None,
            committed: None,
        }
    }

    pub(super) fn state(&self) -> LogState {
        let floor = self.floor_numbering();
        let last = self.last_numbering();
        LogState {
            purged: self.purged.map(|point| point.id),
            last: self.last().map(|point| point.id),
            vote: self.vote,
            committed: self.committed,
            first_index: floor.map_or(0, |numbering| numbering.last_index + 1),
            last_index: last.map_or(0, |numbering| numbering.last_index),
        }
    }

    /// Before the first entry that is held. A log that was never purged counts from zero.
    fn floor_numbering(&self) -> Option<Numbering> {
        self.floor.map_or(Some(Numbering::default()), |point| point.numbering)
    }

    fn last_numbering(&self) -> Option<Numbering> {
        self.index.back().map_or_else(|| self.floor_numbering(), |slot| slot.numbering)
    }

    fn last(&self) -> Option<Point> {
        let Some(slot) = self.index.back() else { return self.floor };
        let id = EntryId::new(slot.term, self.end() - 1);
        Some(Point { id, numbering: slot.numbering })
    }

    /// The number behind the last entry that is held; only of use if one is.
    fn end(&self) -> u64 {
        self.first + self.index.len() as u64
    }

    fn tail_first(&self) -> u64 {
        self.end() - self.tail.len() as u64
    }

    fn slot(&self, number: u64) -> Option<&Slot> {
        self.index.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    /// The entry `number` as a point, if it is held or is the floor.
    fn point(&self, number: u64) -> Option<Point> {
        if let Some(slot) = self.slot(number) {
            return Some(Point { id: EntryId::new(slot.term, number), numbering: slot.numbering });
        }
        self.floor.filter(|floor| floor.id.number == number)
    }

    /// Checks entries that are to be appended and stamps their log indexes.
    pub(super) fn stamp(&self, entries: &mut [Entry]) -> io::Result<()> {
        let mut next = self.last().map(|last| last.id.number + 1);
        let mut numbering = self.last_numbering();
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
    pub(super) fn append(&mut self, entries: Vec<Entry>) {
        for entry in entries {
            if self.index.is_empty() {
                self.first = entry.header.number;
            }
            assert_eq!(
                entry.header.number,
                self.end(),
                "entries {}..{} are held: {entry} leaves a gap",
                self.first,
                self.end()
            );
            let (numbering, _) = number(self.last_numbering(), &entry.header)
                .expect("entries are stamped before they are appended");
            let bytes = entry.encoded_bytes();
            self.index.push_back(Slot {
                term: entry.header.term,
                bytes: bytes as u32,
                numbering,
                location: None,
            });
            self.tail_bytes += bytes;
            self.tail.push_back(entry);
        }
        self.shrink_tail();
    }

    /// Notes where an entry was written, unless another has taken its place since. (The same entry may be written twice;
    /// both copies have the same bytes, and the later one is noted later.)
    pub(super) fn locate(&mut self, id: EntryId, location: Location) {
        let at = id.number.wrapping_sub(self.first) as usize;
        if let Some(slot) = self.index.get_mut(at).filter(|slot| slot.term == id.term) {
            slot.location = Some(location);
        }
    }

    /// Forgets the oldest entries of the tail that can be read from the disk again, as far as the bound asks for it.
    pub(super) fn shrink_tail(&mut self) {
        while self.tail_bytes > self.tail_bytes_max {
            let first = self.tail_first();
            if self.slot(first).is_none_or(|slot| slot.location.is_none()) {
                break;
            }
            if let Some(entry) = self.tail.pop_front() {
                self.tail_bytes -= entry.encoded_bytes();
            }
        }
    }

    /// What truncation has to say to the stream, if there is anything to drop.
    pub(super) fn truncation(&self, last: Option<EntryId>) -> io::Result<Option<Operation>> {
        let Some(last) = last else {
            return Ok((!self.index.is_empty()).then_some(Operation::TruncateAfter(None)));
        };
        if self.index.is_empty() || last.number >= self.end() {
            return Ok(None);
        }
        if self.purged.is_some_and(|purged| last.number <= purged.id.number) || last.number < self.first {
            return Ok(Some(Operation::TruncateAfter(None)));
        }
        match self.point(last.number) {
            Some(point) if point.id == last => {
                let behind = last.number + 1 < self.end();
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
        if end < self.first || (last.is_none() && self.floor != self.purged) {
            // Only while opening: the segments that held what stays are gone, and all of it was purged later.
            self.clear(last.or(self.purged));
            return;
        }
        self.index.truncate((end - self.first) as usize);
        while self.tail.back().is_some_and(|entry| entry.header.number >= end) {
            if let Some(entry) = self.tail.pop_back() {
                self.tail_bytes -= entry.encoded_bytes();
            }
        }
    }

    /// What a purge has to say to the stream, if there is anything to drop.
    pub(super) fn purging(&self, upto: EntryId) -> io::Result<Option<Operation>> {
        if self.purged.is_some_and(|purged| upto.number <= purged.id.number) {
            return Ok(None);
        }
        let installed = self.installed.filter(|(id, _)| *id == upto).map(|(_, numbering)| numbering);
        let numbering = match self.slot(upto.number) {
            Some(slot) if slot.term != upto.term => {
                return Err(invalid(format!(
                    "the log cannot be purged up to entry {upto}: it holds {}:{} there",
                    slot.term, upto.number
                )));
            }
            Some(slot) => slot.numbering.or(installed),
            None if self.index.is_empty() || upto.number >= self.end() => installed,
            None if upto.number + 1 == self.first => self.floor_numbering(),
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
        self.purged = Some(upto);
        if self.floor.is_some_and(|floor| floor.id.number > upto.id.number) {
            return;
        }
        self.floor = Some(upto);
        while self.index.len() > self.tail.len() && self.first <= upto.id.number {
            self.index.pop_front();
            self.first += 1;
        }
        while !self.index.is_empty() && self.first <= upto.id.number {
            self.index.pop_front();
            self.first += 1;
            if let Some(entry) = self.tail.pop_front() {
                self.tail_bytes -= entry.encoded_bytes();
            }
        }
        if self.index.is_empty() {
            self.first = upto.id.number + 1;
        }
    }

    /// Holds nothing from now on, and goes on behind `floor`.
    fn clear(&mut self, floor: Option<Point>) {
        self.index.clear();
        self.tail.clear();
        self.tail_bytes = 0;
        self.floor = floor;
        self.first = floor.map_or(0, |point| point.id.number + 1);
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
                if !self.index.is_empty() {
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
    pub(super) fn apply(&mut self, operation: Operation) {
        match operation {
            Operation::Append(entries) => self.append(entries),
            Operation::TruncateAfter(last) => self.truncate_after(last),
            Operation::PurgeUpTo(point) => self.purge(point),
            Operation::Vote(vote) => self.vote = Some(vote),
            Operation::Committed(committed) => self.committed = committed,
            Operation::Checkpoint(Checkpoint { purged, last, vote, committed }) => {
                self.clear(last);
                self.purged = purged;
                self.vote = vote;
                self.committed = committed;
            }
        }
    }

    /// The entries that a log which was just opened should hold, but does not.
    pub(super) fn missing(&self) -> Option<Range<u64>> {
        let floor = self.floor.map_or(0, |point| point.id.number + 1);
        let purged = self.purged.map_or(0, |point| point.id.number + 1);
        (floor > purged).then_some(purged..floor)
    }

    /// Where to find the entries of `numbers` that are held; stops after the one with which `bytes_max` is reached.
    pub(super) fn sources(&self, numbers: Range<u64>, bytes_max: usize) -> Vec<Source> {
        let mut sources = Vec::new();
        let mut bytes = 0;
        for at in numbers.start.max(self.first)..numbers.end.min(self.end()) {
            let Some(slot) = self.slot(at) else { break };
            sources.push(match (at.checked_sub(self.tail_first()), &slot.location) {
                (Some(in_tail), _) => Source::Memory(self.tail[in_tail as usize].clone()),
                (None, Some(location)) => Source::Disk {
                    id: EntryId::new(slot.term, at),
                    bytes: slot.bytes,
                    location: location.clone(),
                },
                (None, None) => panic!("entry {at} is neither in memory nor on disk"),
            });
            bytes += slot.bytes as usize;
            if bytes >= bytes_max {
                break;
            }
        }
        sources
    }

    pub(super) fn numbering_at(&self, number: u64) -> Option<Numbering> {
        self.point(number)?.numbering
    }

    /// The number of the entry that holds the record `log_index`.
    pub(super) fn find(&self, log_index: u64) -> Option<u64> {
        let before = self.floor_numbering()?.last_index;
        if log_index <= before {
            return None;
        }
        let last_index = |slot: &Slot| slot.numbering.map_or(0, |numbering| numbering.last_index);
        let at = self.index.partition_point(|slot| last_index(slot) < log_index);
        (at < self.index.len()).then(|| self.first + at as u64)
    }
}

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}
