//! Why a node stopped: the first reason that anyone gives is the one that counts.

use std::sync::Mutex;

use tokio::sync::oneshot;

use crate::error::Stopped;

/// Remembers the first reason, and tells it to all who wait.
#[derive(Debug, Default)]
pub(crate) struct Stop(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    reason: Option<Stopped>,
    waiters: Vec<oneshot::Sender<Stopped>>,
}

impl Stop {
    /// Gives a reason. Later ones are only logged.
    pub(crate) fn set(&self, reason: Stopped) {
        let waiters = {
            let mut state = self.0.lock().expect("no code panics while it holds this lock");
            if let Some(first) = &state.reason {
                tracing::debug!(%first, also = %reason, "the node has stopped already");
                return;
            }
            state.reason = Some(reason.clone());
            std::mem::take(&mut state.waiters)
        };
        if reason != Stopped::Shutdown {
            tracing::error!(%reason, "the node stops");
        }
        for waiter in waiters {
            let _ = waiter.send(reason.clone());
        }
    }

    /// The reason, if there is one.
    pub(crate) fn get(&self) -> Option<Stopped> {
        self.0.lock().expect("no code panics while it holds this lock").reason.clone()
    }

    /// Waits for the reason.
    pub(crate) async fn wait(&self) -> Stopped {
        let told = {
            let mut state = self.0.lock().expect("no code panics while it holds this lock");
            if let Some(reason) = &state.reason {
                return reason.clone();
            }
            let (waiter, told) = oneshot::channel();
            state.waiters.retain(|waiter| !waiter.is_closed());
            state.waiters.push(waiter);
            told
        };
        told.await.unwrap_or(Stopped::Shutdown)
    }
}
