//! What a data directory has, as whoever must choose among survivors wants to know it. Read-only and without a lock.

use std::io;
use std::path::{Path, PathBuf};

use lovebird_core::codec::{Bincode, Codec};
use lovebird_core::entry::{Entry, EntryId};
use lovebird_core::identity::{ClusterId, Identity, Membership, RaftId};
use lovebird_core::log_store::{LogState, Vote};
use lovebird_core::snapshot_store::SnapshotMeta;

use super::GROUP;
use super::error::{RescueError, unfit};
use crate::directory::{LOG, SNAPSHOTS};
use crate::disk::Disk;
use crate::identity::{self, IDENTITY, Unfinished};
use crate::log::OpenError;
use crate::log::inspect::{self, Examined, Held, Report, Verdict};
use crate::snapshot::inspect::{Depth, SnapshotView, State, look as look_at_snapshots};

/// What a data directory has.
///
/// If the log or a snapshot is damaged, what is said of entries is what is known without it, and [`Survey::problems`] says what is
/// wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// The directory.
    pub directory: PathBuf,
    /// What it says of itself.
    pub identity: Identity,
    /// The id that its cluster is to get, if a rescue was begun and not finished.
    pub unfinished: Option<ClusterId>,
    /// What the log is worth. Displayed, it is a sentence.
    pub verdict: Verdict,
    /// Why nothing can be gone on from here, as sentences; none if all is well.
    pub problems: Vec<String>,
    /// The node's vote.
    pub vote: Option<Vote>,
    /// The last entry: of the log, or of the newest snapshot where that reaches further.
    pub last: Option<EntryId>,
    /// The log index of the last record up to there; 0 if there is none.
    pub last_index: u64,
    /// The last commit point that is known here. More may have been committed.
    pub committed: Option<EntryId>,
    /// The log index of the last record up to there; 0 if there is none.
    pub committed_index: u64,
    /// The newest snapshot.
    pub snapshot: Option<SnapshotPoint>,
    /// The members in force at the last entry, whether they were ever committed or not; none if that is not known.
    pub membership: Membership,
    /// The entry that made them members, if it is known.
    pub membership_at: Option<EntryId>,
    /// The address at which the others reached this node, as of the newest membership that names it.
    pub address: Option<String>,
}

/// Where a snapshot stands in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotPoint {
    /// The last entry applied.
    pub last: EntryId,
    /// The log index of the last record up to there.
    pub last_index: u64,
    /// Log time there, in nanoseconds since the Unix epoch.
    pub time: u64,
}

impl Survey {
    /// Whether the directory can be gone on from.
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }
}

/// Says what the data directory at `path` has. Takes no lock and changes nothing; a node may be running, which then goes on
/// meanwhile. All of the log and of the snapshots is read.
///
/// # Errors
/// If it is no data directory, its identity cannot be believed, or the disk fails. Damage to log or snapshots is no error, and told
/// in [`Survey::problems`].
pub fn survey(disk: &dyn Disk, path: &Path) -> Result<Survey, RescueError> {
    Ok(look(disk, path)?.survey)
}

/// A survey, and what a rescue needs beside it.
pub(super) struct Found {
    pub(super) survey: Survey,
    pub(super) snapshot: Option<Box<SnapshotMeta>>,
    pub(super) ending: Ending,
}

/// How the log ends, seen from the newest snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// It has all that the snapshot has.
    Log,
    /// It ends before the snapshot does, which was received and whose purge was not.
    Snapshot,
    /// It holds another entry where the snapshot ends. That one was never committed, nor was anything behind it.
    SnapshotOverLog,
}

pub(super) fn look(disk: &dyn Disk, path: &Path) -> Result<Found, RescueError> {
    check_is_there(disk, path)?;
    let stated = identity::read(disk, path)?;
    let (identity, unfinished) = match stated.unfinished {
        Some(Unfinished::Rescue(cluster)) => (stated.identity, Some(cluster)),
        // Whatever else may be unfinished leaves nothing to go on from.
        _ => (stated.finished(path)?, None),
    };
    let examined = examine(disk, path).map_err(RescueError::Disk)?;
    // Behind the log: whatever it has purged is in a snapshot that was there before.
    let snapshots = snapshots(disk, path).map_err(RescueError::Disk)?;
    Ok(summarize(path, &identity, unfinished, &examined, &snapshots))
}

/// That nothing is made, not even a lock, where no node has its data.
pub(super) fn check_is_there(disk: &dyn Disk, path: &Path) -> Result<(), RescueError> {
    match disk.exists(&path.join(IDENTITY)) {
        Ok(true) => Ok(()),
        Ok(false) => {
            Err(unfit(path, "is not there or is none of a node's: name the directory of a survivor"))
        }
        Err(error) => Err(RescueError::Disk(error)),
    }
}

fn examine(disk: &dyn Disk, path: &Path) -> io::Result<Examined> {
    let log = path.join(LOG);
    if disk.exists(&log)? {
        return inspect::examine(disk, &log);
    }
    let verdict = Verdict::Refused(OpenError::NoLog { dir: log });
    Ok(Examined { report: Report { verdict, segments: Vec::new(), groups: Vec::new() }, held: Vec::new() })
}

fn snapshots(disk: &dyn Disk, path: &Path) -> io::Result<Vec<SnapshotView>> {
    let dir = path.join(SNAPSHOTS);
    if disk.exists(&dir)? { look_at_snapshots(disk, &dir, Depth::Everything) } else { Ok(Vec::new()) }
}

/// Puts together what was found.
fn summarize(
    path: &Path,
    identity: &Identity,
    unfinished: Option<ClusterId>,
    examined: &Examined,
    snapshots: &[SnapshotView],
) -> Found {
    let held = examined.held.iter().find(|held| held.group() == GROUP);
    let state = held.map(Held::state).unwrap_or_default();
    let snapshot = newest(snapshots);
    let ending = ending(&state, held, snapshot);
    let (memberships, unread) = memberships(held.filter(|_| ending == Ending::Log), snapshot);
    let (last, last_index) = match snapshot.filter(|_| ending != Ending::Log) {
        Some(snapshot) => (Some(snapshot.last_entry()), snapshot.numbering.last_index),
        None => (state.last, state.last_index),
    };
    let (committed, committed_index) = committed(&state, held, snapshot, ending);
    let in_force = memberships.first();
    let survey = Survey {
        directory: path.into(),
        identity: identity.clone(),
        unfinished,
        verdict: examined.report.verdict.clone(),
        problems: problems(examined, &state, snapshots, snapshot, last, unread),
        vote: state.vote,
        last,
        last_index,
        committed,
        committed_index,
        snapshot: snapshot.map(|meta| SnapshotPoint {
            last: meta.last_entry(),
            last_index: meta.numbering.last_index,
            time: meta.numbering.time,
        }),
        membership: in_force.map(|(_, membership)| membership.clone()).unwrap_or_default(),
        membership_at: in_force.map(|(at, _)| *at),
        address: address(&memberships, identity.id),
    };
    Found { survey, snapshot: snapshot.cloned().map(Box::new), ending }
}

fn newest(snapshots: &[SnapshotView]) -> Option<&SnapshotMeta> {
    // The oldest comes first.
    snapshots.iter().rev().find_map(|view| match &view.state {
        State::Finished { meta, .. } if view.group == GROUP => Some(&**meta),
        _ => None,
    })
}

fn ending(state: &LogState, held: Option<&Held>, snapshot: Option<&SnapshotMeta>) -> Ending {
    let Some(end) = snapshot.map(SnapshotMeta::last_entry) else { return Ending::Log };
    if state.last.is_none_or(|last| last.number < end.number) {
        return Ending::Snapshot;
    }
    let there = held.and_then(|held| held.at(end.number));
    match there {
        Some((id, _)) if id != end => Ending::SnapshotOverLog,
        _ => Ending::Log,
    }
}

/// The memberships that are known, the newest first, and why one is not.
fn memberships(
    held: Option<&Held>,
    snapshot: Option<&SnapshotMeta>,
) -> (Vec<(EntryId, Membership)>, Option<String>) {
    let mut known = Vec::new();
    for entry in held.iter().flat_map(|held| held.memberships()) {
        match decode(entry) {
            Ok(membership) => known.push((entry.id(), membership)),
            Err(problem) => return (Vec::new(), Some(problem)),
        }
    }
    if let Some((meta, (term, number))) = snapshot.and_then(|meta| Some((meta, meta.membership_at?))) {
        known.push((EntryId::new(term, number), meta.membership.clone()));
        known.sort_by_key(|(at, _)| std::cmp::Reverse(at.number));
    }
    (known, None)
}

fn decode(entry: &Entry) -> Result<Membership, String> {
    let id = entry.id();
    if entry.header.codec != Bincode::ID {
        let codec = entry.header.codec;
        return Err(format!(
            "entry {id} is written by codec {codec}, which this build does not know: upgrade it"
        ));
    }
    Bincode::decode(&entry.body)
        .map_err(|error| format!("entry {id} does not hold the membership that it should: {error}"))
}

fn address(memberships: &[(EntryId, Membership)], id: RaftId) -> Option<String> {
    memberships.iter().find_map(|(_, membership)| membership.members.get(&id).cloned())
}

/// The last commit point that is certain, and its log index. The one that is saved may run ahead of what a crash has left of the
/// log; then it says nothing.
fn committed(
    state: &LogState,
    held: Option<&Held>,
    snapshot: Option<&SnapshotMeta>,
    ending: Ending,
) -> (Option<EntryId>, u64) {
    let of_snapshot = snapshot.map(|meta| (meta.last_entry(), meta.numbering.last_index));
    let at = |id: EntryId| {
        let (there, numbering) = held?.at(id.number)?;
        (there == id).then(|| (id, numbering.map_or(0, |numbering| numbering.last_index)))
    };
    // What was purged was committed, too.
    let of_log = [state.committed, state.purged].map(|id| id.filter(|_| ending == Ending::Log).and_then(at));
    let known = of_log.into_iter().chain([of_snapshot]).flatten().max_by_key(|(id, _)| id.number);
    known.map_or((None, 0), |(id, last_index)| (Some(id), last_index))
}

/// Why nothing can be gone on from here.
fn problems(
    examined: &Examined,
    state: &LogState,
    snapshots: &[SnapshotView],
    snapshot: Option<&SnapshotMeta>,
    last: Option<EntryId>,
    unread: Option<String>,
) -> Vec<String> {
    let mut problems = Vec::new();
    if let Verdict::Refused(error) = &examined.report.verdict {
        problems.push(error.to_string());
    } else if last.is_none() {
        problems.push("the log is empty: its node was never in a cluster that was formed".to_owned());
    }
    problems.extend(snapshots.iter().filter_map(|view| match &view.state {
        State::Refused(sentence) => Some(sentence.clone()),
        _ => None,
    }));
    let covered = snapshot.map(SnapshotMeta::last_entry);
    if let Some(purged) = state.purged.filter(|purged| covered.is_none_or(|end| end.number < purged.number)) {
        let covered = covered
            .map_or("there is no snapshot".to_owned(), |end| format!("the newest snapshot ends at {end}"));
        problems.push(format!(
            "the log is purged up to entry {purged} and {covered}: restore the snapshots from the same disk"
        ));
    }
    problems.extend(unread);
    let others = examined.held.iter().map(Held::group).chain(snapshots.iter().map(|view| view.group));
    if let Some(other) = others.filter(|group| *group != GROUP).min() {
        problems.push(format!(
            "it holds group {other} too, and this build knows how to go on with group {GROUP} alone"
        ));
    }
    problems
}
