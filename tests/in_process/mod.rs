//! Nodes within the test's own process, over real sockets and real disks, whose logs the test can read.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part of it")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use lovebird::{Node, Options, Service};
use lovebird_core::formation::IfEmpty;
use lovebird_core::identity::{ClusterId, Identity, RaftId};
use lovebird_core::log_store::LogStore;
use lovebird_core::node::Parts;
use lovebird_core::runtime;
use lovebird_storage::{Log, LogOptions, RealDisk, SnapshotDirectory, SnapshotOptions};
use lovebird_transport::{GrpcTransport, serve};
use tempfile::TempDir;
use tokio::net::TcpListener;

#[path = "../support/mod.rs"]
mod support;

#[allow(unused_imports, reason = "each test file uses its part of it")]
pub use support::{Sum, until};

/// A node, and its log.
pub struct Member<S> {
    pub node: Node<S>,
    pub log: Arc<dyn LogStore>,
}

/// Nodes 1 to n in this process.
pub struct Cluster<S> {
    pub members: Vec<Option<Member<S>>>,
    addresses: BTreeMap<u64, String>,
    directory: TempDir,
    options: Options,
    starts: u32,
}

impl<S: Service + Default> Cluster<S> {
    /// A cluster of `size` nodes, all started.
    pub async fn start(size: u64, options: Options) -> Cluster<S> {
        let mut listeners = Vec::new();
        for _ in 0..size {
            listeners.push(TcpListener::bind("127.0.0.1:0").await.unwrap());
        }
        let addresses =
            (1..=size).zip(&listeners).map(|(id, l)| (id, l.local_addr().unwrap().to_string())).collect();
        let members = listeners.iter().map(|_| None).collect();
        let directory = tempfile::tempdir().unwrap();
        let mut cluster = Cluster { members, addresses, directory, options, starts: 0 };
        for (id, listener) in (1..=size).zip(listeners) {
            cluster.start_on(id, listener).await;
        }
        cluster
    }

    /// Starts node `id` again.
    pub async fn restart(&mut self, id: u64) {
        let listener = TcpListener::bind(&self.addresses[&id]).await.unwrap();
        self.start_on(id, listener).await;
    }

    async fn start_on(&mut self, id: u64, listener: TcpListener) {
        self.starts += 1;
        let path = self.path(id);
        let disk = Arc::new(RealDisk);
        let log = Log::open(disk.clone(), &path.join("log"), &LogOptions::default()).unwrap();
        let snapshots =
            SnapshotDirectory::open(disk, &path.join("snapshots"), 0, SnapshotOptions::default()).unwrap();
        let initial_members: BTreeSet<u64> = self.addresses.keys().copied().collect();
        let identity = Identity {
            cluster: ClusterId::of("in process", &initial_members),
            cluster_name: "in process".to_owned(),
            initial_members,
            id: RaftId::new(id, id),
            model: S::MODEL,
            starts: self.starts,
        };
        let parts = Parts {
            identity,
            group: 0,
            members: self.addresses.clone(),
            contacts: Vec::new(),
            if_empty: IfEmpty::Form,
            log: log.group(0),
            snapshots,
            transport: Arc::new(GrpcTransport::new()),
            guard: Box::new(()),
        };
        let group = parts.log.clone();
        let node = Node::open(S::default(), parts, self.options).await.unwrap();
        let (endpoint, until) = (node.endpoint(), node.clone());
        node.attach(runtime::spawn(async move {
            let stopped = async move {
                until.stopped().await;
            };
            serve(listener, endpoint, stopped).await.unwrap();
        }));
        node.join().await.unwrap();
        self.members[id as usize - 1] = Some(Member { node, log: group });
    }

    /// Stops node `id`, and waits until its port and its files are free.
    pub async fn stop(&mut self, id: u64) {
        let member = self.members[id as usize - 1].take().unwrap();
        member.node.abort().await;
    }

    /// Stops all that run.
    pub async fn stop_all(&mut self) {
        for member in self.members.iter_mut().filter_map(Option::take) {
            member.node.abort().await;
        }
    }

    fn path(&self, id: u64) -> PathBuf {
        self.directory.path().join(id.to_string())
    }

    pub fn node(&self, id: u64) -> &Node<S> {
        &self.members[id as usize - 1].as_ref().unwrap().node
    }

    pub fn log(&self, id: u64) -> &Arc<dyn LogStore> {
        &self.members[id as usize - 1].as_ref().unwrap().log
    }

    /// Waits until all running nodes follow the same leader, and names it.
    pub async fn leader(&self) -> u64 {
        until("all nodes follow one leader", || {
            let mut leaders = self.members.iter().flatten().map(|member| member.node.status().leader);
            let first = leaders.next()??;
            leaders.all(|leader| leader == Some(first)).then_some(first)
        })
        .await
    }

    /// Waits until all running nodes have applied up to `index`.
    pub async fn applied(&self, index: u64) {
        until("all nodes have applied the same", || {
            self.members.iter().flatten().all(|member| member.node.status().applied >= index).then_some(())
        })
        .await;
    }
}
