//! A data directory belongs to one node of one cluster, and a node that comes with another one is told so. A lost disk is
//! not a restart.

#![allow(clippy::unwrap_used)]

mod harness;

use std::fs;

use harness::{Cluster, until};

/// A cluster that holds `x` = 5 and whose node 3 was killed.
fn without_node_3() -> Cluster {
    let mut cluster = Cluster::start(3, &[]);
    cluster.propose(1, "x+=5");
    cluster.agree(&[]);
    cluster.node(3).kill();
    cluster.leader();
    cluster
}

#[track_caller]
fn assert_says(said: &str, words: &[&str]) {
    for word in words {
        assert!(said.contains(word), "{word:?} is not in what the node said: {said:?}");
    }
}

#[test]
fn a_node_with_an_emptied_directory_does_not_start() {
    let mut cluster = without_node_3();
    fs::remove_dir_all(&cluster.node(3).data).unwrap();
    let said = cluster.node(3).refusal();
    assert_says(&said, &["node 3", "empty data directory"]);
    // A second try finds what the first has left there, and must fare no better.
    let said = cluster.node(3).refusal();
    assert_says(&said, &["node 3"]);
    assert_eq!(cluster.propose(1, "x+=1").1, 6, "the others go on");
}

#[test]
fn one_peer_that_remembers_is_enough_to_refuse_an_emptied_directory() {
    let mut cluster = without_node_3();
    cluster.kill_all();
    fs::remove_dir_all(&cluster.node(3).data).unwrap();
    cluster.node(1).start();
    let said = cluster.node(3).refusal();
    assert_says(&said, &["node 3", "empty data directory"]);
}

#[test]
fn a_directory_of_another_node_is_refused() {
    let mut cluster = without_node_3();
    let (own, anothers) = (cluster.node(3).data.clone(), cluster.directory().join("1"));
    cluster.node(1).kill();
    cluster.node(3).data = anothers;
    let said = cluster.node(3).refusal();
    assert_says(&said, &["the data directory", "node 1", "3"]);
    // Nothing was harmed.
    cluster.node(3).data = own;
    cluster.start_all();
    cluster.leader();
    assert_eq!(cluster.agree(&["x".to_owned()]).1, [5]);
}

#[test]
fn a_directory_of_another_cluster_is_refused() {
    let mut cluster = without_node_3();
    cluster.node(3).cluster = "another".to_owned();
    let said = cluster.node(3).refusal();
    assert_says(&said, &["the data directory", "test", "another"]);
    cluster.node(3).cluster = "test".to_owned();
    cluster.node(3).start();
    cluster.leader();
    assert_eq!(cluster.agree(&["x".to_owned()]).1, [5]);
}

#[test]
fn another_list_of_initial_members_is_refused() {
    let mut cluster = without_node_3();
    let peers = cluster.node(3).peers.clone();
    cluster.node(3).peers.remove(0);
    let said = cluster.node(3).refusal();
    assert_says(&said, &["the data directory"]);
    cluster.node(3).peers = peers;
    cluster.node(3).start();
    cluster.leader();
    assert_eq!(cluster.agree(&["x".to_owned()]).1, [5]);
}

#[test]
fn a_directory_in_use_is_refused() {
    let cluster = Cluster::start(1, &[]);
    cluster.propose(1, "x+=5");
    // The same node a second time, on other ports.
    let mut second = Cluster::twin_of(&cluster, 1);
    let said = second.refusal();
    assert_says(&said, &["the data directory", "in use"]);
    second.flags.push("--fresh".to_owned());
    let said = second.refusal();
    assert_says(&said, &["in use"]);
    assert_eq!(cluster.read(1, "x").1, 5);
}

#[test]
fn nodes_of_different_clusters_do_not_form_one() {
    let mut cluster = Cluster::stopped(3, &[]);
    cluster.node(3).cluster = "another".to_owned();
    cluster.start_all();
    let (said, status) = until("a node finds out", || {
        cluster.nodes.iter_mut().find_map(|node| node.process().ended().map(|status| (node.output(), status)))
    });
    assert!(!status.success());
    assert_says(&said, &["test", "another", "same name"]);
    for status in cluster.nodes.iter().filter_map(|node| node.status()) {
        assert_eq!((status.leader, status.committed), (None, 0), "{status:?}");
    }
}

#[test]
fn addresses_change_from_one_start_to_the_next() {
    let mut cluster = Cluster::start(3, &[]);
    cluster.propose(1, "x+=5");
    cluster.kill_all();
    cluster.move_everywhere();
    cluster.start_all();
    cluster.leader();
    assert_eq!(cluster.insist(2, "x+=0").1, 5);
    assert_eq!(cluster.agree(&["x".to_owned()]).1, [5]);
}

#[test]
fn fresh_deletes_a_nodes_directory() {
    let mut cluster = Cluster::start(1, &[]);
    cluster.propose(1, "x+=5");
    assert!(cluster.node(1).terminate().success());
    cluster.node(1).flags.push("--fresh".to_owned());
    cluster.node(1).start();
    cluster.leader();
    assert_eq!(cluster.propose(1, "x+=1"), (1, 1), "a fresh directory begins at log index 1");
}

#[test]
fn fresh_deletes_nothing_that_is_not_a_nodes() {
    let mut cluster = Cluster::stopped(1, &["--fresh"]);
    let data = cluster.node(1).data.clone();
    fs::create_dir(&data).unwrap();
    fs::write(data.join("thesis.txt"), "all my work").unwrap();
    cluster.node(1).refusal();
    assert_eq!(fs::read_to_string(data.join("thesis.txt")).unwrap(), "all my work");
}
