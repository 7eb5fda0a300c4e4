//! A client's commands, and what their callers share with them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::outcome::{not_committed, unknown};
use crate::planted::{self, Bug};
use crate::queue::{Queued, too_late};
use crate::record::{Number, RECORD_HEADER_BYTES};
use crate::runtime::Instant;
use crate::transport::{Outcome, ProposalKind};

const WAITING: u8 = 0;
const SENT: u8 = 1;
const ABANDONED: u8 = 2;

/// Shared by a command and its caller. Each change is one atomic step: *waiting*, *sent* (it may enter the log), *abandoned* (its
/// caller gave up while it waited, so it is certainly not committed and is never sent).
#[derive(Debug, Default)]
pub(crate) struct Ticket(AtomicU8);

impl Ticket {
    /// The caller gives up. `true` if the command was still waiting: it is then certainly not committed.
    pub(crate) fn abandon(&self) -> bool {
        self.step(WAITING, ABANDONED) || self.0.load(Ordering::SeqCst) == ABANDONED
    }

    /// It is about to be sent. `false` if it must not be.
    fn send(&self) -> bool {
        self.step(WAITING, SENT) || self.0.load(Ordering::SeqCst) == SENT
    }

    /// It was refused for certain, and waits again.
    fn wait_again(&self) {
        self.step(SENT, WAITING);
    }

    fn step(&self, from: u8, to: u8) -> bool {
        self.0.compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst).is_ok()
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

/// One command, or one opening of a session, and who waits for it.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) kind: ProposalKind,
    pub(crate) numbered: Numbered,
    pub(crate) payload: Bytes,
    pub(crate) deadline: Instant,
    pub(crate) ticket: Arc<Ticket>,
    pub(crate) done: oneshot::Sender<Outcome>,
    /// Whether it may have entered the log already.
    pub(crate) in_doubt: bool,
}

impl Command {
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

impl Queued for Command {
    const FULL: &str = "this client has more commands waiting than it accepts; try again later";

    fn bytes(&self) -> usize {
        RECORD_HEADER_BYTES + self.payload.len()
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
mod tests {
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
            payload: Bytes::from_static(b"payload"),
            deadline: Instant::now() + patience,
            ticket: Arc::default(),
            done,
            in_doubt: false,
        };
        (command, outcome)
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
