//! The runtime of production: tokio, the system's clock, and one thread a [`Worker`].
//!
//! This is the one file of the crate that reads clocks and starts threads.

use std::future::Future;
use std::ops::Add;
use std::sync::mpsc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Elapsed;

/// The runtime that openraft is given.
pub type Raft = openraft_rt_tokio::TokioRuntime;

/// A point in time that never goes back; meaningless outside this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(std::time::Instant);

impl Instant {
    /// Now.
    pub fn now() -> Self {
        Instant(std::time::Instant::now())
    }

    /// How long it is until `later`; zero if that is past.
    pub fn until(self, later: Instant) -> Duration {
        later.0.saturating_duration_since(self.0)
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;

    fn add(self, duration: Duration) -> Instant {
        // A deadline too far to be expressed is as good as one in thirty years.
        const FAR: Duration = Duration::from_secs(1_000_000_000);
        Instant(self.0.checked_add(duration).unwrap_or_else(|| self.0 + FAR))
    }
}

/// A running task.
#[derive(Debug)]
pub struct Task(tokio::task::JoinHandle<()>);

impl Task {
    /// Ends it at its next await.
    pub fn abort(&self) {
        self.0.abort();
    }

    /// Waits until it has ended, in whatever way.
    pub async fn ended(self) {
        // The error says that it was aborted or panicked: ended either way, and a panic has been printed.
        let _ = self.0.await;
    }
}

pub(super) fn spawn<F>(future: F) -> Task
where
    F: Future<Output = ()> + Send + 'static,
{
    Task(tokio::spawn(future))
}

pub(super) async fn sleep(duration: Duration) {
    tokio::time::sleep(duration).await;
}

pub(super) async fn timeout<F: Future>(duration: Duration, future: F) -> Result<F::Output, Elapsed> {
    tokio::time::timeout(duration, future).await.map_err(|_| Elapsed)
}

pub(super) async fn yield_now() {
    tokio::task::yield_now().await;
}

pub(super) fn unix_time() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

pub(super) fn random_u64() -> u64 {
    use openraft_rt::AsyncRuntime;
    use rand::Rng;
    Raft::thread_rng().next_u64()
}

pub(super) async fn blocking<T, F>(job: F) -> T
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    match tokio::task::spawn_blocking(job).await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is being torn down: nobody will see what this future gives.
            Err(_) => std::future::pending().await,
        },
    }
}

type Job = Box<dyn FnOnce() + Send + 'static>;

/// A thread of its own that runs jobs in order. It ends when its last handle is dropped and its queue is empty.
#[derive(Clone, Debug)]
pub struct Worker(mpsc::Sender<Job>);

impl Worker {
    /// Starts the thread.
    ///
    /// # Panics
    /// If the system gives no more threads.
    pub fn start(name: &str) -> Worker {
        let (jobs, queue) = mpsc::channel::<Job>();
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                for job in queue {
                    job();
                }
            })
            .expect("the system gives no thread to the state machine");
        Worker(jobs)
    }

    /// Queues a job. A job that panics ends the thread; later ones are dropped.
    pub fn submit(&self, job: impl FnOnce() + Send + 'static) {
        // An error means that the thread has ended by a panic; what the job holds is dropped, which its waiters see.
        let _ = self.0.send(Box::new(job));
    }
}
