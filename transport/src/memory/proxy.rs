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
    AppendReply, AppendRequest, Endpoint, Hello, HelloReply, ProposeOpen, ProposeReply, ProposeRequest,
    QueryReply, QueryRequest, ReadIndex, Replies, Route, SnapshotChunk, SnapshotOffer, SnapshotReply, Status,
    TransferRequest, TransportResult, VoteReply, VoteRequest,
};
use prost::Message;
use tokio::sync::oneshot;

use super::line::{broken, gone, line, seen_from_afar};
use super::{Life, Link, MemoryNetwork};
use crate::limits::check_size;
use crate::stream::{check_reply, ending_with, incoming, outgoing, read_reply};
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
        let request = request.into_proto();
        check_size(&request)?;
        let request = encode(&request);
        self.there().carry().await;
        let (endpoint, life) = self.network.find(&self.address)?;
        let (answer, answered) = oneshot::channel();
        let (address, back) = (self.address.clone(), self.back());
        let _handling = Owned::spawn(life, async move {
            let reply = answer_one(&address, endpoint, request, handle).await;
            let reply = reply.map_err(|error| seen_from_afar(&address, error));
            back.carry().await;
            // An error means that the caller has just given up.
            let _ = answer.send(reply);
        });
        let reply = answered.await.map_err(|_| gone(&self.address))??;
        let reply = decode(reply).map_err(|error| broken(&self.address, error.to_string()))?;
        read_reply(&self.address, reply)
    }

    /// Opens a stream, lets the node handle it in a task of its own, and waits until the node has taken it.
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
        let (to_caller, at_caller) = line(self.back());
        let sending = Owned::spawn(life.clone(), to_node.pump(frames.map(Ok)));
        let (answer, answered) = oneshot::channel();
        let (address, own_address, back) = (self.address.clone(), self.own_address.clone(), self.back());
        let handling = Owned::spawn(life, async move {
            let taken = async {
                let (open, messages, fault) = incoming(at_node.messages(own_address)).await?;
                Ok(ending_with(fault, (), handle(endpoint, open, messages).await?))
            };
            let taken = taken.await.map_err(|error| seen_from_afar(&address, error));
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
        Ok(ending_with(out.fault, (out.cancel, sending, handling), replies))
    }
}

/// The node's side of a call.
async fn answer_one<Q: Wire, R: Wire>(
    address: &str,
    endpoint: Arc<dyn Endpoint>,
    request: Bytes,
    handle: impl FnOnce(Arc<dyn Endpoint>, Q) -> Handled<R>,
) -> TransportResult<Bytes> {
    let request = decode(request).and_then(Q::from_proto)?;
    let reply = handle(endpoint, request).await?;
    Ok(encode(&sendable(address, reply)?))
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

    async fn read_index(&self, route: Route) -> TransportResult<ReadIndex> {
        let handle = |node: Arc<dyn Endpoint>, ReadIndexRequest(route)| -> Handled<_> {
            Box::pin(async move { node.read_index(route).await })
        };
        self.call(ReadIndexRequest(route), handle).await
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

    async fn status(&self, group: GroupId) -> TransportResult<Status> {
        self.call(StatusRequest(group), |node, StatusRequest(group)| {
            Box::pin(async move { node.status(group).await })
        })
        .await
    }
}
