//! The client: a handle to propose commands and ask queries, typed at the edge and bytes inside.
//!
//! Clones share one queue and one stream: what many callers propose while a batch is under way travels as the next one. A
//! handle from [`crate::node::Node::client`] goes through that node's own queue; one from [`Client::over`] travels to
//! any of the nodes it was given, and on to the leader from there.
//!
//! Until sessions exist, a command whose outcome is unknown must not be proposed again blindly: it may be carried out twice.

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::oneshot;

use crate::codec::{Bincode, Codec};
use crate::courier::{End, deliver};
use crate::error::{ProposeError, QueryError};
use crate::queue::{Done, Proposal, Queue, Ticket};
use crate::record::{PAYLOAD_BYTES_MAX, push_record};
use crate::reply::{Reply, replies};
use crate::runtime::{self, Instant, Task};
use crate::state_machine::StateMachine;
use crate::transport::{Endpoint, Outcome, ProposeOpen, QueryReply, QueryRequest, Read, Transport};

/// How long a client waits unless it is told otherwise.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How long connecting and opening a stream may take before another node is tried.
const OPENING: Duration = Duration::from_secs(1);

/// Between attempts when no node can be reached.
const PAUSE: Duration = Duration::from_millis(20);

/// Beyond its deadline, a local caller waits so long for the outcome that the node is about to give.
const GRACE: Duration = Duration::from_millis(50);

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

/// A handle on a replicated `S`. Cheap to clone; all clones share one stream.
pub struct Client<S> {
    shared: Arc<Shared>,
    timeout: Duration,
    types: PhantomData<fn() -> S>,
}

impl<S> Clone for Client<S> {
    fn clone(&self) -> Self {
        Client { shared: self.shared.clone(), timeout: self.timeout, types: PhantomData }
    }
}

impl<S> std::fmt::Debug for Client<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

struct Shared {
    queue: Arc<Queue>,
    nodes: Arc<Nodes>,
    /// Carries the queue to a node; none where the queue is a node's own.
    courier: Option<Task>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(courier) = &self.courier {
            courier.abort();
        }
    }
}

/// The nodes that a client knows, and the one that last served it.
struct Nodes {
    endpoints: Vec<Arc<dyn Endpoint>>,
    preferred: AtomicUsize,
}

impl Nodes {
    fn preferred(&self) -> Arc<dyn Endpoint> {
        self.endpoints[self.preferred.load(Ordering::Relaxed) % self.endpoints.len()].clone()
    }

    fn try_next(&self) {
        self.preferred.fetch_add(1, Ordering::Relaxed);
    }
}

impl<S: StateMachine> Client<S> {
    pub(crate) fn local(queue: Arc<Queue>, node: Arc<dyn Endpoint>) -> Self {
        let nodes = Arc::new(Nodes { endpoints: vec![node], preferred: AtomicUsize::new(0) });
        Client::new(Shared { queue, nodes, courier: None })
    }

    fn new(shared: Shared) -> Self {
        Client { shared: Arc::new(shared), timeout: TIMEOUT, types: PhantomData }
    }

    /// A handle that reaches the nodes at `addresses` by `transport`. It connects when it is first used, and goes on to the
    /// next node when one cannot be reached, or gets nothing to a leader.
    ///
    /// Must be called within the runtime.
    ///
    /// # Panics
    /// If there is no address.
    pub fn over(transport: &dyn Transport, addresses: impl IntoIterator<Item = String>) -> Self {
        let endpoints: Vec<_> = addresses.into_iter().map(|address| transport.endpoint(&address)).collect();
        assert!(!endpoints.is_empty(), "a client needs the address of at least one node");
        let nodes = Arc::new(Nodes { endpoints, preferred: AtomicUsize::new(0) });
        let queue = Arc::new(Queue::default());
        let courier = runtime::spawn(carry(queue.clone(), nodes.clone()));
        Client::new(Shared { queue, nodes, courier: Some(courier) })
    }

    /// The same handle with another time to wait for each command and query.
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        Client { timeout, ..self.clone() }
    }

    /// Proposes a command and waits until it is committed and applied.
    ///
    /// Dropping the future does not take the command back.
    ///
    /// # Errors
    /// [`ProposeError::NotCommitted`] only where that is certain; after the timeout usually [`ProposeError::Unknown`].
    pub async fn propose(&self, command: S::Command) -> Result<Committed<S::Reply>, ProposeError> {
        let payload = Bincode::encode(&command).map_err(|e| ProposeError::NotCommitted {
            reason: format!("the command cannot be encoded: {e}"),
        })?;
        if payload.len() > PAYLOAD_BYTES_MAX {
            let reason =
                format!("the command has {} bytes, at most {PAYLOAD_BYTES_MAX} are allowed", payload.len());
            return Err(ProposeError::NotCommitted { reason });
        }
        let mut run = BytesMut::new();
        push_record(&mut run, 0, 0, &payload);
        match self.submit(run.freeze(), 1).await {
            Outcome::Committed { first_index, replies } => decode_reply::<S>(first_index, replies),
            Outcome::NotCommitted { reason, .. } => Err(ProposeError::NotCommitted { reason }),
            Outcome::Unknown { reason } => Err(ProposeError::Unknown { reason }),
        }
    }

    async fn submit(&self, run: Bytes, count: u32) -> Outcome {
        let (done, outcome) = oneshot::channel();
        let ticket = Arc::new(Ticket::default());
        self.shared.queue.push(Proposal {
            run,
            count,
            codec: Bincode::ID,
            deadline: Instant::now() + self.timeout,
            ticket: ticket.clone(),
            done: Done::Caller(done),
        });
        match runtime::timeout(self.timeout + GRACE, outcome).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => {
                Outcome::Unknown { reason: "the node stopped while the command was under way".to_owned() }
            }
            Err(_) if ticket.abandon() => Outcome::NotCommitted {
                reason: "no leader took the command before its deadline".to_owned(),
                retry: true,
                leader: None,
            },
            Err(_) => Outcome::Unknown {
                reason: "the command was proposed, but no majority confirmed it before its deadline"
                    .to_owned(),
            },
        }
    }

    /// Asks a question about the state.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if no node could answer as freshly as was asked before the timeout,
    /// [`QueryError::Codec`] if client and replica disagree on the types.
    pub async fn query(&self, query: S::Query, read: Read) -> Result<Answered<S::Answer>, QueryError> {
        let query = Bincode::encode(&query).map_err(|e| QueryError::Codec { reason: e.to_string() })?;
        let query = Bytes::from(query);
        let deadline = Instant::now() + self.timeout;
        let mut reason = "no node can be reached".to_owned();
        loop {
            let left = Instant::now().until(deadline);
            if left.is_zero() {
                return Err(QueryError::Unavailable { reason });
            }
            let timeout_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
            let request = QueryRequest { group: 0, read, timeout_ms, query: query.clone() };
            let endpoint = self.shared.nodes.preferred();
            match runtime::timeout(left + GRACE, endpoint.query(request)).await {
                Ok(Ok(QueryReply::Answer { index, answer })) => {
                    let answer =
                        Bincode::decode(&answer).map_err(|e| QueryError::Codec { reason: e.to_string() })?;
                    return Ok(Answered { index, answer });
                }
                Ok(Ok(QueryReply::Failed { reason, malformed: true })) => {
                    return Err(QueryError::Codec { reason });
                }
                Ok(Ok(QueryReply::Failed { reason, malformed: false })) => {
                    // Its time is over, but the next query need not wait for a node that is cut off.
                    self.shared.nodes.try_next();
                    return Err(QueryError::Unavailable { reason });
                }
                // Asking again is harmless, so another node gets its chance.
                Ok(Err(error)) => reason = error.to_string(),
                Err(_) => reason = "the node does not answer".to_owned(),
            }
            self.shared.nodes.try_next();
            runtime::sleep(PAUSE).await;
        }
    }
}

fn decode_reply<S: StateMachine>(index: u64, run: Bytes) -> Result<Committed<S::Reply>, ProposeError> {
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

/// Carries a client's queue to one node after the other.
async fn carry(queue: Arc<Queue>, nodes: Arc<Nodes>) {
    loop {
        queue.wait().await;
        let endpoint = nodes.preferred();
        let open = ProposeOpen { group: 0, forwarded: false };
        match deliver(&endpoint, open, &queue, OPENING, std::future::pending()).await {
            End::Told => {}
            // It can be reached, but does not get anything to a leader: it may be cut off from the others.
            End::Refused => {
                nodes.try_next();
                runtime::sleep(PAUSE).await;
            }
            End::Broken(error) => {
                tracing::debug!(%error, "tries another node");
                nodes.try_next();
                runtime::sleep(PAUSE).await;
            }
        }
        queue.expire();
    }
}
