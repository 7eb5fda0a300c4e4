//! A node's ports as the simulated network reaches them: what is handled belongs to the node that handles it, and takes its
//! time on the way.
//!
//! The in-memory network calls a node's endpoint in a task of its caller. Here the call moves into a task of the node, so
//! that it is polled by that node's clock and dies with it; and every message is delayed by chance, in order within a stream
//! and in any order between calls.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use lovebird_core::identity::GroupId;
use lovebird_core::runtime::{self, Instant};
use lovebird_core::transport::{
    AppendReply, AppendRequest, Confirm, Endpoint, Hello, HelloReply, ProposeOpen, ProposeReply,
    ProposeRequest, QueryReply, QueryRequest, ReadIndex, Replies, Route, SnapshotChunk, SnapshotOffer,
    SnapshotReply, Status, SubscribeReply, SubscribeRequest, TransferRequest, TransportError,
    TransportResult, VoteReply, VoteRequest,
};
use madsim::runtime::NodeHandle;
use madsim::task::JoinHandle;
use tokio::sync::{mpsc, oneshot};

/// How many messages of a stream may be on their way.
const UNDER_WAY: usize = 64;

/// The ports of one life of a node.
pub(crate) struct Port {
    node: NodeHandle,
    address: String,
    inner: Arc<dyn Endpoint>,
}

/// Ends a task when it is dropped.
struct Owned(JoinHandle<()>);

impl Drop for Owned {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// How long a message takes: a few milliseconds, and now and then much longer.
fn latency() -> Duration {
    let drawn = runtime::random_u64();
    let micros = match drawn % 50 {
        0 => 5_000 + drawn / 50 % 60_000,
        _ => 1_000 + drawn / 50 % 3_000,
    };
    Duration::from_micros(micros)
}

impl Port {
    pub(crate) fn new(node: NodeHandle, address: String, inner: Arc<dyn Endpoint>) -> Self {
        Port { node, address, inner }
    }

    fn killed(&self) -> TransportError {
        killed(&self.address)
    }

    /// Lets the node do `work`, after the time that the request takes to arrive.
    async fn handle<T, F>(
        &self,
        work: impl FnOnce(Arc<dyn Endpoint>) -> F + Send + 'static,
    ) -> TransportResult<T>
    where
        T: Send + 'static,
        F: Future<Output = TransportResult<T>> + Send,
    {
        let (answer, answered) = oneshot::channel();
        let endpoint = self.inner.clone();
        let _task = Owned(self.node.spawn(async move {
            runtime::sleep(latency()).await;
            let result = work(endpoint).await;
            runtime::sleep(latency()).await;
            // An error means that the caller has just given up.
            let _ = answer.send(result);
        }));
        answered.await.unwrap_or_else(|_| Err(self.killed()))
    }

    /// The messages of `stream`, each a while later. It is polled on the node.
    fn delayed<T: Send + 'static>(&self, mut stream: BoxStream<'static, T>) -> Delayed<T> {
        let (send, mut arrived) = mpsc::channel(UNDER_WAY);
        let (deliver, delivered) = mpsc::channel(1);
        let taking = self.node.spawn(async move {
            let mut due = Instant::now();
            while let Some(message) = stream.next().await {
                due = due.max(Instant::now() + latency());
                if send.send((due, Some(message))).await.is_err() {
                    return;
                }
            }
            let _ = send.send((due, None)).await;
        });
        let giving = self.node.spawn(async move {
            while let Some((due, message)) = arrived.recv().await {
                let left = Instant::now().until(due);
                if !left.is_zero() {
                    runtime::sleep(left).await;
                }
                if deliver.send(message).await.is_err() {
                    return;
                }
            }
        });
        Delayed { delivered, _tasks: [Owned(taking), Owned(giving)] }
    }

    fn requests<T: Send + 'static>(&self, requests: BoxStream<'static, T>) -> BoxStream<'static, T> {
        // If the node is killed, who would read this is, too.
        stream::unfold(self.delayed(requests), async |mut requests| {
            let request = requests.delivered.recv().await.flatten()?;
            Some((request, requests))
        })
        .boxed()
    }

    fn replies<T: Send + 'static>(&self, replies: Replies<T>) -> Replies<T> {
        let state = Some((self.delayed(replies), self.address.clone()));
        stream::unfold(state, async |state| {
            let (mut replies, address) = state?;
            match replies.delivered.recv().await {
                Some(Some(reply)) => Some((reply, Some((replies, address)))),
                Some(None) => None,
                None => Some((Err(killed(&address)), None)),
            }
        })
        .boxed()
    }
}

/// Messages as they arrive; `None` is the last one, and its absence says that the node was killed.
struct Delayed<T> {
    delivered: mpsc::Receiver<Option<T>>,
    _tasks: [Owned; 2],
}

fn killed(address: &str) -> TransportError {
    TransportError::Broken { address: address.to_owned(), reason: "the node was killed".to_owned() }
}

#[async_trait]
impl Endpoint for Port {
    async fn append(
        &self,
        route: Route,
        requests: BoxStream<'static, AppendRequest>,
    ) -> TransportResult<Replies<AppendReply>> {
        let requests = self.requests(requests);
        let replies = self.handle(move |node| async move { node.append(route, requests).await }).await?;
        Ok(self.replies(replies))
    }

    async fn vote(&self, route: Route, request: VoteRequest) -> TransportResult<VoteReply> {
        self.handle(move |node| async move { node.vote(route, request).await }).await
    }

    async fn pre_vote(&self, route: Route, request: VoteRequest) -> TransportResult<VoteReply> {
        self.handle(move |node| async move { node.pre_vote(route, request).await }).await
    }

    async fn snapshot(
        &self,
        route: Route,
        offer: SnapshotOffer,
        chunks: BoxStream<'static, SnapshotChunk>,
    ) -> TransportResult<Replies<SnapshotReply>> {
        let chunks = self.requests(chunks);
        let replies =
            self.handle(move |node| async move { node.snapshot(route, offer, chunks).await }).await?;
        Ok(self.replies(replies))
    }

    async fn transfer(&self, route: Route, request: TransferRequest) -> TransportResult<()> {
        self.handle(move |node| async move { node.transfer(route, request).await }).await
    }

    async fn hello(&self, hello: Hello) -> TransportResult<HelloReply> {
        self.handle(move |node| async move { node.hello(hello).await }).await
    }

    async fn read_index(&self, route: Route, confirm: Confirm) -> TransportResult<ReadIndex> {
        self.handle(move |node| async move { node.read_index(route, confirm).await }).await
    }

    async fn propose(
        &self,
        open: ProposeOpen,
        requests: BoxStream<'static, ProposeRequest>,
    ) -> TransportResult<Replies<ProposeReply>> {
        let requests = self.requests(requests);
        let replies = self.handle(move |node| async move { node.propose(open, requests).await }).await?;
        Ok(self.replies(replies))
    }

    async fn query(&self, request: QueryRequest) -> TransportResult<QueryReply> {
        self.handle(move |node| async move { node.query(request).await }).await
    }

    async fn subscribe(&self, request: SubscribeRequest) -> TransportResult<Replies<SubscribeReply>> {
        let replies = self.handle(move |node| async move { node.subscribe(request).await }).await?;
        Ok(self.replies(replies))
    }

    async fn status(&self, group: GroupId) -> TransportResult<Status> {
        self.handle(move |node| async move { node.status(group).await }).await
    }
}
