//! A message that is lost alone, where a link that is cut would lose all that follow too.
#![allow(clippy::unwrap_used, missing_docs)]

mod in_memory;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use in_memory::{Cluster, Sum, quick, until};
use lovebird_transport::{Conditions, Fate, MemoryNetwork, Sending};

/// Loses, while it is told to, the ends of the streams of one node.
#[derive(Default)]
struct Ends {
    of: Mutex<String>,
    losing: AtomicBool,
    lost: AtomicU64,
}

impl Conditions for Ends {
    fn fate(&self, sending: &Sending<'_>) -> Fate {
        if sending.kind == "end"
            && self.losing.load(Ordering::SeqCst)
            && sending.from == *self.of.lock().unwrap()
        {
            self.lost.fetch_add(1, Ordering::SeqCst);
            return Fate::Lost;
        }
        Fate::Arrives { at: Duration::ZERO, again: None }
    }

    fn until(&self, _: Duration) -> BoxFuture<'static, ()> {
        ready(()).boxed()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_is_replicated_to_again_after_the_end_of_its_replies_was_lost() {
    let ends = Arc::new(Ends::default());
    let network = MemoryNetwork::under(ends.clone());
    let mut cluster = Cluster::start_on(network, 3, quick(), |_| Sum::default()).await;
    let leader = cluster.leader().await;
    let follower = cluster.others(leader)[0];
    let client = cluster.client("writer", &[leader]);
    client.propose(1).await.unwrap();
    cluster.applied(1).await;

    // Consensus ends a stream that carries what a follower lacks, and opens another one for what comes after.
    *ends.of.lock().unwrap() = cluster.address(follower);
    cluster.isolate(follower);
    for _ in 2..=20 {
        client.propose(1).await.unwrap();
    }
    ends.losing.store(true, Ordering::SeqCst);
    cluster.rejoin(follower);
    until("the follower has what it lacked", || (cluster.node(follower).status().last >= 20).then_some(()))
        .await;
    let seen = ends.lost.load(Ordering::SeqCst);
    until("ends were lost", || (ends.lost.load(Ordering::SeqCst) > seen + 2).then_some(())).await;
    ends.losing.store(false, Ordering::SeqCst);
    for _ in 21..=30 {
        client.propose(1).await.unwrap();
    }
    cluster.applied(30).await;
    cluster.kill_all().await;
}
