//! The runtime of simulation: madsim's tasks and virtual time, and on each node a clock and a generator of its own.
//!
//! One seed decides everything: in which order ready tasks run, what the generators give, when a clock drifts. Time stands
//! still while a task runs and leaps to the next timer when none is ready, so an hour passes in an instant.
//!
//! - [`Simulation`] is one run. Everything here works only inside [`Simulation::block_on`], on the node whose task asks.
//! - [`Clocks`] makes nodes' clocks run fast or slow ([`node`]).
//! - Nothing starts a thread. A [`Worker`] is a task of its node that runs its jobs in order, each in a turn of its own;
//!   [`blocking`] is a task too. Both go on when their caller is dropped, as threads would, and end with their node.
//! - A panic in a task unwinds the whole run, and is meant to: the seed then is a test case. A panic in a job ends the
//!   worker alone, as the contract says, since a state machine that panics is something a node has to answer.
//!
//! What madsim does not make deterministic, callers avoid: `select!` without `biased`, tokio's watch channel with several
//! waiters, and rand's thread-local generator. A turn given up by [`yield_now`] lets *some* ready tasks run, in an order that
//! the seed chooses; whoever needs all of them to have run waits for what they do.

mod instant;
mod node;
mod raft;
mod simulation;
mod sleep;
mod task;

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::Elapsed;

pub use instant::Instant;
pub use node::Clocks;
pub use raft::Raft;
pub use simulation::Simulation;
pub use task::{Task, Worker};

pub(super) fn spawn<F>(future: F) -> Task
where
    F: Future<Output = ()> + Send + 'static,
{
    Task::start(future)
}

pub(super) async fn sleep(duration: Duration) {
    sleep::Sleep::lasting(duration).await;
}

pub(super) async fn timeout<F: Future>(duration: Duration, future: F) -> Result<F::Output, Elapsed> {
    sleep::Timeout::new(future, sleep::Sleep::lasting(duration)).await
}

pub(super) async fn yield_now() {
    Turn { given_up: false }.await;
}

pub(super) fn unix_time() -> u64 {
    node::current().unix_time()
}

pub(super) fn random_u64() -> u64 {
    node::current().random_u64()
}

pub(super) async fn blocking<T, F>(job: F) -> T
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    match task::run_apart(job).await {
        Some(Ok(value)) => value,
        Some(Err(panic)) => std::panic::resume_unwind(panic),
        // The node was killed, and whoever waits here with it.
        None => std::future::pending().await,
    }
}

/// Pending once.
struct Turn {
    given_up: bool,
}

impl Future for Turn {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.given_up {
            return Poll::Ready(());
        }
        self.given_up = true;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}
