//! Where a group's entries stand in the stream, and how they count: a few bytes an entry.
//!
//! The index follows the stream as it is written, not the group's state, which runs ahead of it. A [`Run`] holds the entries
//! of one segment. Every [`ANCHOR_ENTRIES`] entries, and wherever the plain encoding below cannot say what happens, it has
//! an [`Anchor`], which says everything of one entry; the entries behind it say only what differs. To look an entry up is
//! to find its anchor and to take at most so many steps. Each entry is a row of variable-length integers (seven bits a
//! byte, the lowest first, the top bit set where more follow):
//!
//! - the first entry of an anchor: its length in bytes;
//! - others: the bytes between the end of the entry before and this one; its length; 0 if it does not change the numbering,
//!   else by how much it moves the last log index, and 1 more (an entry may count without records that do, as openings of
//!   sessions do); and in the second case by how much log time moves.
//!
//! A run is kept as it is written: the footer of a sealed segment ([`super::footer`]) holds the same bytes, so that opening
//! takes it over as a whole.
//!
//! # Invariants
//!
//! 1. The numbers in an index are consecutive, over all of its runs.
//! 2. Offsets within a run grow: a segment is only ever appended to.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use lovebird_core::entry::EntryId;
use lovebird_core::fence::Numbering;

use super::operation::Point;
use super::segment::Segment;

/// How many entries share an anchor at the most.
const ANCHOR_ENTRIES: u64 = 128;

/// A piece that has so many bytes is followed by another: what is read at once is then still in the processor's cache when it is
/// verified.
const PIECE_BYTES: usize = 128 << 10;

/// Everything about one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Anchor {
    pub(super) number: u64,
    pub(super) term: u64,
    /// Where in the file it begins.
    pub(super) offset: u64,
    /// The last log index before it.
    pub(super) before: u64,
    /// The numbering after it.
    pub(super) after: Option<Numbering>,
    /// Where in the run's bytes its row begins.
    pub(super) at: u32,
}

/// An entry that is to be noted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) id: EntryId,
    pub(super) offset: u64,
    pub(super) bytes: u32,
}

/// One entry, as steps find it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Step {
    pub(super) id: EntryId,
    pub(super) offset: u64,
    pub(super) bytes: u32,
    pub(super) numbering: Option<Numbering>,
}

/// Entries of one term that lie end to end in a file.
#[derive(Clone)]
pub(super) struct Piece {
    pub(super) segment: Arc<Segment>,
    pub(super) offset: u64,
    pub(super) bytes: usize,
    pub(super) first: EntryId,
    pub(super) entries: usize,
}

/// A group's entries in one segment.
pub(super) struct Run {
    segment: Arc<Segment>,
    anchors: Vec<Anchor>,
    rows: Vec<u8>,
    /// The number behind the last entry, and where in the file that ends.
    end: u64,
    file_end: u64,
}

/// A group's entries in all segments.
#[derive(Default)]
pub(super) struct Index {
    runs: VecDeque<Run>,
}

impl Run {
    fn new(segment: Arc<Segment>) -> Run {
        Run { segment, anchors: Vec::new(), rows: Vec::new(), end: 0, file_end: 0 }
    }

    /// Takes over what a footer holds. None if it makes no sense, which its checksum rules out for what this version wrote.
    pub(super) fn load(segment: Arc<Segment>, anchors: Vec<Anchor>, rows: Vec<u8>, end: u64) -> Option<Run> {
        let mut run = Run { segment, anchors, rows, end, file_end: 0 };
        let first = run.anchors.first()?.number;
        let ordered = run.anchors.is_sorted_by(|a, b| a.number < b.number && a.at < b.at);
        if !ordered || run.anchors.last()?.number >= end {
            return None;
        }
        let mut steps = run.all();
        let mut file_end = 0;
        for number in first..end {
            let step = steps.take()?;
            if step.id.number != number || step.offset < file_end {
                return None;
            }
            file_end = step.offset.checked_add(u64::from(step.bytes))?;
        }
        if steps.at != run.rows.len() || steps.anchor != run.anchors.len() {
            return None;
        }
        run.file_end = file_end;
        Some(run)
    }

    pub(super) fn anchors(&self) -> &[Anchor] {
        &self.anchors
    }

    pub(super) fn rows(&self) -> &[u8] {
        &self.rows
    }

    /// The number behind the last entry.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Whether it says the same of the same entries, however it is written.
    pub(super) fn agrees(&self, other: &Run) -> bool {
        let numbers = self.first()..self.end;
        let (mut ours, mut theirs) = (self.all(), other.all());
        numbers == (other.first()..other.end) && numbers.into_iter().all(|_| ours.take() == theirs.take())
    }

    fn all(&self) -> Steps<'_> {
        Steps { run: self, anchor: 0, at: 0, last: None }
    }

    fn first(&self) -> u64 {
        self.anchors.first().map_or(self.end, |anchor| anchor.number)
    }

    fn push(&mut self, place: Place, before: Option<Numbering>, after: Option<Numbering>) {
        let change = self.anchors.last().and_then(|anchor| {
            let near = anchor.term == place.id.term && place.id.number - anchor.number < ANCHOR_ENTRIES;
            near.then(|| change(before, after)).flatten()
        });
        match change {
            Some((records, time)) => {
                put(&mut self.rows, place.offset - self.file_end);
                put(&mut self.rows, place.bytes.into());
                put(&mut self.rows, records);
                if records > 0 {
                    put(&mut self.rows, time);
                }
            }
            None => {
                self.anchors.push(Anchor {
                    number: place.id.number,
                    term: place.id.term,
                    offset: place.offset,
                    before: before.map_or(0, |before| before.last_index),
                    after,
                    at: u32::try_from(self.rows.len()).expect("a segment's index is far below 4 GiB"),
                });
                put(&mut self.rows, place.bytes.into());
            }
        }
        self.end = place.id.number + 1;
        self.file_end = place.offset + u64::from(place.bytes);
    }

    /// Keeps the entries before `end`, of which there must be one.
    fn truncate(&mut self, end: u64) {
        let mut steps = self.steps(end - 1);
        let last = steps.take().expect("an entry before the end of what is kept");
        let (at, anchor) = (steps.at, steps.anchor);
        self.rows.truncate(at);
        self.anchors.truncate(anchor);
        self.end = end;
        self.file_end = last.offset + u64::from(last.bytes);
    }

    /// Steps from the entry `number` on, which is in this run.
    fn steps(&self, number: u64) -> Steps<'_> {
        let anchor = self.anchors.partition_point(|anchor| anchor.number <= number) - 1;
        let mut steps = Steps { run: self, anchor, at: self.anchors[anchor].at as usize, last: None };
        for _ in self.anchors[anchor].number..number {
            steps.take();
        }
        steps
    }
}

/// What a row says of an entry's effect: how far the last log index moves and 1 more, or 0 for none, and how log time moves.
/// None if a row cannot say it.
fn change(before: Option<Numbering>, after: Option<Numbering>) -> Option<(u64, u64)> {
    if before == after {
        return Some((0, 0));
    }
    let (before, after) = (before?, after?);
    let follows = after.token == before.token
        && after.term == before.term
        && after.position == before.position + 1
        && after.last_index >= before.last_index
        && after.time >= before.time;
    follows.then(|| (after.last_index - before.last_index + 1, after.time - before.time))
}

/// Goes through a run.
struct Steps<'a> {
    run: &'a Run,
    /// The next anchor.
    anchor: usize,
    /// Where the next row begins.
    at: usize,
    last: Option<Step>,
}

impl Steps<'_> {
    fn take(&mut self) -> Option<Step> {
        let rows = &self.run.rows;
        let step = match self.run.anchors.get(self.anchor) {
            Some(anchor) if anchor.at as usize == self.at => {
                self.anchor += 1;
                Step {
                    id: EntryId::new(anchor.term, anchor.number),
                    offset: anchor.offset,
                    bytes: u32::try_from(get(rows, &mut self.at)?).ok()?,
                    numbering: anchor.after,
                }
            }
            _ => {
                let last = self.last?;
                let gap = get(rows, &mut self.at)?;
                let bytes = u32::try_from(get(rows, &mut self.at)?).ok()?;
                let records = get(rows, &mut self.at)?;
                let mut numbering = last.numbering;
                if records > 0 {
                    let time = get(rows, &mut self.at)?;
                    let before = numbering?;
                    numbering = Some(Numbering {
                        position: before.position.checked_add(1)?,
                        last_index: before.last_index.checked_add(records - 1)?,
                        time: before.time.checked_add(time)?,
                        ..before
                    });
                }
                let offset = last.offset.checked_add(u64::from(last.bytes))?.checked_add(gap)?;
                Step { id: EntryId::new(last.id.term, last.id.number + 1), offset, bytes, numbering }
            }
        };
        self.last = Some(step);
        Some(step)
    }
}

fn put(rows: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        rows.push(value as u8 | 0x80);
        value >>= 7;
    }
    rows.push(value as u8);
}

fn get(rows: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *rows.get(*at)?;
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

impl Index {
    /// The first entry that is held.
    pub(super) fn first(&self) -> Option<u64> {
        self.runs.front().map(Run::first)
    }

    /// The number behind the last entry.
    pub(super) fn end(&self) -> Option<u64> {
        self.runs.back().map(Run::end)
    }

    /// The first segment that holds an entry.
    pub(super) fn first_segment(&self) -> Option<u64> {
        self.runs.front().map(|run| run.segment.number)
    }

    /// The entries in this segment, if that is the last one that holds any.
    pub(super) fn last_run(&self, segment: u64) -> Option<&Run> {
        self.runs.back().filter(|run| run.segment.number == segment)
    }

    /// Notes an entry, with the numbering before it and after it. If it does not follow on the last one, all that is held was
    /// purged, and goes.
    pub(super) fn push(
        &mut self,
        segment: &Arc<Segment>,
        place: Place,
        before: Option<Numbering>,
        after: Option<Numbering>,
    ) {
        if self.end() != Some(place.id.number) {
            self.runs.clear();
        }
        if self.runs.back().is_none_or(|run| run.segment.number != segment.number) {
            if let Some(run) = self.runs.back_mut() {
                run.rows.shrink_to_fit();
                run.anchors.shrink_to_fit();
            }
            self.runs.push_back(Run::new(segment.clone()));
        }
        let run = self.runs.back_mut().expect("a run was just found or made");
        run.push(place, before, after);
    }

    /// Takes over all of a segment's entries, in place of what is held from its first entry on.
    pub(super) fn push_run(&mut self, run: Run) {
        self.truncate(run.first());
        if self.end() != Some(run.first()) {
            self.runs.clear();
        }
        self.runs.push_back(run);
    }

    /// Drops the entries from `end` on.
    pub(super) fn truncate(&mut self, end: u64) {
        while self.runs.back().is_some_and(|run| run.first() >= end) {
            self.runs.pop_back();
        }
        if let Some(run) = self.runs.back_mut().filter(|run| run.end > end) {
            run.truncate(end);
        }
    }

    /// Drops the segments of which no entry behind `upto` is held.
    pub(super) fn forget(&mut self, upto: u64) {
        while self.runs.front().is_some_and(|run| run.end <= upto + 1) {
            self.runs.pop_front();
        }
    }

    pub(super) fn clear(&mut self) {
        self.runs.clear();
    }

    fn run_of(&self, number: u64) -> Option<usize> {
        let run = self.runs.partition_point(|run| run.first() <= number).checked_sub(1)?;
        (number < self.runs[run].end).then_some(run)
    }

    /// The entry `number` and the numbering after it.
    pub(super) fn point(&self, number: u64) -> Option<Point> {
        let step = self.runs[self.run_of(number)?].steps(number).take()?;
        Some(Point { id: step.id, numbering: step.numbering })
    }

    /// The number of the entry that holds the record `log_index`.
    pub(super) fn find(&self, log_index: u64) -> Option<u64> {
        let begins_before = |anchor: &Anchor| anchor.before < log_index;
        let run = self.runs.partition_point(|run| run.anchors.first().is_some_and(begins_before));
        let run = &self.runs[run.checked_sub(1)?];
        let anchor = run.anchors.partition_point(begins_before) - 1;
        let mut steps = run.steps(run.anchors[anchor].number);
        while let Some(step) = steps.take() {
            if step.numbering.is_some_and(|numbering| numbering.last_index >= log_index) {
                return Some(step.id.number);
            }
        }
        None
    }

    /// Where the entries of `numbers` lie, as far as they are held; stops after the one with which `bytes_max` is reached.
    /// Says how many bytes they have.
    pub(super) fn pieces(
        &self,
        numbers: Range<u64>,
        bytes_max: usize,
        pieces: &mut Vec<Piece>,
    ) -> (u64, usize) {
        let (mut next, mut bytes) = (numbers.start, 0);
        while next < numbers.end && bytes < bytes_max {
            let Some(run) = self.run_of(next).map(|run| &self.runs[run]) else { break };
            let mut steps = run.steps(next);
            while next < numbers.end && bytes < bytes_max {
                let Some(step) = steps.take() else { break };
                extend(pieces, run, &step);
                bytes += step.bytes as usize;
                next += 1;
            }
        }
        (next, bytes)
    }
}

fn extend(pieces: &mut Vec<Piece>, run: &Run, step: &Step) {
    let bytes = step.bytes as usize;
    match pieces.last_mut() {
        Some(piece)
            if piece.bytes < PIECE_BYTES
                && piece.first.term == step.id.term
                && Arc::ptr_eq(&piece.segment, &run.segment)
                && piece.offset + piece.bytes as u64 == step.offset =>
        {
            piece.bytes += bytes;
            piece.entries += 1;
        }
        _ => {
            let segment = run.segment.clone();
            pieces.push(Piece { segment, offset: step.offset, bytes, first: step.id, entries: 1 });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use lovebird_core::fence::Token;
    use proptest::prelude::*;

    use super::*;
    use crate::disk::{Disk, MemoryDisk};

    fn segment(number: u64) -> Arc<Segment> {
        let disk = MemoryDisk::new();
        disk.create_dir(Path::new("log")).unwrap();
        let file = disk.create(Path::new("log/segment")).unwrap();
        Arc::new(Segment { number, path: PathBuf::from("segment"), file })
    }

    #[derive(Clone, Debug)]
    enum Act {
        /// An entry: bytes to leave out before it, its length, and what it does to the numbering.
        Push(u64, u32, u8),
        Term,
        Segment,
        Truncate(u64),
        Forget(u64),
        /// All entries of the last segment, as a footer gives them back.
        Reload,
    }

    fn acts() -> impl Strategy<Value = Vec<Act>> {
        let act = prop_oneof![
            60 => (0..3u64, 1..70_000u32, any::<u8>()).prop_map(|(gap, bytes, effect)| Act::Push(gap * 100, bytes, effect)),
            1 => Just(Act::Term),
            1 => Just(Act::Segment),
            1 => (0..200u64).prop_map(Act::Truncate),
            1 => (0..300u64).prop_map(Act::Forget),
            1 => Just(Act::Reload),
        ];
        prop::collection::vec(act, 1..1200)
    }

    #[derive(Default)]
    struct Model {
        entries: Vec<(Step, u64)>,
        first: u64,
    }

    fn after(before: Numbering, effect: u8) -> Numbering {
        match effect {
            0..100 => before,
            100..110 => {
                let token = Token { counter: before.token.counter + 1, ..before.token };
                Numbering { token, term: before.term + 1, position: 0, ..before }
            }
            // Up to 125 like openings of sessions, which count without records.
            _ => Numbering {
                position: before.position + 1,
                last_index: before.last_index + u64::from(effect.saturating_sub(125)),
                time: before.time + u64::from(effect) * 1_000_003,
                ..before
            },
        }
    }

    fn check(index: &Index, model: &Model) {
        let held = &model.entries;
        assert_eq!(index.end(), held.last().map(|(step, _)| step.id.number + 1));
        for (step, _) in held {
            let point = index.point(step.id.number).unwrap();
            assert_eq!((point.id, point.numbering), (step.id, step.numbering));
        }
        for pair in held.windows(2) {
            let (before, step) = (pair[0].0.numbering.unwrap(), pair[1].0);
            for log_index in before.last_index + 1..=step.numbering.unwrap().last_index {
                assert_eq!(index.find(log_index), Some(step.id.number), "log index {log_index}");
            }
        }
        let mut pieces = Vec::new();
        let all = held.first().map_or(0, |(step, _)| step.id.number)..u64::MAX;
        let (_, bytes) = index.pieces(all, usize::MAX, &mut pieces);
        assert_eq!(bytes, held.iter().map(|(step, _)| step.bytes as usize).sum::<usize>());
        let mut left = held.iter();
        for piece in &pieces {
            let mut offset = piece.offset;
            for at in 0..piece.entries as u64 {
                let (step, segment) = left.next().unwrap();
                let id = EntryId::new(piece.first.term, piece.first.number + at);
                assert_eq!((id, offset, piece.segment.number), (step.id, step.offset, *segment));
                offset += u64::from(step.bytes);
            }
            assert_eq!(offset, piece.offset + piece.bytes as u64);
        }
        assert!(left.next().is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn index_finds_what_a_plain_list_does(acts in acts()) {
            let (mut index, mut model) = (Index::default(), Model { first: 7, ..Model::default() });
            let (mut here, mut offset, mut term) = (segment(1), 512, 1);
            for act in acts {
                match act {
                    Act::Push(gap, bytes, effect) => {
                        offset += gap;
                        let last = model.entries.last().map(|(step, _)| *step);
                        let before = last.map_or(Numbering::default(), |step| step.numbering.unwrap());
                        let id = EntryId::new(term, last.map_or(model.first, |step| step.id.number + 1));
                        let numbering = Some(after(before, effect));
                        index.push(&here, Place { id, offset, bytes }, Some(before), numbering);
                        model.entries.push((Step { id, offset, bytes, numbering }, here.number));
                        offset += u64::from(bytes);
                    }
                    Act::Term => term += 1,
                    Act::Segment => (here, offset) = (segment(here.number + 1), 512),
                    Act::Truncate(entries) => {
                        let Some((last, _)) = model.entries.last() else { continue };
                        let end = (last.id.number + 1).saturating_sub(entries);
                        index.truncate(end);
                        model.entries.retain(|(step, _)| step.id.number < end);
                        model.first = end.max(7);
                        check(&index, &model);
                    }
                    Act::Forget(entries) => {
                        let Some((first, _)) = model.entries.first() else { continue };
                        let upto = first.id.number + entries;
                        index.forget(upto);
                        // A segment goes as a whole or not at all.
                        let needed = |number| {
                            model.entries.iter().any(|(step, at)| *at == number && step.id.number > upto)
                        };
                        let kept: Vec<_> = model.entries.iter().filter(|(_, at)| needed(*at)).copied().collect();
                        model.first = model.entries.last().unwrap().0.id.number + 1;
                        model.entries = kept;
                    }
                    Act::Reload => {
                        let Some(run) = index.last_run(here.number) else { continue };
                        let (anchors, rows) = (run.anchors().to_vec(), run.rows().to_vec());
                        let run = Run::load(here.clone(), anchors, rows, run.end()).unwrap();
                        index.push_run(run);
                    }
                }
            }
            check(&index, &model);
        }

        #[test]
        fn rows_that_make_no_sense_are_refused_and_never_believed(
            rows in prop::collection::vec(any::<u8>(), 0..400), end in 1..200u64, at in 0..50u32,
        ) {
            let anchor = |number, at| Anchor { number, term: 1, offset: 512, before: 0, after: None, at };
            if let Some(run) = Run::load(segment(1), vec![anchor(0, 0), anchor(3, at)], rows, end) {
                prop_assert_eq!(run.steps(end - 1).take().unwrap().id.number, end - 1);
            }
        }
    }
}
