//! Snapshots are taken, the log is purged behind them, and who has fallen behind the purge gets one.

#![allow(clippy::unwrap_used)]

mod harness;

use harness::{Cluster, Load, until};

#[test]
fn a_follower_that_was_down_past_a_purge_catches_up_by_snapshot() {
    let mut cluster = Cluster::start(3, &["--snapshot-records", "200", "--keep-records", "50"]);
    let leader = cluster.leader();
    let follower = cluster.others(leader)[0];
    cluster.propose(leader, "before+=7");
    let (held, _) = cluster.agree(&[]);
    cluster.node(follower).kill();
    let load = Load::start(&cluster, 4);
    let variables = ["before".to_owned(), load.variables[0].clone()];
    until("the leader has purged what the follower lacks", || {
        let status = cluster.nodes[leader as usize - 1].status()?;
        (status.first > held + 1).then_some(())
    });
    cluster.node(follower).start();
    // It catches up while more comes in.
    load.run(300);
    load.check(&cluster);
    let status = cluster.node(follower).status().unwrap();
    assert!(status.snapshot > held, "node {follower} held {held} records and got no snapshot: {status:?}");
    assert!(status.first > held + 1, "node {follower} holds records that no other had any more: {status:?}");
    let (applied, values) = cluster.agree(&variables);
    assert_eq!(values[0], 7);

    // What came by snapshot is durable like the rest: on that follower and one other alone.
    cluster.kill_all();
    let other = cluster.others(follower)[1];
    cluster.node(follower).start();
    cluster.node(other).start();
    cluster.leader();
    cluster.read(follower, &variables[1]);
    assert_eq!(cluster.agree(&variables), (applied, values));
}

#[test]
fn a_log_does_not_grow_beyond_its_snapshots() {
    let mut cluster = Cluster::start(1, &["--snapshot-records", "100", "--keep-records", "20"]);
    for value in 1..=1000 {
        cluster.propose(1, "x+=1");
        assert_eq!(
            cluster.node(1).stale("x").1,
            value,
            "an acknowledged command is applied where it was proposed"
        );
    }
    let status = until("the log is purged behind a snapshot", || {
        let status = cluster.nodes[0].status()?;
        (status.snapshot >= 900 && status.first > 800).then_some(status)
    });
    assert!(status.first <= status.snapshot + 1, "what no snapshot covers was purged: {status:?}");
    assert!(
        status.snapshot + 1 - status.first >= 20,
        "fewer than 20 records stay behind the snapshot: {status:?}"
    );
    assert_eq!((status.applied, status.last), (1000, 1000));
    cluster.node(1).kill();
    cluster.node(1).start();
    cluster.leader();
    assert_eq!(cluster.read(1, "x"), (1000, 1000), "a snapshot and the records behind it are the whole");
}

#[test]
fn bytes_alone_call_for_a_snapshot() {
    let mut cluster = Cluster::start(1, &["--snapshot-bytes", "16384", "--keep-records", "10"]);
    let long = "a".repeat(1000);
    for _ in 0..100 {
        cluster.propose(1, &format!("{long}+=1"));
    }
    until("a snapshot is taken", || cluster.nodes[0].status().filter(|status| status.snapshot > 0));
    cluster.node(1).kill();
    cluster.node(1).start();
    cluster.leader();
    assert_eq!(cluster.read(1, &long), (100, 100));
}

#[test]
fn nodes_die_while_snapshots_are_taken() {
    // A snapshot every few records: hardly a moment at which none is under way.
    let mut cluster = Cluster::start(3, &["--snapshot-records", "20", "--keep-records", "5"]);
    let load = Load::start(&cluster, 6);
    for round in 0..6 {
        load.run(100);
        let id = round % 3 + 1;
        cluster.node(id).kill();
        load.run(100);
        cluster.node(id).start();
        cluster.leader();
    }
    cluster.kill_all();
    cluster.start_all();
    load.run(100);
    load.check(&cluster);
}
