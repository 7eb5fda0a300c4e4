//! Proposals that wait for their turn, and the batches that are made of them.
//!
//! Nothing here waits for a timer: whoever carries proposals on yields once, then takes everything that has gathered while
//! the last batch was under way. A queue is bounded in bytes and in proposals; beyond that it refuses at once, so that
//! overload is answered quickly instead of growing.
//!
//! A proposal is in one of three states, and each change is one atomic step: *queued*, *taken* (someone may be proposing
//! it), *abandoned* (its caller gave up while it was queued, so it is certainly not committed and is never taken).

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::{Notify, mpsc, oneshot};

use crate::reply::split_replies;
use crate::runtime::Instant;
use crate::transport::{Outcome, ProposeReply};

/// How many bytes of records may wait.
const QUEUE_BYTES_MAX: usize = 64 << 20;

/// How many proposals may wait.
const QUEUE_PROPOSALS_MAX: usize = 1 << 17;

/// How many bytes of records make a full batch. A single larger proposal is a batch of its own.
const BATCH_BYTES_MAX: usize = 1 << 20;

const QUEUED: u8 = 0;
const TAKEN: u8 = 1;
const ABANDONED: u8 = 2;

/// Shared by a proposal and its caller.
#[derive(Debug, Default)]
pub(crate) struct Ticket(AtomicU8);

impl Ticket {
    /// The caller gives up. `true` if the proposal was still queued: it is then certainly not committed.
    pub(crate) fn abandon(&self) -> bool {
        self.step(QUEUED, ABANDONED) || self.0.load(Ordering::SeqCst) == ABANDONED
    }

    fn step(&self, from: u8, to: u8) -> bool {
        self.0.compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }
}

/// Whom to tell what became of a proposal.
#[derive(Debug)]
pub(crate) enum Done {
    /// A caller in this process.
    Caller(oneshot::Sender<Outcome>),
    /// A stream from elsewhere.
    Stream { id: u64, replies: mpsc::UnboundedSender<ProposeReply> },
}

/// Records that go together, from one sender.
#[derive(Debug)]
pub(crate) struct Proposal {
    pub(crate) run: Bytes,
    pub(crate) count: u32,
    pub(crate) codec: u8,
    pub(crate) deadline: Instant,
    pub(crate) ticket: Arc<Ticket>,
    pub(crate) done: Done,
}

impl Proposal {
    /// Tells its sender. An error means that nobody waits any more.
    pub(crate) fn finish(self, outcome: Outcome) {
        match self.done {
            Done::Caller(caller) => {
                let _ = caller.send(outcome);
            }
            Done::Stream { id, replies } => {
                let _ = replies.send(ProposeReply { id, outcome });
            }
        }
    }
}

pub(crate) fn not_committed(reason: impl Into<String>) -> Outcome {
    Outcome::NotCommitted { reason: reason.into(), retry: true, leader: None }
}

pub(crate) fn unknown(reason: impl Into<String>) -> Outcome {
    Outcome::Unknown { reason: reason.into() }
}

/// Proposals in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct State {
    proposals: VecDeque<Proposal>,
    bytes: usize,
    closed: Option<String>,
}

impl Queue {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no code panics while it holds this lock")
    }

    /// Adds a proposal, or refuses it at once.
    pub(crate) fn push(&self, proposal: Proposal) {
        let refusal = {
            let mut state = self.state();
            if let Some(reason) = &state.closed {
                reason.clone()
            } else if state.proposals.len() >= QUEUE_PROPOSALS_MAX
                || state.bytes + proposal.run.len() > QUEUE_BYTES_MAX.max(proposal.run.len())
            {
                "this node has more proposals waiting than it accepts; try again later".to_owned()
            } else {
                state.bytes += proposal.run.len();
                state.proposals.push_back(proposal);
                drop(state);
                self.arrived.notify_one();
                return;
            }
        };
        proposal.finish(not_committed(refusal));
    }

    /// Puts back what was certainly not committed, to be tried again before what has come since.
    pub(crate) fn put_back(&self, batch: Batch) {
        let mut refused = Vec::new();
        {
            let mut state = self.state();
            for proposal in batch.proposals.into_iter().rev() {
                // Its caller may have given up in the meantime with "unknown", which this no longer contradicts.
                proposal.ticket.step(TAKEN, QUEUED);
                if state.closed.is_some() {
                    refused.push(proposal);
                } else {
                    state.bytes += proposal.run.len();
                    state.proposals.push_front(proposal);
                }
            }
        }
        self.arrived.notify_one();
        for proposal in refused {
            proposal.finish(not_committed("the node has stopped"));
        }
    }

    /// Waits until something is queued.
    pub(crate) async fn wait(&self) {
        while self.state().proposals.is_empty() {
            self.arrived.notified().await;
        }
    }

    /// Takes what has gathered, up to a full batch. `None` if there is nothing.
    pub(crate) fn take(&self) -> Option<Batch> {
        let now = Instant::now();
        let mut expired = Vec::new();
        let mut taken: Vec<Proposal> = Vec::new();
        let mut bytes = 0;
        {
            let mut state = self.state();
            while let Some(next) = state.proposals.front() {
                let fits = taken.first().is_none_or(|first| {
                    bytes + next.run.len() <= BATCH_BYTES_MAX && first.codec == next.codec
                });
                if !fits {
                    break;
                }
                let Some(proposal) = state.proposals.pop_front() else { break };
                state.bytes -= proposal.run.len();
                if proposal.deadline <= now {
                    expired.push(proposal);
                } else if proposal.ticket.step(QUEUED, TAKEN) {
                    bytes += proposal.run.len();
                    taken.push(proposal);
                }
            }
        }
        finish_expired(expired);
        Batch::new(taken)
    }

    /// Ends those whose time has passed.
    pub(crate) fn expire(&self) {
        let now = Instant::now();
        let expired: Vec<Proposal> = {
            let mut state = self.state();
            if state.proposals.iter().all(|p| p.deadline > now) {
                return;
            }
            let (expired, kept): (Vec<_>, Vec<_>) =
                state.proposals.drain(..).partition(|p| p.deadline <= now);
            state.proposals = kept.into();
            state.bytes = state.proposals.iter().map(|p| p.run.len()).sum();
            expired
        };
        finish_expired(expired);
    }

    /// Refuses all that waits and all that comes.
    pub(crate) fn close(&self, reason: &str) {
        let waiting = {
            let mut state = self.state();
            state.closed = Some(reason.to_owned());
            state.bytes = 0;
            std::mem::take(&mut state.proposals)
        };
        for proposal in waiting {
            proposal.finish(not_committed(reason));
        }
    }
}

fn finish_expired(expired: Vec<Proposal>) {
    for proposal in expired {
        proposal.finish(not_committed("no leader took the command before its deadline"));
    }
}

/// Proposals that travel together: one run of records, one outcome.
#[derive(Debug)]
pub(crate) struct Batch {
    proposals: Vec<Proposal>,
    /// All records, end to end.
    pub(crate) run: Bytes,
    /// How many there are.
    pub(crate) count: u32,
    /// What encoded them.
    pub(crate) codec: u8,
}

impl Batch {
    fn new(proposals: Vec<Proposal>) -> Option<Batch> {
        let first = proposals.first()?;
        let codec = first.codec;
        let count = proposals.iter().map(|p| p.count).sum();
        let run = if proposals.len() == 1 {
            first.run.clone()
        } else {
            let mut run = BytesMut::with_capacity(proposals.iter().map(|p| p.run.len()).sum());
            for proposal in &proposals {
                run.extend_from_slice(&proposal.run);
            }
            run.freeze()
        };
        Some(Batch { proposals, run, count, codec })
    }

    /// How long its first caller will still wait.
    pub(crate) fn patience(&self) -> Duration {
        let now = Instant::now();
        self.proposals.iter().map(|p| now.until(p.deadline)).min().unwrap_or_default()
    }

    /// Whether nobody waits any more.
    pub(crate) fn is_past(&self) -> bool {
        let now = Instant::now();
        self.proposals.iter().all(|p| p.deadline <= now)
    }

    /// Tells every sender its part of the outcome.
    pub(crate) fn finish(self, outcome: Outcome) {
        let Outcome::Committed { mut first_index, mut replies } = outcome else {
            for proposal in self.proposals {
                proposal.finish(outcome.clone());
            }
            return;
        };
        for proposal in self.proposals {
            let count = proposal.count;
            let outcome = match split_replies(&mut replies, count) {
                Some(replies) => Outcome::Committed { first_index, replies },
                None => unknown("the replies to the command did not arrive whole"),
            };
            first_index += u64::from(count);
            proposal.finish(outcome);
        }
    }
}

#[cfg(all(test, not(madsim)))]
mod tests {
    use super::*;
    use crate::record::push_record;
    use crate::reply::push_reply;
    use futures_util::FutureExt;

    const MINUTE: Duration = Duration::from_secs(60);

    fn proposal(payload: &[u8], patience: Duration) -> (Proposal, oneshot::Receiver<Outcome>) {
        let mut run = BytesMut::new();
        push_record(&mut run, 0, 0, payload);
        let (done, outcome) = oneshot::channel();
        let proposal = Proposal {
            run: run.freeze(),
            count: 1,
            codec: 1,
            deadline: Instant::now() + patience,
            ticket: Arc::default(),
            done: Done::Caller(done),
        };
        (proposal, outcome)
    }

    fn outcome(receiver: oneshot::Receiver<Outcome>) -> Option<Outcome> {
        receiver.now_or_never().map(Result::unwrap)
    }

    #[test]
    fn what_gathered_is_one_batch_and_each_caller_gets_its_own_reply() {
        let queue = Queue::default();
        let (a, at_a) = proposal(b"a", MINUTE);
        let (b, at_b) = proposal(b"bb", MINUTE);
        queue.push(a);
        queue.push(b);
        let batch = queue.take().unwrap();
        assert_eq!(batch.count, 2);
        assert!(queue.take().is_none());
        let mut replies = BytesMut::new();
        push_reply(&mut replies, Ok(b"first"));
        push_reply(&mut replies, Ok(b"second"));
        batch.finish(Outcome::Committed { first_index: 17, replies: replies.freeze() });
        let Some(Outcome::Committed { first_index: 17, replies }) = outcome(at_a) else { panic!("no reply") };
        assert_eq!(&replies[5..], b"first");
        let Some(Outcome::Committed { first_index: 18, replies }) = outcome(at_b) else { panic!("no reply") };
        assert_eq!(&replies[5..], b"second");
    }

    #[test]
    fn a_caller_that_gives_up_in_time_is_certain_and_its_command_is_never_taken() {
        let queue = Queue::default();
        let (a, _at_a) = proposal(b"a", MINUTE);
        let ticket = a.ticket.clone();
        queue.push(a);
        assert!(ticket.abandon());
        assert!(queue.take().is_none());
    }

    #[test]
    fn a_caller_that_gives_up_too_late_is_not_certain() {
        let queue = Queue::default();
        let (a, _at_a) = proposal(b"a", MINUTE);
        let ticket = a.ticket.clone();
        queue.push(a);
        let _batch = queue.take().unwrap();
        assert!(!ticket.abandon());
    }

    #[test]
    fn what_is_put_back_goes_before_what_came_since() {
        let queue = Queue::default();
        for payload in [b"a", b"b"] {
            queue.push(proposal(payload, MINUTE).0);
        }
        let batch = queue.take().unwrap();
        let run = batch.run.clone();
        queue.push(proposal(b"c", MINUTE).0);
        queue.put_back(batch);
        let again = queue.take().unwrap();
        assert_eq!(again.count, 3);
        assert_eq!(again.run[..run.len()], run[..]);
    }

    #[test]
    fn a_command_past_its_deadline_is_not_committed_and_not_taken() {
        let queue = Queue::default();
        let (a, at_a) = proposal(b"a", Duration::ZERO);
        queue.push(a);
        assert!(queue.take().is_none());
        assert!(matches!(outcome(at_a), Some(Outcome::NotCommitted { .. })));
        let (b, at_b) = proposal(b"b", Duration::ZERO);
        queue.push(b);
        queue.expire();
        assert!(matches!(outcome(at_b), Some(Outcome::NotCommitted { .. })));
    }

    #[test]
    fn a_full_queue_refuses_at_once() {
        let queue = Queue::default();
        let large = vec![0; QUEUE_BYTES_MAX / 8];
        for _ in 0..7 {
            queue.push(proposal(&large, MINUTE).0);
        }
        let (last, at_last) = proposal(&large, MINUTE);
        queue.push(last);
        assert!(matches!(outcome(at_last), Some(Outcome::NotCommitted { .. })));
    }

    #[test]
    fn a_closed_queue_ends_what_waits_and_refuses_what_comes() {
        let queue = Queue::default();
        let (a, at_a) = proposal(b"a", MINUTE);
        queue.push(a);
        queue.close("gone");
        assert!(matches!(outcome(at_a), Some(Outcome::NotCommitted { .. })));
        let (b, at_b) = proposal(b"b", MINUTE);
        queue.push(b);
        assert!(matches!(outcome(at_b), Some(Outcome::NotCommitted { .. })));
    }
}
