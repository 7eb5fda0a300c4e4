//! Clients: each adds to a variable of its own and reads it, through whatever node it reaches, and tells the checker what it
//! was told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use lovebird_core::client::Client;
use lovebird_core::error::ProposeError;
use lovebird_core::runtime;
use lovebird_core::transport::Read;
use lovebird_transport::MemoryNetwork;
use madsim::runtime::Handle;
use madsim::task::JoinHandle;

use crate::chance::Chance;
use crate::check::Checker;
use crate::cluster::address;
use crate::counter::{Add, Answer, Counter, Query};

/// How many callers share a client's handle.
const CALLERS: u64 = 3;

/// How long a caller waits for one command.
const PATIENCE: Duration = Duration::from_millis(1500);

/// Clients at work. They go on until they are stopped.
pub struct Workload {
    stop: Arc<AtomicBool>,
    callers: Vec<JoinHandle<()>>,
}

/// One client, which its callers share.
struct Caller {
    id: u64,
    client: Client<Counter>,
    checker: Checker,
    stop: Arc<AtomicBool>,
    numbers: Arc<AtomicU64>,
    acknowledged: Arc<AtomicU64>,
    chance: Chance,
}

impl Workload {
    /// Starts the clients at the addresses `clients`, each a simulated node of its own that nobody kills.
    pub async fn start(
        seed: u64,
        clients: &[u64],
        nodes: &[u64],
        network: &MemoryNetwork,
        checker: &Checker,
    ) -> Workload {
        let stop = Arc::new(AtomicBool::new(false));
        let mut callers = Vec::new();
        for id in clients.iter().copied() {
            let node = Handle::current().create_node().name(address(id)).build();
            let transport = network.transport(&address(id));
            // Each begins with another node, and goes on to the next when it must.
            let mut addresses: Vec<String> = nodes.iter().copied().map(address).collect();
            addresses.rotate_left(id as usize % nodes.len());
            let opened = node.spawn(async move { Client::<Counter>::over(&transport, addresses) });
            // Nobody kills a client, so its task always ends by itself.
            let Ok(client) = opened.await else { continue };
            let client = client.with_timeout(PATIENCE);
            let (numbers, acknowledged) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
            for caller in 0..CALLERS {
                let caller = Caller {
                    id,
                    client: client.clone(),
                    checker: checker.clone(),
                    stop: stop.clone(),
                    numbers: numbers.clone(),
                    acknowledged: acknowledged.clone(),
                    chance: Chance::new(seed, id * CALLERS + caller),
                };
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

impl Caller {
    async fn run(mut self) {
        while !self.stop.load(Ordering::Relaxed) {
            runtime::sleep(self.chance.millis(5, 120)).await;
            if self.chance.below(4) == 0 {
                self.read().await;
            } else {
                self.add().await;
            }
        }
    }

    async fn add(&mut self) {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let add = Add { client: self.id, number, amount: 1 + self.chance.below(1000) };
        propose(&self.client, &self.checker, add, Some(&self.acknowledged)).await;
    }

    async fn read(&mut self) {
        let (floor, least) = (self.checker.floor(), self.acknowledged.load(Ordering::Relaxed));
        match self.client.query(Query::Value { client: self.id }, Read::Linearizable).await {
            Ok(answered) => match answered.answer {
                Answer::Value(value) => self.checker.read(self.id, floor, least, answered.index, value),
                Answer::State(_) => {
                    self.checker.violation(format!("client {} was told another answer", self.id))
                }
            },
            Err(_) => self.checker.read_failed(self.id),
        }
    }
}

/// Proposes one command and tells the checker what became of it; whether it is acknowledged.
pub(crate) async fn propose(
    client: &Client<Counter>,
    checker: &Checker,
    add: Add,
    acknowledged: Option<&AtomicU64>,
) -> bool {
    let floor = checker.floor();
    match client.propose(add).await {
        Ok(committed) => {
            checker.acknowledged(add, floor, committed.index, committed.reply);
            if let Some(sum) = acknowledged {
                sum.fetch_add(add.amount, Ordering::Relaxed);
            }
            true
        }
        Err(ProposeError::NotCommitted { .. }) => {
            checker.not_committed(add);
            false
        }
        Err(ProposeError::Unknown { .. }) => {
            checker.unknown(add);
            false
        }
        Err(error @ ProposeError::Codec { .. }) => {
            checker.violation(format!("command {add:?}: {error}"));
            false
        }
    }
}
