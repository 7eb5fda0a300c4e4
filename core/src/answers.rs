//! The node's side of a stream of queries: many to a message, each answered as soon as it may be.
//!
//! All queries of a message that ask for the same freshness wait together: for one read index, which is asked for after the
//! message has come ([`crate::read`]), and until the replica has applied as far. Then those whose log index is applied too are
//! answered, and the others as it comes, the lowest first; what has to wait holds up nothing else.
//!
//! What may be answered is answered in one visit to the replica's thread, from one state. A visit is bounded ([`Bounds`]), and
//! what is left needs another one. Few are queued at a time ([`VISITS_MAX`]), so that commands that came meanwhile are applied in
//! between, however much is asked.
//!
//! A message that waits is acknowledged every [`SIGN`], so that whoever asked can tell a node that waits from one that is gone.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::future::join3;
use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::sync::{Semaphore, mpsc};

use crate::apply::Replica;
use crate::machine::Machine;
use crate::planted::{self, Bug};
use crate::query_run::{split_queries, take_query};
use crate::read::Reads;
use crate::runtime::{self, Instant};
use crate::stop::Stop;
use crate::transport::{
    Answers, Freshness, QueryOutcome, QueryReply, QueryRequest, Replies, TransportError, TransportResult,
};

#[cfg(all(test, not(madsim)))]
mod tests;

/// How often the sender of a message that waits is told that it does.
pub(crate) const SIGN: Duration = Duration::from_millis(500);

/// What the messages of one stream that wait may hold together; further ones wait in the transport. It bounds what a sender
/// can make this node hold, however long its queries have to wait.
const HELD_BYTES_MAX: usize = 64 << 20;

/// What a message takes, whatever it says.
const REQUEST_BYTES: usize = 4 << 10;

/// How many replies may wait for a sender that does not read them. Nothing is answered that has no room among them.
const AHEAD_MAX: usize = 16;

/// What one visit to the replica may take. It ends with the first of these that is reached, but answers at least one query.
struct Bounds {
    queries: u32,
    bytes: usize,
    time: Duration,
}

/// How many visits may be under way or queued on the replica's thread: while one is made, the next stands ready. Commands wait for so
/// many at most.
const VISITS_MAX: usize = 2;

/// So commands wait for queries two milliseconds at most, unless a single query takes longer; and a reply with one more answer of
/// the largest size fits into a message.
const VISIT: Bounds = Bounds { queries: 1024, bytes: 512 << 10, time: Duration::from_millis(1) };

/// What answers queries.
#[derive(Clone)]
pub(crate) struct Answering {
    pub(crate) replica: Arc<Replica>,
    pub(crate) reads: Arc<Reads>,
    pub(crate) lease_reads: Arc<Reads>,
    pub(crate) stop: Arc<Stop>,
    /// Gives leave to visit the replica, in the order in which it is asked for.
    visits: Arc<Semaphore>,
}

impl Answering {
    pub(crate) fn new(
        replica: Arc<Replica>,
        reads: Arc<Reads>,
        lease_reads: Arc<Reads>,
        stop: Arc<Stop>,
    ) -> Self {
        Answering { replica, reads, lease_reads, stop, visits: Arc::new(Semaphore::new(VISITS_MAX)) }
    }

    /// Serves one stream until its sender ends it, or the node stops.
    pub(crate) fn serve(self, requests: BoxStream<'static, QueryRequest>) -> Replies<QueryReply> {
        let (replies, outgoing) = mpsc::channel(AHEAD_MAX);
        let (stop, reason) = (self.stop.clone(), self.stop.clone());
        let stream = Stream { answering: self, replies, waiting: Arc::default() };
        runtime::spawn(async move {
            // An error means that the sender has gone.
            let _ = stream.take_all(requests).await;
        });
        let stopped = async move {
            stop.wait().await;
            crate::sometimes!("a node stops under a stream of queries");
        };
        // A node that has stopped applies nothing more: whoever asks it must go on elsewhere.
        let refusal = stream::iter([()]).filter_map(move |()| {
            let refusal = reason.get().map(|reason| Err(TransportError::Refused(reason.to_string())));
            std::future::ready(refusal)
        });
        stream::unfold(outgoing, async |mut outgoing| outgoing.recv().await.map(|reply| (reply, outgoing)))
            .take_until(stopped)
            .chain(refusal)
            .boxed()
    }

    /// Waits until this replica has applied everything that was acknowledged before this call.
    async fn catch_up(&self, reads: &Reads, deadline: Instant) -> Result<(), String> {
        let number = reads.number(deadline).await?;
        crate::sometimes!(
            self.replica.position().last.is_none_or(|last| last.number < number),
            "a read waits until its replica has applied what was committed"
        );
        if !planted::is(Bug::ReadBeforeApplied) {
            self.replica.wait_applied(number).await;
        }
        Ok(())
    }
}

/// The other side of a stream has gone.
struct Gone;

/// One stream.
struct Stream {
    answering: Answering,
    replies: mpsc::Sender<TransportResult<QueryReply>>,
    /// The messages that wait.
    waiting: Arc<Mutex<BTreeSet<u64>>>,
}

impl Stream {
    async fn take_all(self, mut requests: BoxStream<'static, QueryRequest>) -> Result<(), Gone> {
        let room = Arc::new(Semaphore::new(HELD_BYTES_MAX));
        while let Some(request) = self.meanwhile(requests.next()).await? {
            let arrived = Instant::now();
            let bytes = (REQUEST_BYTES + request.run.len()).min(HELD_BYTES_MAX);
            let Ok(held) = self.meanwhile(room.clone().acquire_many_owned(bytes as u32)).await? else {
                return Err(Gone);
            };
            let id = request.id;
            let Some([quorum, lease, any]) = parts(request, arrived) else {
                let error = TransportError::Malformed("a request does not hold its queries".to_owned());
                return self.replies.send(Err(error)).await.map_err(|_| Gone);
            };
            lock(&self.waiting).insert(id);
            let asked = Asked { id, answering: self.answering.clone(), replies: self.replies.clone() };
            let waiting = self.waiting.clone();
            runtime::spawn(async move {
                let answered = join3(
                    asked.settle(Freshness::Quorum, quorum),
                    asked.settle(Freshness::Lease, lease),
                    asked.settle(Freshness::Any, any),
                );
                tokio::select! {
                    biased;
                    () = asked.replies.closed() => {}
                    _ = answered => {}
                }
                lock(&waiting).remove(&id);
                drop(held);
            });
        }
        Ok(())
    }

    /// Waits for `future`, and gives signs of life meanwhile.
    async fn meanwhile<F: Future>(&self, future: F) -> Result<F::Output, Gone> {
        let mut future = pin!(future);
        loop {
            let waits = !lock(&self.waiting).is_empty();
            tokio::select! {
                biased;
                () = self.replies.closed() => return Err(Gone),
                output = &mut future => return Ok(output),
                () = runtime::sleep(SIGN), if waits => self.give_signs(),
            }
        }
    }

    fn give_signs(&self) {
        for id in lock(&self.waiting).iter() {
            crate::sometimes!("queries wait, and whoever asks is told that they do");
            // There is no room only if what is there already has not been read.
            let _ = self.replies.try_send(Ok(QueryReply { id: *id, answers: Vec::new() }));
        }
    }
}

/// Only for what is never held while other code runs.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no code panics while it holds this lock")
}

/// Queries that stand one after the other in their message, and wait for the same.
#[derive(Clone, Debug)]
struct Part {
    first: u32,
    count: u32,
    at_least: u64,
    deadline: Instant,
    run: Bytes,
}

/// The parts of a message that came at `arrived`, by freshness: quorum, lease, any. `None` if it does not hold what it says.
fn parts(request: QueryRequest, arrived: Instant) -> Option<[Vec<Part>; 3]> {
    let mut run = request.run;
    let mut parts = [Vec::new(), Vec::new(), Vec::new()];
    let mut first = 0_u32;
    for part in request.parts {
        let queries = split_queries(&mut run, part.count)?;
        let kind = match part.freshness {
            Freshness::Quorum => 0,
            Freshness::Lease => 1,
            Freshness::Any => 2,
        };
        parts[kind].push(Part {
            first,
            count: part.count,
            at_least: part.at_least,
            deadline: arrived + Duration::from_millis(part.timeout_ms),
            run: queries,
        });
        first = first.checked_add(part.count)?;
    }
    run.is_empty().then_some(parts)
}

/// One message.
struct Asked {
    id: u64,
    answering: Answering,
    replies: mpsc::Sender<TransportResult<QueryReply>>,
}

impl Asked {
    /// Answers these parts, or tells that they cannot be.
    async fn settle(&self, freshness: Freshness, mut parts: Vec<Part>) -> Result<(), Gone> {
        let Some(last) = parts.iter().map(|part| part.deadline).max() else { return Ok(()) };
        let Answering { replica, reads, lease_reads, .. } = &self.answering;
        let reads = match freshness {
            Freshness::Quorum => Some(reads),
            Freshness::Lease => Some(lease_reads),
            Freshness::Any => None,
        };
        if let Some(reads) = reads {
            match self.outlast(freshness, &mut parts, self.answering.catch_up(reads, last)).await? {
                Some(Ok(())) => {}
                Some(Err(reason)) => return self.fail(parts, &reason).await,
                None => return Ok(()),
            }
        }
        loop {
            let applied = replica.applied_index();
            let is_ready = |part: &Part| part.at_least <= applied || planted::is(Bug::IgnoreAtLeast);
            let (ready, later): (Vec<_>, Vec<_>) = parts.into_iter().partition(is_ready);
            crate::sometimes!(!ready.is_empty() && !later.is_empty(), "some of a message are answered early");
            self.answer(ready).await?;
            parts = later;
            let Some(lowest) = parts.iter().map(|part| part.at_least).min() else { return Ok(()) };
            crate::sometimes!("a read waits for the log index that it asks for");
            if self.outlast(freshness, &mut parts, replica.wait_index(lowest)).await?.is_none() {
                return Ok(());
            }
        }
    }

    /// Waits for `ready`; parts whose deadline passes before are told so. `None` if all have been.
    async fn outlast<F: Future>(
        &self,
        freshness: Freshness,
        parts: &mut Vec<Part>,
        ready: F,
    ) -> Result<Option<F::Output>, Gone> {
        let mut ready = pin!(ready);
        while let Some(next) = parts.iter().map(|part| part.deadline).min() {
            if let Ok(output) = runtime::timeout(Instant::now().until(next), &mut ready).await {
                return Ok(Some(output));
            }
            let now = Instant::now();
            let (late, rest) = std::mem::take(parts).into_iter().partition(|part| part.deadline <= now);
            *parts = rest;
            self.fail_late(freshness, late).await?;
        }
        Ok(None)
    }

    async fn fail_late(&self, freshness: Freshness, late: Vec<Part>) -> Result<(), Gone> {
        if freshness != Freshness::Any {
            return self.fail(late, "no majority of the members answered before the deadline").await;
        }
        for part in late {
            let index = part.at_least;
            let reason = format!("this replica did not come to log index {index} before the deadline");
            self.fail(vec![part], &reason).await?;
        }
        Ok(())
    }

    async fn fail(&self, parts: Vec<Part>, reason: &str) -> Result<(), Gone> {
        if parts.is_empty() {
            return Ok(());
        }
        let applied = self.answering.replica.applied_index();
        let failed = |part: Part| Answers {
            first: part.first,
            count: part.count,
            outcome: QueryOutcome::Failed { reason: reason.to_owned(), applied },
        };
        let answers = parts.into_iter().map(failed).collect();
        self.replies.send(Ok(QueryReply { id: self.id, answers })).await.map_err(|_| Gone)
    }

    /// Answers these parts, in as many visits as it takes.
    async fn answer(&self, mut parts: Vec<Part>) -> Result<(), Gone> {
        while !parts.is_empty() {
            let room = self.replies.reserve().await.map_err(|_| Gone)?;
            let leave = self.answering.visits.acquire().await.map_err(|_| Gone)?;
            let visited = parts.clone();
            let result =
                self.answering.replica.visit(move |machine, index| visit(machine, index, visited)).await;
            drop(leave);
            match result {
                Ok((answers, left)) => {
                    room.send(Ok(QueryReply { id: self.id, answers }));
                    parts = left;
                }
                Err(stopped) => {
                    drop(room);
                    return self.fail(parts, &stopped.to_string()).await;
                }
            }
        }
        Ok(())
    }
}

/// Answers these parts from the state at `index`, within [`VISIT`]: what was answered, and what is left.
fn visit(machine: &dyn Machine, index: u64, mut parts: Vec<Part>) -> (Vec<Answers>, Vec<Part>) {
    let until = Instant::now() + VISIT.time;
    let (mut count, mut bytes) = (0, 0);
    // Where the next query would have to stand in order to belong to what is being gathered.
    let mut gathered: Vec<(u32, u32, BytesMut)> = Vec::new();
    let mut done = 0;
    'parts: for part in &mut parts {
        while part.count > 0 {
            let is_full = count >= VISIT.queries || bytes >= VISIT.bytes || Instant::now() >= until;
            if count > 0 && is_full {
                crate::sometimes!("a message of queries takes more than one visit to the state");
                break 'parts;
            }
            if gathered.last().is_none_or(|(first, count, _)| first + count != part.first) {
                gathered.push((part.first, 0, BytesMut::new()));
            }
            let Some((_, of_these, answers)) = gathered.last_mut() else { break 'parts };
            let query =
                take_query(&mut part.run).expect("a part was split off with as many queries as it has");
            let before = answers.len();
            machine.query(&query, answers);
            bytes += answers.len() - before;
            *of_these += 1;
            count += 1;
            part.first += 1;
            part.count -= 1;
        }
        done += 1;
    }
    parts.drain(..done);
    let answered = |(first, count, answers): (u32, u32, BytesMut)| Answers {
        first,
        count,
        outcome: QueryOutcome::Answered { index, answers: answers.freeze() },
    };
    (gathered.into_iter().map(answered).collect(), parts)
}
