//! How long the syncs of a node's log take.
//!
//! A disk in memory syncs in an instant, and then nothing can happen between a write and its sync, though that is where
//! the classic bugs live: what was acknowledged too early, or was sent to others by a leader that had not synced it itself, is
//! lost only if something happens just there. So the log is opened in turns, and a task of the node lets time pass between
//! the two halves of each. That time is drawn by the node's own generator, and can be changed while the node runs.
//!
//! Only the syncs that the log awaits take time. Those with which a segment is begun or sealed, those of snapshots, of the data
//! directory and of directories do not: they are made within calls that wait for no task.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lovebird_core::runtime;
use lovebird_storage::log::{Turn, Turns};
use tokio::sync::Notify;

/// The shortest time that a simulated sleep lasts.
const SLEEP_MIN: Duration = Duration::from_millis(1);

/// A sync takes at least `base` and less than `base + jitter`, all times in between being as likely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latency {
    /// What every sync takes.
    pub base: Duration,
    /// By how much it may take longer.
    pub jitter: Duration,
}

impl Default for Latency {
    /// That of a good disk: 0.2 to 1.5 ms.
    fn default() -> Self {
        Latency { base: Duration::from_micros(200), jitter: Duration::from_micros(1300) }
    }
}

/// A sync that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncEvent {
    /// Of which file or directory.
    pub path: PathBuf,
    /// How much time of the simulated world passed in it, until now.
    pub took: Duration,
    /// What came of it.
    pub result: Result<(), io::ErrorKind>,
}

/// Told of each sync, in the middle of it: it must not use the disk.
pub type Observer = Arc<dyn Fn(&SyncEvent) + Send + Sync>;

/// The pace of one node's disk, through all lives of the node. Clones are the same.
#[derive(Clone, Default)]
pub struct Pace(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    latency: Latency,
    /// So many of the next syncs take so long instead.
    stalled: u64,
    stall: Duration,
    /// What syncs should have taken and did not, being shorter than a sleep can be. A later one makes up for it.
    owed: Duration,
    /// What has passed in the sync that is about to end.
    passed: Duration,
    syncs: u64,
    observer: Option<Observer>,
}

impl fmt::Debug for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("Pace")
            .field("latency", &state.latency)
            .field("syncs", &state.syncs)
            .finish_non_exhaustive()
    }
}

impl Pace {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds this lock, so what it guards is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long syncs take that begin from now on.
    pub fn set(&self, latency: Latency) {
        self.state().latency = latency;
    }

    /// The next `syncs` syncs take `each`, as when a disk collects its garbage. Takes the place of an earlier stall.
    pub fn stall(&self, syncs: u64, each: Duration) {
        let mut state = self.state();
        (state.stalled, state.stall) = (syncs, each);
    }

    /// How many syncs there were, in all lives of the node.
    pub fn syncs(&self) -> u64 {
        self.state().syncs
    }

    /// Tells `observer` of each sync from now on, in the place of an earlier one.
    pub fn observe(&self, observer: Observer) {
        self.state().observer = Some(observer);
    }

    /// Lets the time of one sync pass. Called on the node.
    async fn pass(&self) {
        let drawn = runtime::random_u64();
        let wait = self.state().begin(drawn);
        if wait.is_zero() {
            runtime::yield_now().await;
        } else {
            runtime::sleep(wait).await;
        }
    }

    /// A sync has ended.
    pub(crate) fn synced(&self, path: &Path, result: &io::Result<()>) {
        let mut state = self.state();
        state.syncs += 1;
        let took = std::mem::take(&mut state.passed);
        let Some(observer) = state.observer.clone() else { return };
        drop(state);
        let result = result.as_ref().copied().map_err(io::Error::kind);
        observer(&SyncEvent { path: path.to_owned(), took, result });
    }
}

impl State {
    /// How long to sleep for the sync that begins; zero if it is too short for a sleep.
    fn begin(&mut self, drawn: u64) -> Duration {
        let takes = self.next(drawn);
        self.owed += takes;
        self.passed = if self.owed < SLEEP_MIN { Duration::ZERO } else { std::mem::take(&mut self.owed) };
        self.passed
    }

    /// How long the next sync takes, by a random number.
    fn next(&mut self, drawn: u64) -> Duration {
        if self.stalled > 0 {
            self.stalled -= 1;
            return self.stall;
        }
        let jitter = u64::try_from(self.latency.jitter.as_nanos()).unwrap_or(u64::MAX);
        self.latency.base + Duration::from_nanos(drawn % jitter.max(1))
    }
}

/// Takes the turns of a node's log until it is closed. A task of that node, woken by `work`.
pub(crate) async fn take_turns(turns: Turns, work: Arc<Notify>, pace: Pace) {
    loop {
        match turns.write() {
            Turn::Sync => {
                pace.pass().await;
                turns.sync();
            }
            // A wake that came meanwhile is kept for the one who waits here, who is alone.
            Turn::Rest => work.notified().await,
            Turn::End => return,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn latency_lies_between_its_bounds_and_stalls_end() {
        let mut state = State { latency: Latency { base: 2 * MS, jitter: 3 * MS }, ..State::default() };
        let drawn = [0, 1, 2_999_999, 3_000_000, u64::MAX].map(|drawn| state.next(drawn));
        assert!(drawn.iter().all(|time| (2 * MS..5 * MS).contains(time)), "{drawn:?}");
        (state.stalled, state.stall) = (2, 800 * MS);
        assert_eq!([0; 3].map(|drawn| state.next(drawn)), [800 * MS, 800 * MS, 2 * MS]);
        state.latency = Latency { base: MS, jitter: Duration::ZERO };
        assert_eq!(state.next(7), MS);
    }

    #[test]
    fn syncs_that_are_too_short_for_a_sleep_add_up() {
        let latency = Latency { base: MS * 2 / 5, jitter: Duration::ZERO };
        let mut state = State { latency, ..State::default() };
        let waits = [0; 6].map(|drawn| state.begin(drawn));
        let (none, some) = (Duration::ZERO, MS * 6 / 5);
        assert_eq!(waits, [none, none, some, none, none, some]);
    }

    #[test]
    fn observer_hears_of_each_sync_once() {
        let (pace, heard) = (Pace::default(), Arc::new(Mutex::new(Vec::new())));
        pace.synced(Path::new("/before"), &Ok(()));
        let list = heard.clone();
        pace.observe(Arc::new(move |event: &SyncEvent| list.lock().unwrap().push(event.clone())));
        pace.state().passed = 3 * MS;
        pace.synced(Path::new("/a"), &Ok(()));
        pace.synced(Path::new("/b"), &Err(io::ErrorKind::StorageFull.into()));
        let event = |path: &str, took, result| SyncEvent { path: path.into(), took, result };
        let expected =
            [event("/a", 3 * MS, Ok(())), event("/b", Duration::ZERO, Err(io::ErrorKind::StorageFull))];
        assert_eq!(*heard.lock().unwrap(), expected);
        assert_eq!(pace.syncs(), 3);
    }
}
