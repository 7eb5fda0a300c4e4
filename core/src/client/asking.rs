//! Carries a client's queries: many to a message, on one long stream to the node that the client prefers.
//!
//! What is asked while messages are under way travels as the next one; nothing waits for a timer. While [`FRESH_MAX`] messages
//! wait for their first answer, the next one grows. A message counts among those for [`TICK`] at most: what takes longer waits
//! for something other than the line, for a quorum or a log index, and must not hold up what could be answered at once.
//!
//! Asking again is harmless. If the stream breaks, or the node gives no sign for [`PATIENCE`], what was under way is asked again,
//! of the next node, until its deadline. If the node cannot answer a query, or the client turned to another node for some other
//! reason, nothing new is sent on the stream, but what is under way on it is still waited for.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::StreamExt;
use tokio::sync::mpsc;

use super::query::{Failure, Question};
use super::{GRACE, Nodes, millis};
use crate::courier::{no_answer, outgoing};
use crate::query_run::push_query;
use crate::queue::{Queue, Queued};
use crate::reply::replies;
use crate::runtime::{self, Instant};
use crate::transport::{
    Answers, Endpoint, Freshness, QueryOpen, QueryOutcome, QueryPart, QueryReply, QueryRequest, Replies,
    TransportResult,
};

/// How long connecting and opening a stream may take before another node is tried.
const OPENING: Duration = Duration::from_secs(1);

/// Between attempts.
const PAUSE: Duration = Duration::from_millis(20);

/// How often to look for callers whose time has passed.
const TICK: Duration = Duration::from_millis(20);

/// How long a node may give no sign of a message before its queries are asked elsewhere. A node that waits gives one more often
/// ([`crate::answers::SIGN`]).
const PATIENCE: Duration = Duration::from_secs(2);

/// How many messages may wait for their first answer. While they do, the next one grows.
const FRESH_MAX: usize = 4;

/// How many messages may be under way altogether, and how many bytes of queries. While they are, what comes waits in the queue,
/// which refuses what is too much.
const UNDER_WAY_MAX: usize = 1 << 10;
const UNDER_WAY_BYTES_MAX: usize = 32 << 20;

/// How many bytes of queries make a full message. A single larger query is a message of its own.
const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// How many queries make a full message.
const MESSAGE_QUERIES_MAX: usize = 8 << 10;

/// How far apart the deadlines may lie of queries that the node is told one time for, which is the latest. Less than the time that
/// a caller waits beyond its deadline.
const SPREAD: Duration = Duration::from_millis(20);

/// The task's own state.
pub(super) struct Asking {
    waiting: Arc<Queue<Question>>,
    nodes: Arc<Nodes>,
}

impl Asking {
    pub(super) fn new(waiting: Arc<Queue<Question>>, nodes: Arc<Nodes>) -> Self {
        Asking { waiting, nodes }
    }

    /// Works until the client is closed.
    pub(super) async fn run(self) {
        loop {
            self.waiting.wait_or_closed().await;
            if self.waiting.is_closed() {
                return;
            }
            let (turn, endpoint) = self.nodes.preferred();
            let pause = match self.open(&endpoint).await {
                Ok((requests, replies)) => {
                    let mut stream = Stream {
                        waiting: self.waiting.clone(),
                        nodes: self.nodes.clone(),
                        turn,
                        requests,
                        replies,
                        under_way: BTreeMap::new(),
                        bytes: 0,
                        next_id: 0,
                        next_tick: Instant::now() + TICK,
                    };
                    let end = stream.run().await;
                    if !stream.under_way.is_empty() {
                        crate::sometimes!(
                            "a client turns to another node and still waits for the one before"
                        );
                        runtime::spawn(stream.settle());
                    }
                    end == End::Again
                }
                Err(error) => {
                    tracing::debug!(%error, "a client asks another node");
                    let failure = Failure::without_answer(&error.to_string());
                    self.waiting.each(|question| question.failure = Some(failure.clone()));
                    self.nodes.leave(turn);
                    true
                }
            };
            if pause {
                runtime::sleep(PAUSE).await;
            }
            self.waiting.expire();
        }
    }

    /// Opens a stream. Whoever's time passes meanwhile is told so, and has been waiting for this node long enough.
    async fn open(
        &self,
        endpoint: &Arc<dyn Endpoint>,
    ) -> TransportResult<(mpsc::UnboundedSender<QueryRequest>, Replies<QueryReply>)> {
        let (requests, outgoing) = outgoing();
        let opening = endpoint.query(QueryOpen { group: 0 }, outgoing);
        let mut opening = pin!(runtime::timeout(OPENING, opening));
        loop {
            tokio::select! {
                biased;
                opened = &mut opening => return match opened {
                    Ok(replies) => Ok((requests, replies?)),
                    Err(_) => Err(no_answer()),
                },
                () = runtime::sleep(TICK) => if self.waiting.expire() {
                    return Err(no_answer());
                }
            }
        }
    }
}

/// Why nothing more is sent on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Queries wait to be asked again.
    Again,
    /// The client prefers another node, or is closed.
    Left,
}

/// One stream.
struct Stream {
    waiting: Arc<Queue<Question>>,
    nodes: Arc<Nodes>,
    /// The turn of its node.
    turn: usize,
    requests: mpsc::UnboundedSender<QueryRequest>,
    replies: Replies<QueryReply>,
    under_way: BTreeMap<u64, UnderWay>,
    /// What is under way holds so many bytes of queries.
    bytes: usize,
    next_id: u64,
    next_tick: Instant,
}

/// A message that has not been answered altogether.
struct UnderWay {
    /// By place; none where it is settled.
    questions: Vec<Option<Question>>,
    left: usize,
    bytes: usize,
    sent: Instant,
    /// When there was last a sign of it.
    heard: Instant,
    /// Whether some of it are answered.
    is_begun: bool,
    /// No question that is left has an earlier deadline.
    deadline: Instant,
}

impl Stream {
    /// Asks what waits, until that belongs elsewhere. What is under way then is still to be settled.
    async fn run(&mut self) -> End {
        loop {
            if let Err(end) = self.step(true).await {
                return end;
            }
        }
    }

    /// Waits for what is under way, and asks nothing new.
    async fn settle(mut self) {
        while self.under_way.values().any(UnderWay::is_awaited) {
            // Whatever else has to be said of the stream was said when it was left.
            let _ = self.step(false).await;
        }
    }

    async fn step(&mut self, asks: bool) -> Result<(), End> {
        let now = Instant::now();
        if now >= self.next_tick {
            self.next_tick = now + TICK;
            self.tick(now)?;
        }
        let is_free = asks && self.is_free(now);
        tokio::select! {
            biased;
            reply = self.replies.next() => match reply {
                Some(Ok(reply)) => self.take(reply),
                Some(Err(error)) => Err(self.give_up(&error.to_string())),
                None => Err(self.give_up("the node has ended the stream")),
            },
            () = self.waiting.wait_or_closed(), if is_free => {
                runtime::yield_now().await;
                if self.waiting.is_closed() || self.nodes.preferred().0 != self.turn {
                    return Err(End::Left);
                }
                self.ask();
                Ok(())
            }
            () = runtime::sleep(now.until(self.next_tick)), if !self.under_way.is_empty() => Ok(()),
        }
    }

    /// Whether another message may be sent.
    fn is_free(&self, now: Instant) -> bool {
        let fresh = self.under_way.values().rev().take_while(|message| message.sent.until(now) < TICK);
        self.under_way.len() < UNDER_WAY_MAX
            && self.bytes < UNDER_WAY_BYTES_MAX
            && fresh.filter(|message| !message.is_begun).count() < FRESH_MAX
    }

    /// Sends what waits as one message.
    fn ask(&mut self) {
        let mut questions = self.waiting.take(MESSAGE_BYTES_MAX, MESSAGE_QUERIES_MAX);
        let Some(deadline) = questions.iter().map(|question| question.deadline).min() else { return };
        crate::sometimes!(questions.len() > 1, "several queries travel in one message");
        questions.sort_by_key(|question| (question.freshness, least(question), question.deadline));
        let now = Instant::now();
        let mut run = BytesMut::with_capacity(questions.iter().map(Question::bytes).sum());
        for question in &questions {
            push_query(&mut run, &question.query);
        }
        let (id, bytes) = (self.next_id, run.len());
        self.next_id += 1;
        let request = QueryRequest { id, parts: parts(&questions, now), run: run.freeze() };
        let (left, questions) = (questions.len(), questions.into_iter().map(Some).collect());
        let message = UnderWay { questions, left, bytes, sent: now, heard: now, is_begun: false, deadline };
        self.bytes += bytes;
        self.under_way.insert(id, message);
        // If nobody receives any more, the stream of replies is about to say so.
        let _ = self.requests.send(request);
    }

    /// Something was answered.
    fn take(&mut self, reply: QueryReply) -> Result<(), End> {
        let Some(message) = self.under_way.get_mut(&reply.id) else { return Ok(()) };
        message.heard = Instant::now();
        let mut failed = Vec::new();
        for answers in reply.answers {
            message.is_begun = true;
            message.take(answers, &mut failed);
        }
        if message.left == 0 {
            self.bytes -= message.bytes;
            self.under_way.remove(&reply.id);
        }
        if failed.is_empty() {
            return Ok(());
        }
        if self.nodes.is_single() {
            failed.into_iter().for_each(Question::expire);
            return Ok(());
        }
        // Usually their time is over, but the next queries need not wait for a node that is cut off.
        Err(self.leave(failed))
    }

    /// Tells whoever waits too long, and finds out whether the node has gone.
    fn tick(&mut self, now: Instant) -> Result<(), End> {
        self.waiting.expire();
        let mut late = Vec::new();
        for message in self.under_way.values_mut() {
            message.take_late(now, &mut late);
        }
        let bytes = &mut self.bytes;
        self.under_way.retain(|_, message| {
            let stays = message.left > 0;
            *bytes -= if stays { 0 } else { message.bytes };
            stays
        });
        if self.under_way.values().any(|message| message.heard.until(now) > PATIENCE) {
            crate::sometimes!("a node gives no sign, and its queries are asked elsewhere");
            late.into_iter().for_each(Question::expire);
            return Err(self.give_up("the node does not answer"));
        }
        if late.is_empty() {
            return Ok(());
        }
        late.into_iter().for_each(Question::expire);
        Err(self.leave(Vec::new()))
    }

    /// Goes on to the next node. These are asked there, if there is time left.
    fn leave(&mut self, again: Vec<Question>) -> End {
        self.nodes.leave(self.turn);
        if again.is_empty() {
            return End::Left;
        }
        self.waiting.put_back(again);
        End::Again
    }

    /// The stream is of no use any more: everything that is under way is asked again.
    fn give_up(&mut self, reason: &str) -> End {
        tracing::debug!(reason, "a client's stream of queries broke");
        self.bytes = 0;
        let failure = Failure::without_answer(reason);
        let under_way = std::mem::take(&mut self.under_way);
        let mut left: Vec<Question> =
            under_way.into_values().flat_map(|message| message.questions).flatten().collect();
        if left.is_empty() {
            // It ended at rest. Whether the node is still there is found out when it is asked again.
            return End::Left;
        }
        crate::sometimes!("the way to a node breaks under queries, which are asked again");
        left.iter_mut().for_each(|question| question.failure = Some(failure.clone()));
        self.leave(left)
    }
}

impl UnderWay {
    /// Whether anybody waits for it.
    fn is_awaited(&self) -> bool {
        self.questions.iter().flatten().any(|question| !question.is_forgotten())
    }

    /// Hands out answers. Questions that could not be answered are added to `failed`.
    fn take(&mut self, answers: Answers, failed: &mut Vec<Question>) {
        let places = self.questions.iter_mut().skip(answers.first as usize).take(answers.count as usize);
        match answers.outcome {
            QueryOutcome::Answered { index, answers } => {
                let mut answers = replies(answers);
                for place in places {
                    let answer = answers.next();
                    let Some(mut question) = place.take() else { continue };
                    self.left -= 1;
                    if let Some(answer) = answer {
                        question.answer(index, answer);
                    } else {
                        question.failure = Some(Failure::without_answer("the answers did not arrive whole"));
                        failed.push(question);
                    }
                }
            }
            QueryOutcome::Failed { reason, applied } => {
                let failure = Failure { reason: reason.into(), applied: Some(applied) };
                for place in places {
                    let Some(mut question) = place.take() else { continue };
                    self.left -= 1;
                    question.failure = Some(failure.clone());
                    failed.push(question);
                }
            }
        }
    }

    /// Adds to `late` what should have been told long ago that there is no answer.
    fn take_late(&mut self, now: Instant, late: &mut Vec<Question>) {
        if now < self.deadline + GRACE {
            return;
        }
        for place in &mut self.questions {
            if let Some(mut question) = place.take_if(|question| question.deadline + GRACE <= now) {
                self.left -= 1;
                question.failure = Some(Failure::without_answer("the node does not answer"));
                late.push(question);
            }
        }
        let left = self.questions.iter().flatten().map(|question| question.deadline).min();
        self.deadline = left.unwrap_or(self.deadline);
    }
}

/// The log index by which questions are told apart. One that asks for everything committed never has to wait for its own longer than
/// for that: whatever its handle has seen is committed.
fn least(question: &Question) -> u64 {
    match question.freshness {
        Freshness::Quorum | Freshness::Lease => 0,
        Freshness::Any => question.at_least,
    }
}

/// How these questions are to be answered, which stand in the order of their freshness, their log index and their deadline.
fn parts(questions: &[Question], now: Instant) -> Vec<QueryPart> {
    let alike = |a: &Question, b: &Question| {
        a.freshness == b.freshness && least(a) == least(b) && a.deadline.until(b.deadline) <= SPREAD
    };
    let mut parts = Vec::new();
    let mut rest = questions;
    while let Some(first) = rest.first() {
        let (these, others) = rest.split_at(rest.partition_point(|question| alike(first, question)));
        let latest = these.last().map_or(first.deadline, |last| last.deadline);
        parts.push(QueryPart {
            freshness: first.freshness,
            at_least: these.iter().map(|question| question.at_least).max().unwrap_or_default(),
            timeout_ms: millis(now.until(latest)),
            count: these.len() as u32,
        });
        rest = others;
    }
    parts
}
