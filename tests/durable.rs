//! Nothing is acknowledged before it is durable: while a disk's sync is held back, so is the answer.
//!
//! `kill -9` cannot tell, since what was written and not synced survives it in the system's memory. So this disk has a gate.
#![allow(clippy::unwrap_used, missing_docs)]

mod in_memory;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use in_memory::{Sum, until};
use lovebird::{Node, Options, ProposeError, Read, Stopped};
use lovebird_core::identity::RaftId;
use lovebird_storage::disk::DiskLock;
use lovebird_storage::disk::Fault;
use lovebird_storage::{Disk, DiskFile, LogOptions, MemoryDisk};
use lovebird_transport::MemoryNetwork;

/// Longer than an acknowledgement takes that does not wait for the disk, by far.
const LONG_ENOUGH: Duration = Duration::from_millis(300);

/// Whether syncs may pass, and how many wait.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<State>, Condvar)>);

#[derive(Default)]
struct State {
    closed: bool,
    waiting: usize,
}

impl Gate {
    fn set_closed(&self, closed: bool) {
        self.0.0.lock().unwrap().closed = closed;
        self.0.1.notify_all();
    }

    fn waiting(&self) -> usize {
        self.0.0.lock().unwrap().waiting
    }

    fn pass(&self) {
        let mut state = self.0.0.lock().unwrap();
        state.waiting += 1;
        while state.closed {
            state = self.0.1.wait(state).unwrap();
        }
        state.waiting -= 1;
    }
}

/// A disk in memory whose syncs wait at a gate.
struct GatedDisk(MemoryDisk, Gate);

struct GatedFile(Arc<dyn DiskFile>, Gate);

impl Disk for GatedDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(GatedFile(self.0.create(path)?, self.1.clone())))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(GatedFile(self.0.open(path)?, self.1.clone())))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.0.exists(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.0.list(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.remove(path)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.remove_dir(dir)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.create_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<DiskLock> {
        self.0.lock(path)
    }
}

impl DiskFile for GatedFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_at(offset, bytes)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(offset, buffer)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.1.pass();
        self.0.sync_data()
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        self.0.allocate(bytes)
    }

    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
}

async fn start(network: &MemoryNetwork, id: u64, size: u64, disk: &MemoryDisk, gate: &Gate) -> Node<Sum> {
    start_with(network, id, size, disk, gate, &LogOptions::default()).await
}

async fn start_with(
    network: &MemoryNetwork,
    id: u64,
    size: u64,
    disk: &MemoryDisk,
    gate: &Gate,
    log_options: &LogOptions,
) -> Node<Sum> {
    let disk = Arc::new(GatedDisk(disk.clone(), gate.clone()));
    let members: BTreeMap<u64, String> = (1..=size).map(|id| (id, format!("node-{id}"))).collect();
    let parts = in_memory::parts(network, disk, RaftId::new(id, id), members, log_options);
    let node = Node::open(Sum::default(), parts, Options::default()).await.unwrap();
    network.register(&format!("node-{id}"), node.endpoint());
    node.join().await.unwrap();
    node
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_answer_waits_for_the_disk_of_one() {
    let gate = Gate::default();
    let node = start(&MemoryNetwork::new(), 1, 1, &MemoryDisk::new(), &gate).await;
    let client = node.client().with_timeout(Duration::from_secs(60));
    assert_eq!(client.propose(1).await.unwrap().reply, 1);
    gate.set_closed(true);
    let mut proposed = Box::pin(client.propose(2));
    tokio::select! {
        biased;
        early = &mut proposed => panic!("{early:?} before anything was synced"),
        () = until("a sync waits", || (gate.waiting() > 0).then_some(())) => {}
    }
    // The write is out and its sync is held back. Passing time is the story: no answer may come, nor may a reader see it.
    let early = tokio::time::timeout(LONG_ENOUGH, &mut proposed).await;
    assert!(early.is_err(), "{early:?} while the sync was held back");
    assert_eq!(client.query((), Read::Stale).await.unwrap().answer, 1);
    gate.set_closed(false);
    assert_eq!(proposed.await.unwrap().reply, 3);
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_answer_waits_for_the_disks_of_a_majority() {
    let network = MemoryNetwork::new();
    let gates: Vec<Gate> = (0..3).map(|_| Gate::default()).collect();
    let mut nodes = Vec::new();
    for (id, gate) in (1..).zip(&gates) {
        nodes.push(start(&network, id, 3, &MemoryDisk::new(), gate).await);
    }
    let client = nodes[0].client().with_timeout(Duration::from_secs(60));
    assert_eq!(client.propose(1).await.unwrap().reply, 1);
    let leader = nodes.iter().position(|node| node.status().leader == Some(node.status().id)).unwrap();
    let followers = [(leader + 1) % 3, (leader + 2) % 3];
    let client = nodes[leader].client().with_timeout(Duration::from_secs(60));
    for follower in followers {
        gates[follower].set_closed(true);
    }
    let mut proposed = Box::pin(client.propose(2));
    tokio::select! {
        biased;
        early = &mut proposed => panic!("{early:?} before a majority had synced"),
        () = until("both syncs wait", || {
            followers.iter().all(|follower| gates[*follower].waiting() > 0).then_some(())
        }) => {}
    }
    // The leader holds it durably, both followers have written it, and neither has synced.
    let early = tokio::time::timeout(LONG_ENOUGH, &mut proposed).await;
    assert!(early.is_err(), "{early:?} while the syncs of both followers were held back");
    gates[followers[0]].set_closed(false);
    assert_eq!(proposed.await.unwrap().reply, 3);
    gates[followers[1]].set_closed(false);
    for node in &nodes {
        node.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_disk_fails_stops_says_so_and_loses_nothing() {
    let network = MemoryNetwork::new();
    let disks: Vec<MemoryDisk> = (0..3).map(|_| MemoryDisk::new()).collect();
    let gates: Vec<Gate> = (0..3).map(|_| Gate::default()).collect();
    let mut nodes = Vec::new();
    for ((id, disk), gate) in (1..).zip(&disks).zip(&gates) {
        nodes.push(start(&network, id, 3, disk, gate).await);
    }
    let client = nodes[0].client().with_timeout(Duration::from_secs(60));
    assert_eq!(client.propose(1).await.unwrap().reply, 1);
    let leader = nodes.iter().position(|node| node.status().leader == Some(node.status().id)).unwrap();
    let client = nodes[leader].client().with_timeout(Duration::from_secs(60));
    assert_eq!(client.propose(0).await.unwrap().reply, 1);
    // The followers' disks are slower than the failure: else the two of them may commit the command without their leader, and it
    // would rightly be acknowledged.
    for follower in [(leader + 1) % 3, (leader + 2) % 3] {
        gates[follower].set_closed(true);
    }
    disks[leader].fail(Fault::Sync, 1, io::ErrorKind::StorageFull);
    let failed = client.propose(2).await;
    assert!(
        matches!(failed, Err(ProposeError::Unknown { .. })),
        "the followers may hold it and the leader does not: {failed:?}"
    );
    let stopped = nodes[leader].stopped().await;
    assert!(matches!(&stopped, Stopped::Storage(text) if text.contains("log")), "{stopped:?}");
    let refused = client.propose(4).await;
    assert!(matches!(refused, Err(ProposeError::NotCommitted { .. })), "{refused:?}");
    gates.iter().for_each(|gate| gate.set_closed(false));
    // The others go on, with all that was acknowledged, and with what was not or without it.
    let other = nodes[(leader + 1) % 3].client().with_timeout(Duration::from_secs(60));
    let sum = other.propose(0).await.unwrap().reply;
    assert!([1, 3].contains(&sum), "{sum}");
    for node in &nodes {
        node.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_log_is_damaged_where_it_must_read_does_not_start_and_says_where() {
    let (network, disk, gate) = (MemoryNetwork::new(), MemoryDisk::new(), Gate::default());
    let options = LogOptions { segment_bytes: 8 << 10, cache_bytes: 1000, ..LogOptions::default() };
    let node = start_with(&network, 1, 1, &disk, &gate, &options).await;
    let client = node.client().with_timeout(Duration::from_secs(60));
    for add in 1..=100 {
        client.propose(add).await.unwrap();
    }
    node.shutdown().await;
    drop((client, node));
    let first = disk.open(Path::new("log/0000000000000001.segment")).unwrap();
    // Two sectors in the middle of a segment that is sealed.
    first.write_at(2048, &[7; 1024]).unwrap();
    first.sync_data().unwrap();
    // What is opened is the last segment. Then the node applies the log from the start, and meets the damage.
    let members = BTreeMap::from([(1, "node-1".to_owned())]);
    let parts = in_memory::parts(&network, Arc::new(disk), RaftId::new(1, 1), members, &options);
    let error =
        Node::open(Sum::default(), parts, Options::default()).await.map(drop).unwrap_err().to_string();
    assert!(error.contains("0000000000000001.segment is damaged at byte"), "{error}");
    assert!(error.contains("replace this replica"), "{error}");
}
