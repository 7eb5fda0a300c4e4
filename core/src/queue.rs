//! What waits to be carried on, in the order in which it came: a client's commands, its queries, a node's proposals.
//!
//! Nothing here waits for a timer: whoever carries things on yields once, then takes everything that has gathered while
//! the last batch was under way. A queue is bounded in bytes and in number; beyond that it refuses at once, so that
//! overload is answered quickly instead of growing. Whatever leaves it unsent is told so: a command, that it is certainly not
//! committed.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};

use tokio::sync::Notify;

use crate::outcome::not_committed;
use crate::runtime::Instant;
use crate::transport::Outcome;

/// How many bytes may wait.
const BYTES_MAX: usize = 64 << 20;

/// How much may wait.
const NUMBER_MAX: usize = 1 << 17;

/// What can wait in a [`Queue`].
pub(crate) trait Queued {
    /// What it is told when the queue is full, as a sentence.
    const FULL: &str;

    /// Its length.
    fn bytes(&self) -> usize;

    /// Until when it may wait.
    fn deadline(&self) -> Instant;

    /// Whether it may be taken together with `first`.
    fn goes_with(&self, first: &Self) -> bool;

    /// It is taken. `false` if it must not be: nobody wants it any more, and it is dropped.
    fn leave(&self) -> bool {
        true
    }

    /// It comes back, to be taken again.
    fn come_back(&self) {}

    /// It leaves the queue unsent. Tells whoever waits for it why.
    fn refuse(self, reason: &str);

    /// It leaves the queue unsent since its deadline has passed. Tells whoever waits for it.
    fn expire(self);
}

/// What a command is told that has waited too long.
pub(crate) fn too_late() -> Outcome {
    crate::sometimes!("a command waits for a leader until its deadline");
    not_committed("no leader took the command before its deadline")
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Notify,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<T>,
    bytes: usize,
    closed: Option<String>,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        let state = State { items: VecDeque::new(), bytes: 0, closed: None };
        Queue { state: Mutex::new(state), changed: Notify::new() }
    }
}

impl<T: Queued> Queue<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().expect("no code panics while it holds this lock")
    }

    /// Adds something, or refuses it at once.
    pub(crate) fn push(&self, item: T) {
        let refusal = {
            let mut state = self.state();
            if let Some(reason) = &state.closed {
                Some(reason.clone())
            } else if state.items.len() >= NUMBER_MAX
                || state.bytes + item.bytes() > BYTES_MAX.max(item.bytes())
            {
                crate::sometimes!("a queue is full, and refuses what comes");
                None
            } else {
                state.bytes += item.bytes();
                state.items.push_back(item);
                drop(state);
                self.changed.notify_one();
                return;
            }
        };
        item.refuse(refusal.as_deref().unwrap_or(T::FULL));
    }

    /// Puts back what was taken, in its order, to be taken again before what has come since. Refuses it if the queue is closed.
    pub(crate) fn put_back(&self, items: Vec<T>) {
        let mut state = self.state();
        if let Some(reason) = state.closed.clone() {
            drop(state);
            items.into_iter().for_each(|item| item.refuse(&reason));
            return;
        }
        for item in items.into_iter().rev() {
            item.come_back();
            state.bytes += item.bytes();
            state.items.push_front(item);
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Waits until there is something. One task at a time may wait.
    pub(crate) async fn wait(&self) {
        while self.state().items.is_empty() {
            self.changed.notified().await;
        }
    }

    /// The same, or until the queue is closed.
    pub(crate) async fn wait_or_closed(&self) {
        loop {
            {
                let state = self.state();
                if !state.items.is_empty() || state.closed.is_some() {
                    return;
                }
            }
            self.changed.notified().await;
        }
    }

    /// Looks at what is next.
    pub(crate) fn peek<R>(&self, look: impl FnOnce(&T) -> R) -> Option<R> {
        self.state().items.front().map(look)
    }

    /// Takes what goes together, as much as is there up to `bytes_max`, but at least one, and up to `number_max`.
    pub(crate) fn take(&self, bytes_max: usize, number_max: usize) -> Vec<T> {
        let now = Instant::now();
        let (mut taken, mut expired): (Vec<T>, Vec<T>) = (Vec::new(), Vec::new());
        let mut bytes = 0;
        {
            let mut state = self.state();
            while let Some(next) = state.items.front() {
                let fits = taken.first().is_none_or(|first| {
                    bytes + next.bytes() <= bytes_max && taken.len() < number_max && next.goes_with(first)
                });
                if !fits {
                    break;
                }
                let Some(item) = state.items.pop_front() else { break };
                state.bytes -= item.bytes();
                if item.deadline() <= now {
                    expired.push(item);
                } else if item.leave() {
                    bytes += item.bytes();
                    taken.push(item);
                }
            }
        }
        expired.into_iter().for_each(T::expire);
        taken
    }

    /// Ends what has waited too long. Tells whether there was any.
    pub(crate) fn expire(&self) -> bool {
        let now = Instant::now();
        let expired: Vec<T> = {
            let mut state = self.state();
            if state.items.iter().all(|item| item.deadline() > now) {
                return false;
            }
            let (expired, kept): (Vec<_>, Vec<_>) =
                state.items.drain(..).partition(|item| item.deadline() <= now);
            state.items = kept.into();
            state.bytes = state.items.iter().map(T::bytes).sum();
            expired
        };
        expired.into_iter().for_each(T::expire);
        true
    }

    /// Shows all that waits, to be changed. What it says of its bytes must stay the same.
    pub(crate) fn each(&self, change: impl FnMut(&mut T)) {
        self.state().items.iter_mut().for_each(change);
    }

    /// Refuses all that waits and all that comes.
    pub(crate) fn close(&self, reason: &str) {
        let waiting = {
            let mut state = self.state();
            state.closed = Some(reason.to_owned());
            state.bytes = 0;
            std::mem::take(&mut state.items)
        };
        for item in waiting {
            item.refuse(reason);
        }
        self.changed.notify_one();
    }

    /// Whether nothing more will come.
    pub(crate) fn is_closed(&self) -> bool {
        self.state().closed.is_some()
    }
}
