//! `members`: who they are and how far each has come, as their leader sees them.

use std::time::Duration;

use lovebird::{Following, Member, Sending, Status};
use serde_json::{Value, json};

use super::Cluster;
use crate::failure::Failure;
use crate::output::Answer;
use crate::words;

pub(super) async fn run(cluster: &Cluster) -> Result<Answer, Failure> {
    match cluster.leader().await {
        Ok(leader) => Ok(answer(&leader)),
        Err(error) => Err(cluster.failure("find the leader", error, "status")),
    }
}

fn answer(leader: &Status) -> Answer {
    Answer { text: text(leader), json: json(leader) }
}

const HEADING: [&str; 7] = ["node", "incarnation", "standing", "address", "behind", "silent", "snapshot"];

fn text(leader: &Status) -> String {
    let rows: Vec<Vec<String>> = leader.members.iter().map(|member| row(member, leader)).collect();
    let version = words::or_dash(leader.version);
    let changing =
        if leader.is_joint() { "The voters are changing." } else { "The voters are not changing." };
    format!("{}\n\nMembership {version}. {changing}", words::table(&HEADING, &rows))
}

fn row(member: &Member, leader: &Status) -> Vec<String> {
    let standing = words::standing(member.standing);
    let leads = if leads(member, leader) { ", leads" } else { "" };
    let following = member.following.as_ref();
    let silent = |following: &Following| match following.silent_ms {
        Some(silent) => words::duration(Duration::from_millis(silent)),
        None => "never heard".to_owned(),
    };
    let percent = |sending: Sending| format!("{} %", words::percent(sending.sent, sending.length));
    vec![
        member.id.to_string(),
        format!("{:x}", member.incarnation),
        format!("{standing}{leads}"),
        member.address.clone(),
        words::or_dash(following.map(|following| behind(following, leader))),
        words::or_dash(following.map(silent)),
        words::or_dash(following.and_then(|following| following.snapshot).map(percent)),
    ]
}

/// A leader has no progress of itself, unlike its former life if it is being replaced.
fn leads(member: &Member, leader: &Status) -> bool {
    leader.leader == Some(member.id) && member.following.is_none()
}

fn behind(following: &Following, leader: &Status) -> u64 {
    leader.last.saturating_sub(following.held)
}

fn json(leader: &Status) -> Value {
    json!({
        "version": leader.version.map(|version| version.to_string()),
        "changing": leader.is_joint(),
        "leader": leader.leader,
        "term": leader.term,
        "members": leader.members.iter().map(|member| member_json(member, leader)).collect::<Vec<_>>(),
    })
}

fn member_json(member: &Member, leader: &Status) -> Value {
    let following = member.following.as_ref();
    json!({
        "node": member.id,
        "incarnation": format!("{:x}", member.incarnation),
        "standing": words::standing(member.standing),
        "leads": leads(member, leader),
        "address": member.address,
        "held": following.map(|following| following.held),
        "behind": following.map(|following| behind(following, leader)),
        "silent_ms": following.and_then(|following| following.silent_ms),
        "snapshot": following.and_then(|following| following.snapshot).map(sending),
    })
}

/// A snapshot under way.
pub(super) fn sending(sending: Sending) -> Value {
    json!({
        "sent": sending.sent,
        "length": sending.length,
        "percent": words::percent(sending.sent, sending.length),
    })
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeSet;

    use lovebird::{ClusterInfo, MembershipVersion, Model, Role, Standing};
    use lovebird_core::identity::ClusterId;

    use super::*;

    fn member(id: u64, standing: Standing, following: Option<Following>) -> Member {
        Member { id, incarnation: 0xa0 + id, address: format!("127.0.0.1:700{id}"), standing, following }
    }

    /// What node 2 says while it leads: node 1 is down, node 3 follows, and node 4 is being sent a snapshot.
    pub(in crate::online) fn leader() -> Status {
        let following = |held, silent_ms, snapshot| Some(Following { held, silent_ms, snapshot });
        let snapshot = Some(Sending { sent: 10, length: 40 });
        Status {
            id: 2,
            role: Role::Leader,
            term: 3,
            leader: Some(2),
            committed: 1000,
            applied: 1000,
            snapshot: 900,
            first: 801,
            last: 1002,
            members: vec![
                member(1, Standing::Voter, following(990, Some(61_500), None)),
                member(2, Standing::Voter, None),
                member(3, Standing::Voter, following(1002, Some(45), None)),
                member(4, Standing::Learner, following(0, None, snapshot)),
            ],
            version: Some(MembershipVersion { term: 3, number: 17 }),
            cluster: ClusterInfo {
                id: ClusterId(0x0123_4567_89ab_cdef),
                name: "test".to_owned(),
                initial_members: BTreeSet::from([1, 2, 3]),
                model: Model::StateMachine,
            },
        }
    }

    #[test]
    fn members_as_people_read_them() {
        let expected = "\
node  incarnation  standing      address         behind  silent       snapshot
1     a1           voter         127.0.0.1:7001  12      61 s         -
2     a2           voter, leads  127.0.0.1:7002  -       -            -
3     a3           voter         127.0.0.1:7003  0       45 ms        -
4     a4           learner       127.0.0.1:7004  1002    never heard  25 %

Membership 3.17. The voters are not changing.";
        assert_eq!(text(&leader()), expected);
        let mut changing = leader();
        changing.members[3].standing = Standing::Joining;
        assert!(text(&changing).ends_with("Membership 3.17. The voters are changing."));
    }

    #[test]
    fn members_as_programs_read_them() {
        let json = json(&leader());
        let expected = [
            r#"{"node":1,"incarnation":"a1","standing":"voter","leads":false,"address":"127.0.0.1:7001","held":990,"behind":12,"silent_ms":61500,"snapshot":null}"#,
            r#"{"node":2,"incarnation":"a2","standing":"voter","leads":true,"address":"127.0.0.1:7002","held":null,"behind":null,"silent_ms":null,"snapshot":null}"#,
            r#"{"node":3,"incarnation":"a3","standing":"voter","leads":false,"address":"127.0.0.1:7003","held":1002,"behind":0,"silent_ms":45,"snapshot":null}"#,
            r#"{"node":4,"incarnation":"a4","standing":"learner","leads":false,"address":"127.0.0.1:7004","held":0,"behind":1002,"silent_ms":null,"snapshot":{"sent":10,"length":40,"percent":25}}"#,
        ];
        let expected = format!(
            r#"{{"version":"3.17","changing":false,"leader":2,"term":3,"members":[{}]}}"#,
            expected.join(",")
        );
        assert_eq!(json.to_string(), expected);
    }
}
