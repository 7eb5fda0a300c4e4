//! The commands that change the members.

use std::collections::BTreeSet;
use std::time::Duration;

use lovebird::{CatchingUp, Change, MembershipVersion, NodeId, OperatorError, Standing, Status};
use serde_json::{Map, Value, json};

use super::Cluster;
use super::members::sending;
use crate::args::Online;
use crate::failure::Failure;
use crate::output::{Answer, Output};
use crate::words;

/// From when on it is said that a node that is waited for is silent: it may be down.
const SILENCE: Duration = Duration::from_secs(2);

/// The change that a command asks for, and on which membership it is based.
///
/// # Panics
/// If the command asks for something else.
pub(super) fn asked(command: Online) -> (Change, Option<MembershipVersion>) {
    let (change, expect) = match command {
        Online::Add { place, learner, expect } => {
            let standing = if learner { Standing::Learner } else { Standing::Voter };
            (Change::Add { node: place.node, address: place.address, standing }, expect)
        }
        Online::Promote { node, expect } => (Change::Promote { node }, expect),
        Online::Remove { node, expect } => (Change::Remove { node }, expect),
        Online::Replace { old, place, expect } => {
            (Change::Replace { old, node: place.node, address: place.address }, expect)
        }
        Online::Move { place, expect } => (Change::Move { node: place.node, address: place.address }, expect),
        Online::Voters { voters, expect } => (Change::Voters { nodes: voters.into_iter().collect() }, expect),
        other @ (Online::Status
        | Online::Members
        | Online::Transfer { .. }
        | Online::Snapshot
        | Online::Export { .. }) => unreachable!("{other:?} changes no members"),
    };
    (change, expect.version)
}

pub(super) async fn run(
    cluster: &Cluster,
    change: Change,
    expected: Option<MembershipVersion>,
    output: &mut Output,
) -> Result<Answer, Failure> {
    let failure = |error| cluster.failure(task(&change), error, "members");
    if let Change::Remove { node } = change {
        let leader = cluster.leader().await.map_err(failure)?;
        check_is_member(node, &leader).map_err(failure)?;
    }
    let told = |catching_up: CatchingUp| output.progress(&progress(&catching_up));
    match cluster.operator.change(change.clone(), expected, told).await {
        Ok(version) => Ok(answer(&change, version, &cluster.line("members"))),
        Err(error) => Err(failure(error)),
    }
}

/// To the cluster, a node that is no member is removed already. Whoever types its number means another one.
fn check_is_member(node: NodeId, leader: &Status) -> Result<(), OperatorError> {
    let members: BTreeSet<NodeId> = leader.members.iter().map(|member| member.id).collect();
    if members.contains(&node) {
        return Ok(());
    }
    Err(OperatorError::Refused(format!(
        "it is no member, so there is nothing to do; the members are {}",
        words::nodes(members)
    )))
}

/// What is asked for, for failures.
fn task(change: &Change) -> String {
    match change {
        Change::Voters { nodes } => format!("let {} vote", words::nodes(nodes.iter().copied())),
        change => change.to_string(),
    }
}

fn answer(change: &Change, version: MembershipVersion, check: &str) -> Answer {
    let mut json = Map::new();
    let mut put = |name: &str, value: Value| json.insert(name.to_owned(), value);
    let text = match change {
        Change::Add { node, address, standing } => {
            put("done", "add".into());
            put("node", (*node).into());
            put("address", address.as_str().into());
            put("standing", words::standing(*standing).into());
            match standing {
                Standing::Learner => format!("Node {node} is a learner now, and holds the log"),
                _ => format!("Node {node} votes now"),
            }
        }
        Change::Promote { node } => {
            put("done", "promote".into());
            put("node", (*node).into());
            format!("Node {node} votes now")
        }
        Change::Remove { node } => {
            put("done", "remove".into());
            put("node", (*node).into());
            format!("Node {node} is no member any more; its process ends by itself")
        }
        Change::Replace { old, node, address } => {
            put("done", "replace".into());
            put("old", (*old).into());
            put("node", (*node).into());
            put("address", address.as_str().into());
            match old == node {
                true => format!("Node {node} has its place again, with a new disk"),
                false => format!("Node {node} has the place of node {old}, which is no member any more"),
            }
        }
        Change::Move { node, address } => {
            put("done", "move".into());
            put("node", (*node).into());
            put("address", address.as_str().into());
            format!("Node {node} is at {address} now")
        }
        Change::Voters { nodes } => {
            put("done", "voters".into());
            put("nodes", nodes.iter().copied().collect());
            let verb = if nodes.len() == 1 { "votes" } else { "vote" };
            let nodes = words::nodes(nodes.iter().copied());
            format!("N{} {verb} now, and nobody else", &nodes[1..])
        }
    };
    put("version", version.to_string().into());
    put("check", check.into());
    Answer { text: format!("{text} (membership {version}).\nCheck: {check}"), json: json.into() }
}

/// How far a node is that the change waits for.
fn progress(catching_up: &CatchingUp) -> Answer {
    let CatchingUp { node, following, last, remaining } = catching_up;
    let behind = last.saturating_sub(following.held);
    let what = match following.snapshot {
        Some(snapshot) => format!(
            "is sent a snapshot, {} of {} ({} %)",
            words::bytes(snapshot.sent),
            words::bytes(snapshot.length),
            words::percent(snapshot.sent, snapshot.length)
        ),
        None => format!("is {} behind", words::count(behind, "record")),
    };
    let time = remaining.map_or_else(String::new, |time| format!(", about {} to go", words::duration(time)));
    let silent = match following.silent_ms.map(Duration::from_millis) {
        Some(silent) if silent < SILENCE => String::new(),
        Some(silent) => format!(", and was not heard for {}", words::duration(silent)),
        None => ", and was not heard yet".to_owned(),
    };
    Answer {
        text: format!("node {node} {what}{time}{silent}"),
        json: json!({
            "node": node,
            "held": following.held,
            "behind": behind,
            "silent_ms": following.silent_ms,
            "snapshot": following.snapshot.map(sending),
            "remaining_ms": remaining.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
        }),
    }
}

#[cfg(test)]
mod tests {
    use lovebird::{Following, Sending};

    use super::*;

    fn version() -> MembershipVersion {
        MembershipVersion { term: 3, number: 17 }
    }

    #[test]
    fn every_change_says_what_it_has_done() {
        let address = || "d:4".to_owned();
        let add = |standing| Change::Add { node: 4, address: address(), standing };
        let voters = |nodes: &[u64]| Change::Voters { nodes: nodes.iter().copied().collect() };
        let told = [
            (add(Standing::Voter), "Node 4 votes now"),
            (add(Standing::Learner), "Node 4 is a learner now, and holds the log"),
            (Change::Promote { node: 4 }, "Node 4 votes now"),
            (Change::Remove { node: 4 }, "Node 4 is no member any more; its process ends by itself"),
            (
                Change::Replace { old: 2, node: 4, address: address() },
                "Node 4 has the place of node 2, which is no member any more",
            ),
            (
                Change::Replace { old: 4, node: 4, address: address() },
                "Node 4 has its place again, with a new disk",
            ),
            (Change::Move { node: 4, address: address() }, "Node 4 is at d:4 now"),
            (voters(&[4]), "Node 4 votes now, and nobody else"),
            (voters(&[1, 2, 4]), "Nodes 1, 2 and 4 vote now, and nobody else"),
        ];
        for (change, text) in told {
            let expected = format!("{text} (membership 3.17).\nCheck: lovebird members --node a:1");
            assert_eq!(answer(&change, version(), "lovebird members --node a:1").text, expected);
        }
    }

    #[test]
    fn every_change_says_to_programs_what_was_asked_and_what_came_of_it() {
        let json = |change| answer(&change, version(), "…").json.to_string();
        let address = || "d:4".to_owned();
        let end = r#""version":"3.17","check":"…"}"#;
        assert_eq!(
            json(Change::Add { node: 4, address: address(), standing: Standing::Learner }),
            format!(r#"{{"done":"add","node":4,"address":"d:4","standing":"learner",{end}"#)
        );
        assert_eq!(json(Change::Promote { node: 4 }), format!(r#"{{"done":"promote","node":4,{end}"#));
        assert_eq!(json(Change::Remove { node: 4 }), format!(r#"{{"done":"remove","node":4,{end}"#));
        assert_eq!(
            json(Change::Replace { old: 2, node: 4, address: address() }),
            format!(r#"{{"done":"replace","old":2,"node":4,"address":"d:4",{end}"#)
        );
        assert_eq!(
            json(Change::Move { node: 4, address: address() }),
            format!(r#"{{"done":"move","node":4,"address":"d:4",{end}"#)
        );
        assert_eq!(
            json(Change::Voters { nodes: BTreeSet::from([1, 4]) }),
            format!(r#"{{"done":"voters","nodes":[1,4],{end}"#)
        );
    }

    #[test]
    fn progress_says_how_much_is_left() {
        let heard = |held, silent_ms, snapshot, remaining: Option<u64>| {
            let following = Following { held, silent_ms, snapshot };
            let remaining = remaining.map(Duration::from_millis);
            progress(&CatchingUp { node: 4, following, last: 1000, remaining })
        };
        let told = |held, snapshot, remaining| heard(held, Some(7), snapshot, remaining);
        assert_eq!(told(0, None, None).text, "node 4 is 1000 records behind");
        assert_eq!(told(999, None, Some(1500)).text, "node 4 is 1 record behind, about 1 s to go");
        assert_eq!(told(1001, None, Some(0)).text, "node 4 is 0 records behind, about 0 ms to go");
        assert_eq!(
            heard(999, Some(2500), None, None).text,
            "node 4 is 1 record behind, and was not heard for 2 s"
        );
        assert_eq!(heard(0, None, None, None).text, "node 4 is 1000 records behind, and was not heard yet");
        let sending = Sending { sent: 3 << 20, length: 64 << 20 };
        let sent = told(0, Some(sending), Some(125_000));
        assert_eq!(sent.text, "node 4 is sent a snapshot, 3.0 MiB of 64.0 MiB (4 %), about 2 min to go");
        assert_eq!(
            sent.json.to_string(),
            r#"{"node":4,"held":0,"behind":1000,"silent_ms":7,"snapshot":{"sent":3145728,"length":67108864,"percent":4},"remaining_ms":125000}"#
        );
    }
}
