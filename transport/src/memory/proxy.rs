//! One node of the network as seen from an address.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::{AbortHandle, AbortRegistration, BoxFuture};
use futures_util::stream::{BoxStream, StreamExt};
use lovebird_core::identity::GroupId;
use lovebird_core::transport::{
    AppendReply, AppendRequest, ChangeReply, ChangeRequest, Confirm, Endpoint, ExportPiece, HandOverReply,
    HandOverRequest, Hello, HelloReply, ProposeOpen, ProposeReply, ProposeRequest, QueryOpen, QueryReply,
    QueryRequest, ReadIndex, Replies, Route, SnapshotChunk, SnapshotOffer, SnapshotReply, Status,
    SubscribeReply, SubscribeRequest, TransferRequest, TransportResult, VoteReply, VoteRequest,
};
use prost::Message;
use tokio::sync::oneshot;

use super::kinds::{
    APPEND, CHANGE, CallKind, EXPORT, HAND_OVER, HELLO, PRE_VOTE, PROPOSE, QUERY, READ_INDEX, SNAPSHOT,
    STATUS, SUBSCRIBE, StreamKind, TAKE_SNAPSHOT, TRANSFER, VOTE,
};
use super::line::{broken, gone, line, seen_from_afar};
use super::tasks::{Owned, Pumping, work_at};
use super::{Fate, Found, Link, MemoryNetwork};
use crate::limits::check_size;
use crate::stream::{Fault, check_reply, ending_with, incoming, outgoing, read_reply};
use crate::wire::{
    ExportRequest, Frame, ReadIndexRequest, StatusRequest, TakeSnapshotReply, TakeSnapshotRequest, Wire,
    decode, encode,
};

/// What a handler's call gives.
type Handled<T> = BoxFuture<'static, TransportResult<T>>;

/// A node, and from where it is called.
pub(super) struct Proxy {
    there: Link,
    back: Link,
}

impl Proxy {
    pub(super) fn new(network: MemoryNetwork, own_address: Arc<str>, address: Arc<str>) -> Self {
        let there = Link { network: network.clone(), from: own_address.clone(), to: address.clone() };
        Proxy { there, back: Link { network, from: address, to: own_address } }
    }

    fn address(&self) -> &Arc<str> {
        &self.there.to
    }

    /// Sends one message, lets the node handle it in a task of its own, and waits for the reply.
    async fn call<Q: Wire, R: Wire>(
        &self,
        kind: &'static CallKind,
        request: Q,
        handle: impl FnOnce(Arc<dyn Endpoint>, Q) -> Handled<R> + Copy + Send + 'static,
    ) -> TransportResult<R> {
        let delivery = self.deliver(kind.request, request, true).await?;
        if let Some(again) = delivery.again {
            lovebird_core::sometimes!("a call arrives twice");
            let Delivery { message, node, .. } = &delivery;
            let (there, message, endpoint) = (self.there.clone(), message.clone(), node.endpoint.clone());
            work_at(node, async move {
                there.until(again).await;
                // Whoever asked has been answered, or has given up.
                let _ = give(endpoint, message, handle).await;
            });
        }
        let Delivery { message, node, at, .. } = delivery;
        let (answer, answered) = oneshot::channel();
        let (there, back) = (self.there.clone(), self.back.clone());
        let endpoint = node.endpoint.clone();
        let _handling = Owned::work_at(&node, async move {
            there.until(at).await;
            let reply = give(endpoint, message, handle).await;
            let reply = reply.and_then(|reply| Ok(encode(&sendable(&there.to, reply)?)));
            let reply = reply.map_err(|error| seen_from_afar(&there.to, error));
            reply_to(&back, kind.reply, reply.as_ref().map_or(0, Bytes::len), |at| {
                // An error means that the caller has just given up.
                let _ = answer.send((at, reply));
            })
            .await;
        });
        let (at, reply) = answered.await.map_err(|_| gone(self.address()))?;
        self.back.until(at).await;
        let reply = decode(reply?).map_err(|error| broken(self.address(), error.to_string()))?;
        read_reply(self.address(), reply)
    }

    /// Sends one message, and waits until the node has taken it, for a stream of replies.
    async fn follow<Q: Wire, R: Wire>(
        &self,
        kind: StreamKind,
        request: Q,
        handle: impl FnOnce(Arc<dyn Endpoint>, Q) -> Handled<Replies<R>> + Send + 'static,
    ) -> TransportResult<Replies<R>> {
        let Delivery { message, node, at, .. } = self.deliver(kind.opening, request, kind.repeatable).await?;
        let (there, endpoint) = (self.there.clone(), node.endpoint.clone());
        let taking = async move {
            there.until(at).await;
            give(endpoint, message, handle).await
        };
        // There is no stream of requests that could have ended early.
        self.replies(kind, &node, AbortHandle::new_pair(), taking, Fault::default(), ()).await
    }

    /// Opens a stream of requests, and waits until the node has taken it.
    async fn open<O, M, P, R>(
        &self,
        kind: StreamKind,
        open: O,
        requests: BoxStream<'static, M>,
        handle: impl FnOnce(Arc<dyn Endpoint>, O, BoxStream<'static, M>) -> Handled<Replies<R>>
        + Copy
        + Send
        + 'static,
    ) -> TransportResult<Replies<R>>
    where
        O: Send + 'static,
        M: Send + 'static,
        P: Message + Default + 'static,
        Frame<O, M>: Wire<Proto = P>,
        R: Wire,
    {
        let (mut frames, out) = outgoing(open, requests);
        let opening = frames.next().await.map(|opening| encode(&opening)).unwrap_or_default();
        let Delivery { message, node, at, again } =
            self.carry(kind.opening, opening, kind.repeatable).await?;
        let (reset, resetting) = AbortHandle::new_pair();
        let (mut to_node, at_node) = line(self.there.clone(), kind.request, reset.clone());
        if let Some(again) = again {
            lovebird_core::sometimes!("the beginning of a stream arrives twice");
            let (first_few, endpoint) = (to_node.remembering(), node.endpoint.clone());
            let there = self.there.clone();
            work_at(&node, async move {
                there.until(again).await;
                if let Ok((open, messages, _)) = incoming(first_few.messages()).await
                    && let Ok(replies) = handle(endpoint, open, messages).await
                {
                    replies.for_each(|_| std::future::ready(())).await;
                }
            });
        }
        to_node.begin(at, message);
        let sending = Pumping::spawn(node.life.clone(), to_node.pump(frames.map(Ok)));
        let endpoint = node.endpoint.clone();
        let taking = async move {
            let (open, messages, fault) = incoming(at_node.messages()).await?;
            Ok(ending_with(fault, (), handle(endpoint, open, messages).await?))
        };
        self.replies(kind, &node, (reset, resetting), taking, out.fault, (out.cancel, sending)).await
    }

    /// Sends one message that is not on a stream.
    async fn deliver(
        &self,
        kind: &'static str,
        request: impl Wire,
        repeatable: bool,
    ) -> TransportResult<Delivery> {
        let request = request.into_proto();
        check_size(&request)?;
        self.carry(kind, encode(&request), repeatable).await
    }

    /// Sends one message that is not behind others, unless it is lost: then this never returns.
    async fn carry(&self, kind: &'static str, message: Bytes, repeatable: bool) -> TransportResult<Delivery> {
        match self.there.fate(kind, message.len(), Duration::ZERO, repeatable) {
            Fate::Arrives { at, again } => match self.there.network.find(self.address()) {
                Ok(node) => {
                    let again = again.filter(|_| repeatable).map(|again| again.max(at));
                    Ok(Delivery { message, node, at, again })
                }
                Err(error) => {
                    // It takes the way there to find out.
                    self.there.until(at).await;
                    Err(error)
                }
            },
            Fate::Lost => std::future::pending().await,
            Fate::Reset => {
                lovebird_core::sometimes!("a connection is reset before a call arrives");
                Err(broken(self.address(), "the connection was reset".to_owned()))
            }
        }
    }

    /// Lets the node take a stream in a task of its own, waits until it has, and gives the replies as they arrive; behind the
    /// last of them, what ended the requests. `held` is dropped with the replies.
    async fn replies<R: Wire>(
        &self,
        kind: StreamKind,
        node: &Found,
        reset: (AbortHandle, AbortRegistration),
        taking: impl Future<Output = TransportResult<Replies<R>>> + Send + 'static,
        fault: Fault,
        held: impl Send + 'static,
    ) -> TransportResult<Replies<R>> {
        let (to_caller, at_caller) = line(self.back.clone(), kind.reply, reset.0.clone());
        let (answer, answered) = oneshot::channel();
        let (address, back) = (self.address().clone(), self.back.clone());
        let handling = Owned::abortable(node, reset, async move {
            let taken = taking.await.map_err(|error| seen_from_afar(&address, error));
            let mut last = None;
            let (replies, answered) = match taken {
                Ok(replies) => (Some(replies), Ok(())),
                Err(error) => (None, Err(error)),
            };
            reply_to(&back, kind.taken, 0, |at| {
                // An error means that the caller has just given up.
                last = answer.send((at, answered)).is_ok().then_some(at);
            })
            .await;
            if let (Some(replies), Some(last)) = (replies, last) {
                let replies = replies.map(|reply| {
                    reply.and_then(|reply| sendable(&address, reply)).map_err(|e| seen_from_afar(&address, e))
                });
                to_caller.after(last).pump(replies).await;
            }
        });
        let (at, taken) = answered.await.map_err(|_| gone(self.address()))?;
        self.back.until(at).await;
        taken?;
        let address = self.address().clone();
        let replies =
            at_caller.messages().map(move |reply| reply.and_then(|reply| read_reply(&address, reply)));
        Ok(ending_with(fault, (held, handling), replies))
    }
}

/// A message that has been sent and not been lost.
struct Delivery {
    message: Bytes,
    /// Whom it will find.
    node: Found,
    /// When it arrives.
    at: Duration,
    /// When it arrives once more.
    again: Option<Duration>,
}

/// The node's side of one message: reads it, and has the node handle it.
async fn give<Q: Wire, T>(
    endpoint: Arc<dyn Endpoint>,
    request: Bytes,
    handle: impl FnOnce(Arc<dyn Endpoint>, Q) -> Handled<T>,
) -> TransportResult<T> {
    let request = decode(request).and_then(Q::from_proto)?;
    handle(endpoint, request).await
}

/// Sends a reply that is not behind others: `send` is told when it arrives. It is not called if the connection breaks, and
/// this does not return if the reply is lost.
async fn reply_to(back: &Link, kind: &'static str, bytes: usize, send: impl FnOnce(Duration)) {
    match back.fate(kind, bytes, Duration::ZERO, false) {
        Fate::Arrives { at, .. } => send(at),
        Fate::Lost => std::future::pending().await,
        Fate::Reset => {}
    }
}

/// A reply within the limit. What it answers has been done, so one beyond is not a refusal.
fn sendable<R: Wire>(address: &str, reply: R) -> TransportResult<R::Proto> {
    let reply = reply.into_proto();
    check_reply(&reply).map_err(|reason| broken(address, reason))?;
    Ok(reply)
}

#[async_trait]
impl Endpoint for Proxy {
    async fn append(
        &self,
        route: Route,
        requests: BoxStream<'static, AppendRequest>,
    ) -> TransportResult<Replies<AppendReply>> {
        let handle = |node: Arc<dyn Endpoint>, route, requests| -> Handled<_> {
            Box::pin(async move { node.append(route, requests).await })
        };
        self.open(APPEND, route, requests, handle).await
    }

    async fn vote(&self, route: Route, request: VoteRequest) -> TransportResult<VoteReply> {
        self.call(&VOTE, (route, request), |node, (route, request)| {
            Box::pin(async move { node.vote(route, request).await })
        })
        .await
    }

    async fn pre_vote(&self, route: Route, request: VoteRequest) -> TransportResult<VoteReply> {
        let handle = |node: Arc<dyn Endpoint>, (route, request)| -> Handled<_> {
            Box::pin(async move { node.pre_vote(route, request).await })
        };
        self.call(&PRE_VOTE, (route, request), handle).await
    }

    async fn snapshot(
        &self,
        route: Route,
        offer: SnapshotOffer,
        chunks: BoxStream<'static, SnapshotChunk>,
    ) -> TransportResult<Replies<SnapshotReply>> {
        let handle = |node: Arc<dyn Endpoint>, (route, offer), chunks| -> Handled<_> {
            Box::pin(async move { node.snapshot(route, offer, chunks).await })
        };
        self.open(SNAPSHOT, (route, offer), chunks, handle).await
    }

    async fn transfer(&self, route: Route, request: TransferRequest) -> TransportResult<()> {
        let handle = |node: Arc<dyn Endpoint>, (route, request)| -> Handled<_> {
            Box::pin(async move { node.transfer(route, request).await })
        };
        self.call(&TRANSFER, (route, request), handle).await
    }

    async fn hello(&self, hello: Hello) -> TransportResult<HelloReply> {
        self.call(&HELLO, hello, |node, hello| Box::pin(async move { node.hello(hello).await })).await
    }

    async fn read_index(&self, route: Route, confirm: Confirm) -> TransportResult<ReadIndex> {
        let handle = |node: Arc<dyn Endpoint>, ReadIndexRequest(route, confirm)| -> Handled<_> {
            Box::pin(async move { node.read_index(route, confirm).await })
        };
        self.call(&READ_INDEX, ReadIndexRequest(route, confirm), handle).await
    }

    async fn propose(
        &self,
        open: ProposeOpen,
        requests: BoxStream<'static, ProposeRequest>,
    ) -> TransportResult<Replies<ProposeReply>> {
        let handle = |node: Arc<dyn Endpoint>, open, requests| -> Handled<_> {
            Box::pin(async move { node.propose(open, requests).await })
        };
        self.open(PROPOSE, open, requests, handle).await
    }

    async fn query(
        &self,
        open: QueryOpen,
        requests: BoxStream<'static, QueryRequest>,
    ) -> TransportResult<Replies<QueryReply>> {
        let handle = |node: Arc<dyn Endpoint>, open, requests| -> Handled<_> {
            Box::pin(async move { node.query(open, requests).await })
        };
        self.open(QUERY, open, requests, handle).await
    }

    async fn subscribe(&self, request: SubscribeRequest) -> TransportResult<Replies<SubscribeReply>> {
        self.follow(SUBSCRIBE, request, |node, request| {
            Box::pin(async move { node.subscribe(request).await })
        })
        .await
    }

    async fn status(&self, group: GroupId) -> TransportResult<Status> {
        self.call(&STATUS, StatusRequest(group), |node, StatusRequest(group)| {
            Box::pin(async move { node.status(group).await })
        })
        .await
    }

    async fn change(&self, request: ChangeRequest) -> TransportResult<Replies<ChangeReply>> {
        self.follow(CHANGE, request, |node, request| Box::pin(async move { node.change(request).await }))
            .await
    }

    async fn hand_over(&self, request: HandOverRequest) -> TransportResult<HandOverReply> {
        self.call(&HAND_OVER, request, |node, request| Box::pin(async move { node.hand_over(request).await }))
            .await
    }

    async fn take_snapshot(&self, group: GroupId) -> TransportResult<u64> {
        let handle = |node: Arc<dyn Endpoint>, TakeSnapshotRequest(group)| -> Handled<_> {
            Box::pin(async move { node.take_snapshot(group).await.map(TakeSnapshotReply) })
        };
        let TakeSnapshotReply(index) = self.call(&TAKE_SNAPSHOT, TakeSnapshotRequest(group), handle).await?;
        Ok(index)
    }

    async fn export(&self, group: GroupId) -> TransportResult<Replies<ExportPiece>> {
        self.follow(EXPORT, ExportRequest(group), |node, ExportRequest(group)| {
            Box::pin(async move { node.export(group).await })
        })
        .await
    }
}
