//! Nodes end and come back, and the cluster goes on from what their disks hold.

#![allow(clippy::unwrap_used)]

mod harness;

use std::time::{Duration, Instant};

use harness::{Cluster, Load, Role, until};

/// The trap: entries are sent to followers before the leader has synced them, so a leader that is restored to its old term
/// could write two different entries under one number, and lose what was acknowledged.
#[test]
fn a_leader_killed_and_started_again_within_the_election_timeout_loses_nothing() {
    let election = Duration::from_millis(1000);
    let mut cluster = Cluster::start(3, &["--election-ms", &election.as_millis().to_string()]);
    let load = Load::start(&cluster, 6);
    for round in 1..=20 {
        load.run(50);
        let leader = cluster.leader();
        let killed = Instant::now();
        cluster.node(leader).kill();
        cluster.node(leader).start();
        let back = until("the killed leader answers again", || {
            cluster.http(leader).get("/status").ok().map(|_| killed.elapsed())
        });
        println!(
            "measured: round {round}: node {leader} answered again {} ms after its kill",
            back.as_millis()
        );
        load.resumed_after(killed);
    }
    load.check(&cluster);
}

/// openraft pauses between attempts only where a stream could be opened, and sends heartbeats by a connection of their own:
/// a leader must neither spin for as long as a peer is down, nor forget the heartbeats when it is back.
#[test]
fn a_leader_rests_while_a_follower_is_down_and_is_not_deposed_when_it_returns() {
    let election = Duration::from_millis(1000);
    let mut cluster = Cluster::start(3, &["--election-ms", &election.as_millis().to_string()]);
    let (leader, term) = cluster.leadership();
    let follower = cluster.others(leader)[0];
    cluster.node(follower).kill();
    cluster.propose(leader, "x+=5");
    let before = cluster.node(leader).process().cpu();
    // Time is the story: nothing happens meanwhile, and nothing should.
    std::thread::sleep(2 * election);
    let spent = cluster.node(leader).process().cpu() - before;
    println!(
        "measured: a leader spent {} ms of processor time in {} ms",
        spent.as_millis(),
        2 * election.as_millis()
    );
    assert!(spent < election / 2, "an idle leader spent {spent:?} of processor time in {:?}", 2 * election);
    cluster.node(follower).start();
    assert_eq!(cluster.leadership(), (leader, term));
    std::thread::sleep(4 * election);
    assert_eq!(cluster.leadership(), (leader, term), "it hears the leader's heartbeats");
}

#[test]
fn nodes_that_end_cleanly_come_back_in_another_order() {
    let mut cluster = Cluster::start(3, &[]);
    cluster.propose(1, "x+=5");
    for id in [2, 3, 1] {
        let status = cluster.node(id).terminate();
        assert!(status.success(), "node {id} ended with {status} after SIGTERM");
    }
    for id in [3, 1, 2] {
        cluster.node(id).start();
        // One after the other: the next starts only when this one is up.
        until("the node answers", || cluster.http(id).get("/status").ok());
    }
    cluster.insist(2, "y+=0");
    assert_eq!(cluster.read(1, "x").1, 5);
    assert_eq!(cluster.agree(&["x".to_owned()]).1, [5]);
}

#[test]
fn a_cluster_forms_when_its_last_member_appears_and_not_before() {
    let mut cluster = Cluster::stopped(3, &[]);
    for id in [3, 1] {
        cluster.node(id).start();
        until("the node answers", || cluster.http(id).get("/status").ok());
    }
    // A majority is there, but only all of them can say that none has lost its disk.
    let reply = cluster.http(1).statement_within("x+=1", Duration::from_secs(3)).unwrap();
    assert_eq!((reply.status, reply.text("outcome")), (503, "not-committed"), "{reply:?}");
    for id in [3, 1] {
        let status = until("the node answers", || cluster.nodes[id as usize - 1].status());
        assert_eq!((status.leader, status.committed, status.last), (None, 0, 0), "{status:?}");
        assert_ne!(status.role, Role::Leader, "{status:?}");
    }
    cluster.node(2).start();
    cluster.leader();
    assert_eq!(cluster.propose(2, "x+=1"), (1, 1));
}

#[test]
fn a_majority_goes_on_from_its_disks_without_the_third() {
    let mut cluster = Cluster::start(3, &[]);
    let (index, _) = cluster.propose(3, "x+=5");
    cluster.kill_all();
    for id in [1, 2] {
        cluster.node(id).start();
    }
    cluster.leader();
    assert_eq!(cluster.read(2, "x").1, 5);
    let (next, value) = cluster.insist(1, "x+=0");
    assert!(value == 5 && next > index, "x is {value} at {next}, and was 5 at {index}");
    cluster.node(3).start();
    cluster.leader();
    assert_eq!(cluster.agree(&["x".to_owned()]).1, [5]);
}

#[test]
fn one_member_alone_is_a_cluster_and_keeps_what_it_acknowledged() {
    let mut cluster = Cluster::start(1, &[]);
    for round in 1..=5 {
        for value in 1..=20 {
            assert_eq!(cluster.propose(1, &format!("r{round}+=1")).1, value);
        }
        cluster.node(1).kill();
        cluster.node(1).start();
        cluster.leader();
    }
    for round in 1..=5 {
        assert_eq!(cluster.read(1, &format!("r{round}")).1, 20);
    }
}
