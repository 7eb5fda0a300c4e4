//! Tasks of a node, and what the ordinary build gives to threads.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};

use madsim::task::JoinHandle;
use tokio::sync::{mpsc, oneshot};

use super::yield_now;

/// A running task. It also ends when its node is killed.
#[derive(Debug)]
pub struct Task(JoinHandle<()>);

impl Task {
    pub(super) fn start<F>(future: F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Task(madsim::task::spawn(future))
    }

    /// Ends it at its next await.
    pub fn abort(&self) {
        self.0.abort();
    }

    /// Waits until it has ended, in whatever way.
    pub async fn ended(self) {
        // The error says that it was aborted or its node killed: ended either way.
        let _ = self.0.await;
    }
}

type Job = Box<dyn FnOnce() + Send + 'static>;

/// What stands for a thread of its own that runs jobs in order: a task of the node, one turn a job. It ends when its last
/// handle is dropped and its queue is empty, or with its node.
#[derive(Clone, Debug)]
pub struct Worker(mpsc::UnboundedSender<Job>);

impl Worker {
    /// Starts the task.
    pub fn start(name: &str) -> Worker {
        let (jobs, mut queue) = mpsc::unbounded_channel::<Job>();
        let run = async move {
            while let Some(job) = queue.recv().await {
                if catch_unwind(AssertUnwindSafe(job)).is_err() {
                    // The panic has been printed; the queue is dropped here, which the waiters of later jobs see.
                    return;
                }
                // Others must be able to run between two jobs, as they would beside a thread.
                yield_now().await;
            }
        };
        madsim::task::Builder::new().name(name).spawn(run);
        Worker(jobs)
    }

    /// Queues a job. A job that panics ends the task; later ones are dropped.
    pub fn submit(&self, job: impl FnOnce() + Send + 'static) {
        // An error means that the task has ended, by a panic or with its node; what the job holds is dropped, which its
        // waiters see.
        let _ = self.0.send(Box::new(job));
    }
}

/// Runs a job as a task of its own, at once on its way whether or not the future is polled. None if the node was killed
/// before it ran.
pub(super) fn run_apart<T, F>(job: F) -> impl Future<Output = Option<Result<T, Box<dyn Any + Send>>>> + Send
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let (done, result) = oneshot::channel();
    madsim::task::spawn(async move {
        // An error means that nobody waits for the result any more, which is the caller's right.
        let _ = done.send(catch_unwind(AssertUnwindSafe(job)));
    });
    async move { result.await.ok() }
}
