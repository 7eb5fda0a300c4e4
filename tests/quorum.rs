//! Without a majority there is no answer, and never a wrong one.

#![allow(clippy::unwrap_used)]

mod harness;

use std::time::{Duration, Instant};

use harness::http::NoReply;
use harness::{Cluster, Freshness, Reply};

const TIMEOUT: Duration = Duration::from_millis(1500);

/// How much later than its deadline an answer may be on a busy machine.
const SLACK: Duration = Duration::from_millis(1000);

#[test]
fn a_leader_that_lost_both_followers_promises_nothing() {
    two_of_three_down(Survivor::Leader);
}

#[test]
fn a_follower_that_lost_both_others_promises_nothing() {
    two_of_three_down(Survivor::Follower);
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Survivor {
    Leader,
    Follower,
}

fn two_of_three_down(survivor: Survivor) {
    let mut cluster = Cluster::start(3, &[]);
    let (_, acknowledged) = cluster.propose(1, "x+=10");
    let leader = cluster.leader();
    let survivor = match survivor {
        Survivor::Leader => leader,
        Survivor::Follower => cluster.others(leader)[0],
    };
    // Everyone has applied it, so that a local read must see it.
    cluster.agree(&["x".to_owned()]);
    let down = cluster.others(survivor);
    for id in &down {
        cluster.node(*id).kill();
    }

    let mut unknown = 0;
    for _ in 0..3 {
        let reply = unavailable(|| cluster.http(survivor).statement_within("x+=1", TIMEOUT));
        if reply.text("outcome") == "unknown" {
            unknown += 1;
        }
        unavailable(|| cluster.http(survivor).statement_within("x?", TIMEOUT));
        unavailable(|| cluster.http(survivor).read("x", Freshness::Linearizable, TIMEOUT));
    }
    assert_eq!(
        cluster.node(survivor).stale("x").1,
        acknowledged,
        "a local read shows what is committed, and no more"
    );

    cluster.node(down[0]).start();
    cluster.leader();
    let (_, value) = cluster.insist(survivor, "x+=0");
    assert!(
        (acknowledged..=acknowledged + unknown).contains(&value),
        "x is {value}; {acknowledged} was acknowledged, and {unknown} more commands have an unknown outcome"
    );
    cluster.node(down[1]).start();
    cluster.leader();
    cluster.agree(&["x".to_owned()]);
}

/// Makes a request that must be answered 503, with an outcome, within its deadline.
#[track_caller]
fn unavailable(request: impl FnOnce() -> Result<Reply, NoReply>) -> Reply {
    let begun = Instant::now();
    let reply = request().unwrap();
    let taken = begun.elapsed();
    assert_eq!(reply.status, 503, "without a majority the answer was {reply:?}");
    assert!(["not-committed", "unknown"].contains(&reply.text("outcome")), "{reply:?}");
    assert!(!reply.text("error").is_empty());
    assert!(taken <= TIMEOUT + SLACK, "the answer to a request of {TIMEOUT:?} took {taken:?}");
    reply
}
