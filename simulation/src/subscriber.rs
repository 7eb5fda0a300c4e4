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
use crate::check::Checker;
use crate::cluster::address;
use crate::counter::Subject;
use crate::schedule::Schedule;

/// One for all nodes, going on at the next when one is gone, and one that is bound to a single node.
const SUBSCRIBERS: u64 = 2;

/// For how long a subscriber waits for a record before it asks again, which loses nothing.
const GLANCE: Duration = Duration::from_millis(700);

/// Before a subscriber goes on that was told that its next record is gone.
const PAUSE: Duration = Duration::from_millis(50);

/// Subscribers at work.
pub struct Subscribers {
    hurry: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
}

struct Subscriber<S> {
    id: u64,
    client: Client<S>,
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
    /// Starts them. They are reached at the addresses of clients, so that their links are cut, too.
    pub fn start<S: Subject>(
        seed: u64,
        schedule: &Schedule,
        nodes: &[u64],
        network: &MemoryNetwork,
        checker: &Checker,
    ) -> Subscribers {
        let hurry = Arc::new(AtomicBool::new(false));
        let mut tasks = Vec::new();
        for (id, client) in (1..=SUBSCRIBERS).zip(schedule.clients.iter().copied()) {
            let mut chance = Chance::new(seed, 1_000_000 + id);
            let bound = *chance.one_of(nodes);
            let reached = if id == 1 { nodes.to_vec() } else { vec![bound] };
            let transport = network.transport(&address(client));
            let (checker, hurry) = (checker.clone(), hurry.clone());
            checker.subscribes(id);
            let node = Handle::current().create_node().name(format!("subscriber-{id}")).build();
            tasks.push(node.spawn(async move {
                let client = Client::<S>::over(&transport, reached.into_iter().map(address));
                let (has, is_new, is_behind) = (0, false, false);
                Subscriber { id, client, checker, hurry, chance, has, is_new, is_behind }.run().await;
            }));
        }
        Subscribers { hurry, tasks }
    }

    /// No more rests, and no more crashes of their own: they are to come to the end of the log.
    pub fn hurry(&self) {
        self.hurry.store(true, Ordering::Relaxed);
    }

    /// Ends them.
    pub fn end(self) {
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
            if !self.is_in_a_hurry() && self.chance.below(4) == 0 {
                runtime::sleep(self.chance.millis(200, 4000)).await;
            }
        }
    }

    fn is_in_a_hurry(&self) -> bool {
        self.hurry.load(Ordering::Relaxed)
    }

    /// A life begins behind what the last one has dealt with.
    fn begin(&mut self) -> Subscription<S> {
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
    async fn live(&mut self, mut subscription: Subscription<S>) {
        let mut left = 1 + self.chance.below(300);
        while left > 0 || self.is_in_a_hurry() {
            left = left.saturating_sub(1);
            let Ok(event) = runtime::timeout(GLANCE, subscription.next()).await else { continue };
            match event {
                Ok(Event::Record(logged)) => {
                    self.checker.followed(self.id, self.has, &logged);
                    self.has = logged.index;
                }
                Ok(Event::State { index, snapshot }) => {
                    let least = if self.is_new { 0 } else { self.has + 1 };
                    self.checker.followed_state(self.id, least, index, &snapshot);
                    (self.has, self.is_new) = (index, false);
                }
                Err(SubscribeError::Purged { first, .. }) => {
                    self.checker.purged(self.id, self.has, first);
                    self.is_behind = true;
                    runtime::sleep(PAUSE).await;
                    return;
                }
                Err(error @ SubscribeError::Codec { .. }) => {
                    self.checker.violation(format!("subscriber {}: {error}", self.id));
                    return;
                }
            }
            // One that is slow now and then makes the node wait, or purge what it has not read.
            if !self.is_in_a_hurry() && self.chance.below(100) == 0 {
                runtime::sleep(self.chance.millis(10, 2500)).await;
            }
        }
    }
}
