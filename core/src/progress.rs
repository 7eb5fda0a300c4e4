//! Waiting until a replica has applied an entry.

use std::collections::BTreeMap;
use std::sync::Mutex;

use tokio::sync::oneshot;

/// How far something has come, and who waits for it to come further. Waiters are woken in the order of their targets, and
/// those with equal targets in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Progress(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// One more than the last number reached, so that 0 is "none yet".
    reached: u64,
    waiters: BTreeMap<u64, Vec<oneshot::Sender<()>>>,
}

impl Progress {
    /// Says that `number` has been reached.
    pub(crate) fn reach(&self, number: u64) {
        let woken = {
            let mut state = self.0.lock().expect("no code panics while it holds this lock");
            state.reached = state.reached.max(number + 1);
            let reached = state.reached;
            let later = state.waiters.split_off(&reached);
            std::mem::replace(&mut state.waiters, later)
        };
        for waiter in woken.into_values().flatten() {
            // Whoever no longer waits does not mind.
            let _ = waiter.send(());
        }
    }

    /// Waits until `number` is reached. Dropping the future is how to stop waiting.
    pub(crate) async fn wait(&self, number: u64) {
        let reached = {
            let mut state = self.0.lock().expect("no code panics while it holds this lock");
            if state.reached > number {
                return;
            }
            let waiters = state.waiters.entry(number).or_default();
            // Those who gave up leave an entry behind; drop it here, so that it cannot pile up.
            waiters.retain(|waiter| !waiter.is_closed());
            let (waiter, reached) = oneshot::channel();
            waiters.push(waiter);
            reached
        };
        if reached.await.is_err() {
            // The replica has gone: what is waited for never comes.
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn a_waiter_is_woken_when_its_number_is_reached() {
        let progress = Progress::default();
        let mut zero = Box::pin(progress.wait(0));
        let mut five = Box::pin(progress.wait(5));
        assert!((&mut zero).now_or_never().is_none());
        progress.reach(0);
        assert!(zero.now_or_never().is_some());
        assert!((&mut five).now_or_never().is_none());
        progress.reach(9);
        assert!(five.now_or_never().is_some());
        assert!(progress.wait(9).now_or_never().is_some());
        assert!(progress.wait(10).now_or_never().is_none());
    }
}
