//! What a network does to messages, as whoever makes one decides it.

use std::time::Duration;

use futures_util::future::BoxFuture;
use lovebird_core::runtime;

/// A message at the moment in which it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sending<'a> {
    /// The sender's address.
    pub from: &'a str,
    /// The receiver's.
    pub to: &'a str,
    /// What it is, such as `append`, `append reply`, `vote`: one word for each that crosses the network, for pictures and
    /// counts.
    pub kind: &'static str,
    /// How many bytes, as it is encoded.
    pub bytes: usize,
    /// On a stream: when the message before it arrives, before which this one cannot. Zero for all others.
    pub earliest: Duration,
    /// Whether it can be delivered twice at all; see [`Fate::Arrives`].
    pub repeatable: bool,
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It arrives.
    Arrives {
        /// When; what is past means at once. On a stream it waits for those that were sent before it.
        at: Duration,
        /// When it arrives once more, as if a connection that was given up had still held it; not before the first time. What
        /// the receiver says to it goes nowhere. A call is handled twice. An append stream, whose opening this is, is opened a
        /// second time with what has been the first few requests on it until then. Ignored where the message is not
        /// repeatable.
        again: Option<Duration>,
    },
    /// It vanishes. A call does not return; a stream stands still in this direction, for as long as its caller has patience.
    Lost,
    /// The connection breaks: it vanishes, and both sides are told.
    Reset,
}

/// Decides what becomes of each message of a [`MemoryNetwork`](super::MemoryNetwork).
///
/// Times are the network's own, counted from whenever its maker likes: no node's clock, since clocks may differ.
pub trait Conditions: Send + Sync + 'static {
    /// Decides. Called once for each message, in the order in which they are sent, in a task of the sender: what is drawn by
    /// chance can come from there. Must not block.
    fn fate(&self, sending: &Sending<'_>) -> Fate;

    /// Resolves when it is `time`, or at once if it is later already. The receiver waits with it, so that who is polled when a
    /// message arrives is who takes it.
    fn until(&self, time: Duration) -> BoxFuture<'static, ()>;
}

/// Runs what a node does for others.
pub trait Host: Send + Sync + 'static {
    /// Starts a task of the node.
    fn spawn(&self, task: BoxFuture<'static, ()>);
}

impl<F: Fn(BoxFuture<'static, ()>) + Send + Sync + 'static> Host for F {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self(task);
    }
}

/// Where nodes are not told apart: a task beside that of the caller.
pub(super) struct Beside;

impl Host for Beside {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        runtime::spawn(task);
    }
}
