//! What users implement: a deterministic state machine.
//!
//! Equal state machines that start equal and read the same commands in the same order end equal. That is all that
//! replication needs, and all that it asks: `apply` must depend on the state, the command and the [`Context`] alone. No
//! clock, no random numbers, no iteration over a `HashMap` that reaches the state or a reply, no I/O.

use std::io::{self, Read, Write};

use crate::codec::{self, Data};
use crate::context::Context;

/// A deterministic state machine; each replica has one.
///
/// # Who calls, and when
///
/// - A replica has one thread for it, and calls from there alone, one call at a time.
/// - `apply` is called on every replica, in log order, exactly once a command since the snapshot that was last restored
///   (or since `Default`-like birth). After a restart the replica begins at its newest snapshot and replays what follows,
///   so anything that `apply` does to the outside world happens again: let it do nothing there.
/// - `query` is called on one replica, the one that was asked: for many queries one after the other, while nothing is applied, for
///   two milliseconds at most if each of them is quick. A slow query holds up what is to be applied.
/// - `snapshot` is called between two `apply`s and should be quick, since nothing is applied meanwhile: capture now (clone
///   what is shared cheaply), and let [`Snapshot::write`] do the long work, later and on another thread.
/// - `restore` replaces the whole state.
///
/// # Failure
///
/// A command that the service will not carry out is a `Reply` that says so: it is in the log, and every replica gives the
/// same reply. A failure of this machine alone (memory, say) is a panic: the replica stops, which is better than one that
/// differs.
pub trait StateMachine: Send + 'static {
    /// What is proposed, logged, and applied.
    type Command: Data;
    /// What `apply` answers.
    type Reply: Data;
    /// A question about the state.
    type Query: Data;
    /// What `query` answers.
    type Answer: Data;
    /// The captured state.
    type Snapshot: Snapshot;

    /// Carries out a command.
    fn apply(&mut self, context: &Context, command: Self::Command) -> Self::Reply;

    /// Answers a question.
    fn query(&self, query: Self::Query) -> Self::Answer;

    /// Captures the state.
    fn snapshot(&self) -> Self::Snapshot;

    /// Becomes the captured state.
    fn restore(&mut self, snapshot: Self::Snapshot);
}

/// A captured state that can be written and read. Given for free to any [`Data`].
pub trait Snapshot: Sized + Send + 'static {
    /// Writes it. Runs on a thread of its own.
    fn write(&self, out: &mut dyn Write) -> io::Result<()>;

    /// Reads what `write` wrote. The bytes are verified as they come.
    fn read(input: &mut dyn Read) -> io::Result<Self>;
}

impl<T: Data> Snapshot for T {
    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        codec::write_to(self, out)
    }

    fn read(input: &mut dyn Read) -> io::Result<Self> {
        codec::read_from(input)
    }
}
