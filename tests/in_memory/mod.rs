//! Nodes within the test's own process, over a network whose links the test cuts and disks whose power it takes.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part of it")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lovebird::{Client, ClientOptions, Model, Node, Options, Role, Service, StartError};
use lovebird_core::entry::{Entry, EntryKind};
use lovebird_core::formation::IfEmpty;
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

/// Nodes 1 to n, those that came later, and where they live.
pub struct Cluster<S> {
    pub network: MemoryNetwork,
    initial_members: BTreeSet<u64>,
    places: BTreeMap<u64, Place>,
    running: BTreeMap<u64, Running<S>>,
    options: Options,
    make: Box<dyn Fn(u64) -> S + Send + Sync>,
    starts: u32,
}

/// What outlives a node's process.
struct Place {
    address: String,
    disk: MemoryDisk,
    /// The life of its disk, and whether there was a log on it.
    life: u64,
    has_log: bool,
}

impl Place {
    fn new(address: String, life: u64) -> Place {
        Place { address, disk: MemoryDisk::new(), life, has_log: false }
    }
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
            initial_members: (1..=size).collect(),
            places: (1..=size).map(|id| (id, Place::new(format!("node-{id}"), id))).collect(),
            running: BTreeMap::new(),
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
        self.start_again(id, IfEmpty::Form).await.unwrap();
    }

    /// Starts a node that was not there before. It waits to be added.
    pub async fn join(&mut self, id: u64) {
        self.places.insert(id, Place::new(format!("node-{id}"), 100 + id));
        self.start_again(id, IfEmpty::Wait).await.unwrap();
    }

    /// Node `id`, which does not run, has a new disk.
    pub fn lose_disk(&mut self, id: u64) {
        let place = self.places.get_mut(&id).unwrap();
        *place = Place::new(place.address.clone(), place.life + 1000);
    }

    /// Node `id`, which does not run, is somewhere else.
    pub fn move_to(&mut self, id: u64, address: &str) {
        self.places.get_mut(&id).unwrap().address = address.to_owned();
    }

    /// Starts node `id`, which does not run.
    pub async fn start_again(&mut self, id: u64, if_empty: IfEmpty) -> Result<(), StartError> {
        self.starts += 1;
        let place = &self.places[&id];
        let missing = if place.has_log { Missing::Refuse } else { Missing::Create };
        let log_options = LogOptions { missing, ..LogOptions::default() };
        let mut members = BTreeMap::from([(id, place.address.clone())]);
        let mut contacts = Vec::new();
        if self.initial_members.contains(&id) {
            members.extend(self.initial_members.iter().map(|id| (*id, self.address(*id))));
        } else {
            contacts.extend(self.others(id).into_iter().map(|other| self.address(other)));
        }
        let disk = Arc::new(place.disk.clone());
        let mut parts = parts(&self.network, disk, RaftId::new(id, place.life), members, &log_options);
        parts.identity.initial_members = self.initial_members.clone();
        parts.identity.cluster = ClusterId::of("in memory", &self.initial_members);
        parts.identity.model = S::MODEL;
        parts.identity.starts = self.starts;
        parts.contacts = contacts;
        parts.if_empty = if_empty;
        let group = parts.log.clone();
        let node = Node::open((self.make)(id), parts, self.options).await.unwrap();
        let address = self.places[&id].address.clone();
        self.network.register(&address, node.endpoint());
        if let Err(error) = node.join().await {
            self.network.unregister(&address);
            node.abort().await;
            return Err(error);
        }
        self.places.get_mut(&id).unwrap().has_log = true;
        self.running.insert(id, Running { node, log: group });
        Ok(())
    }

    /// Ends node `id`: nobody hears from it any more, and its disk keeps what was synced.
    pub async fn kill(&mut self, id: u64) {
        self.network.unregister(&self.address(id));
        for other in self.ids() {
            self.cut(id, other);
        }
        let running = self.running.remove(&id).unwrap();
        running.node.abort().await;
        self.places[&id].disk.crash_keeping(&mut || false);
        for other in self.ids() {
            self.heal(id, other);
        }
    }

    pub async fn kill_all(&mut self) {
        for id in self.ids() {
            if self.running.contains_key(&id) {
                self.kill(id).await;
            }
        }
    }

    pub fn ids(&self) -> Vec<u64> {
        self.places.keys().copied().collect()
    }

    pub fn others(&self, id: u64) -> Vec<u64> {
        self.ids().into_iter().filter(|other| *other != id).collect()
    }

    pub fn address(&self, id: u64) -> String {
        self.places[&id].address.clone()
    }

    /// Messages from `from` no longer arrive at `to`.
    pub fn cut(&self, from: u64, to: u64) {
        self.network.cut(&self.address(from), &self.address(to));
    }

    pub fn heal(&self, from: u64, to: u64) {
        self.network.heal(&self.address(from), &self.address(to));
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
        &self.running[&id].node
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
            let mut leaders = self.running.values().map(|running| running.node.status().leader);
            let first = leaders.next()??;
            leaders.all(|leader| leader == Some(first)).then_some(first)
        })
        .await
    }

    /// Waits until all running nodes have applied exactly up to `index`.
    pub async fn applied(&self, index: u64) {
        until("all nodes have applied the same", || {
            let level = |running: &Running<S>| running.node.status().applied == index;
            self.running.values().all(level).then_some(())
        })
        .await;
    }

    /// The records that count in the log of node `id`.
    pub fn records(&self, id: u64) -> Vec<Record> {
        let counts = |entry: &Entry| {
            matches!(entry.header.kind, EntryKind::Commands | EntryKind::Outcomes)
                && entry.header.first_index > 0
        };
        let entries = self.running[&id].log.read(0..u64::MAX, usize::MAX).unwrap();
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
        contacts: Vec::new(),
        if_empty: IfEmpty::Form,
        guard: Box::new(log),
    }
}
