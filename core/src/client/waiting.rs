//! A client's commands that wait to be sent, and what their callers share with them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use tokio::sync::{Notify, oneshot};

use crate::outcome::{not_committed, unknown};
use crate::record::{Number, RECORD_HEADER_BYTES};
use crate::runtime::Instant;
use crate::transport::{Outcome, ProposalKind};

/// How many bytes of records may wait.
const BYTES_MAX: usize = 64 << 20;

/// How many commands may wait.
const COMMANDS_MAX: usize = 1 << 17;

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
    pub(crate) fn send(&self) -> bool {
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
pub(crate) enum Numbering {
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
    pub(crate) numbering: Numbering,
    pub(crate) payload: Bytes,
    pub(crate) deadline: Instant,
    pub(crate) ticket: Arc<Ticket>,
    pub(crate) done: oneshot::Sender<Outcome>,
    /// Whether it may have entered the log already.
    pub(crate) in_doubt: bool,
}

impl Command {
    pub(crate) fn bytes(&self) -> usize {
        RECORD_HEADER_BYTES + self.payload.len()
    }

    /// Tells its caller. An error means that nobody waits any more.
    pub(crate) fn finish(self, outcome: Outcome) {
        let outcome = match outcome {
            // Of this attempt that is certain, but not of an earlier one.
            Outcome::NotCommitted { reason, .. } if self.in_doubt => unknown(reason),
            outcome => outcome,
        };
        let _ = self.done.send(outcome);
    }

    /// Whether it may be sent again though it may have entered the log.
    pub(crate) fn is_repeatable(&self) -> bool {
        self.kind == ProposalKind::Openings || self.numbering != Numbering::None
    }
}

/// Commands in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    commands: VecDeque<Command>,
    bytes: usize,
    closed: Option<String>,
}

impl State {
    fn pop(&mut self) -> Option<Command> {
        let command = self.commands.pop_front()?;
        self.bytes -= command.bytes();
        Some(command)
    }
}

impl Waiting {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no code panics while it holds this lock")
    }

    /// Adds a command, or refuses it at once.
    pub(crate) fn push(&self, command: Command) {
        let refusal = {
            let mut state = self.state();
            if let Some(reason) = &state.closed {
                reason.clone()
            } else if state.commands.len() >= COMMANDS_MAX
                || state.bytes + command.bytes() > BYTES_MAX.max(command.bytes())
            {
                "this client has more commands waiting than it accepts; try again later".to_owned()
            } else {
                state.bytes += command.bytes();
                state.commands.push_back(command);
                drop(state);
                self.changed.notify_one();
                return;
            }
        };
        command.finish(not_committed(refusal));
    }

    /// Puts back commands, in their order, to be sent before what has come since. Refuses them if nothing more is sent.
    pub(crate) fn put_back(&self, commands: Vec<Command>) {
        let mut state = self.state();
        if let Some(reason) = state.closed.clone() {
            drop(state);
            commands.into_iter().for_each(|command| command.finish(not_committed(reason.clone())));
            return;
        }
        for command in commands.into_iter().rev() {
            if !command.in_doubt {
                command.ticket.wait_again();
            }
            state.bytes += command.bytes();
            state.commands.push_front(command);
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Waits until something waits to be sent, or nothing more will.
    pub(crate) async fn wait(&self) {
        loop {
            let changed = {
                let state = self.state();
                if !state.commands.is_empty() || state.closed.is_some() {
                    return;
                }
                self.changed.notified()
            };
            changed.await;
        }
    }

    /// How the command is numbered that is next.
    pub(crate) fn next(&self) -> Option<Numbering> {
        self.state().commands.front().map(|command| command.numbering)
    }

    /// Takes commands of one kind, as many as are there and go into a message of `bytes_max` and `count_max`. Their tickets say that
    /// they are sent.
    pub(crate) fn take(&self, bytes_max: usize, count_max: usize) -> Vec<Command> {
        let now = Instant::now();
        let (mut taken, mut expired): (Vec<Command>, Vec<Command>) = (Vec::new(), Vec::new());
        let mut bytes = 0;
        {
            let mut state = self.state();
            while let Some(next) = state.commands.front() {
                let fits = taken.first().is_none_or(|first| {
                    bytes + next.bytes() <= bytes_max && taken.len() < count_max && first.kind == next.kind
                });
                if !fits {
                    break;
                }
                let Some(command) = state.pop() else { break };
                if command.deadline <= now {
                    expired.push(command);
                } else if command.ticket.send() {
                    bytes += command.bytes();
                    taken.push(command);
                }
            }
        }
        expired.into_iter().for_each(finish_expired);
        taken
    }

    /// Ends those whose time has passed.
    pub(crate) fn expire(&self) {
        let now = Instant::now();
        let expired: Vec<Command> = {
            let mut state = self.state();
            if state.commands.iter().all(|command| command.deadline > now) {
                return;
            }
            let (expired, kept): (Vec<_>, Vec<_>) =
                state.commands.drain(..).partition(|command| command.deadline <= now);
            state.commands = kept.into();
            state.bytes = state.commands.iter().map(Command::bytes).sum();
            expired
        };
        expired.into_iter().for_each(finish_expired);
    }

    /// Refuses all that waits and all that comes.
    pub(crate) fn close(&self, reason: &str) {
        let waiting = {
            let mut state = self.state();
            state.closed = Some(reason.to_owned());
            state.bytes = 0;
            std::mem::take(&mut state.commands)
        };
        for command in waiting {
            command.finish(not_committed(reason));
        }
        self.changed.notify_one();
    }

    /// Whether nothing more will come.
    pub(crate) fn is_closed(&self) -> bool {
        self.state().closed.is_some()
    }
}

fn finish_expired(command: Command) {
    command.finish(not_committed("no leader took the command before its deadline"));
}

#[cfg(all(test, not(madsim)))]
mod tests {
    use std::time::Duration;

    use super::*;

    fn command(
        kind: ProposalKind,
        numbering: Numbering,
        patience: Duration,
    ) -> (Command, oneshot::Receiver<Outcome>) {
        let (done, outcome) = oneshot::channel();
        let command = Command {
            kind,
            numbering,
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
        let waiting = Waiting::default();
        let (late, mut at_late) = command(ProposalKind::Commands, Numbering::Own, Duration::ZERO);
        let (opening, _at_opening) = command(ProposalKind::Openings, Numbering::None, MINUTE);
        waiting.push(late);
        waiting.push(opening);
        let taken = waiting.take(1 << 20, 100);
        assert_eq!(taken.len(), 1);
        assert_eq!(taken[0].kind, ProposalKind::Openings);
        assert!(matches!(at_late.try_recv(), Ok(Outcome::NotCommitted { .. })));
    }

    #[test]
    fn a_caller_that_gives_up_in_time_is_certain_and_its_command_is_never_sent() {
        let waiting = Waiting::default();
        let (command, _at_command) = command(ProposalKind::Commands, Numbering::Own, MINUTE);
        let ticket = command.ticket.clone();
        waiting.push(command);
        assert!(ticket.abandon());
        assert!(waiting.take(1 << 20, 100).is_empty());
        assert!(ticket.abandon(), "and it stays certain");
    }

    #[test]
    fn a_caller_that_gives_up_too_late_is_certain_again_once_the_command_was_refused() {
        let waiting = Waiting::default();
        let (command, _at_command) = command(ProposalKind::Commands, Numbering::Own, MINUTE);
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
        let waiting = Waiting::default();
        let (command, mut at_command) = command(ProposalKind::Commands, Numbering::Own, MINUTE);
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
        let waiting = Waiting::default();
        let mut receivers = Vec::new();
        let mut push = |kind, numbering| {
            let (command, outcome) = command(kind, numbering, MINUTE);
            waiting.push(command);
            receivers.push(outcome);
        };
        push(ProposalKind::Commands, Numbering::None);
        push(ProposalKind::Commands, Numbering::Own);
        push(ProposalKind::Openings, Numbering::None);
        let taken = waiting.take(1 << 20, 100);
        assert_eq!(taken.len(), 2);
        push(ProposalKind::Commands, Numbering::Own);
        waiting.put_back(taken);
        let again = waiting.take(1 << 20, 100);
        assert_eq!(
            again.iter().map(|command| command.numbering).collect::<Vec<_>>(),
            [Numbering::None, Numbering::Own]
        );
        assert_eq!(waiting.take(1 << 20, 100)[0].kind, ProposalKind::Openings);
        assert_eq!(waiting.take(1 << 20, 100).len(), 1);
    }

    #[test]
    fn a_closed_client_ends_what_waits_refuses_what_comes_and_takes_nothing_back() {
        let waiting = Waiting::default();
        let (first, mut at_first) = command(ProposalKind::Commands, Numbering::Own, MINUTE);
        waiting.push(first);
        let (second, mut at_second) = command(ProposalKind::Commands, Numbering::Own, MINUTE);
        waiting.push(second);
        let taken = waiting.take(40, 1);
        waiting.close("gone");
        assert!(matches!(at_second.try_recv(), Ok(Outcome::NotCommitted { .. })));
        waiting.put_back(taken);
        assert!(matches!(at_first.try_recv(), Ok(Outcome::NotCommitted { .. })));
    }
}
