//! `rescue`: a cluster goes on from the disks that are left, after the majority is lost for good.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;

use lovebird_core::identity::ClusterId;
use lovebird_core::runtime::random_u64;
use lovebird_storage::rescue::{Comparison, Rescued, Survey, compare, rescue, survey};
use lovebird_storage::{ReadOnlyDisk, RealDisk};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::output::{Answer, Output};

/// Looks at every directory, says what would be lost, and goes on from the best one if that is confirmed.
pub(super) fn run(
    directories: &[PathBuf],
    look: bool,
    confirm: Option<&str>,
    output: &mut Output,
) -> Result<Answer, Failure> {
    let disk = ReadOnlyDisk;
    let surveys: Vec<Survey> = directories
        .iter()
        .map(|directory| survey(&disk, directory).map_err(|error| offline("rescue the cluster", error)))
        .collect::<Result<_, _>>()?;
    // A rescue that was begun is finished, whatever else is there.
    let unfinished = surveys.iter().position(|survey| survey.unfinished.is_some());
    let found = found(&surveys, unfinished)?;
    if look {
        return Ok(found.answer());
    }
    if found.needs_none {
        return Err(Failure::Offline(format!("{}: nothing has been done", found.verdict)));
    }
    output.note(&found.answer())?;
    let name = &surveys[found.chosen].identity.cluster_name;
    check_confirmed(name, confirm)?;
    let rescued = rescue(Arc::new(RealDisk), &directories[found.chosen], ClusterId(random_u64()))
        .map_err(|error| offline("rescue the cluster", error))?;
    Ok(done(&rescued, &directories[found.chosen]))
}

pub(super) fn offline(task: &str, error: impl std::fmt::Display) -> Failure {
    Failure::Offline(format!("cannot {task}: {error}"))
}

/// What is to be said before anything is done.
struct Found<'a> {
    surveys: &'a [Survey],
    chosen: usize,
    verdict: String,
    needs_none: bool,
    comparison: Option<Comparison>,
}

fn found(surveys: &[Survey], unfinished: Option<usize>) -> Result<Found<'_>, Failure> {
    if let Some(chosen) = unfinished {
        let directory = surveys[chosen].directory.display();
        let verdict = format!("a rescue of {directory} was begun and not finished: it is finished now");
        return Ok(Found { surveys, chosen, verdict, needs_none: false, comparison: None });
    }
    let comparison = compare(surveys).map_err(|error| offline("rescue the cluster", error))?;
    Ok(Found {
        surveys,
        chosen: comparison.chosen,
        verdict: comparison.to_string(),
        needs_none: comparison.is_majority,
        comparison: Some(comparison),
    })
}

impl Found<'_> {
    fn answer(&self) -> Answer {
        let lines: String = self.surveys.iter().map(|survey| format!("{}\n", text_of(survey))).collect();
        let comparison = self.comparison.as_ref();
        Answer {
            text: format!("{lines}\nVerdict: {}.", self.verdict),
            json: json!({
                "directories": self.surveys.iter().map(json_of).collect::<Vec<_>>(),
                "verdict": self.verdict,
                "chosen": self.surveys[self.chosen].directory.display().to_string(),
                "majority": comparison.map(|comparison| comparison.is_majority),
                "lost_from": comparison.and_then(Comparison::lost_from),
                "in_doubt": comparison.and_then(Comparison::in_doubt).map(|range| [*range.start(), *range.end()]),
            }),
        }
    }
}

/// One directory, for people.
fn text_of(survey: &Survey) -> String {
    let Survey { identity, last_index, committed_index, .. } = survey;
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "none".to_owned());
    let vote = or_none(survey.vote.map(|vote| format!("in term {} for {}", vote.term, vote.node)));
    let last = or_none(survey.last.map(|last| last.to_string()));
    let snapshot =
        or_none(survey.snapshot.as_ref().map(|snapshot| format!("up to log index {}", snapshot.last_index)));
    let voters: Vec<String> =
        survey.membership.voters.iter().flatten().map(|voter| voter.to_string()).collect();
    let problems: String =
        survey.problems.iter().map(|problem| format!("\n  problem    {problem}")).collect();
    format!(
        "{}\n  node       {} of the cluster {:?} ({})\n  vote       {vote}\n  last       entry {last}, log index {last_index}\n  \
         committed  known up to log index {committed_index}\n  snapshot   {snapshot}\n  voters     {}{problems}",
        survey.directory.display(),
        identity.id,
        identity.cluster_name,
        identity.cluster,
        voters.join(", "),
    )
}

/// One directory, for programs.
fn json_of(survey: &Survey) -> Value {
    let voters: Vec<String> =
        survey.membership.voters.iter().flatten().map(|voter| voter.to_string()).collect();
    json!({
        "directory": survey.directory.display().to_string(),
        "node": survey.identity.id.node,
        "incarnation": format!("{:x}", survey.identity.id.incarnation),
        "cluster": survey.identity.cluster.to_string(),
        "name": survey.identity.cluster_name,
        "term": survey.vote.map(|vote| vote.term),
        "last": survey.last.map(|last| json!({ "term": last.term, "number": last.number })),
        "last_index": survey.last_index,
        "committed_index": survey.committed_index,
        "snapshot_index": survey.snapshot.as_ref().map(|snapshot| snapshot.last_index),
        "voters": voters,
        "sound": survey.is_sound(),
        "problems": survey.problems,
    })
}

/// Asks for the cluster's name, unless it was given.
fn check_confirmed(name: &str, confirm: Option<&str>) -> Result<(), Failure> {
    let given = match confirm {
        Some(given) => given.to_owned(),
        None if io::stdin().is_terminal() => {
            let asked = write!(io::stderr(), "Type the name of the cluster to go on like this: ")
                .and_then(|()| io::stderr().flush());
            asked.map_err(Failure::Output)?;
            let mut line = String::new();
            io::stdin().lock().read_line(&mut line).map_err(Failure::Output)?;
            line.trim().to_owned()
        }
        None => {
            return Err(Failure::Offline(format!(
                "nothing has been done: to go on like this, confirm it with --confirm {name:?}, the name of the cluster"
            )));
        }
    };
    if given != name {
        return Err(Failure::Offline(format!(
            "nothing has been done: the cluster is called {name:?}, and {given:?} was given to confirm it"
        )));
    }
    Ok(())
}

fn done(rescued: &Rescued, directory: &std::path::Path) -> Answer {
    let Rescued { identity, was, last_index, membership, .. } = rescued;
    let node = identity.id.node;
    let address = membership.members.values().next().cloned().unwrap_or_default();
    let check = format!("lovebird members --node {address}");
    let (directory, cluster) = (directory.display(), identity.cluster);
    Answer {
        text: format!(
            "Node {node} in {directory} is the cluster by itself now, with all records up to log index {last_index}; its id is \
             {cluster}, and was {was}.\nStart it as before, while the others are stopped. The others' directories are of the old \
             cluster: start those nodes on empty ones, with --join {address}, and add them.\nCheck: {check}"
        ),
        json: json!({
            "done": "rescue",
            "node": node,
            "directory": directory.to_string(),
            "cluster": cluster.to_string(),
            "was": was.to_string(),
            "last_index": last_index,
            "address": address,
            "check": check,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_name_of_the_cluster_confirms() {
        assert!(check_confirmed("arithmetic", Some("arithmetic")).is_ok());
        let refused = check_confirmed("arithmetic", Some("yes")).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "error: nothing has been done: the cluster is called \"arithmetic\", and \"yes\" was given to confirm it"
        );
    }
}
