//! Where a change leads, and by which memberships. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::Refusal;
use crate::identity::{Membership, NodeId, RaftId};
use crate::transport::{Change, Standing};

/// The membership that a change leads to: one set of voters, and everybody who is a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Goal {
    pub(crate) voters: BTreeSet<RaftId>,
    pub(crate) members: BTreeMap<RaftId, String>,
    /// A learner that is waited for although it stays one: who adds it wants to know when it can be read from.
    pub(crate) learner: Option<RaftId>,
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing: the goal is reached.
    Done,
    /// To wait until this learner holds the log.
    CatchUp(RaftId),
    /// To agree on this membership.
    Agree(Membership),
}

/// Where `change` leads from `now`, which is not joint. `candidate` is the life at the address that the change names.
pub(crate) fn goal(change: &Change, now: &Membership, candidate: Option<RaftId>) -> Result<Goal, Refusal> {
    let voters = now.voters.last().cloned().unwrap_or_default();
    let mut goal = Goal { voters, members: now.members.clone(), learner: None };
    match change {
        Change::Add { node, address, standing } => {
            let life = candidate.unwrap_or_default();
            if let Some(other) = lives(now, *node).find(|other| *other != life) {
                return Err(Refusal::for_good(format!(
                    "node {node} is a member already, as {other}; at {address} it has another disk, as {life}: replace it"
                )));
            }
            if *standing == Standing::Learner && goal.voters.contains(&life) {
                return Err(Refusal::for_good(format!(
                    "node {node} votes already: to make it a learner, remove it and add it with an empty directory"
                )));
            }
            goal.members.entry(life).or_insert_with(|| address.clone());
            match standing {
                Standing::Learner => goal.learner = Some(life),
                Standing::Voter | Standing::Joining | Standing::Leaving => {
                    goal.voters.insert(life);
                }
            }
        }
        Change::Promote { node } => {
            goal.voters.insert(only_life(now, *node)?);
        }
        Change::Remove { node } => {
            for life in lives(now, *node) {
                goal.leave(life);
            }
        }
        Change::Replace { old, node, address } => {
            let life = candidate.unwrap_or_default();
            let olds: Vec<RaftId> = lives(now, *old).filter(|other| *other != life).collect();
            if olds.is_empty() && !now.members.contains_key(&life) {
                return Err(Refusal::for_good(format!("node {old} is no member: add node {node} instead")));
            }
            if let Some(other) = lives(now, *node).find(|other| *other != life && !olds.contains(other)) {
                return Err(Refusal::for_good(format!("node {node} is a member already, as {other}")));
            }
            goal.members.entry(life).or_insert_with(|| address.clone());
            if olds.iter().any(|old| goal.voters.contains(old)) {
                goal.voters.insert(life);
            }
            for old in olds {
                goal.leave(old);
            }
        }
        Change::Move { node, address } => {
            goal.members.insert(only_life(now, *node)?, address.clone());
        }
        Change::Voters { nodes } => {
            let voters =
                nodes.iter().map(|node| only_life(now, *node)).collect::<Result<BTreeSet<_>, _>>()?;
            for old in goal.voters.difference(&voters).copied().collect::<Vec<_>>() {
                goal.leave(old);
            }
            goal.voters = voters;
        }
    }
    if goal.voters.is_empty() {
        return Err(Refusal::for_good(
            "a group without a voter could never do anything again: add another one first",
        ));
    }
    Ok(goal)
}

impl Goal {
    fn leave(&mut self, life: RaftId) {
        self.voters.remove(&life);
        self.members.remove(&life);
    }

    /// Where a membership that is joint leads: its last set votes, and who is in neither set stays a learner.
    pub(crate) fn of_joint(now: &Membership) -> Goal {
        let voters = now.voters.last().cloned().unwrap_or_default();
        let stays = |id: &RaftId| voters.contains(id) || !now.is_voter(*id);
        let members =
            now.members.iter().filter(|(id, _)| stays(id)).map(|(id, a)| (*id, a.clone())).collect();
        Goal { voters, members, learner: None }
    }
}

/// What is to be done next on the way from `now` to `goal`, if the learners in `ready` hold the log. `None` if `now` is not on
/// any way there.
pub(crate) fn next(now: &Membership, goal: &Goal, ready: &BTreeSet<RaftId>) -> Option<Step> {
    let (first, last) = (now.voters.first()?, now.voters.last()?);
    let arrived = || Membership { voters: vec![goal.voters.clone()], members: goal.members.clone() };
    if now.is_joint() {
        return (*last == goal.voters).then(|| Step::Agree(arrived()));
    }
    let mut members = now.members.clone();
    for (id, address) in &goal.members {
        members.entry(*id).or_insert_with(|| address.clone());
    }
    if members != now.members {
        return Some(Step::Agree(Membership { voters: now.voters.clone(), members }));
    }
    let mut awaited = goal.voters.iter().chain(&goal.learner);
    if let Some(late) = awaited.find(|id| !first.contains(id) && !ready.contains(id)) {
        return Some(Step::CatchUp(*late));
    }
    Some(if *first != goal.voters {
        Step::Agree(Membership { voters: vec![first.clone(), goal.voters.clone()], members })
    } else if members == goal.members {
        Step::Done
    } else {
        Step::Agree(arrived())
    })
}

fn lives(now: &Membership, node: NodeId) -> impl Iterator<Item = RaftId> {
    now.members.keys().copied().filter(move |id| id.node == node)
}

/// The one life that a node has as a member.
fn only_life(now: &Membership, node: NodeId) -> Result<RaftId, Refusal> {
    let mut lives = lives(now, node);
    match (lives.next(), lives.next()) {
        (Some(life), None) => Ok(life),
        (None, _) => Err(Refusal::for_good(format!("node {node} is no member: add it first"))),
        (Some(_), Some(_)) => Err(Refusal::for_good(format!(
            "node {node} is being replaced by itself with a new disk: wait until it is done"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::btree_set;
    use proptest::prelude::*;

    use super::*;

    fn id(node: u64) -> RaftId {
        RaftId::new(node, 100 + node)
    }

    fn members(nodes: &[u64]) -> BTreeMap<RaftId, String> {
        nodes.iter().map(|node| (id(*node), format!("node-{node}"))).collect()
    }

    fn membership(voters: &[u64], learners: &[u64]) -> Membership {
        let set = voters.iter().map(|node| id(*node)).collect();
        Membership { voters: vec![set], members: members(&[voters, learners].concat()) }
    }

    fn add(node: u64, standing: Standing) -> Change {
        Change::Add { node, address: format!("node-{node}"), standing }
    }

    /// All memberships on the way, the first one included, and who was waited for.
    fn way(now: Membership, goal: &Goal) -> (Vec<Membership>, Vec<RaftId>) {
        let (mut way, mut ready) = (vec![now], Vec::new());
        loop {
            let now = way.last().unwrap();
            match next(now, goal, &ready.iter().copied().collect()).expect("it is on the way") {
                Step::Done => return (way, ready),
                Step::CatchUp(learner) => {
                    assert!(now.members.contains_key(&learner) && !now.is_voter(learner));
                    ready.push(learner);
                }
                Step::Agree(next) => way.push(next),
            }
            assert!(way.len() < 9, "{way:?} leads nowhere");
        }
    }

    #[test]
    fn node_becomes_a_learner_and_then_a_voter_by_joint_consensus() {
        let now = membership(&[1, 2, 3], &[]);
        let goal = goal(&add(4, Standing::Voter), &now, Some(id(4))).unwrap();
        let (way, waited) = way(now.clone(), &goal);
        let joint = Membership {
            voters: vec![now.voters[0].clone(), membership(&[1, 2, 3, 4], &[]).voters[0].clone()],
            members: members(&[1, 2, 3, 4]),
        };
        assert_eq!(way, [now, membership(&[1, 2, 3], &[4]), joint, membership(&[1, 2, 3, 4], &[])]);
        assert_eq!(waited, [id(4)]);
    }

    #[test]
    fn new_disk_takes_the_place_of_the_old_one_in_one_step() {
        let now = membership(&[1, 2, 3], &[]);
        let new = RaftId::new(2, 7);
        let change = Change::Replace { old: 2, node: 2, address: "node-2".to_owned() };
        let goal = goal(&change, &now, Some(new)).unwrap();
        assert_eq!(goal.voters, BTreeSet::from([id(1), new, id(3)]));
        let (way, waited) = way(now, &goal);
        assert_eq!(waited, [new]);
        // Four lives of three nodes are members, but never do four vote in one set.
        assert!(way.iter().flat_map(|membership| &membership.voters).all(|set| set.len() == 3));
        // The learner that was to come is there already, after a crash of whoever asked.
        assert_eq!(super::goal(&change, &way[1], Some(new)).unwrap(), goal);
        // And asked for again when it is done, it is done.
        let done = way.last().unwrap();
        assert_eq!(
            next(done, &super::goal(&change, done, Some(new)).unwrap(), &BTreeSet::new()),
            Some(Step::Done)
        );
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let now = membership(&[1, 2], &[3]);
        let refused = |change: &Change, candidate| goal(change, &now, candidate).unwrap_err();
        let replace = |old, node| Change::Replace { old, node, address: String::new() };
        for (change, candidate, reason) in [
            (add(2, Standing::Voter), Some(RaftId::new(2, 9)), "has another disk"),
            (add(2, Standing::Learner), Some(id(2)), "votes already"),
            (Change::Promote { node: 4 }, None, "node 4 is no member"),
            (replace(4, 4), Some(id(4)), "node 4 is no member"),
            (replace(1, 2), Some(RaftId::new(2, 9)), "node 2 is a member already"),
            (Change::Voters { nodes: BTreeSet::new() }, None, "without a voter"),
            (Change::Voters { nodes: BTreeSet::from([1, 9]) }, None, "node 9 is no member"),
            (Change::Move { node: 9, address: String::new() }, None, "node 9 is no member"),
        ] {
            let refusal = refused(&change, candidate);
            assert!(refusal.reason.contains(reason) && !refusal.retry, "{change}: {refusal:?}");
        }
        let alone = membership(&[1], &[]);
        assert!(goal(&Change::Remove { node: 1 }, &alone, None).is_err());
    }

    #[test]
    fn learner_is_replaced_by_a_learner() {
        let now = membership(&[1], &[2]);
        let change = Change::Replace { old: 2, node: 3, address: "node-3".to_owned() };
        let goal = goal(&change, &now, Some(id(3))).unwrap();
        assert_eq!(way(now, &goal).0.last().unwrap(), &membership(&[1], &[3]));
    }

    proptest! {
        /// From any members to any others: two memberships that follow one another share a set of voters, which is what keeps
        /// their majorities from missing one another; nobody votes who has not caught up or is no member; a way that is left
        /// half-way is finished by whoever knows nothing of the goal.
        #[test]
        fn every_way_is_safe_and_arrives(
            voters in btree_set(1_u64..7, 1..5),
            learners in btree_set(7_u64..10, 0..3),
            target in btree_set(1_u64..10, 1..6),
            kept in btree_set(1_u64..10, 0..9),
        ) {
            let nodes = |set: &BTreeSet<u64>| set.iter().copied().collect::<Vec<_>>();
            let now = membership(&nodes(&voters), &nodes(&learners));
            let mut members = now.members.clone();
            members.retain(|id, _| target.contains(&id.node) || (kept.contains(&id.node) && !now.is_voter(*id)));
            members.extend(target.iter().map(|node| (id(*node), format!("node-{node}"))));
            let goal = Goal { voters: target.iter().map(|node| id(*node)).collect(), members, learner: None };
            let (way, waited) = way(now, &goal);
            for pair in way.windows(2) {
                let shares = pair[0].voters.iter().any(|set| pair[1].voters.contains(set));
                prop_assert!(shares, "{:?} is followed by {:?}", pair[0], pair[1]);
            }
            for membership in &way {
                prop_assert!(membership.voters.iter().flatten().all(|id| membership.members.contains_key(id)));
            }
            for new in goal.voters.iter().filter(|id| !way[0].is_voter(**id)) {
                prop_assert!(waited.contains(new));
            }
            for joint in way.iter().filter(|membership| membership.is_joint()) {
                prop_assert_eq!(Goal::of_joint(joint).voters, goal.voters.clone());
                let finished = next(joint, &Goal::of_joint(joint), &BTreeSet::new());
                prop_assert!(matches!(finished, Some(Step::Agree(after)) if after.voters == [goal.voters.clone()]));
            }
            let last = way.last().unwrap();
            prop_assert_eq!(&last.members, &goal.members);
            prop_assert_eq!(&last.voters, &vec![goal.voters.clone()]);
        }
    }
}
