//! What can go wrong, in three kinds that are never mixed.
//!
//! - A *refusal* is a `Reply` of the state machine: the command is in the log.
//! - The *caller's problem* is an `Err`: [`ProposeError`] and [`QueryError`]. It says whether the command is certainly not
//!   committed, or unknown.
//! - A *broken replica* stops itself: [`Stopped`], from `Node::stopped`. What does not even start is a [`StartError`].

use std::io;

use thiserror::Error;

use crate::identity::{ClusterId, NodeId};

/// A command was not carried out, or nobody knows.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProposeError {
    /// The command is certainly not in the log and never will be. It is safe to propose it again.
    #[error("not committed: {reason}")]
    NotCommitted {
        /// Why, as a sentence.
        reason: String,
    },
    /// The command may be in the log, now or later. Proposing it again may carry it out twice.
    #[error("outcome unknown: {reason}")]
    Unknown {
        /// Why, as a sentence.
        reason: String,
    },
    /// The command is in the log, but no replica could decode it, or its reply could not be decoded here: client and
    /// replicas disagree on the types. Where the replicas could not, it had no effect.
    #[error("client and replicas disagree on the types: {reason}")]
    Codec {
        /// Its log index, if it has one.
        index: Option<u64>,
        /// Why, as a sentence.
        reason: String,
    },
}

/// A query was not answered.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum QueryError {
    /// No answer of the freshness asked for could be had in time. It is safe to ask again.
    #[error("not answered: {reason}")]
    Unavailable {
        /// Why, as a sentence.
        reason: String,
    },
    /// Client and replica disagree on the types.
    #[error("client and replica disagree on the types: {reason}")]
    Codec {
        /// Why, as a sentence.
        reason: String,
    },
}

/// Why a node stopped by itself. What it acknowledged is safe; start it again once the cause is mended.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Stopped {
    /// It was asked to.
    #[error("the node was shut down")]
    Shutdown,
    /// The log or a snapshot could not be written or read.
    #[error("storage failed: {0}; mend the disk and start the node again")]
    Storage(String),
    /// The user's state machine panicked.
    #[error(
        "the state machine panicked: {0}; nothing acknowledged is lost, but if a command made it panic, that command is \
         applied again at the next start: mend the state machine first"
    )]
    StateMachine(String),
    /// It may not take part in the cluster.
    #[error("{0}")]
    Refused(StartErrorText),
    /// Something in the node broke that should not.
    #[error("the node failed: {0}")]
    Internal(String),
}

/// The text of a [`StartError`] that was found only after the start.
pub type StartErrorText = String;

/// A node could not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The configuration contradicts itself.
    #[error("{0}")]
    Config(String),
    /// Another process uses the data directory.
    #[error(
        "the data directory {directory} is in use by another process: stop it, or choose another directory"
    )]
    Locked {
        /// The directory.
        directory: String,
    },
    /// The data directory belongs to someone else.
    #[error("the data directory {directory} {reason}")]
    Foreign {
        /// The directory.
        directory: String,
        /// Whose it is and what was expected, as the end of a sentence.
        reason: String,
    },
    /// The directory is empty, but the cluster remembers this node.
    #[error(
        "node {node} has an empty data directory, but {peer} says that the cluster {cluster} is formed and knows node {node} \
         as {known_as}: its votes and its log are lost, and it must not come back under them. Restore the directory, or \
         replace the member"
    )]
    DiskLost {
        /// This node.
        node: NodeId,
        /// Who said so.
        peer: NodeId,
        /// The cluster.
        cluster: String,
        /// The life under which it is known, or that it is none.
        known_as: String,
    },
    /// A peer was given another cluster name or other initial members.
    #[error(
        "node {peer} belongs to the cluster {theirs_name} ({theirs}), this node to {ours_name} ({ours}): give all nodes the \
         same name and the same initial members"
    )]
    ForeignPeer {
        /// The peer.
        peer: NodeId,
        /// Its cluster.
        theirs: ClusterId,
        /// Its cluster's name.
        theirs_name: String,
        /// This node's cluster.
        ours: ClusterId,
        /// This node's cluster's name.
        ours_name: String,
    },
    /// The log or a snapshot cannot be opened.
    #[error("storage cannot be opened: {0}")]
    Storage(io::Error),
    /// The address to listen on cannot be had.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// Something in the node broke that should not.
    #[error("the node cannot start: {0}")]
    Internal(String),
}
