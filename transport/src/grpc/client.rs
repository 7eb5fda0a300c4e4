//! The sending side: proxies over one connection each.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, StreamExt};
use lovebird_core::identity::GroupId;
use lovebird_core::transport::{
    AppendReply, AppendRequest, ChangeReply, ChangeRequest, Confirm, Endpoint, ExportPiece, HandOverReply,
    HandOverRequest, Hello, HelloReply, ProposeOpen, ProposeReply, ProposeRequest, QueryOpen, QueryReply,
    QueryRequest, ReadIndex, Replies, Route, SnapshotChunk, SnapshotOffer, SnapshotReply,
    Status as NodeStatus, SubscribeReply, SubscribeRequest, TransferRequest, Transport, TransportError,
    TransportResult, VoteReply, VoteRequest,
};
use prost::Message;
use tonic::transport::Channel;
use tonic::{Response, Status, Streaming};

use super::status::from_status;
use crate::limits::{
    CONNECT_TIMEOUT, CONNECTION_WINDOW_BYTES, KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT, MESSAGE_BYTES_MAX,
    STREAM_WINDOW_BYTES, check_size,
};
use crate::proto::clients_client::ClientsClient;
use crate::proto::operators_client::OperatorsClient;
use crate::proto::peers_client::PeersClient;
use crate::stream::{Fault, Frames, ending_with, outgoing, read_reply};
use crate::wire::{
    ExportRequest, Frame, ReadIndexRequest, StatusRequest, TakeSnapshotReply, TakeSnapshotRequest, Wire,
};

/// Calls that wait for the connection to take them. What is beyond waits in its caller.
const QUEUE_CALLS: usize = 4096;

/// How many cancelled calls the connection remembers, so as to tell their late replies from nonsense.
const CANCELLED_CALLS: usize = 4096;

/// Reaches nodes by gRPC at `host:port`.
///
/// It keeps a proxy for every address that it was ever asked for, and so one connection to each: for a cluster's few
/// addresses, not for those of many clients. Calls run on the tokio runtime that makes the first one to an address.
#[derive(Debug)]
pub struct GrpcTransport {
    connect_timeout: Duration,
    /// Made when asked for, by address.
    proxies: Mutex<BTreeMap<String, Arc<Proxy>>>,
}

impl GrpcTransport {
    /// A transport that tries to connect for [`CONNECT_TIMEOUT`].
    pub fn new() -> Self {
        GrpcTransport::with_connect_timeout(CONNECT_TIMEOUT)
    }

    /// A transport that tries to connect for `connect_timeout`, name look-up included.
    pub fn with_connect_timeout(connect_timeout: Duration) -> Self {
        GrpcTransport { connect_timeout, proxies: Mutex::default() }
    }
}

impl Default for GrpcTransport {
    fn default() -> Self {
        GrpcTransport::new()
    }
}

impl Transport for GrpcTransport {
    fn endpoint(&self, address: &str) -> Arc<dyn Endpoint> {
        // Nothing panics while the lock is held, so what it guards is whole.
        let mut proxies = self.proxies.lock().unwrap_or_else(PoisonError::into_inner);
        let proxy = proxies
            .entry(address.to_owned())
            .or_insert_with(|| Arc::new(Proxy::new(address.to_owned(), self.connect_timeout)));
        proxy.clone()
    }
}

/// What sending gives. Boxed, since the compiler cannot see that these futures are `Send` through the generic callers.
type Sent<T> = BoxFuture<'static, Result<Response<T>, Status>>;

/// One node, as seen from here.
#[derive(Debug)]
struct Proxy {
    address: String,
    connect_timeout: Duration,
    /// Made at the first call, since it starts a task. It connects when it is used, and again after it broke.
    channel: OnceLock<Result<Channel, String>>,
}

impl Proxy {
    fn new(address: String, connect_timeout: Duration) -> Self {
        Proxy { address, connect_timeout, channel: OnceLock::new() }
    }

    fn channel(&self) -> TransportResult<Channel> {
        self.channel
            .get_or_init(|| open_channel(&self.address, self.connect_timeout))
            .clone()
            .map_err(|reason| TransportError::Unreachable { address: self.address.clone(), reason })
    }

    fn broken(&self, status: &Status) -> TransportError {
        from_status(&self.address, status)
    }

    /// Sends one message and waits for its reply.
    async fn call<Q: Wire, R: Wire>(
        &self,
        request: Q,
        send: impl FnOnce(Channel, Q::Proto) -> Sent<R::Proto> + Send,
    ) -> TransportResult<R> {
        let request = request.into_proto();
        check_size(&request)?;
        let reply = send(self.channel()?, request).await.map_err(|status| self.broken(&status))?;
        read_reply(&self.address, reply.into_inner())
    }

    /// Sends one message and waits until the other side has taken it, for a stream of replies.
    ///
    /// When the replies are dropped, or the call before there are any, the HTTP/2 stream is reset, which is how the handler
    /// hears of it.
    async fn follow<Q: Wire, R: Wire>(
        &self,
        request: Q,
        send: impl FnOnce(Channel, Q::Proto) -> Sent<Streaming<R::Proto>> + Send,
    ) -> TransportResult<Replies<R>> {
        let request = request.into_proto();
        check_size(&request)?;
        let replies = send(self.channel()?, request).await.map_err(|status| self.broken(&status))?;
        // There is no stream of requests that could have ended early.
        Ok(self.replies(Fault::default(), (), replies))
    }

    /// Opens a stream of requests and waits until the other side has taken it.
    ///
    /// The requests are sent meanwhile, by a task of the connection's. They end when the replies are dropped, or the call
    /// before there are any. With that the HTTP/2 stream is reset, which is how the handler hears of it. If at that moment
    /// the handler has left as many bytes untaken as a stream's window holds, it hears of it as soon as it takes some.
    async fn open<O, M, P, R>(
        &self,
        open: O,
        requests: BoxStream<'static, M>,
        send: impl FnOnce(Channel, Frames<P>) -> Sent<Streaming<R::Proto>> + Send,
    ) -> TransportResult<Replies<R>>
    where
        O: Send + 'static,
        M: Send + 'static,
        P: Message + 'static,
        Frame<O, M>: Wire<Proto = P>,
        R: Wire,
    {
        let (frames, out) = outgoing(open, requests);
        let replies = send(self.channel()?, frames).await.map_err(|status| self.broken(&status))?;
        Ok(self.replies(out.fault, out.cancel, replies))
    }

    /// Replies as they arrive; behind the last of them, what ended the requests. `held` is dropped with the replies.
    fn replies<R: Wire>(
        &self,
        fault: Fault,
        held: impl Send + 'static,
        replies: Response<Streaming<R::Proto>>,
    ) -> Replies<R> {
        let address = self.address.clone();
        let replies = replies.into_inner().map(move |reply| match reply {
            Ok(reply) => read_reply(&address, reply),
            Err(status) => Err(from_status(&address, &status)),
        });
        ending_with(fault, held, replies)
    }
}

/// A channel that connects by itself when it is used.
///
/// The signs of life make a connection that has silently died, in both directions or in one, break within
/// [`KEEPALIVE_INTERVAL`] + [`KEEPALIVE_TIMEOUT`], and with it every call that waits on it.
fn open_channel(address: &str, connect_timeout: Duration) -> Result<Channel, String> {
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{address}"))
        .ok()
        .filter(|endpoint| endpoint.uri().port_u16().is_some())
        .ok_or_else(|| format!("'{address}' is not an address of the form host:port"))?;
    let channel = endpoint
        .connect_timeout(connect_timeout)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .buffer_size(QUEUE_CALLS)
        .http2_max_concurrent_reset_streams(CANCELLED_CALLS)
        // HTTP/2 counts late replies to calls that were cancelled long ago, and would give up the whole connection over
        // the thousandth. The other side is one of our own nodes, and callers cancel all the time.
        .http2_max_local_error_reset_streams(usize::MAX)
        .connect_lazy();
    Ok(channel)
}

fn peers(channel: Channel) -> PeersClient<Channel> {
    PeersClient::new(channel)
        .max_encoding_message_size(MESSAGE_BYTES_MAX)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
}

fn clients(channel: Channel) -> ClientsClient<Channel> {
    ClientsClient::new(channel)
        .max_encoding_message_size(MESSAGE_BYTES_MAX)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
}

fn operators(channel: Channel) -> OperatorsClient<Channel> {
    OperatorsClient::new(channel)
        .max_encoding_message_size(MESSAGE_BYTES_MAX)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
}

#[async_trait]
impl Endpoint for Proxy {
    async fn append(
        &self,
        route: Route,
        requests: BoxStream<'static, AppendRequest>,
    ) -> TransportResult<Replies<AppendReply>> {
        let send =
            |channel, frames| -> Sent<_> { Box::pin(async move { peers(channel).append(frames).await }) };
        self.open(route, requests, send).await
    }

    async fn vote(&self, route: Route, request: VoteRequest) -> TransportResult<VoteReply> {
        self.call((route, request), |channel, request| -> Sent<_> {
            Box::pin(async move { peers(channel).vote(request).await })
        })
        .await
    }

    async fn pre_vote(&self, route: Route, request: VoteRequest) -> TransportResult<VoteReply> {
        self.call((route, request), |channel, request| -> Sent<_> {
            Box::pin(async move { peers(channel).pre_vote(request).await })
        })
        .await
    }

    async fn snapshot(
        &self,
        route: Route,
        offer: SnapshotOffer,
        chunks: BoxStream<'static, SnapshotChunk>,
    ) -> TransportResult<Replies<SnapshotReply>> {
        let send =
            |channel, frames| -> Sent<_> { Box::pin(async move { peers(channel).snapshot(frames).await }) };
        self.open((route, offer), chunks, send).await
    }

    async fn transfer(&self, route: Route, request: TransferRequest) -> TransportResult<()> {
        self.call((route, request), |channel, request| -> Sent<_> {
            Box::pin(async move { peers(channel).transfer(request).await })
        })
        .await
    }

    async fn hello(&self, hello: Hello) -> TransportResult<HelloReply> {
        self.call(hello, |channel, request| -> Sent<_> {
            Box::pin(async move { peers(channel).hello(request).await })
        })
        .await
    }

    async fn read_index(&self, route: Route, confirm: Confirm) -> TransportResult<ReadIndex> {
        let send = |channel, request| -> Sent<_> {
            Box::pin(async move { peers(channel).read_index(request).await })
        };
        self.call(ReadIndexRequest(route, confirm), send).await
    }

    async fn propose(
        &self,
        open: ProposeOpen,
        requests: BoxStream<'static, ProposeRequest>,
    ) -> TransportResult<Replies<ProposeReply>> {
        let send =
            |channel, frames| -> Sent<_> { Box::pin(async move { clients(channel).propose(frames).await }) };
        self.open(open, requests, send).await
    }

    async fn query(
        &self,
        open: QueryOpen,
        requests: BoxStream<'static, QueryRequest>,
    ) -> TransportResult<Replies<QueryReply>> {
        let send =
            |channel, frames| -> Sent<_> { Box::pin(async move { clients(channel).queries(frames).await }) };
        self.open(open, requests, send).await
    }

    async fn subscribe(&self, request: SubscribeRequest) -> TransportResult<Replies<SubscribeReply>> {
        let send = |channel, request| -> Sent<_> {
            Box::pin(async move { clients(channel).subscribe(request).await })
        };
        self.follow(request, send).await
    }

    async fn status(&self, group: GroupId) -> TransportResult<NodeStatus> {
        let send =
            |channel, request| -> Sent<_> { Box::pin(async move { clients(channel).status(request).await }) };
        self.call(StatusRequest(group), send).await
    }

    async fn change(&self, request: ChangeRequest) -> TransportResult<Replies<ChangeReply>> {
        let send = |channel, request| -> Sent<_> {
            Box::pin(async move { operators(channel).change(request).await })
        };
        self.follow(request, send).await
    }

    async fn hand_over(&self, request: HandOverRequest) -> TransportResult<HandOverReply> {
        self.call(request, |channel, request| -> Sent<_> {
            Box::pin(async move { operators(channel).hand_over(request).await })
        })
        .await
    }

    async fn take_snapshot(&self, group: GroupId) -> TransportResult<u64> {
        let send = |channel, request| -> Sent<_> {
            Box::pin(async move { operators(channel).take_snapshot(request).await })
        };
        let TakeSnapshotReply(index) = self.call(TakeSnapshotRequest(group), send).await?;
        Ok(index)
    }

    async fn export(&self, group: GroupId) -> TransportResult<Replies<ExportPiece>> {
        let send = |channel, request| -> Sent<_> {
            Box::pin(async move { operators(channel).export(request).await })
        };
        self.follow(ExportRequest(group), send).await
    }
}
