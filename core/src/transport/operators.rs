//! What operators and nodes say to one another: who the members are, and that this shall change.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use bytes::Bytes;

use crate::identity::{ClusterId, GroupId, NodeId};
use crate::service::Model;

/// Which membership this is. It grows with each change, and means nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MembershipVersion {
    /// The term in which the change was proposed.
    pub term: u64,
    /// The number of its entry.
    pub number: u64,
}

impl fmt::Display for MembershipVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.term, self.number)
    }
}

impl FromStr for MembershipVersion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts =
            text.split_once('.').and_then(|(term, number)| Some((term.parse().ok()?, number.parse().ok()?)));
        let (term, number) =
            parts.ok_or_else(|| format!("a version is two numbers such as 3.17, and {text:?} is none"))?;
        Ok(MembershipVersion { term, number })
    }
}

/// What a member may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// It votes, and may lead.
    Voter,
    /// A change is under way at the end of which it votes; until then it votes among those who will.
    Joining,
    /// A change is under way at the end of which it is no member; until then it votes among those who did before.
    Leaving,
    /// It receives the log and answers reads, and has no vote.
    Learner,
}

/// How far a member has come, as its leader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Following {
    /// The last record that is known to be durable there.
    pub held: u64,
    /// For how long it has not been heard, in milliseconds; none if this leader has never heard it.
    pub silent_ms: Option<u64>,
    /// The snapshot that it is being sent.
    pub snapshot: Option<Sending>,
}

/// A snapshot under way to a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sending {
    /// Bytes that have arrived.
    pub sent: u64,
    /// The file's length in bytes.
    pub length: u64,
}

/// One life of a node as a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The node.
    pub id: NodeId,
    /// The life of its data directory. While a node with a new disk takes the place of its former self, both are members.
    pub incarnation: u64,
    /// Where it listens to its peers.
    pub address: String,
    /// What it may do.
    pub standing: Standing,
    /// How far it has come; only a leader knows, and not of itself.
    pub following: Option<Following>,
}

/// Which cluster a node belongs to: all that another one must know to belong to it, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterInfo {
    /// Its id.
    pub id: ClusterId,
    /// Its name.
    pub name: String,
    /// The members that it began with.
    pub initial_members: BTreeSet<NodeId>,
    /// In which model its service runs.
    pub model: Model,
}

/// How the members shall change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The node at an address becomes a member: first a learner, and a voter once it holds the log.
    Add {
        /// Its id.
        node: NodeId,
        /// Where the others reach it.
        address: String,
        /// [`Standing::Voter`], or [`Standing::Learner`] if it shall stay one.
        standing: Standing,
    },
    /// A learner becomes a voter once it holds the log.
    Promote {
        /// The learner.
        node: NodeId,
    },
    /// A node is no member any more.
    Remove {
        /// The node.
        node: NodeId,
    },
    /// One node takes another's place, and has its standing, in one step. Both may be the same node, with a new disk.
    Replace {
        /// Who goes.
        old: NodeId,
        /// Who comes.
        node: NodeId,
        /// Where the others reach who comes.
        address: String,
    },
    /// The others reach a member elsewhere from now on.
    Move {
        /// The member.
        node: NodeId,
        /// Where.
        address: String,
    },
    /// These members vote and no others, in one step; voters that are not among them are no members any more.
    Voters {
        /// The members.
        nodes: BTreeSet<NodeId>,
    },
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::Add { node, address, standing: Standing::Learner } => {
                write!(f, "add node {node} at {address} as a learner")
            }
            Change::Add { node, address, .. } => write!(f, "add node {node} at {address}"),
            Change::Promote { node } => write!(f, "promote node {node}"),
            Change::Remove { node } => write!(f, "remove node {node}"),
            Change::Replace { old, node, address } if old == node => {
                write!(f, "replace node {node} by itself with a new disk, at {address}")
            }
            Change::Replace { old, node, address } => {
                write!(f, "replace node {old} by node {node} at {address}")
            }
            Change::Move { node, address } => write!(f, "move node {node} to {address}"),
            Change::Voters { nodes } => write!(f, "let {nodes:?} vote"),
        }
    }
}

/// Asks for a change of the members. The stream of replies goes on for as long as it takes; who drops it gives the change up if it
/// still waits for a node to catch up, which then stays a learner. To ask for the same change again does no harm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeRequest {
    /// The group.
    pub group: GroupId,
    /// The change.
    pub change: Change,
    /// The membership that it is based on: it is refused if that is no longer the present one.
    pub expected: Option<MembershipVersion>,
    /// Whether a node passes on what it was asked; it is then refused by a node that does not lead.
    pub forwarded: bool,
}

/// How a change goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeReply {
    /// It waits for a node to catch up.
    CatchingUp {
        /// The node.
        node: NodeId,
        /// How far it has come.
        following: Following,
        /// The last record of the leader's log.
        last: u64,
        /// About how long it will take, in milliseconds, if that can be told.
        remaining_ms: Option<u64>,
    },
    /// It is done, and cannot be lost. The last reply.
    Done {
        /// The membership that has come of it.
        version: MembershipVersion,
    },
    /// It is not done. The last reply.
    Refused {
        /// Why, as a sentence.
        reason: String,
        /// Whether asking again may help: another node leads, or will soon.
        retry: bool,
    },
}

/// Asks a leader to let another node lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandOverRequest {
    /// The group.
    pub group: GroupId,
    /// Who shall lead; none for whoever is best at it.
    pub to: Option<NodeId>,
    /// Whether a node passes on what it was asked; it is then refused by a node that does not lead.
    pub forwarded: bool,
}

/// What became of a [`HandOverRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandOverReply {
    /// Another node leads, or did already.
    Done {
        /// Who.
        leader: NodeId,
    },
    /// The node that led still leads, or nobody does yet.
    Refused {
        /// Why, as a sentence.
        reason: String,
        /// Whether asking again may help: another node leads, or will soon.
        retry: bool,
    },
}

/// A piece of a snapshot file, as it is on the node's disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportPiece {
    /// The log index that the snapshot covers.
    pub index: u64,
    /// The file's length in bytes.
    pub length: u64,
    /// The next bytes.
    pub bytes: Bytes,
}
