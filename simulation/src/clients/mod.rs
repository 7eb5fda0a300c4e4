//! Clients: each does what the plan has it do, through whatever node it reaches, and tells the checker what it was told.

mod commands;
mod reads;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use lovebird_core::client::{Client, ClientOptions};
use lovebird_core::runtime::{self, Instant};
use lovebird_core::service::Service;
use lovebird_transport::{MemoryNetwork, MemoryTransport};
use madsim::runtime::Handle;
use madsim::task::JoinHandle;

use crate::chance::Chance;
use crate::check::{Checker, Line, Wait};
use crate::cluster::address;
use crate::plan::{Act, Client as Planned, Op, Plan};
use crate::watched::{Name, Subject, Tagged};
use crate::workload::Workload;

pub(crate) use commands::propose;

/// After how long a rest the session of a client expires that is to see that happen.
const LAPSE: Duration = Duration::from_millis(400);

/// What clients propose.
pub(crate) type ProposalOf<S> = Tagged<<<S as Subject>::Load as Workload>::Proposal>;

/// Clients at work. They go on until they are stopped, or have done all that was planned.
pub(crate) struct Clients {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
}

/// What the callers of one client share.
struct Shared<S: Subject> {
    id: u64,
    handles: Handles,
    lapses: bool,
    /// How long a caller waits for one command.
    patience: Duration,
    client: Client<S::Service>,
    /// The same line, through a handle that never goes back.
    monotonic: Client<S::Service>,
    /// The highest log index that `monotonic` was answered with.
    seen: AtomicU64,
    line: Line,
    /// Another line, which begins at another node.
    other: Client<S::Service>,
    other_line: Line,
    checker: Checker,
    numbers: AtomicU64,
    keys: AtomicU64,
    keys_lapse: bool,
    /// Whether a lease can be relied on.
    clocks_are_right: bool,
}

/// How a client makes handles.
struct Handles {
    transport: MemoryTransport,
    nodes: Vec<u64>,
    options: ClientOptions,
}

impl Handles {
    /// A new one, which tries the nodes in turn, this one first.
    fn handle<S: Service>(&self, first: u64) -> Client<S> {
        let mut addresses: Vec<String> = self.nodes.iter().copied().map(address).collect();
        let first = first as usize % addresses.len();
        addresses.rotate_left(first);
        Client::over_with(&self.transport, addresses, self.options)
    }
}

/// One caller.
struct Caller<S: Subject> {
    shared: Arc<Shared<S>>,
    stop: Arc<AtomicBool>,
    /// That of the operation under way.
    chance: Chance,
}

impl<S: Subject> Shared<S> {
    /// Both lines of a client. Must be called in a task of its own node.
    fn open(planned: &Planned, plan: &Plan, network: &MemoryNetwork, checker: Checker) -> Self {
        let (id, nodes) = (planned.address, plan.everyone().into_iter().collect());
        // Sessions expire by log time, which follows the leaders' clocks.
        let lapses = planned.lapses || plan.has_leap();
        let transport = network.transport(&address(id));
        let patience = Duration::from_millis(planned.patience_ms);
        let options = ClientOptions { timeout: patience, ..ClientOptions::default() };
        let options = match planned.lapses {
            true => ClientOptions { session_expiry: LAPSE, ..options },
            false => options,
        };
        // Each begins with another node, and goes on to the next when it must.
        let handles = Handles { transport, nodes, options };
        let (client, other) = (handles.handle(id), handles.handle(id + 1));
        Shared {
            handles,
            id,
            patience,
            monotonic: client.monotonic(),
            client,
            seen: AtomicU64::new(0),
            lapses,
            line: checker.line(lapses),
            other,
            other_line: checker.line(lapses),
            checker,
            numbers: AtomicU64::new(0),
            keys: AtomicU64::new(1),
            keys_lapse: plan.has_leap(),
            clocks_are_right: !plan.has_drift(),
        }
    }

    fn see(&self, index: u64) {
        self.seen.fetch_max(index, Ordering::Relaxed);
    }
}

impl Clients {
    /// Has the clients of a plan come when they are to, each a simulated node of its own that nobody kills.
    pub(crate) fn start<S: Subject>(plan: &Plan, network: &MemoryNetwork, checker: &Checker) -> Clients {
        let stop = Arc::new(AtomicBool::new(false));
        let clients = plan.clients.iter().map(|planned| {
            let node = Handle::current().create_node().name(address(planned.address)).build();
            let (planned, plan) = (planned.clone(), plan.clone());
            let (network, checker, stop) = (network.clone(), checker.clone(), stop.clone());
            node.spawn(async move {
                runtime::sleep(Duration::from_millis(planned.from_ms)).await;
                let shared = Arc::new(Shared::<S>::open(&planned, &plan, &network, checker));
                let callers = planned.callers.into_iter().map(|ops| {
                    let caller =
                        Caller { shared: shared.clone(), stop: stop.clone(), chance: Chance::new(0, 0) };
                    madsim::task::spawn(caller.run(ops))
                });
                for caller in callers.collect::<Vec<_>>() {
                    // An error would say that the client was killed, and nobody does that.
                    let _ = caller.await;
                }
            })
        });
        Clients { clients: clients.collect(), stop }
    }

    /// Lets every caller finish what it is doing.
    pub(crate) async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            // As above.
            let _ = client.await;
        }
    }
}

impl<S: Subject> Caller<S> {
    async fn run(mut self, ops: Vec<Op>) {
        for Op { pause_ms, chance, act } in ops {
            runtime::sleep(Duration::from_millis(pause_ms)).await;
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            self.chance = Chance::new(chance, 0);
            match act {
                Act::Propose => self.once(false).await,
                Act::ProposeMonotonic => self.once(true).await,
                Act::Insist => self.insist().await,
                Act::WalkAway { after_ms } => self.walk_away(Duration::from_millis(after_ms)).await,
                Act::Alone => self.alone().await,
                Act::Keyed => self.keyed().await,
                Act::Burst { commands } => self.burst(commands).await,
                Act::Newcomer { commands } => self.newcomer(commands).await,
                Act::Read(reading) => self.read(reading).await,
                Act::ReadBurst { reads } => self.read_burst(reads).await,
            }
        }
    }

    /// A command that was never sent before.
    fn next(&mut self) -> ProposalOf<S> {
        let number = self.shared.numbers.fetch_add(1, Ordering::Relaxed);
        let client = self.shared.id;
        let content = S::Load::next(client, &mut self.chance);
        Tagged { name: Name { client, number }, content, met: None }
    }
}

/// How long a caller has waited since `began`.
fn wait(began: Instant, patience: Duration) -> Wait {
    Wait { waited: began.until(Instant::now()), patience }
}
