//! The runtime that openraft is given.
//!
//! Channels and mutex are tokio's, which are deterministic on one thread; the watch channel is not, since it wakes its
//! waiters in an order drawn from a generator of its own, and openraft's simulated one, first in first out, stands in.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use openraft_rt::{AsyncRuntime, OptionalSend};
use openraft_rt_sim::SimWatch;
use openraft_rt_tokio::{TokioMpsc, TokioMutex, TokioOneshot};

use super::node::{self, Node};
use super::sleep::{Sleep, Timeout};
use super::{Instant, Simulation, task};
use crate::runtime::Elapsed;

/// The runtime that openraft is given. As a value, which only openraft's suite makes, it is a [`Simulation`] of its own.
#[derive(Debug)]
pub struct Raft(Simulation);

impl AsyncRuntime for Raft {
    type JoinError = madsim::task::JoinError;
    type JoinHandle<T: OptionalSend + 'static> = madsim::task::JoinHandle<T>;
    type Sleep = Sleep;
    type Instant = Instant;
    type TimeoutError = Elapsed;
    type Timeout<R, T: Future<Output = R> + OptionalSend> = Timeout<T>;
    type ThreadLocalRng = Random;
    type Mpsc = TokioMpsc;
    type Watch = SimWatch;
    type Oneshot = TokioOneshot;
    type Mutex<T: OptionalSend + 'static> = TokioMutex<T>;

    #[track_caller]
    fn spawn<T>(future: T) -> Self::JoinHandle<T::Output>
    where
        T: Future + OptionalSend + 'static,
        T::Output: OptionalSend + 'static,
    {
        madsim::task::spawn(future)
    }

    fn sleep(duration: Duration) -> Sleep {
        Sleep::lasting(duration)
    }

    fn sleep_until(deadline: Instant) -> Sleep {
        Sleep::until(deadline)
    }

    fn timeout<R, F: Future<Output = R> + OptionalSend>(duration: Duration, future: F) -> Timeout<F> {
        Timeout::new(future, Sleep::lasting(duration))
    }

    fn timeout_at<R, F: Future<Output = R> + OptionalSend>(deadline: Instant, future: F) -> Timeout<F> {
        Timeout::new(future, Sleep::until(deadline))
    }

    fn is_panic(error: &Self::JoinError) -> bool {
        error.is_panic()
    }

    fn thread_rng() -> Random {
        Random(node::current())
    }

    fn new(_threads: usize) -> Self {
        Raft(Simulation::new(0))
    }

    fn block_on<F, T>(&mut self, future: F) -> T
    where
        F: Future<Output = T>,
    {
        self.0.block_on(future)
    }

    fn spawn_blocking<F, T>(job: F) -> impl Future<Output = Result<T, io::Error>> + Send
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let result = task::run_apart(job);
        async move {
            match result.await {
                Some(Ok(value)) => Ok(value),
                Some(Err(_)) => Err(io::Error::other("the job panicked")),
                None => Err(io::Error::other("the node was killed before the job ran")),
            }
        }
    }
}

/// The stream of random numbers of one node.
pub struct Random(Arc<Node>);

impl rand::TryRng for Random {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        // The upper half: it is the better one of this family of generators.
        Ok((self.0.random_u64() >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.0.random_u64())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(bytes);
        Ok(())
    }
}
