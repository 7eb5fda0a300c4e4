//! Takes the protocol's messages, calls the node with the core's, and answers in the protocol's.

use std::future::Future;
use std::sync::Arc;

use futures_util::stream::{BoxStream, StreamExt};
use lovebird_core::transport::{Endpoint, Replies, TransportResult};
use tonic::{Request, Response, Status, Streaming};

use super::status::{from_request_status, to_status};
use crate::proto::clients_server::Clients;
use crate::proto::operators_server::Operators;
use crate::proto::peers_server::Peers;
use crate::proto::{
    AppendMessage, AppendReply, ChangeReply, ChangeRequest, ExportPiece, ExportRequest, HandOverReply,
    HandOverRequest, HelloReply, HelloRequest, ProposeMessage, ProposeReply, QueryMessage, QueryReply,
    ReadIndexReply, ReadIndexRequest, SnapshotMessage, SnapshotReply, StatusReply, StatusRequest,
    SubscribeReply, SubscribeRequest, TakeSnapshotReply, TakeSnapshotRequest, TransferReply, TransferRequest,
    VoteReply, VoteRequest,
};
use crate::stream::{Fault, check_reply, ending_with, incoming};
use crate::wire::{self, Frame, Wire};

/// A node behind the services.
#[derive(Clone)]
pub(super) struct Handler(Arc<dyn Endpoint>);

type Answer<T> = Result<Response<T>, Status>;
type Answers<T> = BoxStream<'static, Result<T, Status>>;

impl Handler {
    pub(super) fn new(endpoint: Arc<dyn Endpoint>) -> Self {
        Handler(endpoint)
    }
}

/// Answers one message. The future is dropped when the caller gives up.
async fn call<Q, R, F>(request: Request<Q::Proto>, handle: impl FnOnce(Q) -> F) -> Answer<R::Proto>
where
    Q: Wire,
    R: Wire,
    F: Future<Output = TransportResult<R>>,
{
    let request = Q::from_proto(request.into_inner()).map_err(to_status)?;
    let reply = handle(request).await.map_err(to_status)?;
    sendable(reply).map(Response::new)
}

/// Answers one message with a stream. The future, or the replies, are dropped when the caller gives up.
async fn follow<Q, R, F>(request: Request<Q::Proto>, handle: impl FnOnce(Q) -> F) -> Answer<Answers<R::Proto>>
where
    Q: Wire,
    R: Wire,
    F: Future<Output = TransportResult<Replies<R>>>,
{
    let request = Q::from_proto(request.into_inner()).map_err(to_status)?;
    let replies = handle(request).await.map_err(to_status)?;
    // There is no stream of requests that could have ended early.
    Ok(Response::new(answers(Fault::default(), replies)))
}

/// Answers a stream. Its replies are dropped when the caller gives up, and its requests then end.
///
/// The response's headers go out when the node has taken the opening: that is what the caller waits for.
async fn serve<O, M, P, R, F>(
    requests: Request<Streaming<P>>,
    handle: impl FnOnce(O, BoxStream<'static, M>) -> F,
) -> Answer<Answers<R::Proto>>
where
    O: Send + 'static,
    M: Send + 'static,
    P: Send + 'static,
    Frame<O, M>: Wire<Proto = P>,
    R: Wire,
    F: Future<Output = TransportResult<Replies<R>>>,
{
    let frames = requests.into_inner().map(|frame| frame.map_err(|status| from_request_status(&status)));
    let (open, messages, fault) = incoming(frames).await.map_err(to_status)?;
    let replies = handle(open, messages).await.map_err(to_status)?;
    Ok(Response::new(answers(fault, replies)))
}

/// Replies as they are sent; behind the last of them, what ended the requests.
fn answers<R: Wire>(fault: Fault, replies: Replies<R>) -> Answers<R::Proto> {
    ending_with(fault, (), replies).map(|reply| reply.map_err(to_status).and_then(sendable)).boxed()
}

/// A reply within the limit. What it answers has been done, so one beyond is not a refusal.
fn sendable<R: Wire>(reply: R) -> Result<R::Proto, Status> {
    let reply = reply.into_proto();
    check_reply(&reply).map_err(Status::unavailable)?;
    Ok(reply)
}

#[tonic::async_trait]
impl Peers for Handler {
    type AppendStream = Answers<AppendReply>;
    type SnapshotStream = Answers<SnapshotReply>;

    async fn append(&self, requests: Request<Streaming<AppendMessage>>) -> Answer<Self::AppendStream> {
        serve(requests, |route, requests| self.0.append(route, requests)).await
    }

    async fn vote(&self, request: Request<VoteRequest>) -> Answer<VoteReply> {
        call(request, |(route, request)| self.0.vote(route, request)).await
    }

    async fn pre_vote(&self, request: Request<VoteRequest>) -> Answer<VoteReply> {
        call(request, |(route, request)| self.0.pre_vote(route, request)).await
    }

    async fn snapshot(&self, requests: Request<Streaming<SnapshotMessage>>) -> Answer<Self::SnapshotStream> {
        serve(requests, |(route, offer), chunks| self.0.snapshot(route, offer, chunks)).await
    }

    async fn transfer(&self, request: Request<TransferRequest>) -> Answer<TransferReply> {
        call(request, |(route, request)| self.0.transfer(route, request)).await
    }

    async fn hello(&self, request: Request<HelloRequest>) -> Answer<HelloReply> {
        call(request, |hello| self.0.hello(hello)).await
    }

    async fn read_index(&self, request: Request<ReadIndexRequest>) -> Answer<ReadIndexReply> {
        call(request, |wire::ReadIndexRequest(route, confirm)| self.0.read_index(route, confirm)).await
    }
}

#[tonic::async_trait]
impl Clients for Handler {
    type ProposeStream = Answers<ProposeReply>;
    type QueriesStream = Answers<QueryReply>;
    type SubscribeStream = Answers<SubscribeReply>;

    async fn propose(&self, requests: Request<Streaming<ProposeMessage>>) -> Answer<Self::ProposeStream> {
        serve(requests, |open, requests| self.0.propose(open, requests)).await
    }

    async fn queries(&self, requests: Request<Streaming<QueryMessage>>) -> Answer<Self::QueriesStream> {
        serve(requests, |open, requests| self.0.query(open, requests)).await
    }

    async fn subscribe(&self, request: Request<SubscribeRequest>) -> Answer<Self::SubscribeStream> {
        follow(request, |request| self.0.subscribe(request)).await
    }

    async fn status(&self, request: Request<StatusRequest>) -> Answer<StatusReply> {
        call(request, |wire::StatusRequest(group)| self.0.status(group)).await
    }
}

#[tonic::async_trait]
impl Operators for Handler {
    type ChangeStream = Answers<ChangeReply>;
    type ExportStream = Answers<ExportPiece>;

    async fn change(&self, request: Request<ChangeRequest>) -> Answer<Self::ChangeStream> {
        follow(request, |request| self.0.change(request)).await
    }

    async fn hand_over(&self, request: Request<HandOverRequest>) -> Answer<HandOverReply> {
        call(request, |request| self.0.hand_over(request)).await
    }

    async fn take_snapshot(&self, request: Request<TakeSnapshotRequest>) -> Answer<TakeSnapshotReply> {
        call(request, |wire::TakeSnapshotRequest(group)| async move {
            self.0.take_snapshot(group).await.map(wire::TakeSnapshotReply)
        })
        .await
    }

    async fn export(&self, request: Request<ExportRequest>) -> Answer<Self::ExportStream> {
        follow(request, |wire::ExportRequest(group)| self.0.export(group)).await
    }
}
