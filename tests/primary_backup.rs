//! The primary-backup model where it is delicate: the leadership is lost, and perhaps won again, between `execute` and the append.
//!
//! Each command carries what its primary saw: the state, the log index, the term and the time. A replica that meets anything else
//! when it applies the command panics, which stops its node, and the test with it.
#![allow(clippy::unwrap_used, missing_docs)]

mod in_memory;

use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, SystemTime};

use in_memory::{Cluster, quick, until};
use lovebird::{Context, Primary, PrimaryBackup, Read, StateMachine};
use serde::{Deserialize, Serialize};

/// What a primary made of a request to add.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Outcome {
    seen: u64,
    index: u64,
    term: u64,
    time: SystemTime,
    becomes: u64,
}

/// Where the test sees what is executed, and holds it up.
#[derive(Default)]
struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Default)]
struct GateState {
    /// The request that is to be held up.
    hold: Option<u64>,
    /// (node, term, request, state that it met) of all that was executed.
    executed: Vec<(u64, u64, u64, u64)>,
}

impl Gate {
    fn pass(&self, node: u64, term: u64, request: u64, seen: u64) {
        let mut state = self.state.lock().unwrap();
        state.executed.push((node, term, request, seen));
        while state.hold == Some(request) {
            state = self.changed.wait(state).unwrap();
        }
    }

    fn hold(&self, request: Option<u64>) {
        self.state.lock().unwrap().hold = request;
        self.changed.notify_all();
    }

    fn executed(&self) -> Vec<(u64, u64, u64, u64)> {
        self.state.lock().unwrap().executed.clone()
    }
}

/// A sum that its primary computes.
#[derive(Clone)]
struct Sum {
    node: u64,
    value: u64,
    gate: Arc<Gate>,
}

impl StateMachine for Sum {
    type Command = Outcome;
    type Reply = u64;
    type Query = ();
    type Answer = u64;
    type Snapshot = u64;

    fn apply(&mut self, context: &Context, outcome: Outcome) -> u64 {
        let meets = (self.value, context.index(), context.term(), context.time());
        let saw = (outcome.seen, outcome.index, outcome.term, outcome.time);
        assert_eq!(meets, saw, "a command meets another state or place than the one that it was computed on");
        self.value = outcome.becomes;
        self.value
    }

    fn query(&self, (): ()) -> u64 {
        self.value
    }

    fn snapshot(&self) -> u64 {
        self.value
    }

    fn restore(&mut self, snapshot: u64) {
        self.value = snapshot;
    }
}

impl PrimaryBackup for Sum {
    type Request = u64;

    fn execute(&self, context: &Context, add: u64) -> Outcome {
        self.gate.pass(self.node, context.term(), add, self.value);
        Outcome {
            seen: self.value,
            index: context.index(),
            term: context.term(),
            time: context.time(),
            becomes: self.value + add,
        }
    }
}

async fn start() -> (Cluster<Primary<Sum>>, Arc<Gate>) {
    let gate = Arc::new(Gate::default());
    let shared = gate.clone();
    let cluster =
        Cluster::start(3, quick(), move |node| Primary(Sum { node, value: 0, gate: shared.clone() }));
    (cluster.await, gate)
}

/// Has node `id` lead, by cutting off whoever else does. It must hold what the others hold.
async fn make_lead(cluster: &Cluster<Primary<Sum>>, id: u64) {
    let deadline = std::time::Instant::now() + Duration::from_secs(50);
    loop {
        assert!(std::time::Instant::now() < deadline, "node {id} does not come to lead");
        let leader = cluster.leader_among(&cluster.ids()).await;
        if cluster.leader().await == id {
            return;
        }
        cluster.isolate(leader);
        cluster.leader_among(&cluster.others(leader)).await;
        cluster.rejoin(leader);
    }
}

/// All replicas are at `index` with this sum, and none has stopped.
async fn all_have(cluster: &Cluster<Primary<Sum>>, index: u64, value: u64) {
    cluster.applied(index).await;
    for id in cluster.ids() {
        let client = cluster.node(id).client();
        assert_eq!(client.query((), Read::Stale).await.unwrap().answer, value, "on node {id}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leadership_lost_and_won_again_between_execute_and_append_corrupts_nothing() {
    let (mut cluster, gate) = start().await;
    let first = cluster.leader().await;
    let client = cluster.client("client", &[1, 2, 3]);
    assert_eq!(client.propose(5).await.unwrap().reply, 5);
    // The primary executes a request, and is held up within.
    gate.hold(Some(7));
    let proposing = tokio::spawn(async move { client.propose(7).await });
    until("the request is executed", || gate.executed().iter().any(|seen| seen.2 == 7).then_some(())).await;
    let lost_in = cluster.node(first).status().term;
    // Meanwhile another node is elected and changes the state.
    cluster.isolate(first);
    let second = cluster.leader_among(&cluster.others(first)).await;
    let other = cluster.client("other client", &cluster.others(first));
    assert_eq!(other.propose(100).await.unwrap().reply, 105);
    assert!(cluster.node(second).status().term > lost_in);
    // And the first one is elected again, in a later term, still within the same `execute`.
    cluster.rejoin(first);
    make_lead(&cluster, first).await;
    gate.hold(None);
    assert_eq!(proposing.await.unwrap().unwrap().reply, 112);
    all_have(&cluster, 3, 112).await;
    let executed: Vec<_> = gate.executed().into_iter().filter(|seen| seen.2 == 7).collect();
    assert!(executed.len() >= 2, "it was executed on a lost state and then anew: {executed:?}");
    assert_eq!(executed[0], (first, lost_in, 7, 5));
    assert_eq!(executed.last().unwrap().3, 105, "the last execution saw what had come between: {executed:?}");
    cluster.kill_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_executed_behind_a_lost_command_has_no_effect() {
    let (mut cluster, gate) = start().await;
    let first = cluster.leader().await;
    let client = cluster.client("client", &[first]);
    assert_eq!(client.propose(5).await.unwrap().reply, 5);
    // The leader still hears the others, but they do not hear it: what it appends from now on is lost. It goes on executing,
    // on a state that will never be.
    for other in cluster.others(first) {
        cluster.cut(first, other);
    }
    let lost: Vec<_> = (0..50)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.propose(1).await })
        })
        .collect();
    until("they are executed", || gate.executed().iter().any(|seen| seen.2 == 1).then_some(())).await;
    cluster.isolate(first);
    cluster.leader_among(&cluster.others(first)).await;
    let other = cluster.client("other client", &cluster.others(first));
    assert_eq!(other.propose(100).await.unwrap().reply, 105);
    cluster.rejoin(first);
    // In their session they are sent again, and each takes effect once, on the state that became.
    for proposing in lost {
        let committed = proposing.await.unwrap().unwrap();
        assert_eq!(committed.reply, 105 + committed.index - 2);
    }
    all_have(&cluster, 52, 155).await;
    cluster.kill_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_primary_executes_and_many_requests_are_under_way() {
    let (mut cluster, gate) = start().await;
    let leader = cluster.leader().await;
    let client = cluster.node(leader % 3 + 1).client();
    let callers: Vec<_> = (0..200)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.propose(1).await.unwrap() })
        })
        .collect();
    for caller in callers {
        let committed = caller.await.unwrap();
        assert_eq!(committed.reply, committed.index);
    }
    all_have(&cluster, 200, 200).await;
    let executed = gate.executed();
    assert_eq!(executed.len(), 200, "each request is executed once while nothing fails");
    assert!(executed.iter().all(|seen| seen.0 == leader), "a backup has executed");
    // A replay executes nothing.
    for id in cluster.ids() {
        cluster.kill(id).await;
        cluster.restart(id).await;
    }
    all_have(&cluster, 200, 200).await;
    assert_eq!(gate.executed().len(), 200);
    cluster.kill_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backups_serve_while_their_primary_executes() {
    let (mut cluster, gate) = start().await;
    let leader = cluster.leader().await;
    let client = cluster.node(leader).client();
    assert_eq!(client.propose(1).await.unwrap().reply, 1);
    gate.hold(Some(9));
    let held = tokio::spawn({
        let client = client.clone();
        async move { client.propose(9).await }
    });
    until("the request is executed", || gate.executed().iter().any(|seen| seen.2 == 9).then_some(())).await;
    let read = cluster.node(leader % 3 + 1).client().query((), Read::AtLeast(1)).await.unwrap();
    assert_eq!((read.index, read.answer), (1, 1));
    gate.hold(None);
    assert_eq!(held.await.unwrap().unwrap().reply, 10);
    cluster.kill_all().await;
}

/// A service whose outcomes are far larger than its requests, and whose replies are large, too.
#[derive(Clone, Default)]
struct Inflating(u64);

impl StateMachine for Inflating {
    type Command = String;
    type Reply = String;
    type Query = ();
    type Answer = u64;
    type Snapshot = u64;

    fn apply(&mut self, _: &Context, outcome: String) -> String {
        self.0 += 1;
        "1".repeat(outcome.len() / 2)
    }

    fn query(&self, (): ()) -> u64 {
        self.0
    }

    fn snapshot(&self) -> u64 {
        self.0
    }

    fn restore(&mut self, snapshot: u64) {
        self.0 = snapshot;
    }
}

impl PrimaryBackup for Inflating {
    type Request = u32;

    fn execute(&self, _: &Context, bytes: u32) -> String {
        "7".repeat(bytes as usize)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outcomes_that_no_entry_could_hold_together_go_into_several() {
    let mut cluster = Cluster::start(3, quick(), |_| Primary(Inflating::default())).await;
    cluster.leader().await;
    let client = cluster.client("client", &[1, 2, 3]);
    let callers: Vec<_> = (0..40)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.propose(1 << 20).await.unwrap() })
        })
        .collect();
    for caller in callers {
        assert_eq!(caller.await.unwrap().reply.len(), 1 << 19);
    }
    // One that no record may hold is refused, and those behind it in its session go on.
    let error = client.propose(17 << 20).await.unwrap_err();
    assert!(matches!(error, lovebird::ProposeError::NotCommitted { .. }), "{error}");
    assert_eq!(client.propose(2).await.unwrap().index, 41);
    cluster.applied(41).await;
    // All of it can be read again.
    cluster.kill_all().await;
    for id in cluster.ids() {
        cluster.restart(id).await;
    }
    cluster.applied(41).await;
    cluster.kill_all().await;
}
