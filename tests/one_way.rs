//! Links that carry one way only: the failures that a cluster without deadlines, pre-vote, or a leader's doubt of its own
//! quorum never recovers from.

#![allow(clippy::unwrap_used)]

mod harness;

use std::time::Duration;

use harness::links::Links;
use harness::{Cluster, Load, Role, until};

const ELECTION: Duration = Duration::from_millis(1000);

fn start() -> (Cluster, Links) {
    let mut cluster = Cluster::stopped(3, &["--election-ms", &ELECTION.as_millis().to_string()]);
    let links = Links::new(&mut cluster);
    cluster.start_all();
    cluster.leader();
    (cluster, links)
}

/// Waits until one of `candidates` leads and serves, and checks that `deposed` acknowledges nothing more.
fn replaced(cluster: &Cluster, deposed: u64, candidates: &[u64]) {
    let next = until("another node leads", || {
        candidates.iter().copied().find(|id| {
            let status = cluster.nodes[*id as usize - 1].status();
            status.is_some_and(|status| status.role == Role::Leader)
        })
    });
    assert_ne!(next, deposed);
    for id in candidates {
        cluster.insist(*id, "x+=0");
    }
    let reply = cluster.http(deposed).statement_within("x+=100", Duration::from_secs(1)).unwrap();
    assert_eq!(reply.status, 503, "node {deposed} reaches no majority, and answered {reply:?}");
}

#[test]
fn a_leader_that_can_send_but_not_receive_makes_way() {
    let (cluster, links) = start();
    let load = Load::start(&cluster, 6);
    load.run(100);
    let leader = cluster.leader();
    let others = cluster.others(leader);
    for other in &others {
        links.cut(*other, leader);
    }
    replaced(&cluster, leader, &others);
    load.run(100);
    links.mend_all();
    cluster.leader();
    load.run(100);
    load.check(&cluster);
}

#[test]
fn a_leader_that_can_receive_but_not_send_is_replaced() {
    let (cluster, links) = start();
    let load = Load::start(&cluster, 6);
    load.run(100);
    let leader = cluster.leader();
    let others = cluster.others(leader);
    for other in &others {
        links.cut(leader, *other);
    }
    replaced(&cluster, leader, &others);
    load.run(100);
    links.mend_all();
    cluster.leader();
    load.run(100);
    load.check(&cluster);
}

#[test]
fn a_follower_whose_answers_are_lost_does_not_wedge_replication() {
    let (cluster, links) = start();
    let load = Load::start(&cluster, 6);
    load.run(100);
    let (leader, term) = cluster.leadership();
    let follower = cluster.others(leader)[0];
    links.cut(follower, leader);
    load.run_for(4 * ELECTION);
    links.mend_all();
    // All nodes agree in the end, the follower among them, which needs its replication to flow again.
    load.run(100);
    load.check(&cluster);
    assert_eq!(cluster.leadership(), (leader, term), "the follower heard the leader all the time");
}

#[test]
fn a_follower_that_hears_nobody_does_not_depose_the_leader() {
    let (cluster, links) = start();
    let load = Load::start(&cluster, 6);
    load.run(100);
    let (leader, term) = cluster.leadership();
    let follower = cluster.others(leader)[0];
    for other in cluster.others(follower) {
        links.cut(other, follower);
    }
    // Long enough for several elections, if it were to call them.
    load.run_for(4 * ELECTION);
    links.mend_all();
    load.run(100);
    load.check(&cluster);
    assert_eq!(cluster.leadership(), (leader, term), "nobody but the cut-off follower wanted an election");
}

#[test]
fn a_follower_that_was_cut_off_both_ways_catches_up() {
    let (cluster, links) = start();
    let load = Load::start(&cluster, 6);
    load.run(100);
    let (leader, term) = cluster.leadership();
    let follower = cluster.others(leader)[1];
    for other in cluster.others(follower) {
        links.cut(other, follower);
        links.cut(follower, other);
    }
    load.run_for(4 * ELECTION);
    links.mend_all();
    load.run(100);
    load.check(&cluster);
    assert_eq!(cluster.leadership(), (leader, term), "the others had a leader all the time");
}
