//! What can go wrong, in three kinds that are never mixed.
//!
//! - A *refusal* is a `Reply` of the state machine: the command is in the log.
//! - The *caller's problem* is an `Err`: [`ProposeError`], [`QueryError`] and [`SubscribeError`]. The first says whether the
//!   command is certainly not committed, or unknown.
//! - A *broken replica* stops itself: [`Stopped`], from `Node::stopped`. What does not even start is a [`StartError`].

use std::io;

use thiserror::Error;

use crate::identity::{ClusterId, NodeId};
use crate::service::Model;

/// A command was not carried out, or nobody knows.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProposeError {
    /// The command is certainly not in the log and never will be. It is safe to propose it again.
    #[error("not committed: {reason}")]
    NotCommitted {
        /// Why, as a sentence.
        reason: String,
    },
    /// The command may be in the log, now or later. To ask again by the same [`crate::client::Attempt`] or the same
    /// [`crate::client::Key`] is safe; a new proposal may carry it out twice.
    #[error("outcome unknown: {reason}")]
    Unknown {
        /// Why, as a sentence.
        reason: String,
    },
    /// The session has expired. The command may have been carried out before that, and never will be from now on.
    #[error("the session has expired: {reason}")]
    Expired {
        /// What is known, and what to do, as a sentence.
        reason: String,
    },
    /// The command was settled before, and what it was answered is no longer kept. It is not carried out again.
    #[error("the command was settled before, and its reply is no longer kept")]
    ReplyGone {
        /// Its log index, if that is still known.
        index: Option<u64>,
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
        /// The log index up to which the replica that was asked had applied; none if none answered.
        applied: Option<u64>,
    },
    /// Client and replica disagree on the types.
    #[error("client and replica disagree on the types: {reason}")]
    Codec {
        /// Why, as a sentence.
        reason: String,
    },
}

/// A subscription gives nothing more, or not this record.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SubscribeError {
    /// The record that would be next is no longer in the log. Begin with the state instead:
    /// [`crate::subscription::Subscription::or_state`].
    #[error("record {next} is no longer in the log, which begins with {first}: begin with the state instead")]
    Purged {
        /// The record that was to be next.
        next: u64,
        /// The first that the log holds.
        first: u64,
    },
    /// Subscriber and replica disagree on the types. The subscription goes on behind this record.
    #[error("record {index} cannot be decoded: {reason}")]
    Codec {
        /// Its log index.
        index: u64,
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
    /// The members have changed, and it is none any more.
    #[error("{0}")]
    Removed(StartErrorText),
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
         as {known_as}: its votes and its log are lost, and it must not come back under them. Restore the directory; or, if \
         the disk is lost for good, start the node with --replace (`NodeBuilder::replace`), to take its place with the new one"
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
    /// The members have changed, and it is none any more.
    #[error(
        "node {node} was removed from the cluster {cluster}, as {peer} says: its data can be deleted. To have it back, start \
         it on an empty directory with --join (`NodeBuilder::join`), and add it"
    )]
    Removed {
        /// This node.
        node: NodeId,
        /// Who said so.
        peer: NodeId,
        /// The cluster.
        cluster: String,
    },
    /// No node of the cluster that this one is to join could be asked.
    #[error(
        "none of {contacts} could be asked for its cluster: {reason}; start one of them, or correct the addresses"
    )]
    NoContact {
        /// Who was asked.
        contacts: String,
        /// What the last of them came to.
        reason: String,
    },
    /// A peer was given another cluster name or other initial members.
    #[error(
        "node {peer} belongs to the cluster {theirs_name} ({theirs}), this node to {ours_name} ({ours}): give all nodes the \
         same name and the same initial members; or, if that cluster was rescued without this node, start it on an empty \
         directory with --join, and add it"
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
    /// A peer runs the service in the other model.
    #[error(
        "node {peer} runs the service in the {theirs} model, this node in the {ours} model: start all nodes in the same"
    )]
    OtherModel {
        /// The peer.
        peer: NodeId,
        /// Its model.
        theirs: Model,
        /// This node's model.
        ours: Model,
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
