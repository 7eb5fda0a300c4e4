//! Clients: each adds to a variable of its own and reads it, in every way that there is and through whatever node it reaches,
//! and tells the checker what it was told.

mod commands;
mod reads;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use lovebird_core::client::{Client, ClientOptions};
use lovebird_core::runtime::{self, Instant};
use lovebird_transport::MemoryNetwork;
use madsim::runtime::Handle;
use madsim::task::JoinHandle;

use crate::chance::Chance;
use crate::check::{Checker, Line, Wait};
use crate::cluster::address;
use crate::counter::{Add, Subject};
use crate::schedule::Schedule;

pub(crate) use commands::propose;

/// How many callers share a client's handle.
const CALLERS: u64 = 3;

/// How long a caller waits for one command.
const PATIENCE: Duration = Duration::from_millis(1500);

/// After how long a rest the session of a client expires that is to see that happen.
const LAPSE: Duration = Duration::from_millis(400);

/// Clients at work. They go on until they are stopped.
pub struct Workload {
    stop: Arc<AtomicBool>,
    callers: Vec<JoinHandle<()>>,
}

/// What the callers of one client share.
struct Shared<S> {
    id: u64,
    client: Client<S>,
    /// The same line, through a handle that never goes back.
    monotonic: Client<S>,
    /// The highest log index that `monotonic` was answered with.
    seen: AtomicU64,
    line: Line,
    /// Another line, which begins at another node.
    other: Client<S>,
    other_line: Line,
    checker: Checker,
    numbers: AtomicU64,
    keys: AtomicU64,
    /// Whether a lease can be relied on.
    clocks_are_right: bool,
}

/// One caller.
struct Caller<S> {
    shared: Arc<Shared<S>>,
    stop: Arc<AtomicBool>,
    chance: Chance,
    /// Between what it does, in milliseconds: at least, and less than.
    pause: (u64, u64),
}

/// How a client is, drawn once.
struct Temper {
    lapses: bool,
    pause: (u64, u64),
}

impl Temper {
    /// Most clients are busy. Some rest for so long that their session expires.
    fn of(chance: &mut Chance) -> Temper {
        let lapses = chance.below(4) == 0;
        Temper { lapses, pause: if lapses { (5, 1200) } else { (5, 120) } }
    }

    fn options(&self) -> ClientOptions {
        let options = ClientOptions { timeout: PATIENCE, ..ClientOptions::default() };
        if self.lapses { ClientOptions { session_expiry: LAPSE, ..options } } else { options }
    }
}

impl<S: Subject> Shared<S> {
    /// Both lines of the client `id`. Must be called in a task of its own node.
    fn open(
        id: u64,
        nodes: &[u64],
        network: &MemoryNetwork,
        temper: &Temper,
        checker: Checker,
        clocks_are_right: bool,
    ) -> Self {
        let transport = network.transport(&address(id));
        // Each begins with another node, and goes on to the next when it must.
        let line = |first: u64| {
            let mut addresses: Vec<String> = nodes.iter().copied().map(address).collect();
            addresses.rotate_left(first as usize % nodes.len());
            Client::over_with(&transport, addresses, temper.options())
        };
        let (client, other) = (line(id), line(id + 1));
        Shared {
            id,
            monotonic: client.monotonic(),
            client,
            seen: AtomicU64::new(0),
            line: checker.line(temper.lapses),
            other,
            other_line: checker.line(temper.lapses),
            checker,
            numbers: AtomicU64::new(0),
            keys: AtomicU64::new(1),
            clocks_are_right,
        }
    }

    fn see(&self, index: u64) {
        self.seen.fetch_max(index, Ordering::Relaxed);
    }
}

impl Workload {
    /// Starts the clients of a schedule, each a simulated node of its own that nobody kills.
    pub async fn start<S: Subject>(
        seed: u64,
        schedule: &Schedule,
        nodes: &[u64],
        network: &MemoryNetwork,
        checker: &Checker,
    ) -> Workload {
        let stop = Arc::new(AtomicBool::new(false));
        let mut callers = Vec::new();
        let clocks_are_right = !schedule.has_drift();
        for id in schedule.clients.iter().copied() {
            let node = Handle::current().create_node().name(address(id)).build();
            let temper = Temper::of(&mut Chance::new(seed, id * CALLERS + CALLERS * 1000));
            let pause = temper.pause;
            let (network, nodes, listening) = (network.clone(), nodes.to_vec(), checker.clone());
            let opened = node.spawn(async move {
                Shared::<S>::open(id, &nodes, &network, &temper, listening, clocks_are_right)
            });
            // Nobody kills a client, so its task always ends by itself.
            let Ok(shared) = opened.await else { continue };
            let shared = Arc::new(shared);
            for caller in 0..CALLERS {
                let chance = Chance::new(seed, id * CALLERS + caller);
                let caller = Caller { shared: shared.clone(), stop: stop.clone(), chance, pause };
                callers.push(node.spawn(caller.run()));
            }
        }
        Workload { stop, callers }
    }

    /// Lets every caller finish what it is doing.
    pub async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for caller in self.callers {
            // An error would say that the client was killed, and nobody does that.
            let _ = caller.await;
        }
    }
}

impl<S: Subject> Caller<S> {
    async fn run(mut self) {
        while !self.stop.load(Ordering::Relaxed) {
            let (least, most) = self.pause;
            runtime::sleep(self.chance.millis(least, most)).await;
            match self.chance.below(16) {
                0..=4 => self.read().await,
                5..=7 => self.once().await,
                8 | 9 => self.insist().await,
                10 | 11 => self.keyed().await,
                12 => self.alone().await,
                13 => self.walk_away().await,
                _ => self.burst().await,
            }
        }
    }

    /// A command that was never sent before.
    fn add(&mut self) -> Add {
        let number = self.shared.numbers.fetch_add(1, Ordering::Relaxed);
        Add { client: self.shared.id, number, amount: 1 + self.chance.below(1000) }
    }
}

/// How long a caller has waited since `began`.
fn wait(began: Instant, patience: Duration) -> Wait {
    Wait { waited: began.until(Instant::now()), patience }
}
