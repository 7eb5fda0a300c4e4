//! Rescues a directory: makes its node the only member of a cluster that goes on from its log.
//!
//! # Steps
//!
//! 1. The directory is locked, and all of it read. What is not in order is refused.
//! 2. Its identity says from now on that a rescue is unfinished, and which id the cluster is to get. No node starts from it.
//! 3. If the newest snapshot reaches further than the log, the log is made to go on behind it, as a node does when it starts.
//! 4. A vote for itself in a term after all that are known, then the entry that makes it the only member, in that term.
//! 5. Its identity has the new id, and nothing is unfinished.
//!
//! Each step is durable before the next. A crash before step 2 leaves what was there; one behind it leaves a directory that is
//! refused until the rescue is run again. That goes through all steps, and finds whether the entry of step 4 is there. What it
//! finds may be in the system's hands alone, if the process was killed and the machine was not; so the log is opened even where
//! nothing is to be appended, which makes all of it durable, and both identities are written in any case.

use std::io;
use std::path::Path;
use std::sync::Arc;

use lovebird_core::entry::{Entry, EntryId};
use lovebird_core::identity::{ClusterId, Identity, Membership};
use lovebird_core::log_store::{LogStore, Vote};

use super::alone::{self, durably};
use super::error::{RescueError, unfit};
use super::open_log;
use super::survey::{Ending, Found, Survey, check_is_there, look};
use crate::directory;
use crate::disk::Disk;
use crate::identity::{self, Stated, Unfinished};
use crate::log::Missing;

/// What became of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rescued {
    /// What it says of itself from now on.
    pub identity: Identity,
    /// The cluster that it belonged to.
    pub was: ClusterId,
    /// The entry that makes its node the only member: the last one of its log.
    pub entry: EntryId,
    /// The log index of the last record; 0 if there is none.
    pub last_index: u64,
    /// The members: its node alone, at the address at which the others knew it.
    pub membership: Membership,
}

/// Makes the node of the data directory at `path` the only member of a cluster with the id `cluster`, which goes on from all that
/// its log and its snapshots hold. The id must be new, drawn at random. Incarnation, name and initial members stay, so that the node
/// is started as ever.
///
/// If this has failed, or the machine has stopped in the middle of it, the same is to be run again: it finishes what was begun, with
/// the id that was given first. Where all is done already, with this id, nothing is.
///
/// The node must be stopped, and should be the one that [`super::compare`] has chosen. The others must not come back on their old
/// directories: this cluster refuses them, but if they are a majority they go on as the old one, and clients that reach them do not
/// know.
///
/// # Errors
/// If the directory is in use or not in order, nothing in it says where its node is reached, or the id is not new: then nothing has
/// been changed. [`RescueError::Disk`] also in the middle.
pub fn rescue(disk: Arc<dyn Disk>, path: &Path, cluster: ClusterId) -> Result<Rescued, RescueError> {
    check_is_there(&*disk, path)?;
    let _lock = directory::lock(&*disk, path)?;
    let found = look(&*disk, path)?;
    let Plan { rescued, entry } = plan(&found.survey, cluster)?;
    let begun = Stated {
        identity: found.survey.identity.clone(),
        unfinished: Some(Unfinished::Rescue(rescued.identity.cluster)),
    };
    let done = Stated { identity: rescued.identity.clone(), unfinished: None };
    let act = || {
        identity::write(&*disk, path, &begun)?;
        append(&disk, path, &found, entry)?;
        identity::write(&*disk, path, &done)
    };
    act().map_err(RescueError::Disk)?;
    tracing::info!(directory = %path.display(), was = %rescued.was, cluster = %rescued.identity.cluster, "rescued");
    Ok(rescued)
}

/// What is to come out, and what is to be appended for it; nothing if it is there.
#[derive(Debug)]
struct Plan {
    rescued: Rescued,
    entry: Option<(Vote, Entry)>,
}

/// Decides what is to be written.
fn plan(survey: &Survey, cluster: ClusterId) -> Result<Plan, RescueError> {
    let refused = |reason: String| unfit(&survey.directory, reason);
    if let Some(problem) = survey.problems.first() {
        return Err(refused(format!("cannot be gone on from: {problem}")));
    }
    let before = &survey.identity;
    let Some((last, address)) = survey.last.zip(survey.address.as_ref()) else {
        return Err(refused(format!(
            "belongs to {}, which no membership in its log names, so that nothing says where it is reached: go on from \
             another survivor",
            before.id
        )));
    };
    let membership = alone::membership(before.id, address);
    let is_alone = survey.membership_at == Some(last) && survey.membership == membership;
    let cluster = survey.unfinished.unwrap_or(cluster);
    let is_done = before.cluster == cluster && is_alone;
    if !is_done && [before.cluster, before.origin()].contains(&cluster) {
        return Err(RescueError::Config(format!(
            "a rescued cluster must not have the id {cluster}, under which its former members know it: choose a new one"
        )));
    }
    let entry = if is_alone { None } else { Some(next(survey, last, &membership).map_err(refused)?) };
    let identity = Identity { cluster, ..before.clone() };
    let rescued = Rescued {
        identity,
        was: before.cluster,
        entry: entry.as_ref().map_or(last, |(_, entry)| entry.id()),
        last_index: survey.last_index,
        membership,
    };
    Ok(Plan { rescued, entry })
}

/// The vote and the entry that make `membership` the one in force, behind `last`. An error is the end of a sentence about the directory.
fn next(survey: &Survey, last: EntryId, membership: &Membership) -> Result<(Vote, Entry), String> {
    let newest = survey.vote.map_or(0, |vote| vote.term).max(last.term);
    let next = alone::vote(survey.identity.id, newest).zip(last.number.checked_add(1));
    let (vote, number) =
        next.ok_or("has come to the end of terms or of entries: begin a new cluster from a snapshot")?;
    let entry =
        alone::entry(EntryId::new(vote.term, number), membership).map_err(|error| error.to_string())?;
    Ok((vote, entry))
}

/// Writes vote and entry behind the end of the log, if there are any, and makes all of the log durable.
fn append(disk: &Arc<dyn Disk>, path: &Path, found: &Found, entry: Option<(Vote, Entry)>) -> io::Result<()> {
    let log = open_log(disk, path, Missing::Refuse)?;
    let Some((vote, entry)) = entry else { return Ok(()) };
    go_on_behind_snapshot(&*log, found)?;
    durably(|done| log.save_vote(vote, done))?;
    durably(|done| log.append(vec![entry], done))
}

/// Lets the log follow on the newest snapshot, where that reaches further.
fn go_on_behind_snapshot(log: &dyn LogStore, found: &Found) -> io::Result<()> {
    let Some(snapshot) = found.snapshot.as_ref().filter(|_| found.ending != Ending::Log) else {
        return Ok(());
    };
    if found.ending == Ending::SnapshotOverLog {
        log.truncate_after(log.state().purged)?;
    }
    log.install(snapshot.last_entry(), snapshot.numbering)?;
    log.purge(snapshot.last_entry())
}
