//! Who is who: clusters, nodes, incarnations, groups.
//!
//! A node's id is a name that its operator chose; it outlives disks. An *incarnation* is one life of a node's data
//! directory: whoever loses the disk loses the votes and entries on it, and must not come back as the same voter.
//! Consensus therefore knows a node by the pair, [`RaftId`], and a pair is never used again once its disk is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hash::Hasher;

use serde::{Deserialize, Serialize};

use crate::service::Model;
use crate::transport::Standing;

/// A node's number, chosen by its operator, unique in its cluster and at least 1.
pub type NodeId = u64;

/// The number of a consensus group on a node. A cluster of one log uses group 0.
pub type GroupId = u32;

/// A cluster: the hash of its name and of its initial members' ids, the same on every node that was given the same.
///
/// Addresses are left out on purpose: they may change over a cluster's life. A cluster that was rescued from a survivor's disk,
/// or made of an exported snapshot, has a number drawn at random instead, so that nobody from before can come back into it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
pub struct ClusterId(pub u64);

impl ClusterId {
    /// The id of the cluster `name` that begins with `members`.
    ///
    /// FNV-1a, 64 bits, over the name's length and bytes and then the ids in ascending order, all little-endian.
    pub fn of(name: &str, members: &BTreeSet<NodeId>) -> Self {
        let mut hash = fnv::FnvHasher::default();
        hash.write(&(name.len() as u64).to_le_bytes());
        hash.write(name.as_bytes());
        for id in members {
            hash.write(&id.to_le_bytes());
        }
        ClusterId(hash.finish())
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One life of one node: what votes, leads and is a member.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct RaftId {
    /// The node.
    pub node: NodeId,
    /// The life of its data directory, a random number that is drawn when the directory is made.
    pub incarnation: u64,
}

impl RaftId {
    /// The life `incarnation` of `node`.
    pub fn new(node: NodeId, incarnation: u64) -> Self {
        RaftId { node, incarnation }
    }
}

impl fmt::Display for RaftId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{:x}", self.node, self.incarnation)
    }
}

impl fmt::Debug for RaftId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// For openraft's suites, which name nodes by number.
impl From<u64> for RaftId {
    fn from(node: u64) -> Self {
        RaftId { node, incarnation: 0 }
    }
}

/// The members of a group as the log holds them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// The sets of voters. One set as a rule; two while a change is under way (joint consensus, Ongaro's thesis,
    /// section 4.3), when a majority of each is needed.
    pub voters: Vec<BTreeSet<RaftId>>,
    /// Voters and learners alike, with the address at which each listens to its peers.
    pub members: BTreeMap<RaftId, String>,
}

impl Membership {
    /// The member that is a life of `node`, if any.
    pub fn find(&self, node: NodeId) -> Option<RaftId> {
        self.members.keys().find(|id| id.node == node).copied()
    }

    /// The life under which `id`'s node is a member: that very one if it is, else another.
    pub fn find_life(&self, id: RaftId) -> Option<RaftId> {
        self.members.contains_key(&id).then_some(id).or_else(|| self.find(id.node))
    }

    /// Whether `id` votes, in any of the sets.
    pub fn is_voter(&self, id: RaftId) -> bool {
        self.voters.iter().any(|set| set.contains(&id))
    }

    /// Whether a change of the voters is under way.
    pub fn is_joint(&self) -> bool {
        self.voters.len() > 1
    }

    /// What the member `id` may do.
    pub fn standing(&self, id: RaftId) -> Standing {
        let votes_in = |set: Option<&BTreeSet<RaftId>>| set.is_some_and(|set| set.contains(&id));
        match (votes_in(self.voters.first()), votes_in(self.voters.last())) {
            (true, true) => Standing::Voter,
            (false, true) => Standing::Joining,
            (true, false) => Standing::Leaving,
            (false, false) => Standing::Learner,
        }
    }
}

/// What a data directory says of itself. Written once, before anything else in the directory; only `starts` changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster that the directory belongs to.
    pub cluster: ClusterId,
    /// The cluster's name, for messages.
    pub cluster_name: String,
    /// The members that the cluster was to begin with.
    pub initial_members: BTreeSet<NodeId>,
    /// The node, and the directory's own life.
    pub id: RaftId,
    /// In which model the service runs whose log is in the directory.
    pub model: Model,
    /// How often the directory was opened by a node, this time included. It makes tokens unique (see [`crate::fence`]).
    pub starts: u32,
}

impl Identity {
    /// The id that the cluster began with, which a rescue does not change: what state machines are told of the cluster
    /// ([`crate::context`]) comes from it, so that a log that is replayed gives the state that was acknowledged.
    pub fn origin(&self) -> ClusterId {
        ClusterId::of(&self.cluster_name, &self.initial_members)
    }
}

#[cfg(all(test, not(madsim)))]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::context::Context;

    #[test]
    fn a_rescued_cluster_draws_the_numbers_that_it_drew_before() {
        let initial_members = BTreeSet::from([1, 2, 3]);
        let before = Identity {
            cluster: ClusterId::of("doves", &initial_members),
            cluster_name: "doves".to_owned(),
            initial_members,
            id: RaftId::new(2, 7),
            model: Model::StateMachine,
            starts: 4,
        };
        let rescued = Identity { cluster: ClusterId(0xfeed), ..before.clone() };
        assert_eq!(
            before.origin(),
            before.cluster,
            "a cluster that was never rescued has the id it began with"
        );
        let draw =
            |identity: &Identity| Context::new(identity.origin(), 9, 3, Duration::ZERO).random().next_u64();
        assert_eq!(draw(&rescued), draw(&before));
        // As it was before there were rescues: a changed seed changes what every log replays to.
        assert_eq!(draw(&before), 4_610_858_134_364_866_602);
    }
}
