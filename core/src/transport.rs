//! The seam to the network: what nodes and clients say to one another.
//!
//! [`Endpoint`] is one node's ports. The node implements it; a transport implements it again as a proxy that sends, and
//! calls the node's own on the other side. So the code that handles messages takes decoded ones and knows nothing of
//! gRPC, and the in-memory twin and the simulator carry the very same messages, each one encoded and decoded on the way.
//!
//! # Contract of a proxy
//!
//! - Calling never blocks the thread. Dropping a call or a stream cancels it on both sides.
//! - Streams are in order and without loss while they last; whatever breaks them ends them with an error.
//! - The *caller* enforces deadlines. A proxy only bounds how long it tries to connect.
//! - [`TransportError::Unreachable`] is said only if nothing of the call can have arrived.
//! - One proxy is one connection, shared by all calls; it reconnects by itself when it is called again.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use thiserror::Error;

use crate::entry::{Entry, EntryId};
use crate::identity::{ClusterId, GroupId, NodeId, RaftId};
use crate::log_store::Vote;
use crate::snapshot_store::SnapshotId;

/// From which life of which node to which, in which group of which cluster. Every peer message and stream names it, and
/// its receiver refuses what is not meant for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The cluster.
    pub cluster: ClusterId,
    /// The group.
    pub group: GroupId,
    /// The sender.
    pub from: RaftId,
    /// The intended receiver.
    pub to: RaftId,
}

/// A leader's entries, or its heartbeat if there are none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppendRequest {
    /// The leader's vote.
    pub vote: Vote,
    /// The entry before the first.
    pub previous: Option<EntryId>,
    /// Entries, stamped.
    pub entries: Vec<Entry>,
    /// The leader's commit point.
    pub committed: Option<EntryId>,
}

/// A follower's answer to one [`AppendRequest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendReply {
    /// Durable up to here.
    Accepted(Option<EntryId>),
    /// The follower does not hold this entry, which the request follows on.
    Conflict(EntryId),
    /// The follower knows a higher vote.
    HigherVote(Vote),
}

/// Asks for a vote, or whether one would be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VoteRequest {
    /// The candidate's vote.
    pub vote: Vote,
    /// The candidate's last entry.
    pub last: Option<EntryId>,
    /// Whether the present leader itself asked for this election.
    pub leadership_transfer: bool,
}

/// Answers a [`VoteRequest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VoteReply {
    /// The vote of who answers.
    pub vote: Vote,
    /// Whether it was granted.
    pub granted: bool,
    /// The last entry of who answers.
    pub last: Option<EntryId>,
}

/// A leader hands over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransferRequest {
    /// The present leader's vote.
    pub from_leader: Vote,
    /// Who shall lead.
    pub to: RaftId,
    /// What it must hold before it stands for election.
    pub last: Option<EntryId>,
}

/// Begins a snapshot transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotOffer {
    /// The leader's vote.
    pub vote: Vote,
    /// The file.
    pub id: SnapshotId,
}

/// Raw bytes of a snapshot file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotChunk {
    /// Where in the file they belong.
    pub offset: u64,
    /// The bytes.
    pub bytes: Bytes,
}

/// What the receiver of a snapshot says, first and then after each chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotReply {
    /// Send on from this offset. The first says where to begin.
    Received(u64),
    /// The file is installed, or the offer was refused because of this higher vote.
    Done(Vote),
}

/// A node presents itself, before a cluster is formed and at every start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The sender's cluster.
    pub cluster: ClusterId,
    /// The sender.
    pub from: RaftId,
}

/// Answers a [`Hello`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HelloReply {
    /// The answering node's cluster.
    pub cluster: ClusterId,
    /// Its name, for messages.
    pub cluster_name: String,
    /// Who answers.
    pub id: RaftId,
    /// Whether its log holds anything, that is, whether it knows the cluster to be formed.
    pub formed: bool,
    /// The life under which it knows the sender's node as a member or, before it knows a membership, the life of that node
    /// which presented itself last before this.
    pub known_as: Option<RaftId>,
}

/// Answers a request for a read index: everything acknowledged before the question is at or before this entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadIndex {
    /// The entry number that a replica must have applied.
    pub number: u64,
}

/// How a propose stream begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ProposeOpen {
    /// The group.
    pub group: GroupId,
    /// Whether a node forwards what clients gave it. It is then taken only by a node that leads, so that it does not travel in
    /// circles.
    pub forwarded: bool,
}

/// Many commands in one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProposeRequest {
    /// Names the request on its stream; its reply carries it.
    pub id: u64,
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

/// What became of a batch of commands: all of it, since a batch never spans entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Committed and applied; the replies follow one another as [`crate::reply`] lays them out.
    Committed {
        /// The log index of the first command; the others follow on it.
        first_index: u64,
        /// One reply a command.
        replies: Bytes,
    },
    /// Certainly not committed, now or later.
    NotCommitted {
        /// Why, as a sentence.
        reason: String,
        /// Whether another node may take it, so that trying again at once makes sense.
        retry: bool,
        /// Who leads, if that is known.
        leader: Option<NodeId>,
    },
    /// It may be committed, now or later.
    Unknown {
        /// Why, as a sentence.
        reason: String,
    },
}

/// How fresh a read must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Hash)]
pub enum Read {
    /// It sees everything that was acknowledged to anyone before it began. Costs a round among the nodes, which many
    /// reads share. The default.
    #[default]
    Linearizable,
    /// Whatever this replica has applied. It may be arbitrarily old.
    Stale,
}

/// A query of the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryRequest {
    /// The group.
    pub group: GroupId,
    /// How fresh.
    pub read: Read,
    /// How long the sender will wait, in milliseconds from its arrival.
    pub timeout_ms: u64,
    /// The encoded query.
    pub query: Bytes,
}

/// Answers a [`QueryRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueryReply {
    /// The answer.
    Answer {
        /// The log index at which the state was read.
        index: u64,
        /// The encoded answer.
        answer: Bytes,
    },
    /// It could not be answered.
    Failed {
        /// Why, as a sentence.
        reason: String,
        /// Whether the query itself was at fault, so that asking again does not help.
        malformed: bool,
    },
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

/// A member and where it listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The node.
    pub id: NodeId,
    /// Where it listens to its peers.
    pub address: String,
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
    /// The members, by id.
    pub members: Vec<Member>,
}

/// Why a message or a stream failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TransportError {
    /// Nothing of it can have arrived.
    #[error("cannot reach {address}: {reason}")]
    Unreachable {
        /// Where it was to go.
        address: String,
        /// What stood in the way.
        reason: String,
    },
    /// It may have arrived.
    #[error("the connection to {address} broke: {reason}")]
    Broken {
        /// Where it went.
        address: String,
        /// What broke it.
        reason: String,
    },
    /// Its receiver refused it, having done nothing.
    #[error("refused: {0}")]
    Refused(String),
    /// Its receiver could not make sense of it, and has done nothing.
    #[error("malformed: {0}")]
    Malformed(String),
}

/// The result of a call.
pub type TransportResult<T> = Result<T, TransportError>;

/// A stream of replies; an error is its last item.
pub type Replies<T> = BoxStream<'static, TransportResult<T>>;

/// One node's ports; see the module.
#[async_trait]
pub trait Endpoint: Send + Sync + 'static {
    /// Replication: requests are answered in their order. Pipelined: many may be under way.
    async fn append(
        &self,
        route: Route,
        requests: BoxStream<'static, AppendRequest>,
    ) -> TransportResult<Replies<AppendReply>>;

    /// Asks for a vote.
    async fn vote(&self, route: Route, request: VoteRequest) -> TransportResult<VoteReply>;

    /// Asks whether a vote would be given, changing nothing.
    async fn pre_vote(&self, route: Route, request: VoteRequest) -> TransportResult<VoteReply>;

    /// Sends a snapshot. The receiver's first reply says from where; then each chunk gets a reply, the last one `Done`.
    async fn snapshot(
        &self,
        route: Route,
        offer: SnapshotOffer,
        chunks: BoxStream<'static, SnapshotChunk>,
    ) -> TransportResult<Replies<SnapshotReply>>;

    /// Asks a node to lead.
    async fn transfer(&self, route: Route, request: TransferRequest) -> TransportResult<()>;

    /// A node presents itself.
    async fn hello(&self, hello: Hello) -> TransportResult<HelloReply>;

    /// A follower asks the leader for a read index.
    async fn read_index(&self, route: Route) -> TransportResult<ReadIndex>;

    /// A client's commands. Replies come as outcomes are known, not in order.
    async fn propose(
        &self,
        open: ProposeOpen,
        requests: BoxStream<'static, ProposeRequest>,
    ) -> TransportResult<Replies<ProposeReply>>;

    /// A client's query.
    async fn query(&self, request: QueryRequest) -> TransportResult<QueryReply>;

    /// What the node is.
    async fn status(&self, group: GroupId) -> TransportResult<Status>;
}

/// Reaches nodes by address.
pub trait Transport: Send + Sync + 'static {
    /// A proxy for the node at `address`. Connects when it is first called. Asking again gives the same connection.
    fn endpoint(&self, address: &str) -> Arc<dyn Endpoint>;
}
