//! A node: one replica of one group, with all that keeps it going.
//!
//! [`Node::open`] puts the parts together: consensus over log, snapshots and network; the replica; the proposer; the reads;
//! the keeper of snapshots. [`Node::join`] then looks for the cluster, or forms it. Whatever breaks a part stops the whole
//! node and is told by [`Node::stopped`]; the process goes on.

use std::any::Any;
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::answers::Answering;
use crate::apply::{Replica, SnapshotPolicy};
use crate::client::{Client, ClientOptions, Core};
use crate::error::{StartError, Stopped};
use crate::formation::{Formation, IfEmpty};
use crate::handler::Handler;
use crate::identity::{GroupId, Identity, NodeId};
use crate::log_store::LogStore;
use crate::members::changer::Changer;
use crate::members::enlist::enlist;
use crate::members::hand_over::{HandOver, Hold};
use crate::members::steward::{Heard, Steward};
use crate::peers::Peers;
use crate::proposal::Proposal;
use crate::propose::{Proposer, Tokens};
use crate::queue::Queue;
use crate::raft::{Consensus, ConsensusConfig};
use crate::read::{Reads, read_number};
use crate::runtime::{self, Task};
use crate::service::{Model, Service};
use crate::snapshot::{Keeper, Receiving};
use crate::snapshot_store::SnapshotStore;
use crate::stop::Stop;
use crate::transport::{Confirm, Endpoint, HandOverReply, HandOverRequest, Role, Status, Transport};
use crate::working::Planner;

/// How long a node that ends waits for its clients' last answers.
const LAST_ANSWERS: Duration = Duration::from_millis(500);

/// How often it looks whether they have come.
const LOOK: Duration = Duration::from_millis(2);

/// What a node is made of.
pub struct Parts {
    /// Who it is.
    pub identity: Identity,
    /// Its group.
    pub group: GroupId,
    /// The members as its operator knows them and where each listens, at least this node itself.
    pub members: BTreeMap<NodeId, String>,
    /// Nodes of the cluster that can be asked while this one knows no member.
    pub contacts: Vec<String>,
    /// What it does if its log is empty.
    pub if_empty: IfEmpty,
    /// Its log.
    pub log: Arc<dyn LogStore>,
    /// Its snapshots.
    pub snapshots: Arc<dyn SnapshotStore>,
    /// The way to other nodes.
    pub transport: Arc<dyn Transport>,
    /// Whatever must live as long as the node, such as the lock on its directory. Dropped when it has shut down.
    pub guard: Box<dyn Any + Send + Sync>,
}

/// How a node behaves.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// A snapshot is taken after so many records.
    pub snapshot_records: u64,
    /// Or after so many bytes of entries.
    pub snapshot_bytes: u64,
    /// How many records are kept behind a snapshot, for followers that were away for a moment.
    pub keep_records: u64,
    /// How often a leader shows that it is there.
    pub heartbeat: Duration,
    /// How long a follower waits for it at least; by chance up to twice as long. Must be longer than the heartbeat, and
    /// should be several times as long.
    pub election: Duration,
    /// How the clients behave that [`Node::client`] gives.
    pub client: ClientOptions,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            snapshot_records: 100_000,
            snapshot_bytes: 64 << 20,
            keep_records: 10_000,
            heartbeat: Duration::from_millis(100),
            election: Duration::from_millis(500),
            client: ClientOptions::default(),
        }
    }
}

/// A running node. Clones share it.
pub struct Node<S> {
    inner: Arc<Inner>,
    types: PhantomData<fn() -> S>,
}

impl<S> Clone for Node<S> {
    fn clone(&self) -> Self {
        Node { inner: self.inner.clone(), types: PhantomData }
    }
}

impl<S> std::fmt::Debug for Node<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("id", &self.inner.handler.identity.id).finish_non_exhaustive()
    }
}

struct Inner {
    handler: Arc<Handler>,
    formation: Arc<Formation>,
    peers: Arc<Peers>,
    consensus: Consensus,
    queue: Arc<Queue<Proposal>>,
    client: Core,
    stop: Arc<Stop>,
    tasks: Mutex<Vec<Task>>,
    guard: Mutex<Option<Box<dyn Any + Send + Sync>>>,
}

impl<S: Service> Node<S> {
    /// Puts a node together and starts it. It takes no part in a cluster before [`Node::join`].
    ///
    /// Must be called within the runtime, and in the simulator within the node's own task: what it starts belongs there.
    ///
    /// # Errors
    /// [`StartError::Config`] if identity, service, members and options do not fit together, [`StartError::Storage`] if log or
    /// snapshots cannot be read or contradict each other.
    pub async fn open(service: S, parts: Parts, options: Options) -> Result<Self, StartError> {
        let Parts { identity, group, members, contacts, if_empty, log, snapshots, transport, guard } = parts;
        check(&identity, S::MODEL, &members)?;
        let stop = Arc::new(Stop::default());
        let policy =
            SnapshotPolicy { records: options.snapshot_records.max(1), bytes: options.snapshot_bytes.max(1) };
        let replica = Arc::new(Replica::new(&identity, group, service.erase().0, policy, stop.clone()));
        let peers = Arc::new(Peers::new(transport, group, &identity, members, contacts));
        let config = ConsensusConfig { heartbeat: options.heartbeat, election: options.election };
        let consensus = Consensus::start(
            identity.cluster_name.clone(),
            group,
            config,
            peers.clone(),
            log.clone(),
            snapshots.clone(),
            replica.clone(),
        )
        .await?;
        let formation = Arc::new(Formation::new(identity.clone(), log.clone(), if_empty));
        let queue = Arc::new(Queue::default());
        let reads = Arc::new(Reads::default());
        let lease_reads = Arc::new(Reads::default());
        let tokens = Tokens::new(&identity);
        let hold = Arc::new(Hold::default());
        let changer = changer(&identity, &consensus, &peers, &log, &hold, options.election);
        let heard = Arc::new(Heard::default());
        let proposer = Proposer {
            origin: identity.origin(),
            group,
            consensus: consensus.clone(),
            replica: replica.clone(),
            planner: Planner::new(S::MODEL, stop.clone()),
            peers: peers.clone(),
            queue: queue.clone(),
            hold: hold.clone(),
            tokens,
        };
        let mut tasks = vec![
            runtime::spawn(proposer.run()),
            serve_reads(&reads, &consensus, &peers, Confirm::Quorum),
            serve_reads(&lease_reads, &consensus, &peers, Confirm::Lease),
        ];
        let handler = Arc::new(Handler {
            identity,
            group,
            formation: formation.clone(),
            consensus: consensus.clone(),
            peers: peers.clone(),
            replica: replica.clone(),
            log,
            queue: queue.clone(),
            answering: Answering::new(replica, reads, lease_reads, stop.clone()),
            receiving: Arc::new(Receiving { snapshots, transfers: AtomicU64::new(0) }),
            changer,
            heard,
            stop: stop.clone(),
        });
        tasks.push(runtime::spawn(keeper(&handler, options.keep_records).run()));
        tasks.push(runtime::spawn(steward(&handler, options.election).run()));
        let endpoint: Arc<dyn Endpoint> = handler.clone();
        let client = Core::new(vec![endpoint], options.client);
        let (log, closing) = (handler.log.clone(), client.clone());
        tasks.push(runtime::spawn(watch(consensus.clone(), log, stop.clone(), queue.clone(), closing)));
        let (tasks, guard) = (Mutex::new(tasks), Mutex::new(Some(guard)));
        let inner = Inner { handler, formation, peers, consensus, queue, client, stop, tasks, guard };
        Ok(Node { inner: Arc::new(inner), types: PhantomData })
    }

    /// Presents the node to the others, and does what [`IfEmpty`] says if its log is empty. Returns once every node that it knows
    /// was asked once; all else goes on in the background.
    ///
    /// # Errors
    /// If this node must not take part; see [`StartError::DiskLost`], [`StartError::Removed`] and
    /// [`StartError::ForeignPeer`]. What is learned only later stops the node instead, with [`Stopped::Refused`].
    pub async fn join(&self) -> Result<(), StartError> {
        let Inner { formation, peers, consensus, stop, .. } = &*self.inner;
        formation.ask(consensus, peers, false).await?;
        self.attach(runtime::spawn(formation.clone().form(consensus.clone(), peers.clone(), stop.clone())));
        if formation.replaces() {
            let group = self.inner.handler.group;
            self.attach(runtime::spawn(enlist(consensus.clone(), peers.clone(), group)));
        }
        Ok(())
    }

    /// The node's ports, for a transport to serve.
    pub fn endpoint(&self) -> Arc<dyn Endpoint> {
        self.inner.handler.clone()
    }

    /// A handle to propose, query and follow the log through this node, in this process. All handles of a node are of one
    /// session, and end with it.
    pub fn client(&self) -> Client<S> {
        Client::of(self.inner.client.clone())
    }

    /// Ends `task` when the node shuts down.
    pub fn attach(&self, task: Task) {
        self.inner.tasks.lock().expect("no code panics while it holds this lock").push(task);
    }

    /// Stops the node because something that was wired to it has broken, its listening socket for example. `reason` is a
    /// sentence, for [`Node::stopped`].
    pub fn fail(&self, reason: impl Into<String>) {
        self.inner.stop.set(Stopped::Internal(reason.into()));
    }

    /// What the node knows of itself.
    pub fn status(&self) -> Status {
        self.inner.handler.status_now()
    }

    /// Waits until the node has stopped, by itself or by [`Node::shutdown`], and says why.
    pub async fn stopped(&self) -> Stopped {
        self.inner.stop.wait().await
    }

    /// Has another node lead, if this one does: `to`, or whoever is best at it. Gives who leads then. Clients notice nothing but the
    /// moment that it takes.
    ///
    /// # Errors
    /// Why no other node leads, as a sentence.
    pub async fn hand_over(&self, to: Option<NodeId>) -> Result<NodeId, String> {
        let group = self.inner.handler.group;
        let request = HandOverRequest { group, to, forwarded: true };
        match self.inner.handler.changer.hand_over.serve(request).await {
            HandOverReply::Done { leader } => Ok(leader),
            HandOverReply::Refused { reason, .. } => Err(reason),
        }
    }

    /// Stops the node and waits until it has stopped. A leader hands over first, if another voter is there; then those who wait in
    /// [`Node::client`]'s handles are given a moment to get their answers, which now come from the next leader. What is acknowledged
    /// is durable; what still waits then is told that it is not committed, or unknown.
    pub async fn shutdown(&self) {
        if self.inner.stop.get().is_none() {
            if self.status().role == Role::Leader {
                match self.inner.handler.changer.hand_over.briefly().await {
                    Ok(heir) => tracing::info!(leader = heir.node, "handed over before the end"),
                    Err(refusal) => tracing::info!(reason = refusal.reason, "ends without handing over"),
                }
            }
            let answered = async {
                while self.inner.client.is_awaited() {
                    runtime::sleep(LOOK).await;
                }
            };
            // Who is not answered by then is told so.
            let _ = runtime::timeout(LAST_ANSWERS, answered).await;
        }
        self.abort().await;
    }

    /// Stops the node as a crash would, except that it waits until it has stopped: a leader does not hand over.
    pub async fn abort(&self) {
        self.inner.stop.set(Stopped::Shutdown);
        self.inner.queue.close("the node was shut down");
        self.inner.client.close("the node was shut down");
        self.inner.consensus.shutdown().await;
        let tasks =
            std::mem::take(&mut *self.inner.tasks.lock().expect("no code panics while it holds this lock"));
        for task in &tasks {
            task.abort();
        }
        for task in tasks {
            task.ended().await;
        }
        let guard = self.inner.guard.lock().expect("no code panics while it holds this lock").take();
        drop(guard);
    }
}

fn check(identity: &Identity, model: Model, members: &BTreeMap<NodeId, String>) -> Result<(), StartError> {
    if identity.model != model {
        return Err(StartError::Config(format!(
            "the node's log is of the {} model, and the service was to run in the {model} model",
            identity.model
        )));
    }
    if !members.contains_key(&identity.id.node) {
        return Err(StartError::Config(format!(
            "node {} is not among the members that it was given: name it with its address",
            identity.id.node
        )));
    }
    if members.contains_key(&0) {
        return Err(StartError::Config("a node's id is at least 1".to_owned()));
    }
    Ok(())
}

/// What changes the members and hands leadership over.
fn changer(
    identity: &Identity,
    consensus: &Consensus,
    peers: &Arc<Peers>,
    log: &Arc<dyn LogStore>,
    hold: &Arc<Hold>,
    election: Duration,
) -> Arc<Changer> {
    let hand_over = Arc::new(HandOver {
        consensus: consensus.clone(),
        peers: peers.clone(),
        log: log.clone(),
        hold: hold.clone(),
        election,
    });
    Arc::new(Changer {
        cluster: identity.cluster,
        model: identity.model,
        consensus: consensus.clone(),
        peers: peers.clone(),
        log: log.clone(),
        hand_over,
        election,
        turn: Mutex::new(None),
    })
}

fn keeper(handler: &Handler, keep_records: u64) -> Keeper {
    let Handler { consensus, replica, log, .. } = handler;
    Keeper { consensus: consensus.clone(), replica: replica.clone(), log: log.clone(), keep_records }
}

fn steward(handler: &Handler, election: Duration) -> Steward {
    let Handler { group, consensus, peers, changer, formation, heard, stop, .. } = handler;
    Steward {
        group: *group,
        consensus: consensus.clone(),
        peers: peers.clone(),
        changer: changer.clone(),
        formation: formation.clone(),
        heard: heard.clone(),
        stop: stop.clone(),
        election,
    }
}

fn serve_reads(reads: &Arc<Reads>, consensus: &Consensus, peers: &Arc<Peers>, confirm: Confirm) -> Task {
    let (consensus, peers) = (consensus.clone(), peers.clone());
    runtime::spawn(reads.clone().run(move || {
        let (consensus, peers) = (consensus.clone(), peers.clone());
        async move { read_number(&consensus, &peers, confirm).await }
    }))
}

/// Waits for consensus to stop, and finds out why; or for any other part to break, and stops consensus. A node that has
/// stopped must not go on to lead: it would answer nobody, and keep the others from electing one that does.
async fn watch(
    consensus: Consensus,
    log: Arc<dyn LogStore>,
    stop: Arc<Stop>,
    queue: Arc<Queue<Proposal>>,
    client: Core,
) {
    let reason = tokio::select! {
        biased;
        reason = stop.wait() => reason,
        fatal = consensus.stopped() => {
            // openraft only knows that something failed; the log knows what. A panic of the state machine is already
            // recorded.
            let reason = match log.failure() {
                Some(failure) => {
                    crate::sometimes!("a log fails, and its node stops");
                    Stopped::Storage(failure)
                }
                None => Stopped::Internal(fatal),
            };
            stop.set(reason.clone());
            reason
        }
    };
    queue.close("the node has stopped");
    client.close("the node has stopped");
    if reason != Stopped::Shutdown {
        consensus.shutdown().await;
    }
}
