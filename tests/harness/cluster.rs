//! Node processes that form a cluster.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tempfile::TempDir;

use super::http::{Freshness, Http};
use super::node::{LONG, Node, Role, Status};
use super::ports;
use super::process::Process;
use super::program;
use super::wait::until;

/// Held by the one cluster that runs.
static TURN: Mutex<()> = Mutex::new(());

/// Nodes 1 to n, all of one cluster.
pub struct Cluster {
    pub nodes: Vec<Node>,
    directory: TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Cluster {
    /// A cluster of `size` nodes, none of which runs yet, with these arguments in addition to those that each needs.
    pub fn stopped(size: u64, flags: &[&str]) -> Cluster {
        // A test that failed leaves nothing behind, so a poisoned lock is as good as any.
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let directory = tempfile::tempdir().unwrap();
        let rafts: Vec<(u64, String)> =
            (1..=size).map(|id| (id, format!("127.0.0.1:{}", ports::free()))).collect();
        let nodes = rafts.iter().map(|(id, raft)| Node {
            id: *id,
            http: Http::new(format!("127.0.0.1:{}", ports::free())),
            raft: raft.clone(),
            data: directory.path().join(id.to_string()),
            peers: rafts.clone(),
            joins: Vec::new(),
            cluster: "test".to_owned(),
            flags: flags.iter().map(|&flag| flag.to_owned()).collect(),
            program: program::arithmetic(),
            process: None,
            output: directory.path().join(format!("node-{id}.log")),
        });
        Cluster { nodes: nodes.collect(), directory, _turn: turn }
    }

    /// A cluster of `size` nodes that run and have a leader.
    pub fn start(size: u64, flags: &[&str]) -> Cluster {
        let mut cluster = Cluster::stopped(size, flags);
        cluster.start_all();
        cluster.leader();
        cluster
    }

    /// A node like node `id`, with its directory, but on ports of its own; not started.
    pub fn twin_of(cluster: &Cluster, id: u64) -> Node {
        let node = &cluster.nodes[id as usize - 1];
        let raft = format!("127.0.0.1:{}", ports::free());
        let peers = node
            .peers
            .iter()
            .map(|(peer, address)| (*peer, if *peer == id { raft.clone() } else { address.clone() }));
        Node {
            id,
            http: Http::new(format!("127.0.0.1:{}", ports::free())),
            peers: peers.collect(),
            joins: Vec::new(),
            raft,
            data: node.data.clone(),
            cluster: node.cluster.clone(),
            flags: node.flags.clone(),
            program: node.program.clone(),
            process: None,
            output: cluster.directory().join(format!("twin-of-node-{id}.log")),
        }
    }

    /// One more node, with the next id, which joins the others when it is started.
    pub fn newcomer(&mut self, flags: &[&str]) -> u64 {
        let id = self.nodes.len() as u64 + 1;
        self.nodes.push(Node {
            id,
            http: Http::new(format!("127.0.0.1:{}", ports::free())),
            raft: format!("127.0.0.1:{}", ports::free()),
            data: self.directory.path().join(id.to_string()),
            peers: Vec::new(),
            joins: self.nodes.iter().map(|node| node.raft.clone()).collect(),
            cluster: "test".to_owned(),
            flags: flags.iter().map(|&flag| flag.to_owned()).collect(),
            program: program::arithmetic(),
            process: None,
            output: self.directory.path().join(format!("node-{id}.log")),
        });
        id
    }

    /// Gives every node, none of which runs, a new address for its peers, and tells all of them.
    pub fn move_everywhere(&mut self) {
        let rafts: Vec<(u64, String)> =
            self.ids().into_iter().map(|id| (id, format!("127.0.0.1:{}", ports::free()))).collect();
        for (node, (_, raft)) in self.nodes.iter_mut().zip(&rafts) {
            node.raft = raft.clone();
            node.peers = rafts.clone();
        }
    }

    /// A directory that vanishes with the cluster.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub fn node(&mut self, id: u64) -> &mut Node {
        &mut self.nodes[id as usize - 1]
    }

    pub fn http(&self, id: u64) -> &Http {
        &self.nodes[id as usize - 1].http
    }

    pub fn ids(&self) -> Vec<u64> {
        self.nodes.iter().map(|node| node.id).collect()
    }

    /// All nodes but `id`.
    pub fn others(&self, id: u64) -> Vec<u64> {
        self.ids().into_iter().filter(|other| *other != id).collect()
    }

    /// Starts those that do not run.
    pub fn start_all(&mut self) {
        self.nodes.iter_mut().filter(|node| node.process.is_none()).for_each(Node::start);
    }

    /// `kill -9` to all that run, before waiting for any: at once, as far as a machine can.
    pub fn kill_all(&mut self) {
        let running: Vec<&Process> = self.nodes.iter().filter_map(|node| node.process.as_ref()).collect();
        for process in running {
            let id = rustix::process::Pid::from_raw(process.id() as i32).unwrap();
            rustix::process::kill_process(id, rustix::process::Signal::KILL).unwrap();
        }
        for node in self.nodes.iter_mut().filter(|node| node.process.is_some()) {
            node.kill();
        }
    }

    fn running(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.process.is_some())
    }

    /// The statuses of the nodes that run, if all of them answer.
    fn statuses(&self) -> Option<Vec<Status>> {
        self.running().map(Node::status).collect()
    }

    /// Waits until all nodes that run follow the same leader, and returns it.
    #[track_caller]
    pub fn leader(&self) -> u64 {
        self.leadership().0
    }

    /// Waits until all nodes that run follow the same leader, and returns it and its term.
    #[track_caller]
    pub fn leadership(&self) -> (u64, u64) {
        until("all nodes follow one leader", || {
            let statuses = self.statuses()?;
            let leader = statuses.iter().find(|status| status.role == Role::Leader)?;
            let agreed = statuses.iter().all(|s| s.leader == Some(leader.id) && s.term == leader.term);
            agreed.then_some((leader.id, leader.term))
        })
    }

    /// Proposes at node `id` until the command is acknowledged; it must be harmless to carry out twice.
    #[track_caller]
    pub fn insist(&self, id: u64, statement: &str) -> (u64, i64) {
        until(&format!("node {id} carries out {statement}"), || {
            let reply = self.http(id).statement_within(statement, Duration::from_secs(2)).ok()?;
            (reply.status != 503).then(|| reply.ok())
        })
    }

    /// Proposes at node `id`, which must succeed at once.
    #[track_caller]
    pub fn propose(&self, id: u64, statement: &str) -> (u64, i64) {
        self.http(id).statement_within(statement, LONG).unwrap().ok()
    }

    /// A linearizable read at node `id`.
    #[track_caller]
    pub fn read(&self, id: u64, variable: &str) -> (u64, i64) {
        self.http(id).read(variable, Freshness::Linearizable, LONG).unwrap().ok()
    }

    /// Waits until all nodes that run have applied the same, and checks by local reads, made at that very log index on each,
    /// that the variables are equal. Returns the index and the values.
    #[track_caller]
    pub fn agree(&self, variables: &[String]) -> (u64, Vec<i64>) {
        let (applied, replicas) = until("all nodes have applied the same", || {
            let statuses = self.statuses()?;
            let applied = statuses[0].applied;
            let level = statuses.iter().all(|s| s.applied == applied && s.committed == applied);
            // A command whose caller gave up may still come in; then the reads are not all from one index.
            let replicas = level.then(|| self.stale_everywhere(variables, applied))??;
            Some((applied, replicas))
        });
        for (node, values) in self.running().zip(&replicas) {
            assert_eq!(
                values, &replicas[0],
                "at log index {applied}, node {} differs in {variables:?}",
                node.id
            );
        }
        (applied, replicas.into_iter().next().unwrap())
    }

    /// Each running node's values of the variables, if all were read at `index`.
    fn stale_everywhere(&self, variables: &[String], index: u64) -> Option<Vec<Vec<i64>>> {
        let replica = |node: &Node| {
            let read = |variable: &String| {
                let (at, value) = node.stale(variable);
                (at == index).then_some(value)
            };
            variables.iter().map(read).collect()
        };
        self.running().map(replica).collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for node in &self.nodes {
            let status = node.status();
            eprintln!("--- node {}, which says {status:?} and has printed:\n{}", node.id, node.output());
        }
    }
}
