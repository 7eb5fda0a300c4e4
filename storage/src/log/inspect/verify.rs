//! Verifies a log: replays all of it as an opening does, and compares the footers with what the frames say.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use lovebird_core::identity::GroupId;

use super::held::{Held, Memberships};
use super::report::{Report, Seal, SegmentReport, Verdict};
use crate::disk::Disk;
use crate::log::Check;
use crate::log::error::OpenError;
use crate::log::footer::{self, Footer};
use crate::log::group::Group;
use crate::log::open;
use crate::log::operation::{Checkpoint, Operation};
use crate::log::recovery::{Scan, Tail};
use crate::log::replay::{self, Replay};
use crate::log::segment::{Segment, SegmentHeader};
use crate::steady::steady;

/// Reads all of the log in `dir` and says what it is worth and what is in it. A node may be writing to it meanwhile.
///
/// A directory without any segment is refused like one that has lost its log; whether there should be one, only the data
/// directory knows.
///
/// # Errors
/// Those of the disk: then nobody could look.
pub fn verify(disk: &dyn Disk, dir: &Path) -> io::Result<Report> {
    Ok(examine(disk, dir)?.report)
}

/// What verifying has found, and the groups themselves; none if a node would refuse the log.
pub(crate) struct Examined {
    pub(crate) report: Report,
    pub(crate) held: Vec<Held>,
}

/// As [`verify`], for whoever wants to know more of the groups.
pub(crate) fn examine(disk: &dyn Disk, dir: &Path) -> io::Result<Examined> {
    // To look again for a directory that is not there would be of no use.
    disk.list(dir)?;
    let doubt = |examined: &Examined| match &examined.report.verdict {
        Verdict::Good => None,
        doubtful => Some(doubtful.clone()),
    };
    steady(dir, || look(disk, dir), doubt)
}

fn look(disk: &dyn Disk, dir: &Path) -> io::Result<Examined> {
    let mut segments = Vec::new();
    let (verdict, held) = match replay(disk, dir, &mut segments) {
        Ok(found) => found,
        Err(e) => match e.get_ref().and_then(|inner| inner.downcast_ref::<OpenError>()) {
            Some(refusal) => (Verdict::Refused(refusal.clone()), Vec::new()),
            None => return Err(e),
        },
    };
    let groups = held.iter().map(Held::report).collect();
    Ok(Examined { report: Report { verdict, segments, groups }, held })
}

fn replay(disk: &dyn Disk, dir: &Path, reports: &mut Vec<SegmentReport>) -> io::Result<(Verdict, Vec<Held>)> {
    let found = open::find(disk, dir)?;
    let Some((last, _)) = found.segments.back() else {
        return Err(OpenError::NoLog { dir: dir.into() }.into());
    };
    let last = last.clone();
    let mut memberships = BTreeMap::new();
    let mut observe = |replay: &Replay, header: &SegmentHeader, scan: &Scan| {
        let segment = replay.segments.back().expect("a segment that was just replayed");
        let seal =
            if segment.number == last.number { Seal::Open } else { seal(replay, segment, header, scan)? };
        let frames = scan.frames.iter().map(|(_, frame)| frame.payload.clone());
        reports.push(SegmentReport {
            number: segment.number,
            path: segment.path.clone(),
            bytes_used: scan.end,
            frames: scan.frames.len() as u64,
            operations: frames.map(|payload| operations(payload, &mut memberships)).sum(),
            seal,
        });
        Ok(())
    };
    let (replay, scan) = replay::replay(dir, found.segments, Check::Everything, &mut observe)?;
    let verdict = match scan.tail {
        Tail::Torn { until } => {
            Verdict::Torn { path: last.path.clone(), offset: scan.end, bytes: until - scan.end }
        }
        _ => Verdict::Good,
    };
    let held = replay
        .trails
        .into_iter()
        .map(|(id, trail)| Held::new(Group::new(id, trail, 0), memberships.remove(&id).unwrap_or_default()));
    Ok((verdict, held.collect()))
}

/// Counts the operations of a frame, and keeps the memberships that they bring.
fn operations(mut payload: Bytes, memberships: &mut BTreeMap<GroupId, Memberships>) -> u64 {
    let mut operations = 0;
    while !payload.is_empty()
        && let Some((group, operation)) = Operation::decode(&mut payload)
    {
        operations += 1;
        if let Operation::Append(entries) = operation {
            memberships.entry(group).or_default().keep(entries);
        }
    }
    operations
}

/// How a segment ends that has another one behind it. A footer that does not verify is never believed and does no harm; one that
/// does, and says something else than the frames, would be believed by the next opening.
fn seal(replay: &Replay, segment: &Arc<Segment>, header: &SegmentHeader, scan: &Scan) -> io::Result<Seal> {
    let Some(footer) = footer::read(segment)?.filter(|footer| footer.ends(header)) else {
        return Ok(Seal::NoFooter);
    };
    match contradiction(replay, segment, header, scan, &footer) {
        None => Ok(Seal::Footer),
        Some(reason) => {
            Err(OpenError::Contradiction { path: segment.path.clone(), offset: footer.at, reason }.into())
        }
    }
}

/// In what a footer differs from the frames before it.
fn contradiction(
    replay: &Replay,
    segment: &Segment,
    header: &SegmentHeader,
    scan: &Scan,
    footer: &Footer,
) -> Option<String> {
    let (at, next) = (footer.at, footer.sealed.sequence);
    let behind = header.sequence + scan.frames.len() as u64;
    if (at, next) != (scan.end, behind) {
        let end = scan.end;
        return Some(format!(
            "the footer stands at byte {at} and before frame {next}, the frames end at byte {end} and before frame {behind}"
        ));
    }
    let sealed = |group| footer.groups.iter().any(|(sealed, _, _)| *sealed == group);
    if let Some(group) = replay.trails.keys().find(|group| !sealed(**group)) {
        return Some(format!("the footer knows nothing of group {group}, the frames do"));
    }
    for (group, sealed, run) in &footer.groups {
        let nothing = Checkpoint::default();
        let trail = replay.trails.get(group);
        let counted = trail.map_or(&nothing, |trail| trail.checkpoint());
        if counted != sealed {
            return Some(format!(
                "the footer says that group {group} stands at {sealed:?}, the frames that it stands at {counted:?}"
            ));
        }
        let agree = match (run, trail.and_then(|trail| trail.index().last_run(segment.number))) {
            (Some(sealed), Some(found)) => sealed.agrees(found),
            (None, None) => true,
            _ => false,
        };
        if !agree {
            return Some(format!(
                "the footer says otherwise than the frames where the entries of group {group} are"
            ));
        }
    }
    None
}
