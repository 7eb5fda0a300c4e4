//! A node's proposals: records that came together from one sender, and the batches that are made of them.
//!
//! A proposal leaves the node's queue once: taken, or refused because its time has passed or the node has stopped. What is taken and
//! fails is not put back, since it would then stand behind what came later: its client sends it again, in order.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;

use crate::outcome::{Pieces, not_committed, unknown};
use crate::queue::{Queue, Queued, too_late};
use crate::runtime::Instant;
use crate::transport::{Outcome, ProposalKind, ProposeReply};

/// How many bytes of records make a full batch. A single larger proposal is a batch of its own.
const BATCH_BYTES_MAX: usize = 1 << 20;

/// Records that go together, from one sender.
#[derive(Debug)]
pub(crate) struct Proposal {
    pub(crate) kind: ProposalKind,
    pub(crate) run: Bytes,
    pub(crate) count: u32,
    pub(crate) codec: u8,
    pub(crate) deadline: Instant,
    pub(crate) sender: Sender,
}

impl Queued for Proposal {
    const FULL: &str = "this node has more proposals waiting than it accepts; try again later";

    fn bytes(&self) -> usize {
        self.run.len()
    }

    fn deadline(&self) -> Instant {
        self.deadline
    }

    fn goes_with(&self, first: &Self) -> bool {
        self.codec == first.codec && self.kind == first.kind
    }

    fn refuse(self, reason: &str) {
        self.finish(not_committed(reason));
    }

    fn expire(self) {
        self.finish(too_late());
    }
}

impl Proposal {
    fn finish(mut self, outcome: Outcome) {
        self.sender.tell(outcome);
    }
}

/// Who sent a proposal. Whatever becomes of the proposal, it is told once: if nobody else has told it by the time that it is
/// dropped, as when a node's tasks are ended, that nobody knows.
#[derive(Debug)]
pub(crate) struct Sender {
    /// By which its stream names the proposal.
    id: u64,
    replies: Option<mpsc::UnboundedSender<ProposeReply>>,
}

impl Sender {
    pub(crate) fn new(id: u64, replies: mpsc::UnboundedSender<ProposeReply>) -> Self {
        Sender { id, replies: Some(replies) }
    }

    fn tell(&mut self, outcome: Outcome) {
        if let Some(replies) = self.replies.take() {
            // An error means that nobody waits any more.
            let _ = replies.send(ProposeReply { id: self.id, outcome });
        }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.tell(unknown("the node stopped while the command was under way"));
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
    /// What they are.
    pub(crate) kind: ProposalKind,
}

impl Batch {
    /// What has gathered in a queue, up to a full batch. `None` if there is nothing.
    pub(crate) fn take(queue: &Queue<Proposal>) -> Option<Batch> {
        let proposals = queue.take(BATCH_BYTES_MAX, usize::MAX);
        let first = proposals.first()?;
        let (codec, kind) = (first.codec, first.kind);
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
        Some(Batch { proposals, run, count, codec, kind })
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
        let mut pieces = Pieces::new(outcome, self.count);
        for proposal in self.proposals {
            let outcome = pieces.take(proposal.count);
            proposal.finish(outcome);
        }
    }
}

#[cfg(all(test, not(madsim)))]
mod tests {
    use super::*;
    use crate::record::{Number, push_record};
    use crate::reply::push_reply;
    use crate::transport::Part;

    const MINUTE: Duration = Duration::from_secs(60);

    type Replies = mpsc::UnboundedReceiver<ProposeReply>;

    fn proposal(payload: &[u8], patience: Duration) -> (Proposal, Replies) {
        let mut run = BytesMut::new();
        push_record(&mut run, Number::NONE, payload);
        let (replies, outcomes) = mpsc::unbounded_channel();
        let proposal = Proposal {
            kind: ProposalKind::Commands,
            run: run.freeze(),
            count: 1,
            codec: 1,
            deadline: Instant::now() + patience,
            sender: Sender::new(7, replies),
        };
        (proposal, outcomes)
    }

    fn outcome(mut replies: Replies) -> Option<Outcome> {
        replies.try_recv().ok().map(|reply| reply.outcome)
    }

    #[test]
    fn what_gathered_is_one_batch_and_each_caller_gets_its_own_reply() {
        let queue = Queue::default();
        let (a, at_a) = proposal(b"a", MINUTE);
        let (b, at_b) = proposal(b"bb", MINUTE);
        queue.push(a);
        queue.push(b);
        let batch = Batch::take(&queue).unwrap();
        assert_eq!(batch.count, 2);
        assert!(Batch::take(&queue).is_none());
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
    fn an_outcome_in_parts_is_told_to_whom_each_part_belongs() {
        let queue = Queue::default();
        let (mut a, at_a) = proposal(b"a", MINUTE);
        a.count = 2;
        let (b, at_b) = proposal(b"b", MINUTE);
        queue.push(a);
        queue.push(b);
        let mut replies = BytesMut::new();
        push_reply(&mut replies, Ok(b"second"));
        push_reply(&mut replies, Ok(b"third"));
        let gone = Part { count: 1, outcome: Outcome::ReplyGone { index: 3 } };
        let new =
            Part { count: 2, outcome: Outcome::Committed { first_index: 9, replies: replies.freeze() } };
        Batch::take(&queue).unwrap().finish(Outcome::Parts(vec![gone.clone(), new]));
        let Some(Outcome::Parts(parts)) = outcome(at_a) else { panic!("not in parts") };
        assert_eq!(parts[0], gone);
        assert!(matches!(parts[1], Part { count: 1, outcome: Outcome::Committed { first_index: 9, .. } }));
        let Some(Outcome::Committed { first_index: 10, replies }) = outcome(at_b) else { panic!("no reply") };
        assert_eq!(&replies[5..], b"third");
    }

    #[test]
    fn openings_and_commands_do_not_share_a_batch() {
        let queue = Queue::default();
        queue.push(proposal(b"a", MINUTE).0);
        let (mut opening, _at_opening) = proposal(b"o", MINUTE);
        opening.kind = ProposalKind::Openings;
        queue.push(opening);
        assert_eq!(Batch::take(&queue).unwrap().kind, ProposalKind::Commands);
        assert_eq!(Batch::take(&queue).unwrap().kind, ProposalKind::Openings);
    }

    #[test]
    fn a_command_past_its_deadline_is_not_committed_and_not_taken() {
        let queue = Queue::default();
        let (a, at_a) = proposal(b"a", Duration::ZERO);
        queue.push(a);
        assert!(Batch::take(&queue).is_none());
        assert!(matches!(outcome(at_a), Some(Outcome::NotCommitted { .. })));
        let (b, at_b) = proposal(b"b", Duration::ZERO);
        queue.push(b);
        queue.expire();
        assert!(matches!(outcome(at_b), Some(Outcome::NotCommitted { .. })));
    }

    #[test]
    fn whoever_sent_what_is_dropped_unanswered_is_told_that_nobody_knows() {
        let queue = Queue::default();
        let (a, at_a) = proposal(b"a", MINUTE);
        queue.push(a);
        drop(Batch::take(&queue));
        assert!(matches!(outcome(at_a), Some(Outcome::Unknown { .. })));
    }

    #[test]
    fn a_full_queue_refuses_at_once() {
        let queue = Queue::default();
        let large = vec![0; 8 << 20];
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
