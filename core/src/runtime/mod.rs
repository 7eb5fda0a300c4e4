//! Time, tasks and randomness: the only way to them for all of this crate.
//!
//! Core code takes what makes it non-deterministic from here alone, so that the simulator can replace it: the ordinary
//! build stands on tokio and one thread a state machine, the build with `--cfg madsim` on virtual time and seeded chance.
//! Which of the two is decided when the crate is compiled; nothing here is generic.

#[cfg(not(madsim))]
mod ordinary;
#[cfg(madsim)]
mod simulated;

#[cfg(not(madsim))]
use ordinary as chosen;
#[cfg(madsim)]
use simulated as chosen;

use std::future::Future;
use std::time::Duration;

use thiserror::Error;

pub use chosen::{Instant, Task, Worker};
// What openraft is given; public for the suites that check it, and nobody else's business.
#[doc(hidden)]
pub use chosen::Raft;
#[cfg(madsim)]
pub use simulated::{Clocks, Simulation};

/// A future did not finish in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the time allowed has passed")]
pub struct Elapsed;

/// Starts a task. It goes on when its [`Task`] is dropped, and ends at [`Task::abort`].
pub fn spawn<F>(future: F) -> Task
where
    F: Future<Output = ()> + Send + 'static,
{
    chosen::spawn(future)
}

/// Waits.
pub async fn sleep(duration: Duration) {
    chosen::sleep(duration).await;
}

/// Waits for a future, but not longer than `duration`; it is dropped then.
pub async fn timeout<F: Future>(duration: Duration, future: F) -> Result<F::Output, Elapsed> {
    chosen::timeout(duration, future).await
}

/// Lets every other task that is ready run once.
pub async fn yield_now() {
    chosen::yield_now().await;
}

/// Nanoseconds since the Unix epoch, by this node's clock, which may be wrong and may jump.
pub fn unix_time() -> u64 {
    chosen::unix_time()
}

/// A random number; not for secrets.
pub fn random_u64() -> u64 {
    chosen::random_u64()
}

/// Runs what may wait for a disk where that hinders no task.
///
/// # Panics
/// If `job` does.
pub async fn blocking<T, F>(job: F) -> T
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    chosen::blocking(job).await
}
