//! A client's commands, and what their callers share with them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use std::task::{Context, Poll};

use bytes::BytesMut;
use futures_util::task::AtomicWaker;
use tokio::sync::oneshot;

use crate::outcome::{not_committed, unknown};
use crate::planted::{self, Bug};
use crate::queue::{Queued, too_late};
use crate::record::{Number, RECORD_HEADER_BYTES, push_record};
use crate::runtime::Instant;
use crate::transport::{Outcome, ProposalKind};

const WAITING: u8 = 0;
const SENT: u8 = 1;
const ABANDONED: u8 = 2;

/// Shared by a command and its caller. Each change is one atomic step: *waiting*, *sent* (it may enter the log), *abandoned* (its
/// caller gave up while it waited, so it is certainly not committed and is never sent).
#[derive(Debug, Default)]
pub(crate) struct Ticket {
    state: AtomicU8,
    /// The caller, who is woken when the command's time is over. The line looks for such commands now and then, which costs less than
    /// a timer for each.
    late: AtomicWaker,
}

impl Ticket {
    /// Ready when `deadline` has passed, which the caller learns a little later than then.
    pub(crate) fn poll_late(&self, deadline: Instant, context: &mut Context<'_>) -> Poll<()> {
        self.late.register(context.waker());
        if deadline <= Instant::now() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// The caller gives up. `true` if the command was still waiting: it is then certainly not committed.
    pub(crate) fn abandon(&self) -> bool {
        self.step(WAITING, ABANDONED) || self.state.load(Ordering::SeqCst) == ABANDONED
    }

    /// It is about to be sent. `false` if it must not be.
    fn send(&self) -> bool {
        self.step(WAITING, SENT) || self.state.load(Ordering::SeqCst) == SENT
    }

    /// It was refused for certain, and waits again.
    fn wait_again(&self) {
        self.step(SENT, WAITING);
    }

    fn step(&self, from: u8, to: u8) -> bool {
        self.state.compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }
}

/// How a command is numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Numbered {
    /// Not at all: it must not be sent again if it is not known what became of it.
    None,
    /// By the client's own session, when it is sent.
    Own,
    /// By its caller.
    Given(Number),
}

/// One command, or one opening of a session, or many commands without a number; and who waits for it.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) kind: ProposalKind,
    pub(crate) numbered: Numbered,
    pub(crate) content: Content,
    pub(crate) deadline: Instant,
    pub(crate) ticket: Arc<Ticket>,
    pub(crate) done: oneshot::Sender<Outcome>,
    /// Whether it may have entered the log already.
    pub(crate) in_doubt: bool,
}

impl Command {
    /// Wakes its caller if the time of the command is over, so that the caller sees that it is.
    pub(crate) fn remind(&self, now: Instant) {
        if self.deadline <= now {
            self.ticket.late.wake();
        }
    }
    /// Whether it may be sent again though it may have entered the log.
    pub(crate) fn is_repeatable(&self) -> bool {
        self.kind == ProposalKind::Openings
            || self.numbered != Numbered::None
            || planted::is(Bug::SendPlainAgain)
    }

    /// Tells its caller.
    pub(crate) fn finish(self, outcome: Outcome) {
        let outcome = match outcome {
            // Of this attempt that is certain, but not of an earlier one.
            Outcome::NotCommitted { reason, .. } if self.in_doubt => unknown(reason),
            outcome => outcome,
        };
        // An error means that nobody waits any more.
        let _ = self.done.send(outcome);
    }
}

/// What a [`Command`] holds.
#[derive(Debug)]
pub(crate) enum Content {
    /// The payload of one record.
    One(Vec<u8>),
    /// A run of so many records, none of which has a number.
    Run(Vec<u8>, u32),
}

impl Content {
    /// How many records it makes.
    pub(crate) fn count(&self) -> u32 {
        match self {
            Content::One(_) => 1,
            Content::Run(_, count) => *count,
        }
    }

    /// Appends these records to a run, a single one with this number.
    pub(crate) fn push(&self, run: &mut BytesMut, number: Number) {
        match self {
            Content::One(payload) => push_record(run, number, payload),
            Content::Run(records, _) => run.extend_from_slice(records),
        }
    }
}

impl Queued for Command {
    const FULL: &str = "this client has more commands waiting than it accepts; try again later";

    fn bytes(&self) -> usize {
        match &self.content {
            Content::One(payload) => RECORD_HEADER_BYTES + payload.len(),
            Content::Run(records, _) => records.len(),
        }
    }

    fn deadline(&self) -> Instant {
        self.deadline
    }

    fn goes_with(&self, first: &Self) -> bool {
        self.kind == first.kind
    }

    fn leave(&self) -> bool {
        self.ticket.send()
    }

    fn come_back(&self) {
        if !self.in_doubt {
            self.ticket.wait_again();
        }
    }

    fn refuse(self, reason: &str) {
        self.finish(not_committed(reason));
    }

    fn expire(self) {
        self.finish(too_late());
    }
}

#[cfg(all(test, not(madsim)))]
pub(super) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::queue::Queue;

    fn command(
        kind: ProposalKind,
        numbered: Numbered,
        patience: Duration,
    ) -> (Command, oneshot::Receiver<Outcome>) {
        let (done, outcome) = oneshot::channel();
        let command = Command {
            kind,
            numbered,
            content: Content::One(b"payload".to_vec()),
            deadline: Instant::now() + patience,
            ticket: Arc::default(),
            done,
            in_doubt: false,
        };
        (command, outcome)
    }

    /// A command of its client's session for whose outcome nobody waits.
    pub(in crate::client) fn own(byte: u8) -> Command {
        let (mut command, _) = command(ProposalKind::Commands, Numbered::Own, MINUTE);
        command.content = Content::One(vec![byte]);
        command
    }

    const MINUTE: Duration = Duration::from_secs(60);

    /// An opening was once sent as a command, since what had been next before it, a command, had just expired.
    #[test]
    fn what_expires_first_does_not_tell_of_which_kind_the_rest_is() {
        let waiting = Queue::default();
        let (late, mut at_late) = command(ProposalKind::Commands, Numbered::Own, Duration::ZERO);
        let (opening, _at_opening) = command(ProposalKind::Openings, Numbered::None, MINUTE);
        waiting.push(late);
        waiting.push(opening);
        let taken = waiting.take(1 << 20, 100);
        assert_eq!(taken.len(), 1);
        assert_eq!(taken[0].kind, ProposalKind::Openings);
        assert!(matches!(at_late.try_recv(), Ok(Outcome::NotCommitted { .. })));
    }

    #[test]
    fn a_caller_that_gives_up_in_time_is_certain_and_its_command_is_never_sent() {
        let waiting = Queue::default();
        let (command, _at_command) = command(ProposalKind::Commands, Numbered::Own, MINUTE);
        let ticket = command.ticket.clone();
        waiting.push(command);
        assert!(ticket.abandon());
        assert!(waiting.take(1 << 20, 100).is_empty());
        assert!(ticket.abandon(), "and it stays certain");
    }

    #[test]
    fn a_caller_that_gives_up_too_late_is_certain_again_once_the_command_was_refused() {
        let waiting = Queue::default();
        let (command, _at_command) = command(ProposalKind::Commands, Numbered::Own, MINUTE);
        let ticket = command.ticket.clone();
        waiting.push(command);
        let taken = waiting.take(1 << 20, 100);
        assert!(!ticket.abandon());
        waiting.put_back(taken);
        assert!(ticket.abandon());
        assert!(waiting.take(1 << 20, 100).is_empty());
    }

    #[test]
    fn what_may_have_entered_is_never_certain_again() {
        let waiting = Queue::default();
        let (command, mut at_command) = command(ProposalKind::Commands, Numbered::Own, MINUTE);
        let ticket = command.ticket.clone();
        waiting.push(command);
        let mut taken = waiting.take(1 << 20, 100);
        taken[0].in_doubt = true;
        waiting.put_back(taken);
        assert!(!ticket.abandon());
        waiting.close("gone");
        assert!(matches!(at_command.try_recv(), Ok(Outcome::Unknown { .. })));
    }

    #[test]
    fn what_is_put_back_goes_before_what_came_since_and_kinds_do_not_mix() {
        let waiting = Queue::default();
        let mut receivers = Vec::new();
        let mut push = |kind, numbered| {
            let (command, outcome) = command(kind, numbered, MINUTE);
            waiting.push(command);
            receivers.push(outcome);
        };
        push(ProposalKind::Commands, Numbered::None);
        push(ProposalKind::Commands, Numbered::Own);
        push(ProposalKind::Openings, Numbered::None);
        let taken = waiting.take(1 << 20, 100);
        assert_eq!(taken.len(), 2);
        push(ProposalKind::Commands, Numbered::Own);
        waiting.put_back(taken);
        let again = waiting.take(1 << 20, 100);
        assert_eq!(
            again.iter().map(|command| command.numbered).collect::<Vec<_>>(),
            [Numbered::None, Numbered::Own]
        );
        assert_eq!(waiting.take(1 << 20, 100)[0].kind, ProposalKind::Openings);
        assert_eq!(waiting.take(1 << 20, 100).len(), 1);
    }

    #[test]
    fn a_closed_client_ends_what_waits_refuses_what_comes_and_takes_nothing_back() {
        let waiting = Queue::default();
        let (first, mut at_first) = command(ProposalKind::Commands, Numbered::Own, MINUTE);
        waiting.push(first);
        let (second, mut at_second) = command(ProposalKind::Commands, Numbered::Own, MINUTE);
        waiting.push(second);
        let taken = waiting.take(40, 1);
        waiting.close("gone");
        assert!(matches!(at_second.try_recv(), Ok(Outcome::NotCommitted { .. })));
        waiting.put_back(taken);
        assert!(matches!(at_first.try_recv(), Ok(Outcome::NotCommitted { .. })));
    }
}
