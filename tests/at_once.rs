//! Many commands proposed at once, and what becomes of them when their leader dies or when they are too much.
#![allow(clippy::unwrap_used, missing_docs)]

mod in_memory;

use std::time::Duration;

use in_memory::{Cluster, Sum, quick, until};
use lovebird::{Context, ProposeError, Read, StateMachine};

const ALL: [u64; 3] = [1, 2, 3];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_proposed_at_once_in_a_session_is_there_once_and_in_order_though_its_leader_dies() {
    let mut cluster = Cluster::start(3, quick(), |_| Sum::default()).await;
    cluster.leader().await;
    let client = cluster.client("client", &ALL).with_timeout(Duration::from_secs(30));
    assert_eq!(client.propose_all(&[]).await.unwrap(), []);
    // Opens the session.
    client.propose(0).await.unwrap();
    let leader = cluster.leader().await;
    // The leader takes the commands and cannot commit them.
    for other in cluster.others(leader) {
        cluster.cut(leader, other);
    }
    let numbers: Vec<u64> = (1..700).collect();
    let proposing = tokio::spawn(async move { client.propose_all(&numbers).await });
    let last = cluster.node(leader).status().last;
    until("the leader appends", || (cluster.node(leader).status().last > last).then_some(())).await;
    cluster.kill(leader).await;
    let outcomes = proposing.await.unwrap().unwrap();
    for (place, outcome) in outcomes.into_iter().enumerate() {
        let committed = outcome.unwrap();
        // Each sum tells that exactly those before it are in it.
        let number = place as u64 + 1;
        assert_eq!((committed.index, committed.reply), (number + 1, number * (number + 1) / 2));
    }
    let survivor = cluster.node(cluster.others(leader)[0]).client().with_timeout(Duration::from_secs(30));
    assert_eq!(survivor.query((), Read::Linearizable).await.unwrap().answer, 699 * 700 / 2);
    cluster.kill_all().await;
}

/// A state that takes anything, however long.
#[derive(Default)]
struct Bin(u64);

impl StateMachine for Bin {
    type Command = Vec<u8>;
    type Reply = u64;
    type Query = ();
    type Answer = u64;
    type Snapshot = u64;

    fn apply(&mut self, _: &Context, _: Vec<u8>) -> u64 {
        self.0 += 1;
        self.0
    }

    fn query(&self, (): ()) -> u64 {
        self.0
    }

    fn snapshot(&self) -> u64 {
        self.0
    }

    fn restore(&mut self, thrown: u64) {
        self.0 = thrown;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_what_is_too_much_to_be_proposed_at_once_nothing_is_sent() {
    let mut cluster = Cluster::<Bin>::start(1, quick(), |_| Bin::default()).await;
    cluster.leader().await;
    let client = cluster.client("client", &[1]).without_session();
    let one_too_long = [vec![1], vec![0; (16 << 20) + 1]];
    let too_many = vec![vec![0; 1 << 20]; 33];
    for proposals in [&one_too_long[..], &too_many] {
        let error = client.propose_all(proposals).await.unwrap_err();
        assert!(matches!(error, ProposeError::NotCommitted { .. }), "{error}");
    }
    assert_eq!(client.query((), Read::Linearizable).await.unwrap().answer, 0);
    let as_many_as_may_be = vec![vec![0; 1 << 20]; 31];
    let outcomes = client.propose_all(&as_many_as_may_be).await.unwrap();
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    cluster.kill_all().await;
}
