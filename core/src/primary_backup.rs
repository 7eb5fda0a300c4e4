//! The same service as a primary with backups: the log holds outcomes instead of requests.
//!
//! In the state machine model every replica carries out what clients ask for (`x+=5`). In the primary-backup model the leader, the
//! *primary*, turns each request into a command that states the outcome (`x=6`), and all replicas apply that. The primary may
//! use the clock, random numbers, or the outside world: [`PrimaryBackup::execute`] runs once a proposal, and only its outcome is
//! logged. `Node::open(Primary(machine), …)` instead of `Node::open(machine, …)` chooses the model; a log is of one model, and
//! its entries say of which.
//!
//! # How it stays right
//!
//! The primary executes on a *working copy* of the state, ahead of what is committed, so that many requests are under way and
//! none waits for the one before it. It must then never happen that a command is applied to another state than the one that it
//! was computed on. The invariant:
//!
//! > **W.** If an entry with (token, position) counts, then the state that replicas apply it to is the working copy
//! > from which its commands were computed; and so are the log index, the term and the log time of each command.
//!
//! *Proof sketch.* By the fence ([`crate::fence`]) an entry counts only if the latest barrier before it has its token, it stands in
//! that barrier's term, and all positions before its own have counted behind that barrier; and between them nothing else has
//! counted. (1) *At the barrier.* The working copy is made in the very call that applies the barrier, on the thread that
//! applies. It is the state after everything that counts before the barrier, on whatever replica, since applied states are equal.
//! (2) *From one position to the next.* One task owns the working copy. For each batch it executes the requests in their order,
//! applies each resulting command to the working copy at once, under the context that the records will have if they count (log
//! index: the barrier's, plus the records before; term and log time: the entry's own), and gives the batch the next position.
//! A token and a position are never used for two batches: the task draws a new token for each working copy, and never
//! goes back in one. So if position p + 1 counts, then position p did, with the very batch whose commands are in the copy. (3)
//! *When the leadership is lost*, whether or not it is won again, in the time between `execute` and the append: the proposal names
//! the term of its barrier, and consensus refuses it in any other; was it appended in that term and another leader's barrier came
//! before it in the log, the token does not match; was one of its predecessors lost, the position does not. In each case it
//! does not count, on any replica, ever, so that nothing that was computed on a lost future is applied. (4) *Afterwards* the task
//! drops the copy at any proposal that failed, at any entry that did not count, and at any change of the leadership, and begins
//! with a new barrier. What it had executed has had no effect, and is executed anew on the new copy.
//!
//! Sessions are part of the working copy for the same reason ([`crate::session`]): whether a command is a duplicate is decided where
//! it is executed, and is then true where it is applied.
//!
//! `core/tests/fence` searches the states of a model of this for a violation of **W** (and finds those that are planted);
//! `tests/primary_backup.rs` loses and wins the leadership between `execute` and the append.
//!
//! # What it costs
//!
//! A clone of the state at each barrier, so states should clone cheaply (shared structure, not deep copies). Memory may hold up
//! to three: the applied one, the working copy, and one that is being written as a snapshot. `execute` and `apply` run on two
//! threads of their own at the primary, so a command is computed there twice and applied once.

use crate::codec::Data;
use crate::context::Context;
use crate::state_machine::StateMachine;

/// A state machine whose commands are made by a primary.
///
/// # Who calls, and when
///
/// - `execute` is called on the primary alone, on its working copy, once each time that the request is proposed: after a lost
///   leadership it is executed again, on a state without the lost outcome. Backups and replays never call it.
/// - `apply` is called as in the state machine model, on every replica in log order; at the primary once more, on the working
///   copy. It must be deterministic; `execute` need not be.
///
/// # Failure
///
/// A request that the service will not carry out yields a command too, whose `apply` changes nothing and replies with the
/// refusal: so both models give each request a log index. A panic stops the node.
pub trait PrimaryBackup: StateMachine + Clone {
    /// What clients propose.
    type Request: Data;

    /// Turns a request into the command that states its outcome. The context is the one under which that command will be applied.
    fn execute(&self, context: &Context, request: Self::Request) -> Self::Command;
}

/// Chooses the primary-backup model for a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Primary<S>(pub S);
