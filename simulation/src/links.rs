//! The links between nodes and clients: how long a message takes, and what else becomes of it.
//!
//! Every link is one direction between two of them, and has a [`Condition`] of its own that can be changed while the run goes.
//! What each message meets is drawn from the sender's own randomness: so a message more on one link moves nothing on another,
//! but through what its receiver does with it.
//!
//! A message takes 0.3 to 3 ms; one in 64 takes up to 30 ms, one in 2,048 up to a quarter of a second. What a node says to
//! itself takes no time and meets nothing.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use lovebird_core::runtime;
use lovebird_transport::{Conditions, Fate, Sending};
use madsim::time::{Sleep, TimeHandle};

/// How much later than the first time a message arrives that arrives twice, at most: long enough for an election between.
const AGAIN_MICROS_MAX: u64 = 2_000_000;

/// What a link is like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// Whether everything is lost.
    pub cut: bool,
    /// How many of a thousand messages are lost.
    pub loss_per_mille: u32,
    /// How much longer each takes.
    pub slow: Duration,
    /// How many of a thousand calls, and append streams, arrive twice.
    pub doubling_per_mille: u32,
    /// How many of a thousand messages break the connection.
    pub resets_per_mille: u32,
}

/// A message that was sent, as an observer is told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passing {
    /// The sender.
    pub from: u64,
    /// The receiver.
    pub to: u64,
    /// What it is.
    pub kind: &'static str,
    /// How many bytes.
    pub bytes: usize,
    /// When it was sent, in true time since the start of the simulation.
    pub sent: Duration,
    /// When it arrives, and when once more; none if it never does.
    pub fate: Fate,
}

type Observer = Box<dyn Fn(&Passing) + Send + Sync>;

/// All links of a run. Clones are the same links.
#[derive(Clone, Default)]
pub struct Links(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// Those that are not as they should be.
    conditions: Mutex<BTreeMap<(u64, u64), Condition>>,
    observer: OnceLock<Observer>,
}

impl Links {
    /// Links on which messages take their time and nothing else happens.
    pub fn new() -> Links {
        Links::default()
    }

    /// What a link is like.
    pub fn condition(&self, from: u64, to: u64) -> Condition {
        self.lock().get(&(from, to)).copied().unwrap_or_default()
    }

    /// Changes what a link is like. What is under way on it is not affected.
    pub fn set(&self, from: u64, to: u64, change: impl FnOnce(&mut Condition)) {
        let mut conditions = self.lock();
        let condition = conditions.entry((from, to)).or_default();
        change(condition);
        if *condition == Condition::default() {
            conditions.remove(&(from, to));
        }
    }

    /// Lets all that is sent from one to the other vanish.
    pub fn cut(&self, from: u64, to: u64) {
        self.set(from, to, |link| link.cut = true);
    }

    /// Lets a link that was cut carry again.
    pub fn heal(&self, from: u64, to: u64) {
        self.set(from, to, |link| link.cut = false);
    }

    /// Lets so many of a thousand messages vanish. On a stream one is enough to make it stand still.
    pub fn set_loss(&self, from: u64, to: u64, per_mille: u32) {
        self.set(from, to, |link| link.loss_per_mille = per_mille);
    }

    /// Lets each message take so much longer.
    pub fn set_slow(&self, from: u64, to: u64, extra: Duration) {
        self.set(from, to, |link| link.slow = extra);
    }

    /// Lets so many of a thousand calls, and of append streams, arrive a second time, up to two seconds later.
    pub fn set_doubling(&self, from: u64, to: u64, per_mille: u32) {
        self.set(from, to, |link| link.doubling_per_mille = per_mille);
    }

    /// Lets so many of a thousand messages break the connection.
    pub fn set_resets(&self, from: u64, to: u64, per_mille: u32) {
        self.set(from, to, |link| link.resets_per_mille = per_mille);
    }

    /// All links are as they should be.
    pub fn heal_all(&self) {
        self.lock().clear();
    }

    /// Has `observer` be told of every message from now on. It must not send any, nor change a link.
    ///
    /// # Panics
    /// If there is an observer already.
    pub fn observe(&self, observer: impl Fn(&Passing) + Send + Sync + 'static) {
        assert!(self.0.observer.set(Box::new(observer)).is_ok(), "the links have an observer already");
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(u64, u64), Condition>> {
        // Nothing panics while it is held, so what it guards is whole.
        self.0.conditions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn decide(&self, from: u64, to: u64, now: Duration, sending: &Sending<'_>) -> Fate {
        if from == to {
            return Fate::Arrives { at: now, again: None };
        }
        let condition = self.condition(from, to);
        if condition.cut {
            return Fate::Lost;
        }
        let at = (now + latency(runtime::random_u64()) + condition.slow).max(sending.earliest);
        if condition == (Condition { slow: condition.slow, ..Condition::default() }) {
            return Fate::Arrives { at, again: None };
        }
        // Always the same number of draws on a link that is not as it should be, whatever comes of them.
        let drawn = runtime::random_u64();
        // Sixteen bits of it for each question.
        let per_mille = |shift: u32| ((((drawn >> shift) & 0xFFFF) * 1000) >> 16) as u32;
        if per_mille(0) < condition.loss_per_mille {
            return Fate::Lost;
        }
        if per_mille(16) < condition.resets_per_mille {
            return Fate::Reset;
        }
        let doubled = sending.repeatable && per_mille(32) < condition.doubling_per_mille;
        let again = doubled.then(|| at + Duration::from_micros(runtime::random_u64() % AGAIN_MICROS_MAX));
        Fate::Arrives { at, again }
    }
}

/// How long a message takes that met with nothing, from 64 bits of chance.
fn latency(drawn: u64) -> Duration {
    let (choice, rest) = (drawn % 2048, drawn / 2048);
    let micros = match choice {
        0 => 30_000 + rest % 220_000,
        _ if choice % 64 == 1 => 3_000 + rest % 27_000,
        _ => 300 + rest % 2_700,
    };
    Duration::from_micros(micros)
}

/// Where `id`, a node or a client, is on the network.
pub(crate) fn address(id: u64) -> String {
    format!("at-{id}")
}

/// Who is there.
fn id_at(address: &str) -> u64 {
    let id = address.strip_prefix("at-").and_then(|id| id.parse().ok());
    id.unwrap_or_else(|| panic!("{address} is no address of the simulated network"))
}

impl Conditions for Links {
    fn fate(&self, sending: &Sending<'_>) -> Fate {
        let (from, to) = (id_at(sending.from), id_at(sending.to));
        let now = TimeHandle::current().elapsed();
        let fate = self.decide(from, to, now, sending);
        if let Some(observer) = self.0.observer.get() {
            let Sending { kind, bytes, .. } = *sending;
            observer(&Passing { from, to, kind, bytes, sent: now, fate });
        }
        fate
    }

    fn until(&self, time: Duration) -> BoxFuture<'static, ()> {
        let handle = TimeHandle::current();
        match time.checked_sub(handle.elapsed()) {
            None => ready(()).boxed(),
            Some(left) => {
                let deadline = handle.now_instant() + left;
                let mut sleep = Box::pin(handle.sleep_until(deadline));
                // A sleep begins as one of a millisecond at least; a message need not take so long.
                sleep.as_mut().reset(deadline);
                Arrival { sleep, woken: None }.boxed()
            }
        }
    }
}

/// Waits for true time, with one timer a waker: madsim's own sleep sets another one each time it is polled, and cannot take
/// any back.
struct Arrival {
    sleep: Pin<Box<Sleep>>,
    /// Whom the last timer wakes.
    woken: Option<Waker>,
}

impl Future for Arrival {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let waker = context.waker();
        if !self.sleep.is_elapsed() && self.woken.as_ref().is_some_and(|woken| woken.will_wake(waker)) {
            return Poll::Pending;
        }
        let polled = self.sleep.as_mut().poll(context);
        self.woken = Some(waker.clone());
        polled
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use lovebird_core::runtime::Simulation;

    use super::*;

    fn sending(kind: &'static str, earliest: Duration) -> Sending<'static> {
        let repeatable = kind == "vote";
        Sending { from: "at-1", to: "at-2", kind, bytes: 100, earliest, repeatable }
    }

    fn told(links: &Links) -> Arc<Mutex<Vec<Passing>>> {
        let told = Arc::new(Mutex::new(Vec::new()));
        let observed = told.clone();
        links.observe(move |passing| observed.lock().unwrap().push(*passing));
        told
    }

    /// What becomes of a thousand messages over a link that is changed before.
    fn thousand(seed: u64, kind: &'static str, change: impl FnOnce(&Links)) -> Vec<Passing> {
        let links = Links::new();
        change(&links);
        let told = told(&links);
        Simulation::new(seed).block_on(async {
            for _ in 0..1000 {
                links.fate(&sending(kind, Duration::ZERO));
                runtime::sleep(Duration::from_millis(1)).await;
            }
        });
        std::mem::take(&mut told.lock().unwrap())
    }

    fn count(passings: &[Passing], of: impl Fn(&Fate) -> bool) -> usize {
        passings.iter().filter(|passing| of(&passing.fate)).count()
    }

    /// How long they took that arrived, from the shortest to the longest.
    fn took(passings: &[Passing]) -> Vec<Duration> {
        let mut took: Vec<Duration> = passings
            .iter()
            .filter_map(|passing| match passing.fate {
                Fate::Arrives { at, .. } => Some(at - passing.sent),
                _ => None,
            })
            .collect();
        took.sort();
        took
    }

    #[test]
    fn messages_take_their_time_and_now_and_then_much_longer() {
        let took = took(&thousand(1, "vote", |_| {}));
        assert_eq!(took.len(), 1000, "a message was lost on a link that is as it should be");
        assert!(took[0] >= Duration::from_micros(300) && took[500] < Duration::from_millis(3), "{took:?}");
        assert!(took[970] < Duration::from_millis(3) && took[999] > Duration::from_millis(10), "{took:?}");
    }

    #[test]
    fn a_slow_link_is_slow_in_one_direction() {
        let slow = |links: &Links| links.set_slow(1, 2, Duration::from_secs(1));
        assert!(took(&thousand(1, "vote", slow))[0] >= Duration::from_secs(1));
        let other = |links: &Links| links.set_slow(2, 1, Duration::from_secs(1));
        assert!(took(&thousand(1, "vote", other))[999] < Duration::from_secs(1));
    }

    #[test]
    fn each_fault_strikes_as_often_as_it_was_told() {
        let about = |count: usize| (50..150).contains(&count);
        let doubled = |fate: &Fate| matches!(fate, Fate::Arrives { again: Some(_), .. });
        let lossy = thousand(1, "vote", |links| links.set_loss(1, 2, 100));
        assert!(about(count(&lossy, |fate| *fate == Fate::Lost)));
        let resetting = thousand(1, "vote", |links| links.set_resets(1, 2, 100));
        assert!(about(count(&resetting, |fate| *fate == Fate::Reset)));
        let doubling = thousand(1, "vote", |links| links.set_doubling(1, 2, 100));
        assert!(about(count(&doubling, doubled)));
        assert_eq!(took(&doubling).len(), 1000);
        let unrepeatable = thousand(1, "propose", |links| links.set_doubling(1, 2, 100));
        assert_eq!(count(&unrepeatable, doubled), 0);
    }

    #[test]
    fn a_cut_link_carries_nothing_until_it_is_healed() {
        let lost = |fate: &Fate| *fate == Fate::Lost;
        assert_eq!(count(&thousand(1, "vote", |links| links.cut(1, 2)), lost), 1000);
        let healed = |links: &Links| {
            links.cut(1, 2);
            links.set_slow(1, 2, Duration::from_secs(1));
            links.heal(1, 2);
        };
        assert_eq!(took(&thousand(1, "vote", healed)).len(), 1000);
        let all = |links: &Links| {
            links.cut(1, 2);
            links.set_loss(1, 2, 1000);
            links.heal_all();
            assert_eq!(links.condition(1, 2), Condition::default());
        };
        assert_eq!(took(&thousand(1, "vote", all)).len(), 1000);
    }

    #[test]
    fn the_same_seed_decides_the_same() {
        let bad = |links: &Links| {
            links.set_loss(1, 2, 100);
            links.set_resets(1, 2, 100);
            links.set_doubling(1, 2, 100);
        };
        assert_eq!(thousand(1, "vote", bad), thousand(1, "vote", bad));
        assert_ne!(thousand(1, "vote", bad), thousand(2, "vote", bad));
    }

    #[test]
    fn a_message_arrives_on_time_and_behind_the_one_before_it() {
        let links = Links::new();
        Simulation::new(1).block_on(async {
            let now = || TimeHandle::current().elapsed();
            let (mut last, mut quick) = (Duration::ZERO, 0);
            for _ in 0..1000 {
                let sent = now();
                let Fate::Arrives { at, .. } = links.fate(&sending("append", last)) else {
                    panic!("a message was lost on a link that is as it should be");
                };
                assert!(at >= last);
                last = at;
                links.until(at).await;
                let late = now().checked_sub(at).unwrap();
                assert!(late < Duration::from_micros(1), "a message was {late:?} late");
                quick += usize::from(at - sent < Duration::from_millis(1));
            }
            assert!(quick > 100, "no message takes less than a millisecond");
            let held = Duration::from_secs(3600);
            assert_eq!(links.fate(&sending("append", held)), Fate::Arrives { at: held, again: None });
        });
    }

    #[test]
    fn what_a_node_says_to_itself_meets_nothing() {
        let links = Links::new();
        links.cut(1, 1);
        Simulation::new(1).block_on(async {
            let own = Sending { to: "at-1", ..sending("vote", Duration::ZERO) };
            let now = TimeHandle::current().elapsed();
            assert_eq!(links.fate(&own), Fate::Arrives { at: now, again: None });
        });
    }
}
