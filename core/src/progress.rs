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
        // Dropped behind the receiver, which is then seen to be gone.
        let _leaving = Leaving { progress: self, number };
        let reached = {
            let mut state = self.0.lock().expect("no code panics while it holds this lock");
            if state.reached > number {
                return;
            }
            let (waiter, reached) = oneshot::channel();
            state.waiters.entry(number).or_default().push(waiter);
            reached
        };
        if reached.await.is_err() {
            // The replica has gone: what is waited for never comes.
            std::future::pending::<()>().await;
        }
    }

    /// Forgets those who no longer wait for `number`, so that whoever waits for what never comes leaves nothing behind.
    fn forget(&self, number: u64) {
        let mut state = self.0.lock().expect("no code panics while it holds this lock");
        if let Some(waiters) = state.waiters.get_mut(&number) {
            waiters.retain(|waiter| !waiter.is_closed());
            if waiters.is_empty() {
                state.waiters.remove(&number);
            }
        }
    }
}

/// Someone who waits, and stops waiting in whatever way.
struct Leaving<'a> {
    progress: &'a Progress,
    number: u64,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.progress.forget(self.number);
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

    #[test]
    fn whoever_stops_waiting_leaves_nothing_behind() {
        let progress = Progress::default();
        let mut never = Box::pin(progress.wait(u64::MAX));
        let mut other = Box::pin(progress.wait(u64::MAX));
        assert!((&mut never).now_or_never().is_none() && (&mut other).now_or_never().is_none());
        drop(never);
        assert_eq!(progress.0.lock().unwrap().waiters[&u64::MAX].len(), 1);
        drop(other);
        assert!(progress.0.lock().unwrap().waiters.is_empty());
    }
}
