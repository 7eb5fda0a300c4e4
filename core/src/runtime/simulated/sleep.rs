//! Waiting for a node's clock.
//!
//! madsim cannot take a timer back, and its own sleep sets another one each time it is polled, each holding the waker and
//! so the task. Under a consensus that polls its deadlines with every message that is a leak. Here a sleep sets one timer,
//! which knows an [`Alarm`] and nothing else; the alarm holds the waker of the last poll, and nothing once the sleep is gone.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::Instant;
use super::node::{self, Node};
use crate::runtime::Elapsed;

/// Ready once the clock of the node that made it shows the deadline, and after one millisecond at the earliest.
#[must_use = "a sleep does nothing unless awaited"]
pub struct Sleep {
    node: Arc<Node>,
    deadline: Instant,
    /// None before the first poll.
    alarm: Option<Arc<Alarm>>,
}

impl Sleep {
    pub(super) fn lasting(duration: Duration) -> Self {
        let node = node::current();
        let deadline = node.now() + duration;
        Sleep { node, deadline, alarm: None }
    }

    pub(super) fn until(deadline: Instant) -> Self {
        Sleep { node: node::current(), deadline, alarm: None }
    }

    fn set_alarm(&mut self, waker: &Waker) {
        let alarm = Arc::new(Alarm(Mutex::new(State::Set(waker.clone()))));
        // A timer is set by polling madsim's sleep; it stays when that sleep is dropped.
        let mut timer = self.node.time().sleep(self.node.true_time_until(self.deadline));
        let bell = Waker::from(alarm.clone());
        let polled = Pin::new(&mut timer).poll(&mut Context::from_waker(&bell));
        assert!(polled.is_pending(), "a sleep of madsim's lasts at least 1 ms, but one ended at once");
        self.alarm = Some(alarm);
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if let Some(alarm) = &self.alarm {
            if alarm.wait(context.waker()).is_pending() {
                return Poll::Pending;
            }
            if self.node.now() >= self.deadline {
                return Poll::Ready(());
            }
            // The clock was slowed down meanwhile: what is left needs another timer.
        }
        self.set_alarm(context.waker());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(alarm) = &self.alarm {
            alarm.forget();
        }
    }
}

/// What stands between a timer, which cannot be taken back, and a task.
struct Alarm(Mutex<State>);

enum State {
    Set(Waker),
    Rung,
    Forgotten,
}

impl Alarm {
    fn replace(&self, state: State) -> State {
        std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), state)
    }

    /// Ready if it has rung; otherwise it will wake `waker` and nobody else.
    fn wait(&self, waker: &Waker) -> Poll<()> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *state {
            State::Rung => return Poll::Ready(()),
            State::Set(old) if old.will_wake(waker) => {}
            old => *old = State::Set(waker.clone()),
        }
        Poll::Pending
    }

    fn forget(&self) {
        self.replace(State::Forgotten);
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        // Replaced first, woken after: to wake may drop a task, and with it the sleep that locks this very state.
        if let State::Set(waker) = self.replace(State::Rung) {
            waker.wake();
        }
    }
}

/// A future that is given up at a deadline. The future goes first: ready at the deadline is in time.
#[must_use = "a timeout does nothing unless awaited"]
pub struct Timeout<F> {
    future: Pin<Box<F>>,
    sleep: Sleep,
}

impl<F: Future> Timeout<F> {
    pub(super) fn new(future: F, sleep: Sleep) -> Self {
        Timeout { future: Box::pin(future), sleep }
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(value) = self.future.as_mut().poll(context) {
            return Poll::Ready(Ok(value));
        }
        Pin::new(&mut self.sleep).poll(context).map(|()| Err(Elapsed))
    }
}
