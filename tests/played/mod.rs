//! Nodes that a test plays: it takes what is sent to them, and answers as it likes.
#![allow(unreachable_pub, reason = "each test file is a crate of its own")]

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use lovebird_core::transport::*;

/// What a test plays of a node. The rest is refused.
#[async_trait]
pub trait Plays: Send + Sync + 'static {
    /// A propose stream is opened.
    async fn propose(&self, _: BoxStream<'static, ProposeRequest>) -> TransportResult<Replies<ProposeReply>> {
        not_played()
    }

    /// A stream of queries is opened.
    async fn query(&self, _: BoxStream<'static, QueryRequest>) -> TransportResult<Replies<QueryReply>> {
        not_played()
    }
}

fn not_played<T>() -> TransportResult<T> {
    Err(TransportError::Refused("the test does not play this".to_owned()))
}

/// The node that a test plays.
pub struct Played<P>(pub P);

#[async_trait]
impl<P: Plays> Endpoint for Played<P> {
    async fn propose(
        &self,
        _: ProposeOpen,
        requests: BoxStream<'static, ProposeRequest>,
    ) -> TransportResult<Replies<ProposeReply>> {
        self.0.propose(requests).await
    }

    async fn query(
        &self,
        _: QueryOpen,
        requests: BoxStream<'static, QueryRequest>,
    ) -> TransportResult<Replies<QueryReply>> {
        self.0.query(requests).await
    }

    async fn append(
        &self,
        _: Route,
        _: BoxStream<'static, AppendRequest>,
    ) -> TransportResult<Replies<AppendReply>> {
        not_played()
    }

    async fn vote(&self, _: Route, _: VoteRequest) -> TransportResult<VoteReply> {
        not_played()
    }

    async fn pre_vote(&self, _: Route, _: VoteRequest) -> TransportResult<VoteReply> {
        not_played()
    }

    async fn snapshot(
        &self,
        _: Route,
        _: SnapshotOffer,
        _: BoxStream<'static, SnapshotChunk>,
    ) -> TransportResult<Replies<SnapshotReply>> {
        not_played()
    }

    async fn transfer(&self, _: Route, _: TransferRequest) -> TransportResult<()> {
        not_played()
    }

    async fn hello(&self, _: Hello) -> TransportResult<HelloReply> {
        not_played()
    }

    async fn read_index(&self, _: Route, _: Confirm) -> TransportResult<ReadIndex> {
        not_played()
    }

    async fn subscribe(&self, _: SubscribeRequest) -> TransportResult<Replies<SubscribeReply>> {
        not_played()
    }

    async fn status(&self, _: u32) -> TransportResult<Status> {
        not_played()
    }

    async fn change(&self, _: ChangeRequest) -> TransportResult<Replies<ChangeReply>> {
        not_played()
    }

    async fn hand_over(&self, _: HandOverRequest) -> TransportResult<HandOverReply> {
        not_played()
    }

    async fn take_snapshot(&self, _: u32) -> TransportResult<u64> {
        not_played()
    }

    async fn export(&self, _: u32) -> TransportResult<Replies<ExportPiece>> {
        not_played()
    }
}
