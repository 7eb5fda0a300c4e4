//! Log time and chance: the same on every replica and in a replay, and time never goes back, also when the leader changes.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod in_memory;
#[path = "../examples/leases/service.rs"]
mod service;

use std::time::{Duration, SystemTime};

use in_memory::{Cluster, quick};
use lovebird::{Event, Read};
use service::{Command, Leases, Reply};

const ALL: [u64; 3] = [1, 2, 3];

fn acquire(holder: &str, duration: Duration) -> Command {
    Command::Acquire { lease: "printer".to_owned(), holder: holder.to_owned(), duration }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_outlives_its_leader_and_ends_by_log_time() {
    let mut cluster = Cluster::start(3, quick(), |_| Leases::default()).await;
    let client = cluster.client("client", &ALL);
    let long = Duration::from_secs(3600);
    let Reply::Granted { until, token: 1 } = client.propose(acquire("alice", long)).await.unwrap().reply
    else {
        panic!("the first one to ask is not granted the lease");
    };
    let leader = cluster.leader().await;
    cluster.kill(leader).await;
    let reply = client.propose(acquire("bob", long)).await.unwrap().reply;
    assert_eq!(reply, Reply::Held { by: "alice".to_owned(), until });
    // Whoever holds it may shorten it; it ends without anybody's doing.
    client.propose(acquire("alice", Duration::from_millis(50))).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let reply = client.propose(acquire("bob", long)).await.unwrap().reply;
    assert!(matches!(reply, Reply::Granted { token: 4, .. }), "{reply:?}");
    cluster.restart(leader).await;
    cluster.applied(4).await;
    let held = cluster.node(leader).client().query("printer".to_owned(), Read::Stale).await.unwrap().answer;
    assert_eq!(held.unwrap().holder, "bob");
    cluster.kill_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_replica_and_every_replay_draws_the_same() {
    let mut cluster = Cluster::start(3, quick(), |_| Leases::default()).await;
    let client = cluster.client("client", &ALL);
    let mut drawn = Vec::new();
    for round in 0..12 {
        for holder in ["alice", "bob", "carol"] {
            client.propose(Command::Enter { holder: holder.to_owned() }).await.unwrap();
        }
        let Reply::Drawn(Some(winner)) = client.propose(Command::Draw).await.unwrap().reply else {
            panic!("nobody was drawn");
        };
        client.propose(acquire(&winner, Duration::from_secs(round))).await.unwrap();
        drawn.push(winner);
        let leader = cluster.leader().await;
        if round % 4 == 3 {
            cluster.kill(leader).await;
            cluster.leader_among(&cluster.others(leader)).await;
            cluster.restart(leader).await;
        }
    }
    assert!(
        ["alice", "bob", "carol"].iter().all(|holder| drawn.iter().any(|winner| winner == holder)),
        "{drawn:?}"
    );
    cluster.applied(60).await;
    // A replay of all of it from the logs alone.
    cluster.kill_all().await;
    for id in ALL {
        cluster.restart(id).await;
    }
    cluster.leader().await;
    let mut states = Vec::new();
    for id in ALL {
        let mut subscription = cluster.client("reader", &[id]).subscribe(1);
        let mut before = SystemTime::UNIX_EPOCH;
        for index in 1..=60 {
            let Event::Record(record) = subscription.next().await.unwrap() else { panic!("a state came") };
            assert_eq!(record.index, index);
            assert!(record.time >= before, "log time went back before record {index}");
            before = record.time;
        }
        let mut now = cluster.client("reader", &[id]).subscribe_with_state();
        let Event::State { index: 60, snapshot } = now.next().await.unwrap() else { panic!("no state came") };
        states.push(snapshot);
    }
    assert_eq!(states[0], states[1]);
    assert_eq!(states[0], states[2]);
    cluster.kill_all().await;
}
