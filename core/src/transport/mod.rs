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

mod clients;
mod operators;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use thiserror::Error;

use crate::entry::{Entry, EntryId};
use crate::identity::{ClusterId, GroupId, RaftId};
use crate::log_store::Vote;
use crate::service::Model;
use crate::snapshot_store::SnapshotId;

pub use clients::{
    Answers, Freshness, IfPurged, Outcome, Part, ProposalKind, ProposeOpen, ProposeReply, ProposeRequest,
    QueryOpen, QueryOutcome, QueryPart, QueryReply, QueryRequest, Read, Role, Status, SubscribeReply,
    SubscribeRequest,
};
pub use operators::{
    Change, ChangeReply, ChangeRequest, ClusterInfo, ExportPiece, Following, HandOverReply, HandOverRequest,
    Member, MembershipVersion, Sending, Standing,
};

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
    /// In which model its service runs.
    pub model: Model,
    /// The entry of the membership that it goes by; none before it knows one.
    pub members_at: Option<EntryId>,
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
    /// In which model its service runs.
    pub model: Model,
    /// Whether its log holds anything, that is, whether it knows the cluster to be formed.
    pub formed: bool,
    /// The life under which it knows the sender's node as a member or, before it knows a membership, the life of that node
    /// which presented itself last before this.
    pub known_as: Option<RaftId>,
    /// Whether the membership that is applied here is no older than the one that the sender goes by, and the sender's life is no
    /// member in it.
    pub removed: bool,
    /// Whether who answers leads, and certainly still does.
    pub leads: bool,
}

/// How a leader makes sure that it still leads before it gives a read index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Confirm {
    /// A quorum has confirmed it after the question came.
    Quorum,
    /// Its lease has not run out, which assumes that clocks run at almost the same rate.
    Lease,
}

/// Answers a request for a read index: everything acknowledged before the question is at or before this entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadIndex {
    /// The entry number that a replica must have applied.
    pub number: u64,
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
    async fn read_index(&self, route: Route, confirm: Confirm) -> TransportResult<ReadIndex>;

    /// A client's commands. Replies come as outcomes are known, not in order.
    async fn propose(
        &self,
        open: ProposeOpen,
        requests: BoxStream<'static, ProposeRequest>,
    ) -> TransportResult<Replies<ProposeReply>>;

    /// A client's queries. Replies come as queries can be answered, not in order, and those to one request perhaps one after the
    /// other.
    async fn query(
        &self,
        open: QueryOpen,
        requests: BoxStream<'static, QueryRequest>,
    ) -> TransportResult<Replies<QueryReply>>;

    /// A client follows the log. Replies come as records are committed, until the client drops the stream.
    async fn subscribe(&self, request: SubscribeRequest) -> TransportResult<Replies<SubscribeReply>>;

    /// What the node is.
    async fn status(&self, group: GroupId) -> TransportResult<Status>;

    /// An operator changes the members. The last reply is [`ChangeReply::Done`] or [`ChangeReply::Refused`].
    async fn change(&self, request: ChangeRequest) -> TransportResult<Replies<ChangeReply>>;

    /// An operator has the leader hand over.
    async fn hand_over(&self, request: HandOverRequest) -> TransportResult<HandOverReply>;

    /// An operator has this node take a snapshot now. Gives the log index that its newest snapshot then covers.
    async fn take_snapshot(&self, group: GroupId) -> TransportResult<u64>;

    /// The node's newest snapshot, from its first byte to its last; one is taken if there is none.
    async fn export(&self, group: GroupId) -> TransportResult<Replies<ExportPiece>>;
}

/// Reaches nodes by address.
pub trait Transport: Send + Sync + 'static {
    /// A proxy for the node at `address`. Connects when it is first called. Asking again gives the same connection.
    fn endpoint(&self, address: &str) -> Arc<dyn Endpoint>;
}
