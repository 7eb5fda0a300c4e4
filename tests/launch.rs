//! The first command of the README: three nodes by one launcher, which takes them with it, however it goes itself.

#![allow(clippy::unwrap_used)]

mod harness;

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use harness::http::NoReply;
use harness::process::Process;
use harness::{Http, ports, program, until};
use tempfile::TempDir;

/// A launcher and the addresses of its nodes.
struct Launched {
    launcher: Process,
    nodes: Vec<Http>,
    raft_port: u16,
}

/// Where launchers run, one after the other.
struct Place {
    directory: TempDir,
    http_port: u16,
    raft_port: u16,
}

impl Place {
    fn new() -> Place {
        let (http_port, raft_port) = (ports::free_run(3), ports::free_run(3));
        Place { directory: tempfile::tempdir().unwrap(), http_port, raft_port }
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn run(&self, flags: &[&str]) -> Process {
        let mut arguments: Vec<String> = [
            "--data",
            self.data().to_str().unwrap(),
            "--http-port",
            &self.http_port.to_string(),
            "--raft-port",
            &self.raft_port.to_string(),
        ]
        .map(str::to_owned)
        .to_vec();
        arguments.extend(flags.iter().map(|&flag| flag.to_owned()));
        Process::start(&program::arithmetic(), &arguments, &self.directory.path().join("launcher.log"))
    }

    /// Runs a launcher and waits until it has said where its nodes are.
    fn launch(&self, flags: &[&str]) -> Launched {
        let before = fs::read_to_string(self.directory.path().join("launcher.log")).unwrap_or_default().len();
        let mut launcher = self.run(flags);
        until("the launcher says that one leads", || {
            let said = launcher.output();
            assert!(launcher.ended().is_none(), "the launcher has ended and said {said:?}");
            said[before..].contains("curl -d 'x+=5'").then_some(())
        });
        let nodes = (0..3).map(|at| Http::new(format!("127.0.0.1:{}", self.http_port + at))).collect();
        Launched { launcher, nodes, raft_port: self.raft_port }
    }
}

impl Launched {
    fn value(&self, at: usize, statement: &str) -> i64 {
        self.nodes[at].statement_within(statement, Duration::from_secs(30)).unwrap().ok().1
    }

    /// Waits until no node answers any more.
    fn gone(&self) {
        for node in &self.nodes {
            until("the nodes are gone", || (node.get("/status") == Err(NoReply::Refused)).then_some(()));
        }
        // They listen to their peers for a moment longer, so that a leader can hand over.
        for port in self.raft_port..self.raft_port + 3 {
            until("the nodes' ports are free", || TcpListener::bind(("127.0.0.1", port)).ok());
        }
    }
}

#[test]
fn three_nodes_serve_end_and_serve_again() {
    let place = Place::new();
    let mut launched = place.launch(&[]);
    let said = launched.launcher.output();
    for node in &launched.nodes {
        assert!(said.contains(node.address()), "{} is not in {said:?}", node.address());
    }
    assert_eq!(launched.value(0, "x+=5"), 5);
    assert_eq!(launched.value(1, "x?"), 5);
    launched.launcher.terminate();
    let status = launched.launcher.wait();
    assert!(
        status.success(),
        "the launcher ended with {status} after SIGTERM: {}",
        launched.launcher.output()
    );
    launched.gone();

    let mut launched = place.launch(&[]);
    assert_eq!(launched.value(2, "x?"), 5, "the data is still there");
    launched.launcher.terminate();
    assert!(launched.launcher.wait().success());

    let mut launched = place.launch(&["--fresh"]);
    assert_eq!(launched.value(2, "x?"), 0, "--fresh begins anew");
    launched.launcher.terminate();
    assert!(launched.launcher.wait().success());
}

#[test]
fn a_killed_launcher_leaves_no_node_behind() {
    let place = Place::new();
    let mut launched = place.launch(&[]);
    assert_eq!(launched.value(0, "x+=5"), 5);
    launched.launcher.kill();
    launched.gone();
    // Nor a lock, nor a port.
    let mut launched = place.launch(&[]);
    assert_eq!(launched.value(0, "x?"), 5);
    launched.launcher.terminate();
    assert!(launched.launcher.wait().success());
}

#[test]
fn a_taken_port_is_named() {
    let place = Place::new();
    for (port, flag) in [(place.http_port + 1, "--http-port"), (place.raft_port + 2, "--raft-port")] {
        let _taken = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let mut launcher = place.run(&[]);
        assert!(!launcher.wait().success());
        let said = launcher.output();
        assert!(said.contains(&port.to_string()) && said.contains(flag), "{said:?}");
    }
    assert!(!place.data().exists(), "nothing was begun");
}

#[test]
fn fresh_deletes_nothing_that_is_not_a_nodes() {
    let place = Place::new();
    let precious = place.data().join("2").join("thesis.txt");
    fs::create_dir_all(precious.parent().unwrap()).unwrap();
    fs::write(&precious, "all my work").unwrap();
    let mut launcher = place.run(&["--fresh"]);
    assert!(!launcher.wait().success());
    assert!(launcher.output().contains("--fresh cannot delete"), "{:?}", launcher.output());
    assert_eq!(fs::read_to_string(&precious).unwrap(), "all my work");
}
