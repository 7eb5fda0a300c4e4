//! openraft's network over any [`Endpoint`], with the deadlines that openraft leaves to us.
//!
//! A lost answer must never wedge replication, so every call and every stream here ends by itself: a call after its time to
//! live, a stream when something is under way on it and nothing has come back for `stall`. `stall` lies above the
//! worst sync of a healthy disk; openraft's own figure for appends, the heartbeat interval, would make streams flap.
//!
//! # A leader that can send but not receive
//!
//! openraft holds back the heartbeats of a leader that no quorum answers, so that its followers can elect another. It does
//! not hold back what it still has to replicate: those appends are sent again and again, reach the followers, and keep
//! them from electing anybody for as long as there is one unacknowledged entry. So whenever appends to a peer have failed,
//! nothing more is appended there before the peer has answered a [`Hello`](crate::transport::Hello), which keeps nobody waiting. The story is told by
//! `a_leader_that_can_send_but_not_receive_makes_way` in `tests/one_way.rs`.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use futures_util::future::{BoxFuture, Either, select};
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, Stream, StreamExt};
use openraft::alias::{SnapshotOf, VoteOf};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable};
use openraft::network::RPCOption;

use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendError, StreamAppendResult,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest as RaftVoteRequest, VoteResponse,
};
use openraft::{OptionalSend, RPCTypes, RaftNetworkFactory, RaftNetworkV2};
use tokio::sync::mpsc;

use super::machine::SnapshotHandle;
use super::types::{Types, from_log_id, from_raft_vote, to_log_id, to_raft_vote};
use crate::identity::RaftId;
use crate::log_store::Vote;
use crate::peers::Peers;
use crate::planted::{self, Bug};
use crate::runtime;
use crate::transport::{
    AppendReply, AppendRequest, Endpoint, Replies, Sending, SnapshotChunk, SnapshotOffer, SnapshotReply,
    TransferRequest, TransportError, VoteReply, VoteRequest,
};

/// Bytes of a snapshot file in one message. Simulated states are small, and their transfers are to have a middle, too.
const CHUNK_BYTES: usize = if cfg!(madsim) { 1 << 10 } else { 1 << 20 };

/// Chunks that may be under way: with them a transfer holds a few megabytes, whatever the snapshot's size.
const CHUNKS_AHEAD: usize = 4;

/// How long to wait before a stream is opened again that could not be opened, doubled with each failure up to [`REOPEN_MOST`].
///
/// openraft waits only when it is asked for the first request, which a stream that cannot be opened never does: without this
/// a leader would try again at once and for ever for as long as a peer is down.
const REOPEN_LEAST: Duration = Duration::from_millis(20);

/// A peer that is back is replicated to after so long at the latest.
const REOPEN_MOST: Duration = Duration::from_millis(320);

/// Makes connections to peers.
pub(crate) struct Network {
    peers: Arc<Peers>,
    stall: Duration,
    /// Whether appends to a peer have failed since it last answered; all connections to it share it.
    suspects: BTreeMap<RaftId, Arc<AtomicBool>>,
}

impl Network {
    pub(crate) fn new(peers: Arc<Peers>, stall: Duration) -> Self {
        Network { peers, stall, suspects: BTreeMap::new() }
    }
}

/// One peer, as one of openraft's tasks sees it.
pub(crate) struct Connection {
    peers: Arc<Peers>,
    target: RaftId,
    /// Where the log said that it is when this connection was made.
    recorded: String,
    stall: Duration,
    suspect: Arc<AtomicBool>,
    /// How many times in a row a stream could not be opened; not counted where each is a heartbeat, which openraft sends at
    /// its own pace and gives up before any wait would be over.
    unopened: Option<u32>,
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Connection;

    async fn new_heartbeat_client(&mut self, target: RaftId, recorded: &String) -> Connection {
        Connection { unopened: None, ..self.new_client(target, recorded).await }
    }

    async fn new_client(&mut self, target: RaftId, recorded: &String) -> Connection {
        Connection {
            peers: self.peers.clone(),
            target,
            recorded: recorded.clone(),
            stall: self.stall,
            suspect: self.suspects.entry(target).or_default().clone(),
            unopened: Some(0),
        }
    }
}

impl Connection {
    /// The peer, where it is looked for at the moment.
    fn endpoint(&self) -> Arc<dyn Endpoint> {
        self.peers.endpoint(&self.peers.address(self.target, &self.recorded))
    }

    fn error(&self, error: TransportError) -> RPCError<Types> {
        match error {
            TransportError::Broken { .. } => RPCError::Network(NetworkError::new(&error)),
            // A peer that refuses will refuse again: wait before asking once more.
            TransportError::Unreachable { .. }
            | TransportError::Refused(_)
            | TransportError::Malformed(_) => RPCError::Unreachable(Unreachable::new(&error)),
        }
    }

    fn timeout(&self, action: RPCTypes, timeout: Duration) -> RPCError<Types> {
        RPCError::Timeout(Timeout { action, id: self.peers.local(), target: self.target, timeout })
    }

    /// Bounds one call in time.
    async fn call<T>(
        &self,
        action: RPCTypes,
        ttl: Duration,
        call: impl Future<Output = Result<T, TransportError>>,
    ) -> Result<T, RPCError<Types>> {
        match runtime::timeout(ttl, call).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                self.peers.failed(self.target);
                Err(self.error(error))
            }
            Err(_) => {
                self.peers.failed(self.target);
                Err(self.timeout(action, ttl))
            }
        }
    }

    /// Opens an append stream, if the peer is known to answer.
    async fn open(
        &self,
        requests: BoxStream<'static, AppendRequest>,
    ) -> Result<Replies<AppendReply>, RPCError<Types>> {
        if self.suspect.load(Ordering::Relaxed) {
            crate::sometimes!("a peer that is suspect is asked to present itself before it is sent entries");
            let endpoint = self.endpoint();
            let hello = endpoint.hello(self.peers.hello(None));
            self.call(RPCTypes::AppendEntries, self.stall, hello).await?;
            self.suspect.store(false, Ordering::Relaxed);
        }
        let endpoint = self.endpoint();
        let opening = endpoint.append(self.peers.route(self.target), requests);
        let opened = self.call(RPCTypes::AppendEntries, self.stall, opening).await;
        if opened.is_err() {
            self.suspect.store(true, Ordering::Relaxed);
        }
        opened
    }

    /// Opens an append stream for openraft's requests.
    async fn stream<S>(&self, input: S) -> Result<Opened, RPCError<Types>>
    where
        S: Stream<Item = AppendEntriesRequest<Types>> + OptionalSend + Unpin + 'static,
    {
        let sent = Arc::new(AtomicU64::new(0));
        let (counter, last) = (sent.clone(), sent.clone());
        // The end is one more to be answered, by the end of the replies.
        let end = stream::poll_fn(move |_| {
            last.fetch_add(u64::from(!planted::is(Bug::ForgetLostEnd)), Ordering::Relaxed);
            Poll::Ready(None)
        });
        let requests = input
            .map(move |request| {
                counter.fetch_add(1, Ordering::Relaxed);
                to_append_request(request)
            })
            .chain(end)
            .boxed();
        let replies = self.open(requests).await?;
        Ok(Opened { replies, sent })
    }

    /// Waits a while if the last stream could not be opened.
    async fn wait_to_reopen(&self) {
        if let Some(doublings) = self.unopened.and_then(|unopened| unopened.checked_sub(1)) {
            crate::sometimes!("a stream of appends that could not be opened is tried again after a while");
            runtime::sleep((REOPEN_LEAST * (1 << doublings.min(8))).min(REOPEN_MOST)).await;
        }
    }

    async fn send_snapshot(
        &self,
        vote: VoteOf<Types>,
        file: SnapshotHandle,
    ) -> Result<SnapshotResponse<Types>, RPCError<Types>> {
        let offer = SnapshotOffer { vote: from_raft_vote(&vote), id: file.id() };
        let (chunks, outgoing) = mpsc::channel::<SnapshotChunk>(CHUNKS_AHEAD);
        let outgoing = stream::unfold(outgoing, async |mut outgoing| {
            outgoing.recv().await.map(|chunk| (chunk, outgoing))
        });
        let route = self.peers.route(self.target);
        let action = RPCTypes::InstallSnapshot;
        let endpoint = self.endpoint();
        let mut replies =
            self.call(action, self.stall, endpoint.snapshot(route, offer, outgoing.boxed())).await?;
        let mut chunks = Some(chunks);
        let mut sent = 0;
        let mut begun = false;
        loop {
            let reply = match runtime::timeout(self.stall, replies.next()).await {
                Err(_) => return Err(self.timeout(action, self.stall)),
                Ok(None) => {
                    return Err(RPCError::Network(NetworkError::from_string(
                        "the snapshot stream ended early",
                    )));
                }
                Ok(Some(reply)) => reply.map_err(|e| self.error(e))?,
            };
            let received = match reply {
                SnapshotReply::Done(vote) => return Ok(SnapshotResponse::new(to_raft_vote(vote))),
                SnapshotReply::Received(offset) => offset,
            };
            self.peers.sends(self.target, Some(Sending { sent: received, length: offer.id.length }));
            if !begun {
                begun = true;
                sent = received;
                crate::sometimes!(
                    received > 0,
                    "a leader goes on with a snapshot where the transfer had broken off"
                );
            }
            while sent < offer.id.length
                && sent.saturating_sub(received) < (CHUNKS_AHEAD * CHUNK_BYTES) as u64
            {
                let reader = file.clone();
                let bytes = runtime::blocking(move || reader.read_raw(sent, CHUNK_BYTES))
                    .await
                    .map_err(|e| RPCError::Network(NetworkError::new(&e)))?;
                if bytes.is_empty() {
                    let text = format!("the snapshot file ends at byte {sent} of {}", offer.id.length);
                    return Err(RPCError::Network(NetworkError::from_string(text)));
                }
                let next = sent + bytes.len() as u64;
                let chunk = SnapshotChunk { offset: sent, bytes };
                if let Some(chunks) = &chunks
                    && chunks.send(chunk).await.is_err()
                {
                    // The stream has ended; its last reply says why.
                    break;
                }
                sent = next;
            }
            if sent >= offer.id.length {
                // The end of the stream tells the receiver that this was all.
                chunks = None;
            }
        }
    }
}

fn to_append_request(request: AppendEntriesRequest<Types>) -> AppendRequest {
    AppendRequest {
        vote: from_raft_vote(&request.vote),
        previous: request.prev_log_id.map(from_log_id),
        entries: request.entries.into_iter().map(|entry| entry.into_entry()).collect(),
        committed: request.leader_commit.map(from_log_id),
    }
}

fn to_append_result(reply: AppendReply) -> StreamAppendResult<Types> {
    match reply {
        AppendReply::Accepted(id) => Ok(id.map(to_log_id)),
        AppendReply::Conflict(id) => Err(StreamAppendError::Conflict(to_log_id(id))),
        AppendReply::HigherVote(vote) => Err(StreamAppendError::HigherVote(to_raft_vote(vote))),
    }
}

/// An append stream that its peer has taken.
struct Opened {
    replies: Replies<AppendReply>,
    /// How many requests have gone out; their end counts as one.
    sent: Arc<AtomicU64>,
}

impl Opened {
    fn watched(
        self,
        connection: &Connection,
    ) -> BoxStream<'_, Result<StreamAppendResult<Types>, RPCError<Types>>> {
        let Opened { replies, sent } = self;
        let watched = Watched { connection, replies, sent, received: 0, ended: false };
        stream::unfold(watched, async |mut watched: Watched<'_>| {
            watched.next().await.map(|reply| (reply, watched))
        })
        .boxed()
    }
}

/// A stream of replies that ends with a timeout when requests are under way and nothing comes back for `stall`.
struct Watched<'a> {
    connection: &'a Connection,
    replies: Replies<AppendReply>,
    sent: Arc<AtomicU64>,
    received: u64,
    ended: bool,
}

impl Watched<'_> {
    async fn next(&mut self) -> Option<Result<StreamAppendResult<Types>, RPCError<Types>>> {
        let next = self.wait().await;
        if matches!(next, Some(Err(_))) {
            self.connection.suspect.store(true, Ordering::Relaxed);
        }
        next
    }

    async fn wait(&mut self) -> Option<Result<StreamAppendResult<Types>, RPCError<Types>>> {
        let stall = self.connection.stall;
        while !self.ended {
            let under_way = self.sent.load(Ordering::Relaxed) > self.received;
            match runtime::timeout(stall, self.replies.next()).await {
                Ok(Some(Ok(reply))) => {
                    self.received += 1;
                    return Some(Ok(to_append_result(reply)));
                }
                Ok(Some(Err(error))) => {
                    self.ended = true;
                    return Some(Err(self.connection.error(error)));
                }
                Ok(None) => self.ended = true,
                Err(_) if under_way && !planted::is(Bug::WaitForever) => {
                    crate::sometimes!("a stream of appends stands still, and is given up");
                    self.ended = true;
                    return Some(Err(self.connection.timeout(RPCTypes::AppendEntries, stall)));
                }
                Err(_) => {}
            }
        }
        None
    }
}

impl RaftNetworkV2<Types> for Connection {
    type SnapshotData = SnapshotHandle;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        let input = stream::once(async move { request }).boxed();
        let mut replies = self.stream(input).await?.watched(self);
        match replies.next().await {
            Some(reply) => reply.map(AppendEntriesResponse::from),
            None => Err(RPCError::Network(NetworkError::from_string("the append stream ended early"))),
        }
    }

    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        _option: RPCOption,
    ) -> BoxFuture<
        's,
        Result<BoxStream<'s, Result<StreamAppendResult<Types>, RPCError<Types>>>, RPCError<Types>>,
    >
    where
        S: Stream<Item = AppendEntriesRequest<Types>> + OptionalSend + Unpin + 'static,
    {
        let connection = self;
        async move {
            connection.wait_to_reopen().await;
            let opened = connection.stream(input).await;
            let failed = opened.is_err();
            connection.unopened = connection.unopened.map(|n| if failed { n.saturating_add(1) } else { 0 });
            Ok(opened?.watched(connection))
        }
        .boxed()
    }

    async fn vote(
        &mut self,
        request: RaftVoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        let route = self.peers.route(self.target);
        let asked = from_raft_vote(&request.vote);
        let endpoint = self.endpoint();
        let call = endpoint.vote(route, to_vote_request(request));
        let reply = self.call(RPCTypes::Vote, option.hard_ttl(), call).await;
        reply.or_else(|silence| silent_vote(asked, silence)).map(to_vote_response)
    }

    async fn pre_vote(
        &mut self,
        request: RaftVoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        let route = self.peers.route(self.target);
        let asked = from_raft_vote(&request.vote);
        let endpoint = self.endpoint();
        let call = endpoint.pre_vote(route, to_vote_request(request));
        let reply = self.call(RPCTypes::Vote, option.hard_ttl(), call).await;
        reply.or_else(|silence| silent_vote(asked, silence)).map(to_vote_response)
    }

    async fn full_snapshot(
        &mut self,
        vote: VoteOf<Types>,
        snapshot: SnapshotOf<Types, SnapshotHandle>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let sending = pin!(self.send_snapshot(vote, snapshot.snapshot));
        let cancel = pin!(cancel);
        let sent = select(cancel, sending).await;
        self.peers.sends(self.target, None);
        match sent {
            Either::Left((closed, _)) => {
                crate::sometimes!("a leader is deposed while it sends a snapshot");
                Err(StreamingError::Closed(closed))
            }
            Either::Right((sent, _)) => sent.map_err(StreamingError::from),
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types>, RPCError<Types>> {
        let route = self.peers.route(self.target);
        let request = TransferRequest {
            from_leader: from_raft_vote(request.from_leader()),
            to: *request.to_node_id(),
            last: request.last_log_id().copied().map(from_log_id),
        };
        let endpoint = self.endpoint();
        self.call(RPCTypes::TransferLeader, option.hard_ttl(), endpoint.transfer(route, request)).await?;
        Ok(Ok(()))
    }
}

fn to_vote_request(request: RaftVoteRequest<Types>) -> VoteRequest {
    VoteRequest {
        vote: from_raft_vote(&request.vote),
        last: request.last_log_id.map(from_log_id),
        leadership_transfer: request.leadership_transfer,
    }
}

/// What it means that a peer was asked for a vote and did not answer: nothing.
fn silent_vote(asked: Vote, silence: RPCError<Types>) -> Result<VoteReply, RPCError<Types>> {
    match planted::is(Bug::CountSilentVotes) {
        true => Ok(VoteReply { vote: asked, granted: true, last: None }),
        false => Err(silence),
    }
}

fn to_vote_response(reply: VoteReply) -> VoteResponse<Types> {
    VoteResponse::new(to_raft_vote(reply.vote), reply.last.map(to_log_id), reply.granted)
}
