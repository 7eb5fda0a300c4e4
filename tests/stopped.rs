//! What a node does that breaks, is cut off, or is asked too much: it says so, and does not hold up the others.
#![allow(clippy::unwrap_used, missing_docs, dead_code, unreachable_pub)]

mod in_process;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use in_process::{Cluster, until};
use lovebird::{Client, Context, Options, ProposeError, Read, Role, StateMachine, Stopped};
use lovebird_core::record::{Number, push_record};
use lovebird_core::transport::{Outcome, ProposalKind, ProposeOpen, ProposeRequest};
use lovebird_transport::GrpcTransport;

/// Counts; breaks when it is asked to.
#[derive(Default)]
struct Brittle(u64);

#[derive(serde::Serialize, serde::Deserialize)]
enum Question {
    Sum,
    Break,
}

impl StateMachine for Brittle {
    type Command = u64;
    type Reply = u64;
    type Query = Question;
    type Answer = u64;
    type Snapshot = u64;

    fn apply(&mut self, _: &Context, add: u64) -> u64 {
        self.0 += add;
        self.0
    }

    fn query(&self, question: Question) -> u64 {
        match question {
            Question::Sum => self.0,
            Question::Break => panic!("asked to break"),
        }
    }

    fn snapshot(&self) -> u64 {
        self.0
    }

    fn restore(&mut self, snapshot: u64) {
        self.0 = snapshot;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_state_machine_panics_in_a_query_makes_way() {
    let mut cluster = Cluster::<Brittle>::start(3, Options::default()).await;
    let leader = cluster.leader().await;
    let broken = cluster.node(leader).clone();
    broken.client().propose(1).await.unwrap();
    broken.client().query(Question::Break, Read::Stale).await.unwrap_err();
    let Stopped::StateMachine(text) = broken.stopped().await else { panic!("another reason") };
    assert_eq!(text, "asked to break");
    // Nobody shuts it down, and nothing is proposed that it would fail to apply.
    let other = leader % 3 + 1;
    until("another node leads", || cluster.node(other).status().leader.filter(|now| *now != leader)).await;
    let client = cluster.node(other).client().with_timeout(Duration::from_secs(30));
    assert_eq!(client.propose(1).await.unwrap().reply, 2);
    assert_eq!(client.query(Question::Sum, Read::Linearizable).await.unwrap().answer, 2);
    let refused = broken.client().propose(1).await.unwrap_err();
    assert!(matches!(refused, ProposeError::NotCommitted { .. }), "{refused}");
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_leaves_a_node_that_is_cut_off_from_the_others() {
    let mut cut_off = Cluster::<Brittle>::start(3, Options::default()).await;
    let members = cut_off.leader().await;
    let survivor = members;
    for id in (1..=3).filter(|id| *id != survivor) {
        cut_off.stop(id).await;
    }
    let mut healthy = Cluster::<Brittle>::start(1, Options::default()).await;
    until("the single node leads", || (healthy.node(1).status().role == Role::Leader).then_some(())).await;
    let address = |cluster: &Cluster<Brittle>, id: u64| {
        let members = cluster.node(id).status().members;
        members.into_iter().find(|member| member.id == id).unwrap().address
    };
    let addresses = [address(&cut_off, survivor), address(&healthy, 1)];
    let client = Client::<Brittle>::over(&GrpcTransport::new(), addresses.clone());
    let impatient = client.with_timeout(Duration::from_millis(300));
    impatient.propose(1).await.unwrap_err();
    assert_eq!(client.with_timeout(Duration::from_secs(30)).propose(1).await.unwrap().reply, 1);
    let client = Client::<Brittle>::over(&GrpcTransport::new(), addresses);
    let impatient = client.with_timeout(Duration::from_millis(300));
    impatient.query(Question::Sum, Read::Linearizable).await.unwrap_err();
    let patient = client.with_timeout(Duration::from_secs(30));
    assert_eq!(patient.query(Question::Sum, Read::Linearizable).await.unwrap().answer, 1);
    cut_off.stop_all().await;
    healthy.stop_all().await;
}

fn request(id: u64, run: Bytes, count: u32) -> ProposeRequest {
    ProposeRequest { id, kind: ProposalKind::Commands, timeout_ms: 60_000, codec: 1, count, run }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_no_entry_could_carry_is_refused() {
    let mut cluster = Cluster::<Brittle>::start(1, Options::default()).await;
    until("the single node leads", || (cluster.node(1).status().role == Role::Leader).then_some(())).await;
    let mut run = BytesMut::new();
    for _ in 0..5 {
        push_record(&mut run, Number::NONE, &vec![0; 13 << 20]);
    }
    let requests = stream::iter([request(7, run.freeze(), 5)]).boxed();
    let endpoint = cluster.node(1).endpoint();
    let mut replies = endpoint.propose(ProposeOpen::default(), requests).await.unwrap();
    let reply = replies.next().await.unwrap().unwrap();
    let Outcome::NotCommitted { reason, retry: false, .. } = reply.outcome else { panic!("{reply:?}") };
    assert!(reason.contains("too long"), "{reason}");
    cluster.stop_all().await;
}

/// On one thread, so that whatever the node can take it has taken when everything is idle.
#[tokio::test]
async fn a_sender_that_never_reads_is_held_back() {
    const REQUESTS: usize = 100_000;
    let mut cluster = Cluster::<Brittle>::start(1, Options::default()).await;
    let taken = Arc::new(AtomicUsize::new(0));
    let counter = taken.clone();
    let requests = stream::iter(0..REQUESTS as u64).map(move |id| {
        counter.fetch_add(1, Ordering::Relaxed);
        request(id, Bytes::new(), 0)
    });
    let endpoint = cluster.node(1).endpoint();
    let replies = endpoint.propose(ProposeOpen::default(), requests.boxed()).await.unwrap();
    let mut before = usize::MAX;
    while before != taken.load(Ordering::Relaxed) || before == 0 {
        before = taken.load(Ordering::Relaxed);
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
    }
    assert!(before < REQUESTS / 10, "the node has taken {before} requests whose answers nobody reads");
    // Whoever reads gets all of them.
    assert_eq!(replies.count().await, REQUESTS);
    cluster.stop_all().await;
}
