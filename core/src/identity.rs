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

/// A node's number, chosen by its operator, unique in its cluster and at least 1.
pub type NodeId = u64;

/// The number of a consensus group on a node. A cluster of one log uses group 0.
pub type GroupId = u32;

/// A cluster: the hash of its name and of its initial members' ids, the same on every node that was given the same.
///
/// Addresses are left out on purpose: they may change over a cluster's life.
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

    /// Whether `id` votes, in any of the sets.
    pub fn is_voter(&self, id: RaftId) -> bool {
        self.voters.iter().any(|set| set.contains(&id))
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
