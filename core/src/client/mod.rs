//! The client: a handle to propose commands, ask queries and follow the log, typed at the edge and bytes inside.
//!
//! Clones share one line to the cluster, another one for commands without a session, and a third one for queries: what many
//! callers propose or ask while a message is under way travels as the next one. A handle from [`crate::node::Node::client`] begins at that node; one from
//! [`Client::over`] at any of the nodes it was given. Either way a command finds the leader by itself.
//!
//! # Exactly once
//!
//! A client opens a session with its first command, and numbers its commands in it ([`crate::session`]). It sends them again
//! as often as need be, through changes of the leader and restarts of the cluster, and each takes effect once, in the order in
//! which they were sent. A caller who does not want to wait longer is told whether the command is certainly not committed or
//! unknown; with an [`Attempt`] it may go on waiting for the very same command.
//!
//! Callers whose requests come from elsewhere, and may come twice, have a [`Key`] for each: a name of theirs and a number. And
//! [`Client::without_session`] is for those who want a plain log: a command whose outcome is unknown may be there once, or not, and
//! proposing it again may carry it out twice.

mod command;
mod batch;
mod key;
mod line;
mod query;
mod asking;
mod unsettled;

use std::collections::BTreeMap;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::codec::{Bincode, Codec};
use crate::error::ProposeError;
use crate::outcome::not_committed;
use crate::planted::{self, Bug};
use crate::queue::Queue;
use crate::record::PAYLOAD_BYTES_MAX;
use crate::reply::{Reply, replies};
use crate::runtime::{self, Instant, Task};
use crate::service::Service;
use crate::session::Opened;
use crate::subscription::Subscription;
use crate::transport::{Endpoint, Outcome, ProposalKind, Transport};
use asking::Asking;
use command::{Command, Content, Numbered, Ticket};
pub use key::{KEYS_KEPT, Key};
use line::Line;
use query::Question;

/// Beyond its deadline, a caller waits so long for the outcome that is about to be given.
const GRACE: Duration = Duration::from_millis(50);

/// How a client behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientOptions {
    /// How long it waits for each command and query. By default 5 s.
    pub timeout: Duration,
    /// After how long a rest, by log time, the cluster forgets its session. By default an hour. A client that merely rests does not
    /// notice; but a command whose outcome was unknown all that time can then no longer be found out.
    pub session_expiry: Duration,
    /// The same for the sessions behind [`Key`]s. By default a day.
    pub key_expiry: Duration,
}

impl Default for ClientOptions {
    fn default() -> Self {
        ClientOptions {
            timeout: Duration::from_secs(5),
            session_expiry: Duration::from_secs(3600),
            key_expiry: Duration::from_secs(24 * 3600),
        }
    }
}

/// A command that was carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed<R> {
    /// Its log index.
    pub index: u64,
    /// What the state machine answered.
    pub reply: R,
}

/// A query that was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered<A> {
    /// The log index at which the state was read.
    pub index: u64,
    /// The answer.
    pub answer: A,
}

/// A handle on a replicated `S`. Cheap to clone; all clones share one line.
pub struct Client<S> {
    core: Core,
    numbered: Numbered,
    /// The highest log index seen, for a handle that never goes back.
    seen: Option<Arc<AtomicU64>>,
    timeout: Duration,
    types: PhantomData<fn() -> S>,
}

impl<S> Clone for Client<S> {
    fn clone(&self) -> Self {
        let Client { core, numbered, seen, timeout, .. } = self;
        Client {
            core: core.clone(),
            numbered: *numbered,
            seen: seen.clone(),
            timeout: *timeout,
            types: PhantomData,
        }
    }
}

impl<S> std::fmt::Debug for Client<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

/// The line and what belongs to it, without types.
#[derive(Clone)]
pub(crate) struct Core {
    shared: Arc<Shared>,
}

struct Shared {
    /// For what may be sent again.
    line: Way<Command>,
    /// For commands without a session. A node that has such a command and does not answer must be waited for, and nothing else
    /// should have to wait with it.
    plain_line: Way<Command>,
    /// For queries, which need no leader and no order.
    queries: Way<Question>,
    nodes: Arc<Nodes>,
    options: ClientOptions,
    /// The sessions of names, as far as this client has met them.
    names: Mutex<BTreeMap<String, u64>>,
    /// How many callers wait.
    calling: AtomicUsize,
}

/// A caller who waits, until it is dropped.
struct Calling<'a>(&'a Shared);

impl Drop for Calling<'_> {
    fn drop(&mut self) {
        self.0.calling.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What waits, and the task that sends it.
struct Way<T> {
    waiting: Arc<Queue<T>>,
    task: Task,
}

impl<T> Way<T> {
    fn open<F>(send: impl FnOnce(Arc<Queue<T>>) -> F) -> Way<T>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let waiting = Arc::new(Queue::default());
        let task = runtime::spawn(send(waiting.clone()));
        Way { waiting, task }
    }
}

impl<T> Drop for Way<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Core {
    /// A line to the nodes behind `endpoints`. Must be called within the runtime.
    pub(crate) fn new(endpoints: Vec<Arc<dyn Endpoint>>, options: ClientOptions) -> Self {
        let nodes = Arc::new(Nodes { endpoints, turn: AtomicUsize::new(0) });
        let send = |waiting| Line::new(waiting, nodes.clone(), options.session_expiry).run();
        let (line, plain_line) = (Way::open(send), Way::open(send));
        let queries = Way::open(|waiting| Asking::new(waiting, nodes.clone()).run());
        let (names, calling) = (Mutex::default(), AtomicUsize::new(0));
        Core { shared: Arc::new(Shared { line, plain_line, queries, nodes, options, names, calling }) }
    }

    /// Refuses what waits and what comes, and gives up what is under way.
    pub(crate) fn close(&self, reason: &str) {
        self.shared.line.waiting.close(reason);
        self.shared.plain_line.waiting.close(reason);
        self.shared.queries.waiting.close(reason);
    }

    pub(crate) fn nodes(&self) -> &Arc<Nodes> {
        &self.shared.nodes
    }

    fn calling(&self) -> Calling<'_> {
        self.shared.calling.fetch_add(1, Ordering::SeqCst);
        Calling(&self.shared)
    }

    /// Whether a caller waits for what became of a command or a query.
    pub(crate) fn is_awaited(&self) -> bool {
        self.shared.calling.load(Ordering::SeqCst) > 0
    }
}

/// The nodes that a client knows, and the one that last served it.
pub(crate) struct Nodes {
    endpoints: Vec<Arc<dyn Endpoint>>,
    turn: AtomicUsize,
}

impl Nodes {
    /// The node to ask, and its turn.
    pub(crate) fn preferred(&self) -> (usize, Arc<dyn Endpoint>) {
        let turn = self.turn.load(Ordering::Relaxed);
        (turn, self.endpoints[turn % self.endpoints.len()].clone())
    }

    /// Whether there is no other one to go on to.
    pub(crate) fn is_single(&self) -> bool {
        self.endpoints.len() == 1
    }

    /// Goes on to the next node, unless somebody else has done so since that turn: two who leave the same node together must not
    /// pass by the one behind it.
    pub(crate) fn leave(&self, turn: usize) {
        // An error means that somebody else has.
        let _ = self.turn.compare_exchange(turn, turn.wrapping_add(1), Ordering::Relaxed, Ordering::Relaxed);
    }
}

impl<S: Service> Client<S> {
    pub(crate) fn of(core: Core) -> Self {
        let timeout = core.shared.options.timeout;
        Client { core, numbered: Numbered::Own, seen: None, timeout, types: PhantomData }
    }

    /// A handle that reaches the nodes at `addresses` by `transport`. It connects when it is first used, and goes on to the
    /// next node when one cannot be reached, or gets nothing to a leader.
    ///
    /// Must be called within the runtime.
    ///
    /// # Panics
    /// If there is no address.
    pub fn over(transport: &dyn Transport, addresses: impl IntoIterator<Item = String>) -> Self {
        Client::over_with(transport, addresses, ClientOptions::default())
    }

    /// The same with other options.
    ///
    /// # Panics
    /// If there is no address.
    pub fn over_with(
        transport: &dyn Transport,
        addresses: impl IntoIterator<Item = String>,
        options: ClientOptions,
    ) -> Self {
        let endpoints: Vec<_> = addresses.into_iter().map(|address| transport.endpoint(&address)).collect();
        assert!(!endpoints.is_empty(), "a client needs the address of at least one node");
        Client::of(Core::new(endpoints, options))
    }

    /// The same handle with another time to wait for each command and query.
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        Client { timeout, ..self.clone() }
    }

    /// A handle whose commands are in no session: at least once if they are proposed until one is acknowledged, and never kept track
    /// of. Cheaper by a little, and safe only where a command that is carried out twice does no harm.
    pub fn without_session(&self) -> Self {
        Client { numbered: Numbered::None, ..self.clone() }
    }

    /// A handle that never goes back in time: each of its reads, at whatever replica and however stale, is from no earlier log
    /// index than all that this handle and its clones have been answered with before. It waits for a replica that is behind.
    pub fn monotonic(&self) -> Self {
        Client { seen: Some(Arc::default()), ..self.clone() }
    }

    /// The highest log index that a [`Client::monotonic`] handle has seen; 0 for others. To hand it on, read
    /// [`crate::transport::Read::AtLeast`] it elsewhere.
    pub fn seen(&self) -> u64 {
        self.seen.as_ref().map_or(0, |seen| seen.load(Ordering::SeqCst))
    }

    fn see(&self, index: u64) {
        if let Some(seen) = &self.seen
            && !planted::is(Bug::ForgetSeen)
        {
            seen.fetch_max(index, Ordering::SeqCst);
        }
    }

    /// Proposes a command (a request, in the primary-backup model) and waits until it is committed and applied.
    ///
    /// Dropping the future does not take the command back.
    ///
    /// # Errors
    /// [`ProposeError::NotCommitted`] only where that is certain; after the timeout usually [`ProposeError::Unknown`].
    pub async fn propose(&self, proposal: S::Proposal) -> Result<Committed<S::Reply>, ProposeError> {
        let _calling = self.core.calling();
        let deadline = Instant::now() + self.timeout;
        let payload = encode(&proposal)?;
        let mut under_way = self.send(ProposalKind::Commands, self.numbered, payload, deadline);
        self.read_outcome(under_way.outcome(deadline).await)
    }

    /// Prepares a command to be proposed. It is sent when [`Attempt::outcome`] is first asked for.
    ///
    /// # Errors
    /// [`ProposeError::NotCommitted`] if it cannot be encoded or is too large.
    pub fn attempt(&self, proposal: S::Proposal) -> Result<Attempt<S>, ProposeError> {
        Ok(Attempt {
            client: self.clone(),
            payload: encode(&proposal)?,
            numbered: self.numbered,
            under_way: None,
        })
    }

    fn send(&self, kind: ProposalKind, numbered: Numbered, payload: Vec<u8>, deadline: Instant) -> Pending {
        self.send_content(kind, numbered, Content::One(payload), deadline)
    }

    fn send_content(
        &self,
        kind: ProposalKind,
        numbered: Numbered,
        content: Content,
        deadline: Instant,
    ) -> Pending {
        let (done, outcome) = oneshot::channel();
        let ticket = Arc::new(Ticket::default());
        let command =
            Command { kind, numbered, content, deadline, ticket: ticket.clone(), done, in_doubt: false };
        let Shared { line, plain_line, .. } = &*self.core.shared;
        let way = if command.is_repeatable() { line } else { plain_line };
        way.waiting.push(command);
        Pending { outcome, ticket }
    }

    fn read_outcome(&self, outcome: Outcome) -> Result<Committed<S::Reply>, ProposeError> {
        match outcome {
            Outcome::Committed { first_index, replies } => {
                self.see(first_index);
                decode_reply::<S>(first_index, replies)
            }
            Outcome::NotCommitted { reason, .. } => Err(ProposeError::NotCommitted { reason }),
            Outcome::Unknown { reason } => Err(ProposeError::Unknown { reason }),
            Outcome::Expired => Err(ProposeError::Expired {
                reason:
                    "whether the command was carried out before is no longer known, and it will not be now"
                        .to_owned(),
            }),
            Outcome::ReplyGone { index } => {
                self.see(index);
                Err(ProposeError::ReplyGone { index: (index > 0).then_some(index) })
            }
            Outcome::Parts(_) => {
                Err(ProposeError::Unknown { reason: "one command was answered as several".to_owned() })
            }
        }
    }

    /// Follows the log from the record `from` on: everything that is committed, in order, each once.
    pub fn subscribe(&self, from: u64) -> Subscription<S> {
        Subscription::new(self.core.nodes().clone(), from.max(1))
    }

    /// Takes the state as a replica has it now, and follows the log from there on.
    pub fn subscribe_with_state(&self) -> Subscription<S> {
        Subscription::new(self.core.nodes().clone(), 0).or_state()
    }
}

/// One command, proposed once however often its outcome is asked for.
pub struct Attempt<S> {
    client: Client<S>,
    payload: Vec<u8>,
    numbered: Numbered,
    under_way: Option<Pending>,
}

impl<S> std::fmt::Debug for Attempt<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attempt").field("sent", &self.under_way.is_some()).finish_non_exhaustive()
    }
}

impl<S: Service> Attempt<S> {
    /// Proposes the command, if it is not under way, and waits for its outcome as long as the client waits.
    ///
    /// After [`ProposeError::Unknown`] it may be called again, and goes on waiting for the same command; after
    /// [`ProposeError::NotCommitted`] it proposes it anew. Any other outcome is given once: whoever asks again is told that it is no
    /// longer to be found out. Dropping the attempt does not take the command back.
    ///
    /// # Errors
    /// As [`Client::propose`].
    pub async fn outcome(&mut self) -> Result<Committed<S::Reply>, ProposeError> {
        let _calling = self.client.core.calling();
        let deadline = Instant::now() + self.client.timeout;
        let under_way = self.under_way.get_or_insert_with(|| {
            self.client.send(ProposalKind::Commands, self.numbered, self.payload.clone(), deadline)
        });
        let outcome = under_way.outcome(deadline).await;
        if matches!(outcome, Outcome::NotCommitted { .. }) {
            self.under_way = None;
        }
        self.client.read_outcome(outcome)
    }
}

/// A command that was handed to the line.
struct Pending {
    outcome: oneshot::Receiver<Outcome>,
    ticket: Arc<Ticket>,
}

impl Pending {
    async fn outcome(&mut self, deadline: Instant) -> Outcome {
        let stopped = "the node stopped while the command was under way";
        if self.outcome.is_terminated() {
            return Outcome::Unknown {
                reason: "what became of the command is no longer to be found out".to_owned(),
            };
        }
        let late = deadline + GRACE;
        let outcome = std::future::poll_fn(|context| match Pin::new(&mut self.outcome).poll(context) {
            Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
            Poll::Pending => self.ticket.poll_late(late, context).map(|()| None),
        });
        match outcome.await {
            Some(Ok(outcome)) => outcome,
            Some(Err(_)) => Outcome::Unknown { reason: stopped.to_owned() },
            None if self.ticket.abandon() => {
                crate::sometimes!("a caller gives up a command that was never sent");
                not_committed("no leader took the command before its deadline")
            }
            None => Outcome::Unknown {
                reason: "the command was proposed, but no majority confirmed it before its deadline"
                    .to_owned(),
            },
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn encode<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, ProposeError> {
    let refused = |reason| ProposeError::NotCommitted { reason };
    let payload =
        Bincode::encode(value).map_err(|e| refused(format!("the command cannot be encoded: {e}")))?;
    if payload.len() > PAYLOAD_BYTES_MAX {
        let bytes = payload.len();
        return Err(refused(format!(
            "the command has {bytes} bytes, at most {PAYLOAD_BYTES_MAX} are allowed"
        )));
    }
    Ok(payload)
}

fn read_opened(run: Bytes) -> Option<Opened> {
    match replies(run).next() {
        Some(Reply::Reply(bytes)) => Bincode::decode(&bytes).ok(),
        _ => None,
    }
}

fn decode_reply<S: Service>(index: u64, run: Bytes) -> Result<Committed<S::Reply>, ProposeError> {
    let disagree = |reason: String| ProposeError::Codec { index: Some(index), reason };
    match replies(run).next() {
        Some(Reply::Reply(bytes)) => match Bincode::decode(&bytes) {
            Ok(reply) => Ok(Committed { index, reply }),
            Err(error) => Err(disagree(format!("the reply cannot be decoded: {error}"))),
        },
        Some(Reply::Undecodable(reason)) => {
            Err(disagree(format!("no replica can decode the command: {reason}")))
        }
        None => Err(disagree("the reply did not arrive whole".to_owned())),
    }
}
