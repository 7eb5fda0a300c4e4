//! Which of several survivors is to be gone on from, and what that may cost: a pure function of their surveys.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use lovebird_core::entry::EntryId;
use lovebird_core::identity::{ClusterId, Membership, RaftId};
use lovebird_core::service::Model;
use thiserror::Error;

use super::survey::Survey;

/// Which survivor is to be gone on from, and what that may cost. Displayed, it is sentences that say what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// Which of the surveys, as they were given, from 0.
    pub chosen: usize,
    /// Its directory.
    pub directory: PathBuf,
    /// Its node.
    pub node: RaftId,
    /// Its last entry.
    pub last: EntryId,
    /// The log index of its last record; 0 if there is none.
    pub last_index: u64,
    /// Up to which log index it is certain that its records were committed, by what any survivor knows that is in order.
    pub committed_index: u64,
    /// The voters in force at the end of the chosen log whose directories are here and in order.
    pub voters_here: BTreeSet<RaftId>,
    /// The others.
    pub voters_missing: BTreeSet<RaftId>,
    /// Whether those that are here are a majority. Then nothing that was acknowledged is lost; and they need no rescue, since they
    /// can elect a leader.
    pub is_majority: bool,
}

impl Comparison {
    /// The log indexes of records at the end of the chosen log that may never have been acknowledged to anyone. They are kept, since
    /// they may as well have been.
    pub fn in_doubt(&self) -> Option<RangeInclusive<u64>> {
        let range = self.committed_index + 1..=self.last_index;
        (!range.is_empty()).then_some(range)
    }

    /// The log index from which on records may have been acknowledged that are lost; none if no acknowledged record is.
    pub fn lost_from(&self) -> Option<u64> {
        (!self.is_majority).then_some(self.last_index + 1)
    }
}

/// Why surveys cannot be compared.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Incomparable {
    /// There is none that can be gone on from.
    #[error("there is no survivor that can be gone on from: mend one, or restore a backup")]
    Nothing,
    /// They are not of one cluster.
    #[error(
        "{} belongs to the cluster {cluster}, and {} to the cluster {other_cluster}: compare survivors of one cluster",
        directory.display(),
        other.display()
    )]
    Clusters {
        /// A directory.
        directory: PathBuf,
        /// Its cluster.
        cluster: ClusterId,
        /// Another one.
        other: PathBuf,
        /// The cluster of that.
        other_cluster: ClusterId,
    },
    /// They are not of one model, so that one of them is not what it says.
    #[error(
        "{} holds the log of a service in the {model} model, and {} in the {other_model} model: leave out the one that is not of \
         this cluster",
        directory.display(),
        other.display()
    )]
    Models {
        /// A directory.
        directory: PathBuf,
        /// Its model.
        model: Model,
        /// Another one.
        other: PathBuf,
        /// The model of that.
        other_model: Model,
    },
    /// One is a copy of another.
    #[error(
        "{} and {} are both the directory of {node}, so that one is a copy: leave out the older one",
        directory.display(),
        other.display()
    )]
    Copies {
        /// A directory.
        directory: PathBuf,
        /// Another one.
        other: PathBuf,
        /// The life of a node that both are of.
        node: RaftId,
    },
    /// The choice was made.
    #[error(
        "{} was being rescued, to go on as the cluster {cluster}, and that was not finished: run that rescue again",
        directory.display()
    )]
    Unfinished {
        /// The directory.
        directory: PathBuf,
        /// The id that its cluster is to get.
        cluster: ClusterId,
    },
}

/// Says which of the surveys is to be gone on from: the one with the greatest last entry, by term and then by number. Those that
/// are not sound are left out.
///
/// # Errors
/// If they are not of one cluster and model, one is a copy of another, or none is sound; or if a rescue of one of them was begun,
/// which is a choice that was made.
pub fn compare(surveys: &[Survey]) -> Result<Comparison, Incomparable> {
    check(surveys)?;
    let sound = surveys.iter().enumerate().filter(|(_, survey)| survey.is_sound());
    let ended = sound.clone().filter_map(|(at, survey)| Some((at, survey, survey.last?)));
    // Of equals the first, so that the answer depends on nothing but the question.
    let best = ended.rev().max_by_key(|(_, _, last)| *last);
    let Some((chosen, best, last)) = best else { return Err(Incomparable::Nothing) };
    // What one of them knows to be committed the chosen log holds, too. Of those that are damaged that is not certain.
    let committed_index = sound.clone().map(|(_, survey)| survey.committed_index).max().unwrap_or(0);
    let here: BTreeSet<RaftId> = sound.map(|(_, survey)| survey.identity.id).collect();
    let voters: BTreeSet<RaftId> = best.membership.voters.iter().flatten().copied().collect();
    Ok(Comparison {
        chosen,
        directory: best.directory.clone(),
        node: best.identity.id,
        last,
        last_index: best.last_index,
        committed_index,
        voters_here: voters.intersection(&here).copied().collect(),
        voters_missing: voters.difference(&here).copied().collect(),
        is_majority: is_majority(&best.membership, &here),
    })
}

fn check(surveys: &[Survey]) -> Result<(), Incomparable> {
    for (at, survey) in surveys.iter().enumerate() {
        let directory = survey.directory.clone();
        if let Some(cluster) = survey.unfinished {
            return Err(Incomparable::Unfinished { directory, cluster });
        }
        for before in &surveys[..at] {
            let other = before.directory.clone();
            let (ours, theirs) = (&survey.identity, &before.identity);
            if ours.cluster != theirs.cluster {
                let (cluster, other_cluster) = (ours.cluster, theirs.cluster);
                return Err(Incomparable::Clusters { directory, cluster, other, other_cluster });
            }
            if ours.model != theirs.model {
                let (model, other_model) = (ours.model, theirs.model);
                return Err(Incomparable::Models { directory, model, other, other_model });
            }
            if ours.id == theirs.id {
                return Err(Incomparable::Copies { directory, other, node: ours.id });
            }
        }
    }
    Ok(())
}

/// Whether those who are here are a majority of every set of voters. Of no voters nobody is one.
fn is_majority(membership: &Membership, here: &BTreeSet<RaftId>) -> bool {
    let has_majority = |set: &BTreeSet<RaftId>| set.intersection(here).count() > set.len() / 2;
    !membership.voters.is_empty() && membership.voters.iter().all(has_majority)
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Comparison { node, last, last_index, .. } = self;
        let (here, missing) = (self.voters_here.len(), self.voters_missing.len());
        let (all, directory) = (here + missing, self.directory.display());
        if self.is_majority {
            let rest = if missing > 0 { ", and replace the others" } else { "" };
            write!(
                f,
                "{here} of {all} voters are here, which is a majority, so that nothing that was acknowledged is lost, and no \
                 rescue is needed: start them{rest}. Of their logs, that of {node} in {directory} reaches furthest, to entry \
                 {last} and log index {last_index}"
            )?;
        } else {
            write!(
                f,
                "go on from {directory}, the directory of {node}, whose log reaches furthest, to entry {last} and log index \
                 {last_index}. {here} of {all} voters are here, which is no majority: records from log index {} on that were \
                 acknowledged, if there were any, are lost",
                last_index + 1
            )?;
        }
        let Some(range) = self.in_doubt() else {
            return write!(f, ". Everything up to its end was committed");
        };
        let (first, last) = range.into_inner();
        match first == last {
            true => write!(f, ". Record {first} may have been acknowledged to nobody, and is kept"),
            false => {
                write!(f, ". Records {first} to {last} may have been acknowledged to nobody, and are kept")
            }
        }
    }
}
