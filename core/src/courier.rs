//! Carries a follower's proposals over one stream to the leader, and their outcomes back.
//!
//! What is sent and not answered when the stream ends has an unknown outcome. Whatever the leader says is passed on as it is:
//! only a client knows in which order to try again.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, StreamExt};
use tokio::sync::mpsc;

use crate::outcome::{not_committed, unknown};
use crate::planted::{self, Bug};
use crate::proposal::{Batch, Proposal};
use crate::queue::Queue;
use crate::runtime;
use crate::transport::{
    Endpoint, Outcome, ProposeOpen, ProposeReply, ProposeRequest, Replies, TransportError, TransportResult,
};

/// How often a courier looks for callers who have given up.
const TICK: Duration = Duration::from_millis(20);

/// How many batches may be under way on a stream. While they are, the next ones grow.
const UNDER_WAY_MAX: usize = 4;

/// Why a courier stopped.
#[derive(Debug)]
pub(crate) enum End {
    /// It was told to; what is under way is still waited for, in the background.
    Told,
    /// The stream could not be opened, broke, or gave no answer in time.
    Broken(TransportError),
    /// The other side could not take a proposal.
    Refused,
}

/// Delivers what is queued until the stream ends or `until` is ready.
pub(crate) async fn deliver(
    endpoint: &Arc<dyn Endpoint>,
    open: ProposeOpen,
    queue: &Arc<Queue<Proposal>>,
    opening: Duration,
    until: impl Future<Output = ()>,
) -> End {
    let (requests, replies) = match open_stream(endpoint, open, opening).await {
        Ok(stream) => stream,
        Err(error) => return End::Broken(error),
    };
    let mut courier =
        Courier { queue: queue.clone(), requests, replies, under_way: BTreeMap::new(), next_id: 0 };
    let end = courier.run(until).await;
    match end {
        End::Broken(ref error) => {
            let reason = format!("the way to the leader broke while the command was under way: {error}");
            for batch in std::mem::take(&mut courier.under_way).into_values() {
                crate::sometimes!("the way to the leader breaks under a forwarded command");
                batch.finish(match planted::is(Bug::RefuseForwarded) {
                    true => not_committed(reason.clone()),
                    false => unknown(reason.clone()),
                });
            }
        }
        End::Told | End::Refused => courier.settle(),
    }
    end
}

/// Opens a propose stream: where requests go in, and where replies come out.
pub(crate) async fn open_stream(
    endpoint: &Arc<dyn Endpoint>,
    open: ProposeOpen,
    patience: Duration,
) -> TransportResult<(mpsc::UnboundedSender<ProposeRequest>, Replies<ProposeReply>)> {
    let (requests, outgoing) = outgoing();
    match runtime::timeout(patience, endpoint.propose(open, outgoing)).await {
        Ok(replies) => Ok((requests, replies?)),
        Err(_) => Err(no_answer()),
    }
}

/// Where requests go in, and the stream of them.
pub(crate) fn outgoing<T: Send + 'static>() -> (mpsc::UnboundedSender<T>, BoxStream<'static, T>) {
    let (requests, outgoing) = mpsc::unbounded_channel();
    let outgoing = stream::unfold(outgoing, async |mut outgoing: mpsc::UnboundedReceiver<T>| {
        outgoing.recv().await.map(|request| (request, outgoing))
    });
    (requests, outgoing.boxed())
}

pub(crate) fn no_answer() -> TransportError {
    TransportError::Broken { address: "the other side".to_owned(), reason: "it does not answer".to_owned() }
}

struct Courier {
    queue: Arc<Queue<Proposal>>,
    requests: mpsc::UnboundedSender<ProposeRequest>,
    replies: Replies<ProposeReply>,
    under_way: BTreeMap<u64, Batch>,
    next_id: u64,
}

impl Courier {
    async fn run(&mut self, until: impl Future<Output = ()>) -> End {
        let mut until = pin!(until.fuse());
        let queue = self.queue.clone();
        loop {
            let free = self.under_way.len() < UNDER_WAY_MAX;
            tokio::select! {
                biased;
                () = &mut until => return End::Told,
                reply = self.replies.next() => match reply {
                    Some(Ok(reply)) => {
                        if !self.settle_one(reply) {
                            return End::Refused;
                        }
                    }
                    Some(Err(error)) => return End::Broken(error),
                    None => return End::Broken(no_answer()),
                },
                () = queue.wait(), if free => {
                    runtime::yield_now().await;
                    if let Some(batch) = Batch::take(&queue) {
                        self.send(batch);
                    }
                }
                () = runtime::sleep(TICK), if !self.under_way.is_empty() => {
                    queue.expire();
                    if self.under_way.values().all(Batch::is_past) {
                        crate::sometimes!("a leader does not answer forwarded commands before their deadlines");
                        return End::Broken(no_answer());
                    }
                }
            }
        }
    }

    fn send(&mut self, batch: Batch) {
        let id = self.next_id;
        self.next_id += 1;
        let request = ProposeRequest {
            id,
            kind: batch.kind,
            timeout_ms: u64::try_from(batch.patience().as_millis()).unwrap_or(u64::MAX),
            codec: batch.codec,
            count: batch.count,
            run: batch.run.clone(),
        };
        self.under_way.insert(id, batch);
        // If nobody receives any more, the stream of replies is about to say so.
        let _ = self.requests.send(request);
    }

    /// Hands out one outcome. `false` if the other side refused what it might have taken.
    fn settle_one(&mut self, reply: ProposeReply) -> bool {
        let Some(batch) = self.under_way.remove(&reply.id) else { return true };
        let refused = matches!(reply.outcome, Outcome::NotCommitted { retry: true, .. });
        batch.finish(reply.outcome);
        !refused
    }

    /// Waits in the background for what is under way, sending nothing more.
    fn settle(self) {
        if self.under_way.is_empty() {
            return;
        }
        crate::sometimes!("the leader changes while forwarded commands are under way");
        let Courier { requests, mut replies, mut under_way, .. } = self;
        drop(requests);
        runtime::spawn(async move {
            while !under_way.values().all(Batch::is_past) {
                match runtime::timeout(TICK, replies.next()).await {
                    Err(_) => {}
                    Ok(Some(Ok(reply))) => {
                        if let Some(batch) = under_way.remove(&reply.id) {
                            batch.finish(reply.outcome);
                        }
                    }
                    Ok(_) => break,
                }
            }
            for batch in under_way.into_values() {
                batch.finish(unknown("the leader changed while the command was under way"));
            }
        });
    }
}
