//! The node on the other side.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use lovebird_core::identity::{GroupId, RaftId};
use lovebird_core::transport::{
    AppendReply, AppendRequest, ChangeReply, ChangeRequest, Confirm, Endpoint, ExportPiece, HandOverReply,
    HandOverRequest, Hello, HelloReply, ProposeOpen, ProposeReply, ProposeRequest, QueryOpen, QueryReply,
    QueryRequest, ReadIndex, Replies, Route, SnapshotChunk, SnapshotOffer, SnapshotReply, Status,
    SubscribeReply, SubscribeRequest, TransferRequest, TransportError, TransportResult, VoteReply,
    VoteRequest,
};
use tokio::sync::mpsc;

use super::answers::{CLUSTER_NAME, NOT_LEADER, changing, exported, followed, outcome, queried, status};
use super::{soon, text};

/// What a [`Script`] does with whatever comes.
#[derive(Clone, Debug)]
pub enum Act {
    /// Answers what it was asked, with parts of the question.
    Answer,
    /// Answers streams only when so many requests have come, and then the last one first.
    Gather(usize),
    /// Says that its cluster's name has so many bytes, answers queries with so many, and a subscription or an export with pieces of
    /// so many bytes without end.
    Large(usize),
    /// Fails every call, and every stream at its opening.
    Fail(TransportError),
    /// Answers the first request of a stream, or a subscription, a change or an export once, and fails then.
    FailLater(TransportError),
    /// Never answers a call and never takes a stream.
    Hang,
    /// Takes streams, but none of their requests.
    Ignore,
}

/// What happened to a [`Script`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A call, the opening of a stream, or a request of one, arrived: its name and all that it says.
    Asked(String),
    /// The requests of a stream ended.
    Ended,
    /// The transport took a reply to a subscription, or a piece of an export.
    Gave,
    /// A handler that hung, or the replies of a stream, were dropped.
    Dropped,
}

/// What happens to a [`Script`], in order.
#[derive(Debug)]
pub struct Events(mpsc::UnboundedReceiver<Event>);

impl Events {
    /// Waits for the next event.
    ///
    /// # Panics
    /// If none comes in time.
    pub async fn next(&mut self) -> Event {
        soon("an event at the node", self.0.recv()).await.expect("the script is alive")
    }

    /// Waits for what is asked next, and compares it.
    ///
    /// # Panics
    /// If it is something else.
    pub async fn asked(&mut self, name: &str, what: &impl Debug) {
        assert_eq!(self.next().await, Event::Asked(format!("{name} {}", text(what))));
    }

    /// Waits until the other side of a stream has let go of it.
    ///
    /// # Panics
    /// If it does not in time.
    pub async fn dropped(&mut self) {
        while self.next().await != Event::Dropped {}
    }
}

/// A node that does as it is told.
#[derive(Debug)]
pub struct Script {
    act: Mutex<Act>,
    events: mpsc::UnboundedSender<Event>,
}

/// Reports when it is dropped.
struct Held(mpsc::UnboundedSender<Event>);

impl Drop for Held {
    fn drop(&mut self) {
        // Nobody needs to listen.
        let _ = self.0.send(Event::Dropped);
    }
}

impl Script {
    /// A node that does `act`, and what happens to it.
    pub fn new(act: Act) -> (Arc<Script>, Events) {
        let (events, happened) = mpsc::unbounded_channel();
        (Arc::new(Script { act: Mutex::new(act), events }), Events(happened))
    }

    /// Has it do something else from now on.
    pub fn act(&self, act: Act) {
        *self.act.lock().unwrap_or_else(PoisonError::into_inner) = act;
    }

    fn now(&self) -> Act {
        self.act.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn happened(&self, event: Event) {
        // Nobody needs to listen.
        let _ = self.events.send(event);
    }

    /// Reports a call or an opening, and does what has nothing to do with what it says.
    async fn ask(&self, name: &str, what: &impl Debug) -> TransportResult<Act> {
        self.happened(Event::Asked(format!("{name} {}", text(what))));
        match self.now() {
            Act::Fail(error) => Err(error),
            Act::Hang => {
                let _held = Held(self.events.clone());
                std::future::pending().await
            }
            act => Ok(act),
        }
    }

    /// The replies to a stream of requests: one each, behind the first.
    fn replies<Q, R>(
        &self,
        name: &'static str,
        act: Act,
        first: Option<R>,
        requests: BoxStream<'static, Q>,
        reply: impl Fn(Q) -> R + Send + 'static,
    ) -> Replies<R>
    where
        Q: Debug + Send + 'static,
        R: Send + 'static,
    {
        let events = self.events.clone();
        let told = requests
            .map(Some)
            .chain(stream::iter([None]))
            .filter_map(move |request| {
                let event = match &request {
                    Some(request) => Event::Asked(format!("{name} {}", text(request))),
                    None => Event::Ended,
                };
                let _ = events.send(event);
                std::future::ready(request)
            })
            .map(reply);
        self.perform(act, first, told)
    }

    /// Reports each reply that the transport takes.
    fn counted<R: Send + 'static>(
        &self,
        told: impl Stream<Item = R> + Send + 'static,
    ) -> impl Stream<Item = R> + Send + 'static {
        let events = self.events.clone();
        told.inspect(move |_| {
            // Nobody needs to listen.
            let _ = events.send(Event::Gave);
        })
    }

    /// Replies as `act` would have them: `first` at once, then `told`. Reports when they are dropped.
    fn perform<R: Send + 'static>(
        &self,
        act: Act,
        first: Option<R>,
        told: impl Stream<Item = R> + Send + 'static,
    ) -> Replies<R> {
        let held = Held(self.events.clone());
        let told = told.map(Ok);
        let (replies, unread) = match act {
            Act::Ignore => (stream::pending().boxed(), Some(told)),
            Act::Gather(count) => {
                (told.chunks(count).flat_map(|chunk| stream::iter(chunk.into_iter().rev())).boxed(), None)
            }
            Act::FailLater(error) => {
                (told.take(1).chain(stream::iter([Err(error)])).chain(stream::pending()).boxed(), None)
            }
            _ => (told.boxed(), None),
        };
        // What is held, and requests that nobody reads, go when the replies do.
        let first = stream::iter(first.map(Ok));
        first.chain(replies).map(move |reply| (&held, &unread, reply).2).boxed()
    }
}

/// The replies of which this one was made up.
fn one_by_one<R>(replies: TransportResult<Vec<R>>) -> Vec<TransportResult<R>> {
    match replies {
        Ok(replies) => replies.into_iter().map(Ok).collect(),
        Err(error) => vec![Err(error)],
    }
}

#[async_trait]
impl Endpoint for Script {
    async fn append(
        &self,
        route: Route,
        requests: BoxStream<'static, AppendRequest>,
    ) -> TransportResult<Replies<AppendReply>> {
        let act = self.ask("append", &route).await?;
        Ok(self.replies("append", act, None, requests, |request| {
            AppendReply::Accepted(request.entries.last().map(|entry| entry.id()).or(request.previous))
        }))
    }

    async fn vote(&self, route: Route, request: VoteRequest) -> TransportResult<VoteReply> {
        self.ask("vote", &(route, request)).await?;
        Ok(VoteReply { vote: request.vote, granted: true, last: request.last })
    }

    async fn pre_vote(&self, route: Route, request: VoteRequest) -> TransportResult<VoteReply> {
        self.ask("pre_vote", &(route, request)).await?;
        Ok(VoteReply { vote: request.vote, granted: false, last: None })
    }

    async fn snapshot(
        &self,
        route: Route,
        offer: SnapshotOffer,
        chunks: BoxStream<'static, SnapshotChunk>,
    ) -> TransportResult<Replies<SnapshotReply>> {
        let act = self.ask("snapshot", &(route, offer)).await?;
        let first = Some(SnapshotReply::Received(offer.id.length / 2));
        Ok(self.replies("snapshot", act, first, chunks, move |chunk| {
            match chunk.offset + chunk.bytes.len() as u64 {
                end if end == offer.id.length => SnapshotReply::Done(offer.vote),
                end => SnapshotReply::Received(end),
            }
        }))
    }

    async fn transfer(&self, route: Route, request: TransferRequest) -> TransportResult<()> {
        self.ask("transfer", &(route, request)).await.map(drop)
    }

    async fn hello(&self, hello: Hello) -> TransportResult<HelloReply> {
        self.ask("hello", &hello).await?;
        Ok(HelloReply {
            cluster: hello.cluster,
            cluster_name: CLUSTER_NAME.to_owned(),
            id: RaftId::new(2, 22),
            formed: true,
            model: hello.model,
            known_as: Some(hello.from),
            removed: hello.members_at.is_some(),
            leads: hello.members_at.is_some(),
        })
    }

    async fn read_index(&self, route: Route, confirm: Confirm) -> TransportResult<ReadIndex> {
        self.ask("read_index", &(route, confirm)).await?;
        Ok(ReadIndex { number: route.group.into() })
    }

    async fn propose(
        &self,
        open: ProposeOpen,
        requests: BoxStream<'static, ProposeRequest>,
    ) -> TransportResult<Replies<ProposeReply>> {
        let act = self.ask("propose", &open).await?;
        Ok(self.replies("propose", act, None, requests, |request| ProposeReply {
            id: request.id,
            outcome: outcome(request),
        }))
    }

    async fn query(
        &self,
        open: QueryOpen,
        requests: BoxStream<'static, QueryRequest>,
    ) -> TransportResult<Replies<QueryReply>> {
        let act = self.ask("query", &open).await?;
        let large = match act {
            Act::Large(bytes) => Some(bytes),
            _ => None,
        };
        let replies = self.replies("query", act, None, requests, move |request| queried(request, large));
        // What fails stays one item, and what answers a request is several.
        Ok(replies.flat_map(|reply| stream::iter(one_by_one(reply))).boxed())
    }

    async fn subscribe(&self, request: SubscribeRequest) -> TransportResult<Replies<SubscribeReply>> {
        let act = self.ask("subscribe", &request).await?;
        let told = match act {
            Act::Large(bytes) => {
                let piece = SubscribeReply::State { index: 1, bytes: vec![0; bytes].into(), last: false };
                stream::repeat(piece).boxed()
            }
            _ => followed(request).boxed(),
        };
        Ok(self.perform(act, None, self.counted(told)))
    }

    async fn status(&self, group: GroupId) -> TransportResult<Status> {
        let act = self.ask("status", &group).await?;
        let mut status = status(group);
        if let Act::Large(bytes) = act {
            status.cluster.name = "x".repeat(bytes);
        }
        Ok(status)
    }

    async fn change(&self, request: ChangeRequest) -> TransportResult<Replies<ChangeReply>> {
        let act = self.ask("change", &request).await?;
        Ok(self.perform(act, None, changing(request)))
    }

    async fn hand_over(&self, request: HandOverRequest) -> TransportResult<HandOverReply> {
        self.ask("hand_over", &request).await?;
        Ok(match request.to {
            Some(leader) => HandOverReply::Done { leader },
            None => HandOverReply::Refused { reason: NOT_LEADER.to_owned(), retry: request.forwarded },
        })
    }

    async fn take_snapshot(&self, group: GroupId) -> TransportResult<u64> {
        self.ask("take_snapshot", &group).await?;
        Ok(u64::MAX - u64::from(group))
    }

    async fn export(&self, group: GroupId) -> TransportResult<Replies<ExportPiece>> {
        let act = self.ask("export", &group).await?;
        let told = match act {
            Act::Large(bytes) => {
                let piece = ExportPiece { index: 1, length: u64::MAX, bytes: vec![0; bytes].into() };
                stream::repeat(piece).boxed()
            }
            _ => stream::iter(exported()).boxed(),
        };
        Ok(self.perform(act, None, self.counted(told)))
    }
}
