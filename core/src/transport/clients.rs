//! What clients and nodes say to one another.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::{ClusterInfo, Member, MembershipVersion, Standing};
use crate::entry::Entry;
use crate::identity::{GroupId, NodeId};

/// How a propose stream begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ProposeOpen {
    /// The group.
    pub group: GroupId,
    /// Whether a node forwards what clients gave it. It is then taken only by a node that leads, so that it does not travel in
    /// circles.
    pub forwarded: bool,
}

/// What the records of a [`ProposeRequest`] are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Hash)]
pub enum ProposalKind {
    /// Commands; in the primary-backup model, requests to the primary.
    #[default]
    Commands,
    /// Openings of sessions, each an encoded [`crate::session::Opening`] in a record without a number. The reply to each is an
    /// encoded [`crate::session::Opened`].
    Openings,
}

/// Many commands in one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProposeRequest {
    /// Names the request on its stream; its reply carries it.
    pub id: u64,
    /// What the records are.
    pub kind: ProposalKind,
    /// How long the sender will wait, in milliseconds from its arrival. What has not been proposed by then is dropped.
    pub timeout_ms: u64,
    /// What encoded the payloads.
    pub codec: u8,
    /// How many records the run holds.
    pub count: u32,
    /// The records, as [`crate::record`] lays them out.
    pub run: Bytes,
}

/// What became of a [`ProposeRequest`], as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProposeReply {
    /// The request.
    pub id: u64,
    /// Its outcome.
    pub outcome: Outcome,
}

/// What became of records that were proposed together, of all of them or, in [`Outcome::Parts`], of some after the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Committed and applied; the replies follow one another as [`crate::reply`] lays them out.
    Committed {
        /// The log index of the first command; the others follow on it. For openings of sessions, which have none, the log index
        /// of the next command.
        first_index: u64,
        /// One reply a command.
        replies: Bytes,
    },
    /// Certainly not committed by this attempt, now or later.
    NotCommitted {
        /// Why, as a sentence.
        reason: String,
        /// Whether trying again may help: another node may take it, or this one later.
        retry: bool,
        /// Who leads, if that is known.
        leader: Option<NodeId>,
    },
    /// It may be committed, now or later.
    Unknown {
        /// Why, as a sentence.
        reason: String,
    },
    /// The command's session has expired. This attempt is not committed and no later one will be; an earlier one may be.
    Expired,
    /// The command was committed before, or its client has given it up; its reply is not kept, and it is not carried out again.
    ReplyGone {
        /// Its log index; 0 if that is not kept either.
        index: u64,
    },
    /// Not all have the same outcome. Never within another one.
    Parts(Vec<Part>),
}

/// What became of some of the records of a request, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// How many records.
    pub count: u32,
    /// What became of them.
    pub outcome: Outcome,
}

/// How fresh a read must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Hash)]
pub enum Read {
    /// It sees everything that was acknowledged to anyone before it began. Costs a round among the nodes, which many
    /// reads share. The default.
    #[default]
    Linearizable,
    /// The same as long as no node's clock runs much faster or slower than the others': the leader relies on its lease instead of
    /// asking a quorum. A leader whose clock is slow may answer from before what another one has committed.
    Lease,
    /// It sees the record with this log index and all before it: whoever has written it, or was told of it, reads it. Waits until
    /// the replica has come that far.
    AtLeast(u64),
    /// Whatever this replica has applied. It may be arbitrarily old.
    Stale,
}

/// What a replica must make sure of before it answers a query from what it has applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub enum Freshness {
    /// That it has applied everything that was committed when the query came; a quorum is asked.
    #[default]
    Quorum,
    /// The same; the leader's lease is relied on.
    Lease,
    /// Nothing.
    Any,
}

/// How a stream of queries begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct QueryOpen {
    /// The group.
    pub group: GroupId,
}

/// Many queries in one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryRequest {
    /// Names the request on its stream; its replies carry it.
    pub id: u64,
    /// How the queries are to be answered: the first part is of the first queries, and so on. As a rule there is one.
    pub parts: Vec<QueryPart>,
    /// The queries, as [`crate::query_run`] lays them out.
    pub run: Bytes,
}

/// How some of the queries of a request are to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryPart {
    /// How fresh.
    pub freshness: Freshness,
    /// And not before the record with this log index.
    pub at_least: u64,
    /// How long the sender will wait, in milliseconds from their arrival.
    pub timeout_ms: u64,
    /// How many queries.
    pub count: u32,
}

/// Answers some of the queries of a [`QueryRequest`]: those that could be answered first, and the others later. One that answers
/// none says that the node is there and the rest of the request still waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryReply {
    /// The request.
    pub id: u64,
    /// What became of which queries.
    pub answers: Vec<Answers>,
}

/// What became of some queries that stand one after the other in their request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answers {
    /// Where the first of them stands in the request, from 0.
    pub first: u32,
    /// How many.
    pub count: u32,
    /// What became of them.
    pub outcome: QueryOutcome,
}

/// What became of queries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueryOutcome {
    /// They were answered from one and the same state.
    Answered {
        /// The log index at which it was read.
        index: u64,
        /// One answer a query, as [`crate::reply`] lays them out: it says also which query could not be decoded, so that asking it
        /// again does not help.
        answers: Bytes,
    },
    /// They could not be answered, but may be elsewhere or later.
    Failed {
        /// Why, as a sentence.
        reason: String,
        /// The log index up to which the replica had applied then.
        applied: u64,
    },
}

/// What a subscriber wants if the record that it would begin with is no longer in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Hash)]
pub enum IfPurged {
    /// To be told so.
    #[default]
    Tell,
    /// The state, and the records from there on.
    SendState,
}

/// Asks for committed records from a log index on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscribeRequest {
    /// The group.
    pub group: GroupId,
    /// The log index of the first record. It may not exist yet. 0 is never in the log, and so asks for the state.
    pub from: u64,
    /// What to do if it no longer exists.
    pub if_purged: IfPurged,
}

/// What a subscriber is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubscribeReply {
    /// Entries that count and hold records, stamped, in order. The first may begin before what was asked for.
    Entries(Vec<Entry>),
    /// A piece of the state: what the service's snapshot writes. Records follow from the next log index.
    State {
        /// The log index at which the state was captured.
        index: u64,
        /// The piece.
        bytes: Bytes,
        /// Whether it is the last one.
        last: bool,
    },
    /// The record that was to be next is no longer in the log. The last message.
    Purged {
        /// The first record that the log holds.
        first: u64,
    },
    /// Nothing new, but the node is there.
    Idle,
}

/// What a node is at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It leads.
    Leader,
    /// It follows.
    Follower,
    /// It stands for election.
    Candidate,
    /// It receives, but has no vote.
    Learner,
}

/// What a node knows of itself. All counters are log indexes, except the term.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The node.
    pub id: NodeId,
    /// Its role.
    pub role: Role,
    /// Its term.
    pub term: u64,
    /// Who leads, if it knows.
    pub leader: Option<NodeId>,
    /// Committed up to here, as far as it knows.
    pub committed: u64,
    /// Applied up to here.
    pub applied: u64,
    /// Covered by its newest snapshot.
    pub snapshot: u64,
    /// The first record that its log holds; `last + 1` if it holds none.
    pub first: u64,
    /// The last record of its log.
    pub last: u64,
    /// The members, by id, and of a node that is replaced the former life first.
    pub members: Vec<Member>,
    /// Which membership that is; none before there is one.
    pub version: Option<MembershipVersion>,
    /// Which cluster it belongs to.
    pub cluster: ClusterInfo,
}

impl Status {
    /// The nodes that vote, also while they come or go.
    pub fn voters(&self) -> BTreeSet<NodeId> {
        let voting = |member: &&Member| member.standing != Standing::Learner;
        self.members.iter().filter(voting).map(|member| member.id).collect()
    }

    /// The nodes that receive the log and do not vote.
    pub fn learners(&self) -> BTreeSet<NodeId> {
        let learning = |member: &&Member| member.standing == Standing::Learner;
        self.members.iter().filter(learning).map(|member| member.id).collect()
    }

    /// Whether a change of the voters is under way.
    pub fn is_joint(&self) -> bool {
        self.members.iter().any(|member| matches!(member.standing, Standing::Joining | Standing::Leaving))
    }
}
