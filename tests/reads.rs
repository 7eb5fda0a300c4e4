//! Reads at a chosen freshness, each held to its own promise, and following the log.
#![allow(clippy::unwrap_used, missing_docs)]

mod in_memory;

use std::time::Duration;

use in_memory::{Cluster, Sum, quick, until};
use lovebird::{ClientOptions, Event, Options, QueryError, Read, SubscribeError};

const ALL: [u64; 3] = [1, 2, 3];

async fn start(options: Options) -> Cluster<Sum> {
    let cluster = Cluster::start(3, options, |_| Sum::default()).await;
    cluster.leader().await;
    cluster
}

async fn add(cluster: &Cluster<Sum>, ids: &[u64], count: u64) {
    let client = cluster.client("writer", ids);
    for _ in 0..count {
        client.propose(1).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_that_ask_for_everything_see_it_at_any_replica() {
    let mut cluster = start(quick()).await;
    for round in 1..=20 {
        add(&cluster, &ALL, 1).await;
        for id in ALL {
            for read in [Read::Linearizable, Read::Lease, Read::AtLeast(round)] {
                let answered = cluster.node(id).client().query((), read).await.unwrap();
                assert_eq!((answered.index, answered.answer), (round, round), "{read:?} at node {id}");
            }
        }
    }
    cluster.kill_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_is_cut_off_says_how_far_it_is_and_answers_only_stale_reads() {
    let mut cluster = start(quick()).await;
    add(&cluster, &ALL, 3).await;
    cluster.applied(3).await;
    let leader = cluster.leader().await;
    let follower = cluster.others(leader)[0];
    cluster.isolate(follower);
    add(&cluster, &cluster.others(follower), 2).await;
    let client = cluster.node(follower).client().with_timeout(Duration::from_millis(300));
    for read in [Read::Linearizable, Read::AtLeast(4), Read::Lease] {
        let error = client.query((), read).await.unwrap_err();
        let QueryError::Unavailable { applied: Some(3), .. } = error else { panic!("{read:?}: {error:?}") };
    }
    assert_eq!(client.query((), Read::Stale).await.unwrap().index, 3);
    assert_eq!(client.query((), Read::AtLeast(3)).await.unwrap().index, 3);
    // A read that waits for a record is answered when it comes.
    let waiting = tokio::spawn({
        let client = client.with_timeout(Duration::from_secs(30));
        async move { client.query((), Read::AtLeast(5)).await.unwrap() }
    });
    cluster.rejoin(follower);
    assert_eq!(waiting.await.unwrap().answer, 5);
    cluster.kill_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_cut_off_answers_no_lease_read_once_its_lease_is_over() {
    let mut cluster = start(quick()).await;
    add(&cluster, &ALL, 1).await;
    let leader = cluster.leader().await;
    cluster.isolate(leader);
    cluster.leader_among(&cluster.others(leader)).await;
    add(&cluster, &cluster.others(leader), 1).await;
    let client = cluster.node(leader).client().with_timeout(Duration::from_millis(300));
    client.query((), Read::Lease).await.unwrap_err();
    client.query((), Read::Linearizable).await.unwrap_err();
    cluster.kill_all().await;
}

/// What a lease is for: the leader answers at once, though it reaches nobody at that moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_read_asks_no_quorum() {
    let options = Options { election: Duration::from_secs(5), ..quick() };
    let mut cluster = start(options).await;
    add(&cluster, &ALL, 1).await;
    let leader = cluster.leader().await;
    cluster.isolate(leader);
    let client = cluster.node(leader).client().with_timeout(Duration::from_secs(1));
    assert_eq!(client.query((), Read::Lease).await.unwrap().answer, 1);
    client.query((), Read::Linearizable).await.unwrap_err();
    cluster.rejoin(leader);
    cluster.kill_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_monotonic_handle_never_goes_back_however_stale_it_reads() {
    let mut cluster = start(quick()).await;
    let leader = cluster.leader().await;
    let follower = cluster.others(leader)[0];
    add(&cluster, &ALL, 1).await;
    cluster.applied(1).await;
    cluster.isolate(follower);
    let options = ClientOptions { timeout: Duration::from_millis(500), ..ClientOptions::default() };
    let anywhere = cluster.client_with("reader", &[leader, follower], options).monotonic();
    add(&cluster, &cluster.others(follower), 4).await;
    assert_eq!(anywhere.query((), Read::Linearizable).await.unwrap().index, 5);
    assert_eq!(anywhere.seen(), 5);
    // The leader is gone for this reader, and the follower is behind: it answers nothing old.
    cluster.network.cut("reader", &cluster.address(leader));
    cluster.network.cut(&cluster.address(leader), "reader");
    let behind = cluster.client_with("other reader", &[follower], options);
    assert_eq!(behind.query((), Read::Stale).await.unwrap().index, 1);
    anywhere.query((), Read::Stale).await.unwrap_err();
    cluster.rejoin(follower);
    let patient = anywhere.with_timeout(Duration::from_secs(30));
    assert_eq!(patient.query((), Read::Stale).await.unwrap().index, 5);
    cluster.kill_all().await;
}

/// The log indexes and the sums of the next `count` events, where a state counts as one.
async fn follow(subscription: &mut lovebird::Subscription<Sum>, count: usize) -> Vec<u64> {
    let mut indexes = Vec::new();
    for _ in 0..count {
        match subscription.next().await.unwrap() {
            Event::Record(record) => {
                assert_eq!(record.command, 1);
                indexes.push(record.index);
            }
            Event::State { index, snapshot } => {
                assert_eq!(snapshot, index);
                indexes.push(index);
            }
        }
    }
    indexes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_gets_every_record_once_also_when_its_node_goes() {
    let mut cluster = start(quick()).await;
    add(&cluster, &ALL, 5).await;
    let reader = cluster.client("reader", &ALL);
    let mut subscription = reader.subscribe(3);
    assert_eq!(follow(&mut subscription, 3).await, [3, 4, 5]);
    // At the end it waits.
    assert!(tokio::time::timeout(Duration::from_millis(200), subscription.next()).await.is_err());
    let following = tokio::spawn(async move {
        let indexes = follow(&mut subscription, 300).await;
        (subscription, indexes)
    });
    for id in ALL {
        add(&cluster, &ALL, 50).await;
        cluster.kill(id).await;
        add(&cluster, &cluster.others(id), 50).await;
        cluster.restart(id).await;
    }
    let (_, indexes) = following.await.unwrap();
    assert_eq!(indexes, (6..=305).collect::<Vec<u64>>());
    cluster.kill_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_never_sees_what_is_not_committed() {
    let mut cluster = start(quick()).await;
    add(&cluster, &ALL, 1).await;
    let leader = cluster.leader().await;
    let mut at_leader = cluster.client("reader", &[leader]).subscribe(1);
    assert_eq!(follow(&mut at_leader, 1).await, [1]);
    for other in cluster.others(leader) {
        cluster.cut(leader, other);
    }
    let last = cluster.node(leader).status().last;
    let lost = cluster.client_with(
        "loser",
        &[leader],
        ClientOptions { timeout: Duration::from_millis(100), ..ClientOptions::default() },
    );
    lost.without_session().propose(77).await.unwrap_err();
    assert_eq!(cluster.node(leader).status().last, last + 1, "the leader has appended it");
    // Nor does whoever comes now, for whom the node reads on from what is committed.
    let mut newcomer = cluster.client("newcomer", &[leader]).subscribe(1);
    assert_eq!(follow(&mut newcomer, 1).await, [1]);
    assert!(tokio::time::timeout(Duration::from_millis(200), newcomer.next()).await.is_err());
    assert!(tokio::time::timeout(Duration::from_millis(200), at_leader.next()).await.is_err());
    cluster.isolate(leader);
    cluster.leader_among(&cluster.others(leader)).await;
    add(&cluster, &cluster.others(leader), 3).await;
    cluster.rejoin(leader);
    assert_eq!(follow(&mut at_leader, 3).await, [2, 3, 4]);
    cluster.kill_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_that_comes_too_late_is_told_so_or_takes_the_state_at_an_exact_index() {
    let options = Options { snapshot_records: 40, keep_records: 10, ..quick() };
    let mut cluster = start(options).await;
    add(&cluster, &ALL, 200).await;
    until("the log is purged", || (cluster.node(1).status().first > 50).then_some(())).await;
    let reader = cluster.client("reader", &[1]);
    let mut late = reader.subscribe(5);
    let error = late.next().await.unwrap_err();
    let SubscribeError::Purged { next: 5, first } = error else { panic!("{error:?}") };
    assert!(first > 50);
    let mut late = reader.subscribe(5).or_state();
    let Event::State { index, snapshot } = late.next().await.unwrap() else { panic!("no state came") };
    assert_eq!(snapshot, index);
    add(&cluster, &ALL, 300 - 200).await;
    // From there on, every record; where it is too slow for the log, the state again, and nothing is missing in the sum.
    let mut sum = snapshot;
    while sum < 300 {
        match late.next().await.unwrap() {
            Event::Record(record) => {
                sum += record.command;
                assert_eq!(record.index, sum);
            }
            Event::State { index, snapshot } => {
                assert!(index >= sum && snapshot == index);
                sum = snapshot;
            }
        }
    }
    // The state can be asked for at any time.
    let mut now = reader.subscribe_with_state();
    let Event::State { index: 300, snapshot: 300 } = now.next().await.unwrap() else {
        panic!("no state came")
    };
    cluster.kill_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_that_does_not_read_holds_up_nobody() {
    let options = Options { snapshot_records: 500, keep_records: 10, ..quick() };
    let mut cluster = start(options).await;
    let reader = cluster.client("reader", &ALL);
    let mut idle = reader.subscribe(1).or_state();
    add(&cluster, &ALL, 1).await;
    assert_eq!(follow(&mut idle, 1).await, [1]);
    let writer = cluster.client("writer", &ALL);
    for _ in 0..8 {
        let writing: Vec<_> = (0..500)
            .map(|_| {
                let writer = writer.clone();
                tokio::spawn(async move { writer.propose(1).await.unwrap() })
            })
            .collect();
        for write in writing {
            write.await.unwrap();
        }
    }
    // The log was purged under it. It is given what had been sent on its way, or the state, and then all that follows.
    until("the log is purged", || (cluster.node(1).status().first > 1_000).then_some(())).await;
    let mut last = 1;
    while last < 4_001 {
        match idle.next().await.unwrap() {
            Event::Record(record) => {
                assert_eq!(record.index, last + 1);
                last = record.index;
            }
            Event::State { index, snapshot } => {
                assert!(index > last && snapshot == index);
                last = index;
            }
        }
    }
    cluster.kill_all().await;
}
