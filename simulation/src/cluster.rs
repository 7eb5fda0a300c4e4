//! A whole cluster: on each simulated node the product's own code, over a disk in memory that outlives kills and a network
//! whose links can be cut.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lovebird_core::client::Client;
use lovebird_core::error::StartError;
use lovebird_core::log_store::LogStore;
use lovebird_core::node::{Node, Options, Parts};
use lovebird_core::runtime::{self, Clocks};
use lovebird_storage::log::Prepare;
use lovebird_storage::{
    DataDirectory, Disk, Expected, Log, LogOptions, MemoryDisk, SnapshotDirectory, SnapshotOptions,
};
use lovebird_transport::MemoryNetwork;
use madsim::runtime::{Handle, NodeHandle};
use tokio::sync::Notify;

use crate::chance::Chance;
use crate::check::Checker;
use crate::counter::{self, Counter, Subject};
use crate::mount::Mount;
use crate::pace::{Pace, take_turns};
use crate::port::Port;
use crate::schedule::{Fault, Survives};

const GROUP: u32 = 0;

/// What a node's files are seen through: the disk itself, or one that lies.
pub type DiskMaker = Arc<dyn Fn(MemoryDisk) -> Arc<dyn Disk> + Send + Sync>;

/// The nodes and what lies between them. Lives in the run's main task.
pub struct Cluster<S> {
    setting: Arc<Setting>,
    places: BTreeMap<u64, Place<S>>,
}

/// What all nodes share.
struct Setting {
    network: MemoryNetwork,
    members: BTreeMap<u64, String>,
    checker: Checker,
}

/// Where a node stands, whether it runs or not.
struct Place<S> {
    handle: NodeHandle,
    stand: Arc<Stand<S>>,
}

struct Stand<S> {
    id: u64,
    disk: MemoryDisk,
    seen_through: Arc<dyn Disk>,
    pace: Pace,
    lives: AtomicU64,
    mount: Mutex<Option<Mount>>,
    running: Mutex<Option<Replica<S>>>,
}

/// A node that runs.
pub struct Replica<S> {
    /// The node.
    pub node: Node<S>,
    /// Its log.
    pub log: Arc<dyn LogStore>,
}

impl<S> Clone for Replica<S> {
    fn clone(&self) -> Self {
        Replica { node: self.node.clone(), log: self.log.clone() }
    }
}

impl<S> Stand<S> {
    fn running(&self) -> MutexGuard<'_, Option<Replica<S>>> {
        lock(&self.running)
    }

    /// The disk for a life that begins.
    fn mount(&self) -> Arc<dyn Disk> {
        let mount = Mount::new(self.seen_through.clone(), self.pace.clone());
        *lock(&self.mount) = Some(mount.clone());
        Arc::new(mount)
    }

    /// The disk after the life that had it. `keep` says which of the unsynced sectors are kept.
    fn unmount(&self, keep: &mut dyn FnMut() -> bool) {
        if let Some(mount) = lock(&self.mount).take() {
            mount.revoke();
        }
        self.disk.crash_keeping(keep);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it holds one of these, so what it guards is whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where `id`, a node or a client, is on the network.
pub(crate) fn address(id: u64) -> String {
    format!("at-{id}")
}

/// Small numbers, so that a run of seconds has elections, segments, snapshots and purges.
fn options() -> Options {
    Options {
        snapshot_records: 150,
        keep_records: 40,
        heartbeat: Duration::from_millis(50),
        election: Duration::from_millis(250),
        ..Options::default()
    }
}

impl<S: Subject> Cluster<S> {
    /// Nodes 1 to `nodes`, all started. Must be called in the run's main task.
    pub fn start(nodes: u64, disks: &DiskMaker, checker: Checker) -> Cluster<S> {
        let members = (1..=nodes).map(|id| (id, address(id))).collect();
        let setting = Arc::new(Setting { network: MemoryNetwork::new(), members, checker });
        let places = (1..=nodes)
            .map(|id| {
                let disk = MemoryDisk::new();
                let seen_through = disks(disk.clone());
                let stand = Arc::new(Stand {
                    id,
                    disk,
                    seen_through,
                    pace: Pace::default(),
                    lives: AtomicU64::new(0),
                    mount: Mutex::default(),
                    running: Mutex::default(),
                });
                let (setting, of_node) = (setting.clone(), stand.clone());
                let handle = Handle::current()
                    .create_node()
                    .name(address(id))
                    .init(move || live(setting.clone(), of_node.clone()))
                    .build();
                (id, Place { handle, stand })
            })
            .collect();
        Cluster { setting, places }
    }

    /// A handle on the cluster, or on a part of it, as a client at `from` has it. Must be called in the client's own task.
    pub fn client(&self, from: u64, nodes: impl IntoIterator<Item = u64>) -> Client<S> {
        Client::over(&self.setting.network.transport(&address(from)), nodes.into_iter().map(address))
    }

    /// What `client` needs where the cluster itself is out of reach.
    pub fn network(&self) -> MemoryNetwork {
        self.setting.network.clone()
    }

    /// The ids of all nodes.
    pub fn ids(&self) -> Vec<u64> {
        self.places.keys().copied().collect()
    }

    /// How long the syncs of a node take, through all of its lives.
    ///
    /// # Panics
    /// If there is no such node.
    pub fn pace(&self, id: u64) -> Pace {
        self.places[&id].stand.pace.clone()
    }

    /// The nodes that run, and have come so far as to be open.
    pub fn replicas(&self) -> Vec<(u64, Replica<S>)> {
        self.places.iter().filter_map(|(id, place)| Some((*id, place.stand.running().clone()?))).collect()
    }

    /// Does what the schedule says.
    pub fn inflict(&self, fault: &Fault) {
        self.setting.checker.fault(fault.kind());
        match fault {
            Fault::Kill { node } => self.kill(*node, &mut || true),
            Fault::PowerLoss { nodes, survives: Survives::Nothing } => {
                for node in nodes {
                    self.kill(*node, &mut || false);
                }
            }
            Fault::PowerLoss { nodes, survives: Survives::Subset(number) } => {
                let mut chance = Chance::new(*number, 0);
                for node in nodes {
                    self.kill(*node, &mut || chance.half());
                }
            }
            Fault::Restart { node } => self.restart(*node),
            Fault::Cut { from, to } => self.setting.network.cut(&address(*from), &address(*to)),
            Fault::Heal { from, to } => self.setting.network.heal(&address(*from), &address(*to)),
            Fault::Drift { node, ppm } => {
                if let Some(place) = self.places.get(node) {
                    Clocks::current().set_drift(place.handle.id(), *ppm);
                }
            }
        }
    }

    /// All links carry, all clocks are right, all nodes run.
    pub fn heal(&self, others: &[u64]) {
        let ids = self.ids();
        for from in ids.iter().chain(others) {
            for to in ids.iter().chain(others) {
                self.setting.network.heal(&address(*from), &address(*to));
            }
        }
        for id in ids {
            self.inflict(&Fault::Drift { node: id, ppm: 0 });
            self.restart(id);
        }
    }

    /// The run is over. What the nodes hold is let go: they hold one another, so that nothing else would end them.
    pub fn end(&self) {
        for id in self.ids() {
            self.kill(id, &mut || true);
        }
    }

    /// Ends a node in this instant. `keep` says which of the unsynced sectors its disk keeps.
    fn kill(&self, id: u64, keep: &mut dyn FnMut() -> bool) {
        let place = &self.places[&id];
        if Handle::current().is_exit(place.handle.id()) {
            return;
        }
        // The disk first: what the node's tasks still hold must not write to it when they are dropped.
        place.stand.unmount(keep);
        Handle::current().kill(place.handle.id());
        self.setting.network.unregister(&address(id));
        let replica = place.stand.running().take();
        drop(replica);
    }

    /// Starts a node, if it does not run.
    fn restart(&self, id: u64) {
        let node = self.places[&id].handle.id();
        if Handle::current().is_exit(node) {
            Handle::current().restart(node);
        }
    }
}

/// One life of a node.
async fn live<S: Subject>(setting: Arc<Setting>, stand: Arc<Stand<S>>) {
    let id = stand.id;
    let life = stand.lives.fetch_add(1, Ordering::Relaxed) + 1;
    match open(&setting, &stand, life).await {
        Ok(replica) => {
            let reason = replica.node.stopped().await;
            setting.checker.violation(format!("node {id} stopped by itself in life {life}: {reason}"));
        }
        Err(error) => {
            setting.checker.violation(format!("node {id} did not start its life {life}: {error}"));
        }
    }
    // The end of this task would be the end of the node, which is the schedule's to decide.
    std::future::pending::<()>().await;
}

/// Puts a node together, as the facade does.
async fn open<S: Subject>(setting: &Setting, stand: &Stand<S>, life: u64) -> Result<Replica<S>, StartError> {
    let own = address(stand.id);
    let path = Path::new("/data");
    let disk = stand.mount();
    let expected = Expected {
        cluster_name: "simulated".to_owned(),
        node: stand.id,
        initial_members: setting.members.keys().copied().collect::<BTreeSet<_>>(),
        model: S::MODEL,
    };
    let mut directory = DataDirectory::open(disk.clone(), path, &expected, runtime::random_u64())?;
    let log_options = LogOptions {
        segment_bytes: 64 << 10,
        cache_bytes: 16 << 10,
        missing: directory.missing_log(),
        prepare: Prepare::Reserve,
        ..LogOptions::default()
    };
    let work = Arc::new(Notify::new());
    let more = work.clone();
    let opened = Log::open_in_turns(disk.clone(), &path.join("log"), &log_options, move || more.notify_one());
    let (log, turns) = opened.map_err(StartError::Storage)?;
    runtime::spawn(take_turns(turns, work, stand.pace.clone()));
    let snapshots = SnapshotDirectory::open(disk, &path.join("snapshots"), GROUP, SnapshotOptions::default())
        .map_err(StartError::Storage)?;
    directory.count_start()?;
    let group = log.group(GROUP);
    let parts = Parts {
        identity: directory.identity().clone(),
        group: GROUP,
        members: setting.members.clone(),
        log: group.clone(),
        snapshots,
        transport: Arc::new(setting.network.transport(&own)),
        guard: Box::new((log, directory)),
    };
    let replica = counter::Replica { node: stand.id, life, model: S::MODEL };
    let service = S::of(Counter::new(setting.checker.clone(), replica));
    let node = Node::open(service, parts, options()).await?;
    let here = Handle::current().get_node(madsim::plugin::node()).unwrap_or_else(|| {
        panic!("the task of node {} runs on no node", stand.id);
    });
    setting.network.register(&own, Arc::new(Port::new(here, own.clone(), node.endpoint())));
    let replica = Replica { node, log: group };
    *stand.running() = Some(replica.clone());
    replica.node.join().await?;
    Ok(replica)
}
