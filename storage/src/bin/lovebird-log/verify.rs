//! `verify`: what everything is worth, and what to do.

use lovebird_storage::Disk;
use lovebird_storage::log::OpenError;
use lovebird_storage::log::inspect::{self, Report, SegmentReport, Verdict};
use lovebird_storage::snapshot::inspect::{Depth, SnapshotView, State};
use serde_json::{Value, json};

use crate::args::Format;
use crate::list::{orders, snapshots};
use crate::outcome::{Failure, Outcome};
use crate::output::Output;
use crate::place::Place;
use crate::value;

pub(crate) fn run(
    disk: &dyn Disk,
    place: &Place,
    format: Format,
    out: &mut Output,
) -> Result<Outcome, Failure> {
    let found = Found::look(disk, place)?;
    let (outcome, advice) = (found.outcome(), found.advice());
    let printed = match format {
        Format::Json => out.line(found.json(outcome, &advice)),
        Format::Text => found.text(&advice, out),
    };
    match printed.and_then(|()| out.flush()) {
        // The exit code is an answer too.
        Err(Failure::Output(e)) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(outcome),
        printed => printed.map(|()| outcome),
    }
}

/// All that was found.
struct Found<'a> {
    place: &'a Place,
    /// Nothing if the node has never started, so that there need be no log.
    log: Option<Report>,
    snapshots: Vec<SnapshotView>,
}

impl Found<'_> {
    fn look<'a>(disk: &dyn Disk, place: &'a Place) -> Result<Found<'a>, Failure> {
        let there = disk.exists(&place.log)?;
        let log = match there {
            true => Some(inspect::verify(disk, &place.log)?),
            false if place.is_new() => None,
            false => {
                let verdict = Verdict::Refused(OpenError::NoLog { dir: place.log.clone() });
                Some(Report { verdict, segments: Vec::new(), groups: Vec::new() })
            }
        };
        let empty = |report: &Report| matches!(&report.verdict, Verdict::Refused(OpenError::NoLog { .. }));
        let log = log.filter(|report| !(place.is_new() && empty(report)));
        if let Some(Report { verdict: Verdict::Refused(newer @ OpenError::Version { .. }), .. }) = &log {
            return Err(Failure::Look(newer.to_string()));
        }
        // Behind the log: whatever it has purged is in a snapshot that was there before.
        let snapshots = match &place.node {
            Some(node) => snapshots(disk, &node.snapshots, Depth::Everything)?,
            None => Vec::new(),
        };
        Ok(Found { place, log, snapshots })
    }

    fn refused(&self) -> impl Iterator<Item = &str> {
        self.snapshots.iter().filter_map(|view| match &view.state {
            State::Refused(sentence) => Some(sentence.as_str()),
            _ => None,
        })
    }

    fn log_outcome(&self) -> Outcome {
        match self.log.as_ref().map(|report| &report.verdict) {
            None | Some(Verdict::Good) => Outcome::Good,
            Some(Verdict::Torn { .. }) => Outcome::Torn,
            Some(Verdict::Refused(_)) => Outcome::Damaged,
        }
    }

    fn identity_error(&self) -> Option<&str> {
        self.place.node.as_ref()?.identity.as_ref().err().map(String::as_str)
    }

    fn outcome(&self) -> Outcome {
        let damaged = self.identity_error().is_some() || self.refused().next().is_some();
        let rest = if damaged { Outcome::Damaged } else { Outcome::Good };
        self.log_outcome().max(rest)
    }

    /// What to do, as a sentence about the worst that was found.
    fn advice(&self) -> String {
        let refusal = self.log.as_ref().filter(|_| self.log_outcome() == Outcome::Damaged);
        let worst = refusal.map(|report| report.verdict.to_string());
        let worst =
            worst.or_else(|| self.identity_error().or_else(|| self.refused().next()).map(str::to_owned));
        match (worst, &self.log) {
            (Some(worst), _) => worst,
            (None, Some(report)) if self.log_outcome() == Outcome::Torn => report.verdict.to_string(),
            (None, Some(_)) => "everything verifies: there is nothing to do".to_owned(),
            (None, None) => "no node has started from here yet: there is nothing to do".to_owned(),
        }
    }

    fn text(&self, advice: &str, out: &mut Output) -> Result<(), Failure> {
        if let Some(Ok(identity)) = self.place.node.as_ref().map(|node| &node.identity) {
            out.line(value::identity_text(identity))?;
        }
        let log = self.place.log.display();
        match &self.log {
            None => out.line(format_args!("log {log}: none yet"))?,
            Some(report) => {
                out.line(format_args!(
                    "log {log}: {}, {}",
                    self.log_outcome().name(),
                    sums(&report.segments)
                ))?;
                for group in &report.groups {
                    out.line(value::group_text(group))?;
                }
            }
        }
        for view in &self.snapshots {
            let state = match &view.state {
                State::Finished { meta, .. } => format!("good, log index {}", meta.numbering.last_index),
                other => value::snapshot_state(other).to_owned(),
            };
            out.line(format_args!("snapshot {}: {state}, {} bytes", view.path.display(), view.bytes))?;
        }
        // Everything that is wrong is said, and last of all the worst.
        for sentence in self.identity_error().into_iter().chain(self.refused()) {
            if sentence != advice {
                out.line(sentence)?;
            }
        }
        out.line(advice)
    }

    fn json(&self, outcome: Outcome, advice: &str) -> Value {
        let log = self.log.as_ref().map(|report| log(self.place, report, self.log_outcome()));
        let views = self.snapshots.iter().zip(orders(&self.snapshots));
        json!({
            "directory": self.place.dir.display().to_string(),
            "verdict": outcome.name(),
            "advice": advice,
            "identity": self.place.node.as_ref().map(|node| value::identity(&node.identity)),
            "log": log,
            "snapshots": views.map(|(view, order)| value::snapshot(view, order)).collect::<Vec<_>>(),
        })
    }
}

fn sums(segments: &[SegmentReport]) -> String {
    let frames: u64 = segments.iter().map(|segment| segment.frames).sum();
    let operations: u64 = segments.iter().map(|segment| segment.operations).sum();
    format!("{} segments, {frames} frames, {operations} operations", segments.len())
}

fn log(place: &Place, report: &Report, outcome: Outcome) -> Value {
    let segments = report.segments.iter().map(|segment| {
        json!({
            "number": segment.number,
            "file": segment.path.display().to_string(),
            "bytes_used": segment.bytes_used,
            "frames": segment.frames,
            "operations": segment.operations,
            "end": value::seal(segment.seal),
        })
    });
    let mut value = json!({
        "directory": place.log.display().to_string(),
        "verdict": outcome.name(),
        "segments": segments.collect::<Vec<_>>(),
        "groups": report.groups.iter().map(value::group).collect::<Vec<_>>(),
    });
    match &report.verdict {
        Verdict::Good => {}
        Verdict::Torn { path, offset, bytes } => {
            value["torn"] = json!({ "file": path.display().to_string(), "offset": offset, "bytes": bytes });
        }
        Verdict::Refused(error) => {
            value["reason"] = json!(error.to_string());
            value["kind"] = json!(kind(error));
        }
    }
    value
}

fn kind(error: &OpenError) -> &'static str {
    match error {
        OpenError::Damaged { .. } => "damaged",
        OpenError::Missing { .. } | OpenError::MissingEntries { .. } | OpenError::NoLog { .. } => "missing",
        OpenError::Foreign { .. } => "foreign",
        OpenError::Version { .. } => "version",
        OpenError::Contradiction { .. } => "contradiction",
    }
}
