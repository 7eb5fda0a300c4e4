//! A whole cluster: on each simulated node the product's own code, over a disk in memory that outlives kills and a network
//! whose links can be cut.

mod inflict;
mod life;
mod members;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use lovebird_core::client::Client;
use lovebird_core::formation::IfEmpty;
use lovebird_core::log_store::LogStore;
use lovebird_core::node::Node;
use lovebird_core::runtime;
use lovebird_core::transport::Role;
use lovebird_storage::{Disk, MemoryDisk};
use lovebird_transport::MemoryNetwork;
use madsim::runtime::{Handle, NodeHandle};
use tokio::sync::mpsc;

use crate::check::Checker;
use crate::links::Links;
pub(crate) use crate::links::address;
use crate::mount::Mount;
use crate::pace::{Pace, SyncEvent};
use crate::plan::{Plan, Survives, Who};
use crate::story::{Turn, What};
use crate::watched::Subject;

/// The nodes and what lies between them. Lives in the run's main task.
pub(crate) struct Cluster<S: Subject> {
    setting: Arc<Setting>,
    /// The addresses of everyone who is no node.
    outsiders: Vec<u64>,
    /// Nodes whose machines have lost power in the middle of an operation of their disks.
    struck: mpsc::UnboundedSender<u64>,
    places: BTreeMap<u64, Place<S>>,
    /// Where operators are, if the members change.
    operator: Option<NodeHandle>,
}

/// What all nodes share.
struct Setting {
    /// From which what differs between lives is drawn.
    seed: u64,
    links: Links,
    network: MemoryNetwork,
    /// Those that the cluster begins with.
    members: BTreeMap<u64, String>,
    /// All that are there at any time, if the members change: whom a node asks that knows nobody else.
    contacts: Vec<u64>,
    checker: Checker,
}

/// Where a node stands, whether it runs or not.
struct Place<S: Subject> {
    handle: NodeHandle,
    stand: Arc<Stand<S>>,
}

struct Stand<S: Subject> {
    id: u64,
    disk: MemoryDisk,
    lives: AtomicU64,
    /// Whether its machine is there yet.
    here: AtomicBool,
    /// What it does when its log is empty.
    if_empty: Mutex<IfEmpty>,
    /// The life of the disk that it has, and of the one before; 0 before it was opened, or if there is none.
    incarnation: AtomicU64,
    former: AtomicU64,
    /// Somebody has asked for its end as a member; and it has found out that it is none.
    dismissed: AtomicBool,
    removed: AtomicBool,
    /// The highest term in which it was seen to be, in any life: it is published once it is durable.
    term: AtomicU64,
    pace: Pace,
    /// Its disk was made to fail: in this life it may stop by itself.
    excused: AtomicBool,
    /// When it starts next, its machine loses power in the middle of this operation of its disk.
    crash_at_start: Mutex<Option<(u64, Survives)>>,
    /// Its disk has no space: no life may be expected to go on, or to begin.
    full: AtomicBool,
    /// Its data was damaged, or is gone: it may stop by itself or refuse to start, for good.
    lost: AtomicBool,
    /// It has stopped by itself, or refused to start.
    ended: AtomicBool,
    mount: Mutex<Option<Mount>>,
    running: Mutex<Option<Replica<S>>>,
}

/// What ends a life.
enum Ends<'a> {
    /// What was written stays, unsynced what was unsynced.
    Process,
    /// Says which of the unsynced sectors are kept.
    Machine(&'a mut dyn FnMut() -> bool),
}

/// A node that runs.
pub(crate) struct Replica<S: Subject> {
    /// The node.
    pub(crate) node: Node<S::Service>,
    /// Its log.
    pub(crate) log: Arc<dyn LogStore>,
}

impl<S: Subject> Clone for Replica<S> {
    fn clone(&self) -> Self {
        Replica { node: self.node.clone(), log: self.log.clone() }
    }
}

impl<S: Subject> Stand<S> {
    fn running(&self) -> MutexGuard<'_, Option<Replica<S>>> {
        lock(&self.running)
    }

    fn life(&self) -> u64 {
        self.lives.load(Ordering::Relaxed)
    }

    /// The disk for a life that begins.
    fn mount(&self) -> Arc<dyn Disk> {
        let mount = Mount::new(Arc::new(self.disk.clone()), self.pace.clone());
        *lock(&self.mount) = Some(mount.clone());
        Arc::new(mount)
    }

    /// The life that has the disk can do nothing more to it.
    fn revoke(&self) {
        if let Some(mount) = lock(&self.mount).take() {
            mount.revoke();
        }
    }

    fn new(id: u64, is_initial: bool) -> Stand<S> {
        Stand {
            id,
            disk: MemoryDisk::new(),
            lives: AtomicU64::new(0),
            here: AtomicBool::new(is_initial),
            if_empty: Mutex::new(if is_initial { IfEmpty::Form } else { IfEmpty::Wait }),
            incarnation: AtomicU64::new(0),
            former: AtomicU64::new(0),
            dismissed: AtomicBool::new(false),
            removed: AtomicBool::new(false),
            term: AtomicU64::new(0),
            pace: Pace::default(),
            excused: AtomicBool::new(false),
            crash_at_start: Mutex::default(),
            full: AtomicBool::new(false),
            lost: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            mount: Mutex::default(),
            running: Mutex::default(),
        }
    }

    fn excuse(&self) {
        self.excused.store(true, Ordering::Relaxed);
    }

    /// Its data is damaged, and this life has not opened it yet.
    fn is_damaged_unseen(&self) -> bool {
        let opened = self.ended.load(Ordering::Relaxed) || self.running().is_some();
        self.lost.load(Ordering::Relaxed) && !opened
    }

    /// Takes down that it has found out that it is no member any more. Says whether that is so: somebody has asked for it.
    fn is_removed(&self, found: bool) -> bool {
        let removed = found && self.dismissed.load(Ordering::Relaxed);
        self.removed.fetch_or(removed, Ordering::Relaxed);
        removed
    }

    fn may_stop(&self) -> bool {
        [&self.excused, &self.full, &self.lost].iter().any(|reason| reason.load(Ordering::Relaxed))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it holds one of these, so what it guards is whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends the processes of machines that have lost power.
async fn reap<S: Subject>(cluster: Weak<Cluster<S>>, mut struck: mpsc::UnboundedReceiver<u64>) {
    while let Some(id) = struck.recv().await {
        let Some(cluster) = cluster.upgrade() else { return };
        // The disk has lost what it was to lose.
        cluster.kill(id, Ends::Process);
    }
}

impl<S: Subject> Cluster<S> {
    /// The nodes of a plan, all started. Must be called in the run's main task.
    pub(crate) fn start(plan: &Plan, checker: Checker) -> Arc<Cluster<S>> {
        let (seed, nodes) = (plan.seed, plan.nodes);
        let members = (1..=nodes).map(|id| (id, address(id))).collect();
        let links = Links::new();
        let network = MemoryNetwork::under(Arc::new(links.clone()));
        let changes = plan.has_changes();
        let contacts = if changes { plan.everyone().into_iter().collect() } else { Vec::new() };
        let setting = Arc::new(Setting { seed, links, network, members, contacts, checker });
        let places = plan
            .everyone()
            .into_iter()
            .map(|id| {
                let stand = Arc::new(Stand::new(id, id <= nodes));
                let (setting, of_node) = (setting.clone(), stand.clone());
                let handle = Handle::current()
                    .create_node()
                    .name(address(id))
                    .init(move || life::live(setting.clone(), of_node.clone()))
                    .build();
                if id > nodes {
                    // Its time has not come.
                    Handle::current().kill(handle.id());
                }
                (id, Place { handle, stand })
            })
            .collect();
        let (struck, striking) = mpsc::unbounded_channel();
        let operator =
            changes.then(|| Handle::current().create_node().name(address(members::OPERATOR)).build());
        let mut outsiders = plan.outsiders();
        outsiders.extend(operator.iter().map(|_| members::OPERATOR));
        let cluster = Arc::new(Cluster { setting, outsiders, struck, places, operator });
        runtime::spawn(reap(Arc::downgrade(&cluster), striking));
        cluster
    }

    /// A handle on the cluster, or on a part of it, as a client at `from` has it. Must be called in the client's own task.
    pub(crate) fn client(&self, from: u64, nodes: impl IntoIterator<Item = u64>) -> Client<S::Service> {
        Client::over(&self.setting.network.transport(&address(from)), nodes.into_iter().map(address))
    }

    /// What `client` needs where the cluster itself is out of reach.
    pub(crate) fn network(&self) -> MemoryNetwork {
        self.setting.network.clone()
    }

    /// The links between nodes and those outside.
    pub(crate) fn links(&self) -> &Links {
        &self.setting.links
    }

    /// The nodes whose data is whole: those that must serve when everything has healed, if the members stay who they are.
    pub(crate) fn whole(&self) -> Vec<u64> {
        let whole = self.places.iter().filter(|(_, place)| !place.stand.lost.load(Ordering::Relaxed));
        whole.map(|(id, _)| *id).collect()
    }

    /// The ids of all nodes.
    pub(crate) fn ids(&self) -> Vec<u64> {
        self.places.keys().copied().collect()
    }

    /// The nodes that run, and have come so far as to be open.
    pub(crate) fn replicas(&self) -> Vec<(u64, Replica<S>)> {
        self.places.iter().filter_map(|(id, place)| Some((*id, place.stand.running().clone()?))).collect()
    }

    fn replica(&self, id: u64) -> Option<Replica<S>> {
        self.places.get(&id)?.stand.running().clone()
    }

    /// A node was seen to be in a term.
    pub(crate) fn saw(&self, id: u64, term: u64) {
        if let Some(place) = self.places.get(&id) {
            place.stand.term.fetch_max(term, Ordering::Relaxed);
        }
    }

    /// Whoever leads, as far as it knows itself.
    fn leader(&self) -> Option<u64> {
        let replicas = self.replicas();
        let statuses = replicas.iter().map(|(id, replica)| (*id, replica.node.status()));
        let leaders = statuses.filter(|(_, status)| status.role == Role::Leader);
        leaders.max_by_key(|(id, status)| (status.term, *id)).map(|(id, _)| id)
    }

    fn who(&self, who: Who) -> Option<u64> {
        match who {
            Who::Node(id) => self.places.contains_key(&id).then_some(id),
            Who::Leader => self.leader(),
        }
    }

    /// Has every sync be told: by which node, and how long it takes.
    pub(crate) fn observe_syncs(&self) {
        for (id, place) in &self.places {
            let (node, checker) = (*id, self.setting.checker.clone());
            place.stand.pace.observe(Arc::new(move |sync: &SyncEvent| {
                let lasts_nanos = sync.took.as_nanos() as u64;
                checker.happens(|| What::Sync { node, lasts_nanos });
            }));
        }
    }

    /// Ends the nodes that are none of these. They start again with all others: what a leader was asked for before may come about yet.
    pub(crate) fn end_others(&self, members: &[u64]) {
        for id in self.places.keys().filter(|id| !members.contains(id)) {
            self.kill(*id, Ends::Process);
        }
    }

    /// The run is over. What the nodes hold is let go: they hold one another, so that nothing else would end them.
    pub(crate) fn end(&self) {
        for id in self.ids() {
            self.kill(id, Ends::Process);
        }
    }

    /// Ends a node in this instant.
    fn kill(&self, id: u64, ends: Ends<'_>) {
        let Some(place) = self.places.get(&id) else { return };
        if Handle::current().is_exit(place.handle.id()) {
            return;
        }
        self.setting.checker.life(id, place.stand.life(), Turn::Killed, String::new);
        // The disk first: what the node's tasks still hold must not write to it when they are dropped.
        place.stand.revoke();
        match ends {
            // One fault too many for one log: what proves that its last frame is damaged, and not torn, is synced only by
            // whoever opens it. Until it was opened, a machine whose disk is damaged keeps its power.
            Ends::Machine(keep) if !place.stand.is_damaged_unseen() => {
                place.stand.disk.crash_keeping(keep);
            }
            Ends::Process | Ends::Machine(_) => place.stand.disk.kill(),
        }
        // One that stands still is let go first, so that its tasks end like all others.
        Handle::current().resume(place.handle.id());
        Handle::current().kill(place.handle.id());
        self.setting.network.unregister(&address(id));
        let replica = place.stand.running().take();
        drop(replica);
    }

    /// Starts a node, if it does not run, or has stopped by itself.
    fn restart(&self, id: u64) {
        let Some(place) = self.places.get(&id).filter(|place| place.stand.here.load(Ordering::Relaxed))
        else {
            return;
        };
        if place.stand.ended.load(Ordering::Relaxed) {
            // What a sync had failed to make durable is gone with the process.
            self.kill(id, Ends::Machine(&mut || false));
        }
        if Handle::current().is_exit(place.handle.id()) {
            // What a disk was told to do wrong, it was told for the life that has ended.
            place.stand.ended.store(false, Ordering::Relaxed);
            place.stand.excused.store(false, Ordering::Relaxed);
            let crash = lock(&place.stand.crash_at_start).take();
            if let Some((operation, survives)) = crash {
                self.arm(&place.stand, operation, survives);
            }
            Handle::current().restart(place.handle.id());
        }
    }
}
