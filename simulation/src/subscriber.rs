//! Subscribers: each follows the log from the record that it has dealt with last, through crashes of its own and of nodes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lovebird_core::client::Client;
use lovebird_core::error::SubscribeError;
use lovebird_core::runtime;
use lovebird_core::subscription::{Event, Subscription};
use lovebird_transport::MemoryNetwork;
use madsim::runtime::Handle;
use madsim::task::JoinHandle;

use crate::chance::Chance;
use crate::check::{Checker, Given, Invariant};
use crate::cluster::address;
use crate::plan::{Plan, Subscriber as Planned};
use crate::watched::{Subject, encode, nanos};

/// For how long a subscriber waits for a record before it asks again, which loses nothing.
const GLANCE: Duration = Duration::from_millis(700);

/// Before a subscriber goes on that was told that its next record is gone.
const PAUSE: Duration = Duration::from_millis(50);

/// Subscribers at work.
pub(crate) struct Subscribers {
    hurry: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
}

struct Subscriber<S: Subject> {
    id: u64,
    client: Client<S::Service>,
    checker: Checker,
    hurry: Arc<AtomicBool>,
    chance: Chance,
    /// The log index of the last record that it has.
    has: u64,
    /// It has forgotten everything, and takes whatever state it is given first.
    is_new: bool,
    /// It was told that the next one is gone.
    is_behind: bool,
}

impl Subscribers {
    /// Starts those of a plan.
    pub(crate) fn start<S: Subject>(plan: &Plan, network: &MemoryNetwork, checker: &Checker) -> Subscribers {
        let hurry = Arc::new(AtomicBool::new(false));
        let mut tasks = Vec::new();
        for Planned { address: id, bound, chance } in plan.subscribers.iter().cloned() {
            let reached = bound.map_or_else(|| plan.everyone().into_iter().collect(), |node| vec![node]);
            let transport = network.transport(&address(id));
            let (checker, hurry) = (checker.clone(), hurry.clone());
            checker.subscribes(id);
            let node = Handle::current().create_node().name(address(id)).build();
            tasks.push(node.spawn(async move {
                let client = Client::over(&transport, reached.into_iter().map(address));
                let (has, is_new, is_behind) = (0, false, false);
                let chance = Chance::new(chance, 0);
                Subscriber::<S> { id, client, checker, hurry, chance, has, is_new, is_behind }.run().await;
            }));
        }
        Subscribers { hurry, tasks }
    }

    /// No more rests, and no more crashes of their own: they are to come to the end of the log.
    pub(crate) fn hurry(&self) {
        self.hurry.store(true, Ordering::Relaxed);
    }

    /// Ends them.
    pub(crate) fn end(self) {
        for task in self.tasks {
            task.abort();
        }
    }
}

impl<S: Subject> Subscriber<S> {
    async fn run(mut self) {
        loop {
            let subscription = self.begin();
            self.live(subscription).await;
            if !self.is_in_a_hurry() && self.chance.once_in(4) {
                runtime::sleep(Duration::from_millis(self.chance.between(200, 4000))).await;
            }
        }
    }

    fn is_in_a_hurry(&self) -> bool {
        self.hurry.load(Ordering::Relaxed)
    }

    /// A life begins behind what the last one has dealt with.
    fn begin(&mut self) -> Subscription<S::Service> {
        let subscription = self.client.subscribe(self.has + 1);
        // Some only find out that they are behind, and then take the state.
        self.is_new = false;
        let takes_state = self.chance.half() || std::mem::take(&mut self.is_behind);
        match self.chance.below(8) {
            // Or they forget everything, and begin with whatever a replica has.
            0 if !self.is_in_a_hurry() => {
                (self.has, self.is_new) = (0, true);
                self.client.subscribe_with_state()
            }
            _ if takes_state => subscription.or_state(),
            _ => subscription,
        }
    }

    /// Follows until it crashes, if it does.
    async fn live(&mut self, mut subscription: Subscription<S::Service>) {
        let mut left = 1 + self.chance.below(300);
        while left > 0 || self.is_in_a_hurry() {
            left = left.saturating_sub(1);
            let Ok(event) = runtime::timeout(GLANCE, subscription.next()).await else { continue };
            match event {
                Ok(Event::Record(logged)) => {
                    let given = Given {
                        index: logged.index,
                        term: logged.term,
                        time: nanos(logged.time),
                        command: encode(&logged.command),
                    };
                    self.checker.followed(self.id, self.has, &given);
                    self.has = logged.index;
                }
                Ok(Event::State { index, snapshot }) => {
                    let least = if self.is_new { 0 } else { self.has + 1 };
                    self.checker.followed_state(self.id, least, index, snapshot.index, snapshot.digest);
                    (self.has, self.is_new) = (index, false);
                }
                Err(SubscribeError::Purged { first, .. }) => {
                    self.checker.purged(self.id, self.has, first);
                    self.is_behind = true;
                    runtime::sleep(PAUSE).await;
                    return;
                }
                Err(error @ SubscribeError::Codec { .. }) => {
                    let sentence = format!("subscriber {}: {error}", self.id);
                    self.checker.violation(Invariant::Subscription, sentence);
                    return;
                }
            }
            // One that is slow now and then makes the node wait, or purge what it has not read.
            if !self.is_in_a_hurry() && self.chance.once_in(100) {
                runtime::sleep(Duration::from_millis(self.chance.between(10, 2500))).await;
            }
        }
    }
}
