//! The service as its users meet it: every status code, every shape, every deadline.

#![allow(clippy::unwrap_used)]

mod harness;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use harness::{Cluster, Freshness, Reply, until};

/// The names of a body's members, in alphabetical order.
fn members(reply: &Reply) -> Vec<&str> {
    reply.body.as_object().unwrap().keys().map(String::as_str).collect::<BTreeSet<_>>().into_iter().collect()
}

/// Every error is JSON with a sentence.
#[track_caller]
fn assert_error(reply: &Reply, status: u16, names: &[&str]) {
    assert_eq!(reply.status, status, "{reply:?}");
    assert_eq!(members(reply), names, "{reply:?}");
    assert!(reply.text("error").contains(' '), "{reply:?} is no sentence");
}

#[test]
fn the_arithmetic_of_one_node() {
    let cluster = Cluster::start(1, &[]);
    let http = cluster.http(1);
    let story = [
        ("x+=5", 1, 5),
        ("x-=2", 2, 3),
        (" x *= 7 \n", 3, 21),
        ("x/=-2", 4, -10),
        ("x?", 4, -10),
        ("y-=9223372036854775807", 5, -i64::MAX),
        ("y-=1", 6, i64::MIN),
        ("y?", 6, i64::MIN),
        ("x ?", 6, -10),
    ];
    for (statement, index, value) in story {
        let reply = http.statement(statement).unwrap();
        assert_eq!(reply.ok(), (index, value), "{statement}");
        assert_eq!(members(&reply), ["index", "value"], "{statement}");
    }
    let reply = http.get("/variables/x").unwrap();
    assert_eq!((reply.ok(), members(&reply)), ((6, -10), vec!["index", "value"]));
    assert_eq!(http.get("/variables/never_set").unwrap().ok(), (6, 0), "an unset variable is 0");
    assert_eq!(http.statement("never_set?").unwrap().ok(), (6, 0));
    assert_eq!(http.read("x", Freshness::Stale, Duration::from_secs(5)).unwrap().ok(), (6, -10));
}

#[test]
fn every_node_answers_alike() {
    let cluster = Cluster::start(3, &[]);
    for id in cluster.ids() {
        let (index, value) = cluster.propose(id, "x+=5");
        for reader in cluster.ids() {
            let (at, read) = cluster.read(reader, "x");
            assert_eq!((at, read), (index, value), "node {reader}, after node {id} was told {value}");
            assert_eq!(cluster.http(reader).statement("x?").unwrap().ok(), (index, value));
        }
        assert_error(&cluster.http(id).statement("x/=0").unwrap(), 422, &["error", "index"]);
        assert_error(&cluster.http(id).statement("x!").unwrap(), 400, &["error", "expected", "position"]);
    }
}

#[test]
fn a_refused_command_is_in_the_log_and_changes_nothing() {
    let cluster = Cluster::start(1, &[]);
    let http = cluster.http(1);
    assert_eq!(http.statement("x+=9223372036854775807").unwrap().ok(), (1, i64::MAX));
    assert_eq!(http.statement("y-=9223372036854775807").unwrap().ok(), (2, -i64::MAX));
    assert_eq!(http.statement("y-=1").unwrap().ok(), (3, i64::MIN));
    let refused = ["x/=0", "unset/=0", "x+=1", "x*=2", "x-=-1", "y-=1", "y*=-1", "y/=-1"];
    for (statement, index) in refused.into_iter().zip(4..) {
        let reply = http.statement(statement).unwrap();
        assert_error(&reply, 422, &["error", "index"]);
        assert_eq!(reply.number("index"), index, "{statement}");
    }
    assert_eq!(http.statement("x?").unwrap().ok(), (11, i64::MAX));
    assert_eq!(http.statement("y?").unwrap().ok(), (11, i64::MIN));
    assert_eq!(http.statement("unset?").unwrap().ok(), (11, 0));
}

#[test]
fn what_is_not_understood_says_where_and_what_was_expected() {
    let cluster = Cluster::start(1, &[]);
    let http = cluster.http(1);
    for (body, position, expected) in [
        ("x+=y", 3, "an integer"),
        ("x=5", 1, "operator"),
        ("", 0, "a name"),
        ("x+=5 é", 5, "the end"),
        ("x+=9223372036854775808", 3, "9223372036854775807"),
    ] {
        let reply = http.statement(body).unwrap();
        assert_error(&reply, 400, &["error", "expected", "position"]);
        assert_eq!(reply.number("position"), position, "{body:?}: {reply:?}");
        assert!(reply.text("expected").contains(expected), "{body:?}: {reply:?}");
    }
    let reply = http.post("/", b"x+=\xff").unwrap();
    assert_error(&reply, 400, &["error", "expected", "position"]);
    assert_eq!(reply.number("position"), 3);
    let reply = http.get("/variables/9x").unwrap();
    assert_error(&reply, 400, &["error", "expected", "position"]);
    assert_error(&http.get("/variables/%ff").unwrap(), 400, &["error"]);
    for query in ["timeout_ms=soon", "timeout_ms=0", "timeout_ms=-1", "timeout_ms=99999999999", "read=fresh"]
    {
        assert_error(&http.post(&format!("/?{query}"), "x?").unwrap(), 400, &["error"]);
        assert_error(&http.get(&format!("/variables/x?{query}")).unwrap(), 400, &["error"]);
    }
    assert_error(&http.get("/nowhere").unwrap(), 404, &["error"]);
    assert_error(&http.get("/").unwrap(), 405, &["error"]);
    assert_error(&http.post("/status", "").unwrap(), 405, &["error"]);
    assert_eq!(cluster.agree(&[]).0, 0, "nothing of all that is in the log");
}

#[test]
fn a_body_has_at_most_four_kibibytes() {
    let cluster = Cluster::start(1, &[]);
    let http = cluster.http(1);
    assert_eq!(http.statement(&format!("{:<4096}", "x+=5")).unwrap().ok(), (1, 5));
    assert_error(&http.statement(&format!("{:<4097}", "x+=5")).unwrap(), 413, &["error"]);
    assert_error(&http.statement(&" ".repeat(4097)).unwrap(), 413, &["error"]);

    // A body that does not say how long it is.
    let mut stream = TcpStream::connect(http.address()).unwrap();
    write!(
        stream,
        "POST / HTTP/1.1\r\nhost: test\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    .unwrap();
    for _ in 0..5 {
        write!(stream, "400\r\n{:<1024}\r\n", "x+=5").unwrap();
    }
    write!(stream, "0\r\n\r\n").unwrap();
    let mut reply = [0; 12];
    stream.read_exact(&mut reply).unwrap();
    assert_eq!(reply, *b"HTTP/1.1 413");
    assert_eq!(http.statement("x?").unwrap().ok(), (1, 5));
}

#[test]
fn the_status_of_each_node() {
    let cluster = Cluster::start(3, &[]);
    for _ in 0..10 {
        cluster.propose(1, "x+=1");
    }
    cluster.agree(&[]);
    let (leader, term) = cluster.leadership();
    assert!(term >= 1);
    let rafts: Vec<(u64, String)> = cluster.nodes.iter().map(|node| (node.id, node.raft.clone())).collect();
    let names = [
        "applied",
        "committed",
        "first",
        "id",
        "joint",
        "last",
        "leader",
        "learners",
        "members",
        "role",
        "snapshot",
        "term",
        "voters",
    ]
    .to_vec();
    for id in cluster.ids() {
        let reply = cluster.http(id).get("/status").unwrap();
        assert_eq!(members(&reply), names);
        assert_eq!(reply.text("role"), if id == leader { "leader" } else { "follower" });
        for (name, number) in [("id", id), ("term", term), ("leader", leader), ("snapshot", 0), ("first", 1)]
        {
            assert_eq!(reply.number(name) as u64, number, "{name} of node {id}");
        }
        for name in ["committed", "applied", "last"] {
            assert_eq!(reply.number(name), 10, "{name} of node {id}");
        }
        let status = cluster.nodes[id as usize - 1].status().unwrap();
        assert_eq!((&status.voters, &status.learners, status.joint), (&vec![1, 2, 3], &Vec::new(), false));
        assert_eq!(status.members, rafts, "members of node {id}");
    }
}

#[test]
fn a_deadline_is_kept_and_its_default_is_five_seconds() {
    let mut cluster = Cluster::start(3, &[]);
    for id in [2, 3] {
        cluster.node(id).kill();
    }
    let http = cluster.http(1);
    for (path, deadline) in [("/?timeout_ms=200", 200), ("/?timeout_ms=1000", 1000), ("/", 5000)] {
        let (begun, deadline) = (Instant::now(), Duration::from_millis(deadline));
        let reply = http.post(path, "x+=1").unwrap();
        let taken = begun.elapsed();
        assert_error(&reply, 503, &["error", "outcome"]);
        assert!(taken < deadline + Duration::from_secs(1), "{path} took {taken:?}");
    }
}

#[test]
fn sigterm_ends_a_node_within_seconds_whatever_it_is_doing() {
    let mut cluster = Cluster::start(3, &[]);
    cluster.propose(1, "x+=5");
    // Under way at the node that is ended last: a connection that is idle, and a request that nobody can answer.
    let idle = TcpStream::connect(cluster.http(1).address()).unwrap();
    for id in [3, 2] {
        assert_ends_well(&mut cluster, id);
    }
    let http = cluster.http(1).clone();
    let before = cluster.node(1).status().unwrap();
    let waiting = thread::spawn(move || http.statement_within("x+=1", Duration::from_secs(30)));
    if before.leader == Some(1) {
        until("the request has arrived", || {
            cluster.nodes[0].status().filter(|status| status.last > before.last || status.leader.is_none())
        });
    }
    assert_ends_well(&mut cluster, 1);
    // Either it was answered before the end, or its connection ended; it was not acknowledged.
    if let Ok(reply) = waiting.join().unwrap() {
        assert_error(&reply, 503, &["error", "outcome"]);
    }
    drop(idle);
}

#[track_caller]
fn assert_ends_well(cluster: &mut Cluster, id: u64) {
    let begun = Instant::now();
    let status = cluster.node(id).terminate();
    let taken = begun.elapsed();
    assert!(status.success(), "node {id} ended with {status}");
    assert!(taken < Duration::from_secs(4), "node {id} took {taken:?} to end");
    println!("measured: node {id} ended {} ms after SIGTERM", taken.as_millis());
}

#[test]
fn a_quiet_node_prints_nothing() {
    let mut cluster = Cluster::start(3, &[]);
    cluster.propose(1, "x+=5");
    cluster.node(3).kill();
    cluster.insist(1, "x+=5");
    for id in [1, 2] {
        assert!(cluster.node(id).terminate().success());
        assert_eq!(cluster.node(id).output(), "", "node {id}, without RUST_LOG");
    }
}
