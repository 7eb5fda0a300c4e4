//! Nodes within the test's own process, over a network whose links the test cuts and disks whose power it takes.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part of it")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lovebird::{Client, ClientOptions, Model, Node, Options, Role, Service};
use lovebird_core::entry::{Entry, EntryKind};
use lovebird_core::identity::{ClusterId, Identity, RaftId};
use lovebird_core::log_store::LogStore;
use lovebird_core::node::Parts;
use lovebird_core::record::{Record, records};
use lovebird_storage::log::Missing;
use lovebird_storage::{Disk, Log, LogOptions, MemoryDisk, SnapshotDirectory, SnapshotOptions};
use lovebird_transport::MemoryNetwork;

#[path = "../support/mod.rs"]
mod support;

use support::LONG;
#[allow(unused_imports, reason = "each test file uses its part of it")]
pub use support::{Sum, until};

struct Running<S> {
    node: Node<S>,
    log: Arc<dyn LogStore>,
}

/// Nodes 1 to n, and where they live.
pub struct Cluster<S> {
    pub network: MemoryNetwork,
    disks: Vec<MemoryDisk>,
    running: Vec<Option<Running<S>>>,
    addresses: BTreeMap<u64, String>,
    options: Options,
    make: Box<dyn Fn(u64) -> S + Send + Sync>,
    starts: u32,
}

/// Elections in a fraction of a second.
pub fn quick() -> Options {
    Options {
        heartbeat: Duration::from_millis(40),
        election: Duration::from_millis(200),
        ..Options::default()
    }
}

impl<S: Service> Cluster<S> {
    /// `size` nodes that run the service that `make` gives for each, all started.
    pub async fn start(
        size: u64,
        options: Options,
        make: impl Fn(u64) -> S + Send + Sync + 'static,
    ) -> Cluster<S> {
        Cluster::start_on(MemoryNetwork::new(), size, options, make).await
    }

    /// The same on this network.
    pub async fn start_on(
        network: MemoryNetwork,
        size: u64,
        options: Options,
        make: impl Fn(u64) -> S + Send + Sync + 'static,
    ) -> Cluster<S> {
        let mut cluster = Cluster {
            network,
            disks: (0..size).map(|_| MemoryDisk::new()).collect(),
            running: (0..size).map(|_| None).collect(),
            addresses: (1..=size).map(|id| (id, format!("node-{id}"))).collect(),
            options,
            make: Box::new(make),
            starts: 0,
        };
        for id in 1..=size {
            cluster.restart(id).await;
        }
        cluster
    }

    /// Starts node `id`, which does not run.
    pub async fn restart(&mut self, id: u64) {
        self.starts += 1;
        let disk = Arc::new(self.disks[id as usize - 1].clone());
        let missing =
            if self.starts as usize <= self.disks.len() { Missing::Create } else { Missing::Refuse };
        let log_options = LogOptions { missing, ..LogOptions::default() };
        let members = self.addresses.clone();
        let mut parts = parts(&self.network, disk, RaftId::new(id, id), members, &log_options);
        parts.identity.model = S::MODEL;
        parts.identity.starts = self.starts;
        let group = parts.log.clone();
        let node = Node::open((self.make)(id), parts, self.options).await.unwrap();
        self.network.register(&self.addresses[&id], node.endpoint());
        node.join().await.unwrap();
        self.running[id as usize - 1] = Some(Running { node, log: group });
    }

    /// Ends node `id`: nobody hears from it any more, and its disk keeps what was synced.
    pub async fn kill(&mut self, id: u64) {
        self.network.unregister(&self.addresses[&id]);
        for other in self.ids() {
            self.cut(id, other);
        }
        let running = self.running[id as usize - 1].take().unwrap();
        running.node.shutdown().await;
        self.disks[id as usize - 1].crash_keeping(&mut || false);
        for other in self.ids() {
            self.heal(id, other);
        }
    }

    pub async fn kill_all(&mut self) {
        for id in self.ids() {
            if self.running[id as usize - 1].is_some() {
                self.kill(id).await;
            }
        }
    }

    pub fn ids(&self) -> Vec<u64> {
        self.addresses.keys().copied().collect()
    }

    pub fn others(&self, id: u64) -> Vec<u64> {
        self.ids().into_iter().filter(|other| *other != id).collect()
    }

    pub fn address(&self, id: u64) -> String {
        self.addresses[&id].clone()
    }

    /// Messages from `from` no longer arrive at `to`.
    pub fn cut(&self, from: u64, to: u64) {
        self.network.cut(&self.addresses[&from], &self.addresses[&to]);
    }

    pub fn heal(&self, from: u64, to: u64) {
        self.network.heal(&self.addresses[&from], &self.addresses[&to]);
    }

    /// Nothing passes between `id` and the other nodes.
    pub fn isolate(&self, id: u64) {
        for other in self.others(id) {
            self.cut(id, other);
            self.cut(other, id);
        }
    }

    pub fn rejoin(&self, id: u64) {
        for other in self.others(id) {
            self.heal(id, other);
            self.heal(other, id);
        }
    }

    pub fn node(&self, id: u64) -> &Node<S> {
        &self.running[id as usize - 1].as_ref().unwrap().node
    }

    /// A client at `from`, which is no node, that knows these nodes.
    pub fn client(&self, from: &str, ids: &[u64]) -> Client<S> {
        self.client_with(from, ids, ClientOptions { timeout: LONG, ..ClientOptions::default() })
    }

    pub fn client_with(&self, from: &str, ids: &[u64], options: ClientOptions) -> Client<S> {
        let addresses = ids.iter().map(|id| self.address(*id));
        Client::over_with(&self.network.transport(from), addresses, options)
    }

    /// Waits until one of `ids` leads and has begun: it serves.
    pub async fn leader_among(&self, ids: &[u64]) -> u64 {
        until("a node leads", || ids.iter().copied().find(|id| self.node(*id).status().role == Role::Leader))
            .await
    }

    /// Waits until all running nodes follow the same leader, and names it.
    pub async fn leader(&self) -> u64 {
        until("all nodes follow one leader", || {
            let mut leaders = self.running.iter().flatten().map(|running| running.node.status().leader);
            let first = leaders.next()??;
            leaders.all(|leader| leader == Some(first)).then_some(first)
        })
        .await
    }

    /// Waits until all running nodes have applied exactly up to `index`.
    pub async fn applied(&self, index: u64) {
        until("all nodes have applied the same", || {
            let level = |running: &Running<S>| running.node.status().applied == index;
            self.running.iter().flatten().all(level).then_some(())
        })
        .await;
    }

    /// The records that count in the log of node `id`.
    pub fn records(&self, id: u64) -> Vec<Record> {
        let counts = |entry: &Entry| {
            matches!(entry.header.kind, EntryKind::Commands | EntryKind::Outcomes)
                && entry.header.first_index > 0
        };
        let entries =
            self.running[id as usize - 1].as_ref().unwrap().log.read(0..u64::MAX, usize::MAX).unwrap();
        entries.into_iter().filter(counts).flat_map(|entry| records(entry.body)).map(Result::unwrap).collect()
    }
}

/// What a node in the state machine model is made of: life `id` of its node, at the first of its starts.
pub fn parts(
    network: &MemoryNetwork,
    disk: Arc<dyn Disk>,
    id: RaftId,
    members: BTreeMap<u64, String>,
    log_options: &LogOptions,
) -> Parts {
    let initial_members: BTreeSet<u64> = members.keys().copied().collect();
    let log = Log::open(disk.clone(), Path::new("log"), log_options).unwrap();
    Parts {
        identity: Identity {
            cluster: ClusterId::of("in memory", &initial_members),
            cluster_name: "in memory".to_owned(),
            initial_members,
            id,
            model: Model::StateMachine,
            starts: 1,
        },
        group: 0,
        log: log.group(0),
        snapshots: SnapshotDirectory::open(disk, Path::new("snapshots"), 0, SnapshotOptions::default())
            .unwrap(),
        transport: Arc::new(network.transport(&members[&id.node])),
        members,
        guard: Box::new(log),
    }
}
