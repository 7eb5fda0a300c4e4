//! Nodes die under load, one, each in turn, all at once: whatever was acknowledged is there afterwards, the replicas agree,
//! and service resumes.

#![allow(clippy::unwrap_used)]

mod harness;

use std::time::Instant;

use harness::load::Account;
use harness::{Cluster, Load};

const CLIENTS: usize = 6;

#[test]
fn commands_through_every_node_reach_every_replica() {
    let cluster = Cluster::start(3, &[]);
    let mut previous = 0;
    for (round, value) in [(1, 1), (2, 2), (3, 3)] {
        for id in cluster.ids() {
            let (index, now) = cluster.propose(id, &format!("x_{id}+=1"));
            assert_eq!(now, value, "x_{id} in round {round}");
            assert_eq!(
                index,
                previous + 1,
                "commands that wait for one another have log indexes in a row, from 1"
            );
            previous = index;
        }
    }
    let variables = ["x_1", "x_2", "x_3"].map(str::to_owned);
    assert_eq!(cluster.agree(&variables), (9, vec![3, 3, 3]));
}

#[test]
fn the_leader_dies_under_load() {
    let mut cluster = Cluster::start(3, &[]);
    let load = Load::start(&cluster, CLIENTS);
    load.run(200);
    let (leader, term) = cluster.leadership();
    cluster.node(leader).kill();
    let killed = Instant::now();
    let resumed = load.resumed_after(killed);
    println!("measured: service resumed {} ms after the leader was killed", resumed.as_millis());
    let (next, next_term) = cluster.leadership();
    assert!(
        next != leader && next_term > term,
        "node {next} leads term {next_term} after {leader} led {term}"
    );
    load.run(200);
    cluster.node(leader).start();
    load.run(200);
    load.check(&cluster);
}

#[test]
fn each_node_dies_in_turn_under_load() {
    let mut cluster = Cluster::start(3, &[]);
    let mut account = Account::default();
    for id in cluster.ids() {
        let load = Load::start(&cluster, CLIENTS);
        load.run(200);
        cluster.node(id).kill();
        load.resumed_after(Instant::now());
        load.run(200);
        cluster.node(id).start();
        // The next one may die only when this one is back, or there is no majority.
        cluster.leader();
        load.run(200);
        // What was promised under this load and under those before it.
        account.add(load.stop());
        account.check(&cluster);
    }
}

#[test]
fn all_nodes_die_at_once_under_load() {
    let mut cluster = Cluster::start(3, &[]);
    let mut account = Account::default();
    for _ in 0..3 {
        let load = Load::start(&cluster, CLIENTS);
        load.run(200);
        cluster.kill_all();
        cluster.start_all();
        let resumed = load.resumed_after(Instant::now());
        println!(
            "measured: service resumed {} ms after all nodes were killed and started",
            resumed.as_millis()
        );
        load.run(200);
        account.add(load.stop());
        account.check(&cluster);
    }
}
