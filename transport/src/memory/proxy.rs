//! One node of the network as seen from an address.

use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::{BoxFuture, select};
use futures_util::stream::{BoxStream, StreamExt};
use lovebird_core::identity::GroupId;
use lovebird_core::runtime::{self, Task};
use lovebird_core::transport::{
    AppendReply, AppendRequest, Confirm, Endpoint, Hello, HelloReply, ProposeOpen, ProposeReply,
    ProposeRequest, QueryReply, QueryRequest, ReadIndex, Replies, Route, SnapshotChunk, SnapshotOffer,
    SnapshotReply, Status, SubscribeReply, SubscribeRequest, TransferRequest, TransportResult, VoteReply,
    VoteRequest,
};
use prost::Message;
use tokio::sync::oneshot;

use super::line::{broken, gone, line, seen_from_afar};
use super::{Life, Link, MemoryNetwork};
use crate::limits::check_size;
use crate::stream::{Fault, check_reply, ending_with, incoming, outgoing, read_reply};
use crate::wire::{Frame, ReadIndexRequest, StatusRequest, Wire, decode, encode};

/// What a handler's call gives.
type Handled<T> = BoxFuture<'static, TransportResult<T>>;

/// A node, and from where it is called.
pub(super) struct Proxy {
    network: MemoryNetwork,
    own_address: String,
    address: String,
}

impl Proxy {
    pub(super) fn new(network: MemoryNetwork, own_address: String, address: String) -> Self {
        Proxy { network, own_address, address }
    }

    fn there(&self) -> Link {
        Link { network: self.network.clone(), from: self.own_address.clone(), to: self.address.clone() }
    }

    fn back(&self) -> Link {
        Link { network: self.network.clone(), from: self.address.clone(), to: self.own_address.clone() }
    }

    /// Sends one message, lets the node handle it in a task of its own, and waits for the reply.
    async fn call<Q: Wire, R: Wire>(
        &self,
        request: Q,
        handle: impl FnOnce(Arc<dyn Endpoint>, Q) -> Handled<R> + Send + 'static,
    ) -> TransportResult<R> {
        let (request, endpoint, life) = self.deliver(request).await?;
        let (answer, answered) = oneshot::channel();
        let (address, back) = (self.address.clone(), self.back());
        let _handling = Owned::spawn(life, async move {
            let reply = hand_over(endpoint, request, handle).await;
            let reply = reply.and_then(|reply| Ok(encode(&sendable(&address, reply)?)));
            let reply = reply.map_err(|error| seen_from_afar(&address, error));
            back.carry().await;
            // An error means that the caller has just given up.
            let _ = answer.send(reply);
        });
        let reply = answered.await.map_err(|_| gone(&self.address))??;
        let reply = decode(reply).map_err(|error| broken(&self.address, error.to_string()))?;
        read_reply(&self.address, reply)
    }

    /// Sends one message, and waits until the node has taken it, for a stream of replies.
    async fn follow<Q: Wire, R: Wire>(
        &self,
        request: Q,
        handle: impl FnOnce(Arc<dyn Endpoint>, Q) -> Handled<Replies<R>> + Send + 'static,
    ) -> TransportResult<Replies<R>> {
        let (request, endpoint, life) = self.deliver(request).await?;
        // There is no stream of requests that could have ended early.
        self.replies(life, hand_over(endpoint, request, handle), Fault::default(), ()).await
    }

    /// Opens a stream of requests, and waits until the node has taken it.
    async fn open<O, M, P, R>(
        &self,
        open: O,
        requests: BoxStream<'static, M>,
        handle: impl FnOnce(Arc<dyn Endpoint>, O, BoxStream<'static, M>) -> Handled<Replies<R>> + Send + 'static,
    ) -> TransportResult<Replies<R>>
    where
        O: Send + 'static,
        M: Send + 'static,
        P: Message + Default + 'static,
        Frame<O, M>: Wire<Proto = P>,
        R: Wire,
    {
        let (frames, out) = outgoing(open, requests);
        self.there().carry().await;
        let (endpoint, life) = self.network.find(&self.address)?;
        let (to_node, at_node) = line(self.there());
        let sending = Owned::spawn(life.clone(), to_node.pump(frames.map(Ok)));
        let own_address = self.own_address.clone();
        let taking = async move {
            let (open, messages, fault) = incoming(at_node.messages(own_address)).await?;
            Ok(ending_with(fault, (), handle(endpoint, open, messages).await?))
        };
        self.replies(life, taking, out.fault, (out.cancel, sending)).await
    }

    /// Carries one message to the node: its bytes, the node, and how long that lives.
    async fn deliver(&self, request: impl Wire) -> TransportResult<(Bytes, Arc<dyn Endpoint>, Life)> {
        let request = request.into_proto();
        check_size(&request)?;
        let request = encode(&request);
        self.there().carry().await;
        let (endpoint, life) = self.network.find(&self.address)?;
        Ok((request, endpoint, life))
    }

    /// Lets the node take a stream in a task of its own, waits until it has, and gives the replies as they arrive; behind the
    /// last of them, what ended the requests. `held` is dropped with the replies.
    async fn replies<R: Wire>(
        &self,
        life: Life,
        taking: impl Future<Output = TransportResult<Replies<R>>> + Send + 'static,
        fault: Fault,
        held: impl Send + 'static,
    ) -> TransportResult<Replies<R>> {
        let (to_caller, at_caller) = line(self.back());
        let (answer, answered) = oneshot::channel();
        let (address, back) = (self.address.clone(), self.back());
        let handling = Owned::spawn(life, async move {
            let taken = taking.await.map_err(|error| seen_from_afar(&address, error));
            back.carry().await;
            match taken {
                Ok(replies) => {
                    if answer.send(Ok(())).is_ok() {
                        let replies = replies.map(|reply| {
                            reply
                                .and_then(|reply| sendable(&address, reply))
                                .map_err(|e| seen_from_afar(&address, e))
                        });
                        to_caller.pump(replies).await;
                    }
                }
                Err(error) => {
                    // An error means that the caller has just given up.
                    let _ = answer.send(Err(error));
                }
            }
        });
        answered.await.map_err(|_| gone(&self.address))??;
        let address = self.address.clone();
        let replies = at_caller
            .messages(address.clone())
            .map(move |reply| reply.and_then(|reply| read_reply(&address, reply)));
        Ok(ending_with(fault, (held, handling), replies))
    }
}

/// The node's side of one message: reads it, and has the node handle it.
async fn hand_over<Q: Wire, T>(
    endpoint: Arc<dyn Endpoint>,
    request: Bytes,
    handle: impl FnOnce(Arc<dyn Endpoint>, Q) -> Handled<T>,
) -> TransportResult<T> {
    let request = decode(request).and_then(Q::from_proto)?;
    handle(endpoint, request).await
}

/// A reply within the limit. What it answers has been done, so one beyond is not a refusal.
fn sendable<R: Wire>(address: &str, reply: R) -> TransportResult<R::Proto> {
    let reply = reply.into_proto();
    check_reply(&reply).map_err(|reason| broken(address, reason))?;
    Ok(reply)
}

/// A task that ends with whoever waits for what it does, and with the node that it works for.
struct Owned(Task);

impl Owned {
    fn spawn(life: Life, work: impl Future<Output = ()> + Send + 'static) -> Self {
        Owned(runtime::spawn(async move {
            let work = std::pin::pin!(work);
            select(life, work).await;
        }))
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.0.abort();
    }
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
        self.open(route, requests, handle).await
    }

    async fn vote(&self, route: Route, request: VoteRequest) -> TransportResult<VoteReply> {
        self.call((route, request), |node, (route, request)| {
            Box::pin(async move { node.vote(route, request).await })
        })
        .await
    }

    async fn pre_vote(&self, route: Route, request: VoteRequest) -> TransportResult<VoteReply> {
        let handle = |node: Arc<dyn Endpoint>, (route, request)| -> Handled<_> {
            Box::pin(async move { node.pre_vote(route, request).await })
        };
        self.call((route, request), handle).await
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
        self.open((route, offer), chunks, handle).await
    }

    async fn transfer(&self, route: Route, request: TransferRequest) -> TransportResult<()> {
        let handle = |node: Arc<dyn Endpoint>, (route, request)| -> Handled<_> {
            Box::pin(async move { node.transfer(route, request).await })
        };
        self.call((route, request), handle).await
    }

    async fn hello(&self, hello: Hello) -> TransportResult<HelloReply> {
        self.call(hello, |node, hello| Box::pin(async move { node.hello(hello).await })).await
    }

    async fn read_index(&self, route: Route, confirm: Confirm) -> TransportResult<ReadIndex> {
        let handle = |node: Arc<dyn Endpoint>, ReadIndexRequest(route, confirm)| -> Handled<_> {
            Box::pin(async move { node.read_index(route, confirm).await })
        };
        self.call(ReadIndexRequest(route, confirm), handle).await
    }

    async fn propose(
        &self,
        open: ProposeOpen,
        requests: BoxStream<'static, ProposeRequest>,
    ) -> TransportResult<Replies<ProposeReply>> {
        let handle = |node: Arc<dyn Endpoint>, open, requests| -> Handled<_> {
            Box::pin(async move { node.propose(open, requests).await })
        };
        self.open(open, requests, handle).await
    }

    async fn query(&self, request: QueryRequest) -> TransportResult<QueryReply> {
        self.call(request, |node, request| Box::pin(async move { node.query(request).await })).await
    }

    async fn subscribe(&self, request: SubscribeRequest) -> TransportResult<Replies<SubscribeReply>> {
        self.follow(request, |node, request| Box::pin(async move { node.subscribe(request).await })).await
    }

    async fn status(&self, group: GroupId) -> TransportResult<Status> {
        self.call(StatusRequest(group), |node, StatusRequest(group)| {
            Box::pin(async move { node.status(group).await })
        })
        .await
    }
}
