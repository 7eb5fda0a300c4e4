//! `list`: the segments and the snapshots, one line each.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::Path;

use lovebird_core::identity::GroupId;
use lovebird_storage::Disk;
use lovebird_storage::log::inspect::{Change, SegmentView, Segments};
use lovebird_storage::snapshot::inspect::{self, Depth, SnapshotView, State};
use serde_json::{Value, json};

use crate::args::Format;
use crate::dump::judge;
use crate::outcome::{Failure, Outcome};
use crate::output::{Output, complain};
use crate::place::Place;
use crate::value;

pub(crate) fn run(
    disk: &dyn Disk,
    place: &Place,
    format: Format,
    out: &mut Output,
) -> Result<Outcome, Failure> {
    let mut outcome = place.judge();
    let mut log = Listed::default();
    if !place.is_new() || disk.exists(&place.log)? {
        let mut segments = Segments::list(disk, &place.log)?;
        log.spares = std::mem::take(&mut segments.spares);
        log.foreign = std::mem::take(&mut segments.foreign);
        for segment in segments {
            let segment = segment?;
            outcome = outcome.max(judge(&segment));
            log.segments.push(Line::of(&segment));
        }
    }
    for name in &log.foreign {
        outcome = Outcome::Damaged;
        let path = place.log.join(name);
        complain(&format!(
            "{} is no segment of a log, but lies among them: put it elsewhere",
            path.display()
        ));
    }
    let snapshots = match &place.node {
        Some(node) => snapshots(disk, &node.snapshots, Depth::Ends)?,
        None => Vec::new(),
    };
    outcome = outcome.max(judge_snapshots(&snapshots));
    match format {
        Format::Json => out.line(json(place, &log, &snapshots))?,
        Format::Text => text(place, &log, &snapshots, out)?,
    }
    out.flush()?;
    Ok(outcome)
}

/// The snapshots in a directory, which a node makes when it first opens it.
pub(crate) fn snapshots(disk: &dyn Disk, dir: &Path, depth: Depth) -> Result<Vec<SnapshotView>, Failure> {
    if !disk.exists(dir)? {
        return Ok(Vec::new());
    }
    Ok(inspect::look(disk, dir, depth)?)
}

/// Says what is wrong with snapshots, if anything is.
pub(crate) fn judge_snapshots(snapshots: &[SnapshotView]) -> Outcome {
    let mut outcome = Outcome::Good;
    for view in snapshots {
        if let State::Refused(sentence) = &view.state {
            complain(sentence);
            outcome = Outcome::Damaged;
        }
    }
    outcome
}

/// For each snapshot its place among the finished ones of its group, 1 for the newest.
pub(crate) fn orders(snapshots: &[SnapshotView]) -> Vec<Option<usize>> {
    let finished = |view: &SnapshotView| matches!(view.state, State::Finished { .. });
    let order = |at: usize| {
        let view: &SnapshotView = &snapshots[at];
        let newer = |other: &&SnapshotView| other.group == view.group && finished(other);
        finished(view).then(|| snapshots[at..].iter().filter(newer).count())
    };
    (0..snapshots.len()).map(order).collect()
}

/// What is found in a log's directory.
#[derive(Default)]
struct Listed {
    segments: Vec<Line>,
    spares: Vec<String>,
    foreign: Vec<String>,
}

/// What is said of a segment. It is kept instead of the segment, which may be large.
struct Line {
    number: u64,
    bytes: u64,
    bytes_used: u64,
    frames: usize,
    seal: &'static str,
    torn_bytes: u64,
    problems: Vec<String>,
    groups: BTreeMap<GroupId, Span>,
}

/// What a segment holds of a group.
#[derive(Default)]
struct Span {
    entries: Option<RangeInclusive<u64>>,
    indexes: Option<RangeInclusive<u64>>,
}

impl Line {
    fn of(segment: &SegmentView) -> Line {
        let mut groups = BTreeMap::<GroupId, Span>::new();
        let operations = segment.frames.iter().flat_map(|frame| frame.operations()).flatten();
        for operation in operations {
            if let Change::Append(entries) = &operation.change {
                let span = groups.entry(operation.group).or_default();
                for header in entries.iter().map(|view| view.entry.header) {
                    extend(&mut span.entries, header.number, header.number);
                    if header.first_index > 0 {
                        let last = header.first_index + u64::from(header.record_count.max(1)) - 1;
                        extend(&mut span.indexes, header.first_index, last);
                    }
                }
            }
        }
        Line {
            number: segment.number,
            bytes: segment.bytes,
            bytes_used: segment.bytes_used,
            frames: segment.frames.len(),
            seal: value::seal(segment.seal),
            torn_bytes: segment.torn_bytes,
            problems: segment.problems.iter().map(ToString::to_string).collect(),
            groups,
        }
    }

    fn state(&self) -> String {
        match (self.problems.is_empty(), self.torn_bytes) {
            (false, _) => "damaged".to_owned(),
            (true, 0) => self.seal.to_owned(),
            (true, bytes) => format!("{}, torn by {bytes} bytes", self.seal),
        }
    }
}

fn extend(range: &mut Option<RangeInclusive<u64>>, first: u64, last: u64) {
    let (from, to) = range.clone().map_or((first, last), RangeInclusive::into_inner);
    *range = Some(from.min(first)..=to.max(last));
}

fn text(place: &Place, log: &Listed, snapshots: &[SnapshotView], out: &mut Output) -> Result<(), Failure> {
    if let Some(Ok(identity)) = place.node.as_ref().map(|node| &node.identity) {
        out.line(value::identity_text(identity))?;
    }
    let mut rows = Vec::new();
    for line in &log.segments {
        let mut held = Vec::new();
        for (group, span) in &line.groups {
            let entries = value::or_dash(span.entries.as_ref().map(value::range));
            let indexes = value::or_dash(span.indexes.as_ref().map(value::range));
            held.push(format!("group {group}: entries {entries}, log indexes {indexes}"));
        }
        let numbers = [line.number, line.bytes, line.bytes_used, line.frames as u64];
        let words = [line.state(), held.join("; ")];
        rows.push(numbers.iter().map(u64::to_string).chain(words).collect());
    }
    out.line(format_args!("log {}", place.log.display()))?;
    match rows.is_empty() {
        true => out.line("no segments")?,
        false => out.table(&["segment", "bytes", "used", "frames", "end", "holds"], &rows)?,
    }
    let Some(node) = &place.node else { return Ok(()) };
    out.line(format_args!("snapshots {}", node.snapshots.display()))?;
    let rows: Vec<Vec<String>> = snapshots.iter().zip(orders(snapshots)).map(snapshot_row).collect();
    match rows.is_empty() {
        true => out.line("no snapshots"),
        false => out.table(&["group", "log index", "entry", "bytes", "order", "state", "file"], &rows),
    }
}

fn snapshot_row((view, order): (&SnapshotView, Option<usize>)) -> Vec<String> {
    let meta = match &view.state {
        State::Finished { meta, .. } => Some(meta),
        _ => None,
    };
    let order = match order {
        Some(1) => "newest".to_owned(),
        order => value::or_dash(order),
    };
    vec![
        view.group.to_string(),
        value::or_dash(meta.map(|meta| meta.numbering.last_index)),
        value::or_dash(meta.map(|meta| meta.last_entry())),
        view.bytes.to_string(),
        order,
        value::snapshot_state(&view.state).to_owned(),
        view.path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
    ]
}

fn json(place: &Place, log: &Listed, snapshots: &[SnapshotView]) -> Value {
    let segments: Vec<Value> = log.segments.iter().map(segment).collect();
    let views = snapshots.iter().zip(orders(snapshots));
    json!({
        "directory": place.dir.display().to_string(),
        "identity": place.node.as_ref().map(|node| value::identity(&node.identity)),
        "log": {
            "directory": place.log.display().to_string(),
            "segments": segments,
            "spares": log.spares,
            "foreign": log.foreign,
        },
        "snapshots": views.map(|(view, order)| value::snapshot(view, order)).collect::<Vec<_>>(),
    })
}

fn segment(line: &Line) -> Value {
    let bounds = |range: &Option<RangeInclusive<u64>>| {
        range.as_ref().map(|range| json!({ "first": range.start(), "last": range.end() }))
    };
    let groups = line.groups.iter().map(|(group, span)| {
        json!({
            "group": group,
            "entry_numbers": bounds(&span.entries),
            "log_indexes": bounds(&span.indexes),
        })
    });
    json!({
        "number": line.number,
        "bytes": line.bytes,
        "bytes_used": line.bytes_used,
        "frames": line.frames,
        "end": line.seal,
        "torn_bytes": line.torn_bytes,
        "problems": line.problems,
        "groups": groups.collect::<Vec<_>>(),
    })
}
