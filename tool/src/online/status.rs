//! `status`: what each node says of itself, and what the leader says.

use std::collections::BTreeMap;

use lovebird::{ClusterInfo, NodeId, OperatorError, Role, Status};
use serde_json::{Value, json};

use super::Cluster;
use crate::failure::Failure;
use crate::output::{Answer, Output};
use crate::words;

/// What a node says that was asked at this address, or why it does not.
type Said = (String, Result<Status, String>);

/// Prints what the nodes say first of all: it may be needed most while there is no leader, for which one has to wait.
pub(super) async fn run(cluster: &Cluster, output: &mut Output) -> Result<Answer, Failure> {
    let statuses = cluster.operator.statuses().await;
    let said: Vec<Said> = statuses
        .into_iter()
        .map(|(address, status)| (address, status.map_err(|error| error.to_string())))
        .collect();
    let failure = |error| cluster.failure("find the leader", error, "status");
    let leading = said.iter().find_map(|(_, status)| status.as_ref().ok().filter(|s| s.role == Role::Leader));
    let leader = match leading {
        Some(leader) => Ok(leader.clone()),
        // Nobody knows where to look for one.
        None if said.iter().all(|(_, status)| status.is_err()) => Err(OperatorError::Unavailable(
            "none of the nodes answers: see that they run, and where".to_owned(),
        )),
        None => cluster.leader().await,
    };
    match leader {
        Ok(leader) => Ok(answer(&said, Some(&leader))),
        Err(error) => {
            output.answer(&answer(&said, None))?;
            Err(failure(error))
        }
    }
}

fn answer(said: &[Said], leader: Option<&Status>) -> Answer {
    Answer { text: text(said, leader), json: json(said, leader) }
}

const HEADING: [&str; 10] =
    ["address", "node", "role", "term", "leader", "committed", "applied", "snapshot", "first", "last"];

fn text(said: &[Said], leader: Option<&Status>) -> String {
    let mut rows: Vec<Vec<String>> = said.iter().map(row).collect();
    // What one learns of the leader is the same as of the others, if nobody has asked it by its address.
    let was_asked = |leader: &Status| {
        said.iter().any(|(_, status)| status.as_ref().is_ok_and(|status| status.id == leader.id))
    };
    let unasked = leader.filter(|leader| !was_asked(leader));
    rows.extend(unasked.map(|leader| row(&(address(leader), Ok(leader.clone())))));
    let mut lines = vec![words::table(&HEADING, &rows), String::new()];
    lines.extend(clusters(said, leader));
    lines.push(match leader {
        Some(leader) => format!(
            "Node {} leads; membership {}: {}.",
            leader.id,
            words::or_dash(leader.version),
            standings(leader)
        ),
        None => "No leader is known.".to_owned(),
    });
    lines.join("\n")
}

fn row((address, status): &Said) -> Vec<String> {
    match status {
        Ok(status) => vec![
            address.clone(),
            status.id.to_string(),
            words::role(status.role).to_owned(),
            status.term.to_string(),
            words::or_dash(status.leader),
            status.committed.to_string(),
            status.applied.to_string(),
            status.snapshot.to_string(),
            status.first.to_string(),
            status.last.to_string(),
        ],
        Err(reason) => vec![address.clone(), "-".to_owned(), reason.clone()],
    }
}

/// Where the others reach the leader.
fn address(leader: &Status) -> String {
    let own = leader.members.iter().find(|member| member.id == leader.id && member.following.is_none());
    own.map_or_else(|| "-".to_owned(), |member| member.address.clone())
}

/// A line for each cluster that nodes belong to: one, unless addresses were mixed up.
fn clusters(said: &[Said], leader: Option<&Status>) -> Vec<String> {
    let answered = said.iter().filter_map(|(_, status)| status.as_ref().ok()).chain(leader);
    let mut clusters = BTreeMap::<String, Vec<NodeId>>::new();
    for status in answered {
        let nodes = clusters.entry(cluster(&status.cluster)).or_default();
        if !nodes.contains(&status.id) {
            nodes.push(status.id);
        }
    }
    let several = clusters.len() > 1;
    let line = |(cluster, nodes): (String, Vec<NodeId>)| match several {
        true => format!("{cluster}: {}.", words::nodes(nodes)),
        false => format!("{cluster}."),
    };
    let mut lines: Vec<String> = clusters.into_iter().map(line).collect();
    if several {
        lines.push("The nodes do not belong to one cluster: correct the addresses.".to_owned());
    }
    lines
}

fn cluster(info: &ClusterInfo) -> String {
    format!("Cluster {:?}, id {}, {} model", info.name, info.id, info.model)
}

fn standings(leader: &Status) -> String {
    let verb = |ids: &std::collections::BTreeSet<NodeId>, verb: &str| {
        let plural = if ids.len() == 1 { "s" } else { "" };
        format!("{} {verb}{plural}", words::nodes(ids.iter().copied()))
    };
    let (voters, learners) = (leader.voters(), leader.learners());
    match learners.is_empty() {
        true => verb(&voters, "vote"),
        false => format!("{}, {}", verb(&voters, "vote"), verb(&learners, "learn")),
    }
}

fn json(said: &[Said], leader: Option<&Status>) -> Value {
    let node = |(address, status): &Said| match status {
        Ok(status) => json!({ "asked": address, "status": status_json(status) }),
        Err(reason) => json!({ "asked": address, "error": reason }),
    };
    json!({
        "nodes": said.iter().map(node).collect::<Vec<_>>(),
        "leader": leader.map(status_json),
    })
}

fn status_json(status: &Status) -> Value {
    json!({
        "node": status.id,
        "role": words::role(status.role),
        "term": status.term,
        "leader": status.leader,
        "committed": status.committed,
        "applied": status.applied,
        "snapshot": status.snapshot,
        "first": status.first,
        "last": status.last,
        "cluster": {
            "id": status.cluster.id.to_string(),
            "name": status.cluster.name,
            "initial_members": status.cluster.initial_members,
            "model": status.cluster.model.to_string(),
        },
        "version": status.version.map(|version| version.to_string()),
        "voters": status.voters(),
        "learners": status.learners(),
        "changing": status.is_joint(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::members::tests::leader;
    use super::*;

    fn follower() -> Status {
        let mut status = Status { id: 3, role: Role::Follower, committed: 999, applied: 998, ..leader() };
        status.members.iter_mut().for_each(|member| member.following = None);
        status
    }

    fn silent() -> Said {
        let reason = "cannot reach 127.0.0.1:7001: it is off";
        ("127.0.0.1:7001".to_owned(), Err(reason.to_owned()))
    }

    #[test]
    fn status_as_people_read_it() {
        let said = [silent(), ("127.0.0.1:7003".to_owned(), Ok(follower()))];
        let expected = "\
address         node  role      term  leader  committed  applied  snapshot  first  last
127.0.0.1:7001  -     cannot reach 127.0.0.1:7001: it is off
127.0.0.1:7003  3     follower  3     2       999        998      900       801    1002
127.0.0.1:7002  2     leader    3     2       1000       1000     900       801    1002

Cluster \"test\", id 0123456789abcdef, state-machine model.
Node 2 leads; membership 3.17: nodes 1, 2 and 3 vote, node 4 learns.";
        assert_eq!(text(&said, Some(&leader())), expected);
    }

    #[test]
    fn status_without_a_leader() {
        let expected = "\
address         node  role  term  leader  committed  applied  snapshot  first  last
127.0.0.1:7001  -     cannot reach 127.0.0.1:7001: it is off

No leader is known.";
        assert_eq!(text(&[silent()], None), expected);
        assert_eq!(
            json(&[silent()], None).to_string(),
            r#"{"nodes":[{"asked":"127.0.0.1:7001","error":"cannot reach 127.0.0.1:7001: it is off"}],"leader":null}"#
        );
    }

    #[test]
    fn nodes_of_two_clusters_are_told_apart() {
        let mut other = follower();
        other.cluster.name = "other".to_owned();
        let said = [("127.0.0.1:7002".to_owned(), Ok(leader())), ("127.0.0.1:7003".to_owned(), Ok(other))];
        let expected = [
            "Cluster \"other\", id 0123456789abcdef, state-machine model: node 3.",
            "Cluster \"test\", id 0123456789abcdef, state-machine model: node 2.",
            "The nodes do not belong to one cluster: correct the addresses.",
        ];
        assert_eq!(clusters(&said, Some(&leader())), expected);
    }

    #[test]
    fn status_as_programs_read_it() {
        assert_eq!(
            json(&[("127.0.0.1:7002".to_owned(), Ok(leader()))], None)["nodes"][0].to_string(),
            r#"{"asked":"127.0.0.1:7002","status":{"node":2,"role":"leader","term":3,"leader":2,"committed":1000,"applied":1000,"snapshot":900,"first":801,"last":1002,"cluster":{"id":"0123456789abcdef","name":"test","initial_members":[1,2,3],"model":"state-machine"},"version":"3.17","voters":[1,2,3],"learners":[4],"changing":false}}"#
        );
    }
}
