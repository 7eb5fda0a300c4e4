//! Nodes that run on directories that were rescued and imported, and state machines that notice nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lovebird_core::client::Key;
use lovebird_core::context::Context;
use lovebird_core::formation::IfEmpty;
use lovebird_core::identity::{ClusterId, Membership};
use lovebird_core::node::{Node, Options, Parts};
use lovebird_core::service::Model;
use lovebird_core::state_machine::StateMachine;
use lovebird_core::transport::{Endpoint, Read, Standing, Transport};
use lovebird_storage::log::Missing;
use lovebird_storage::rescue::{Import, import, rescue};
use lovebird_storage::{
    DataDirectory, Disk, Expected, Log, Origin, RealDisk, SnapshotDirectory, SnapshotOptions,
};

use super::support::*;

/// What was commanded, and all that the machine was told with it: log index, number drawn, value.
type Drawn = Vec<(u64, u64, u64)>;

/// Keeps what it is told.
#[derive(Default)]
struct Draws(Drawn);

impl StateMachine for Draws {
    type Command = u64;
    type Reply = u64;
    type Query = ();
    type Answer = Drawn;
    type Snapshot = Drawn;

    fn apply(&mut self, context: &Context, command: u64) -> u64 {
        let drawn = context.random().next_u64();
        self.0.push((context.index(), drawn, command));
        drawn
    }

    fn query(&self, (): ()) -> Drawn {
        self.0.clone()
    }

    fn snapshot(&self) -> Drawn {
        self.0.clone()
    }

    fn restore(&mut self, snapshot: Drawn) {
        self.0 = snapshot;
    }
}

/// Nobody is there to be reached, and nobody must be asked for.
struct Nobody;

impl Transport for Nobody {
    fn endpoint(&self, address: &str) -> Arc<dyn Endpoint> {
        panic!("a node that is alone wants to reach {address}");
    }
}

/// Starts a node as one does on any directory.
async fn start(path: &Path, expected: &Expected) -> Node<Draws> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let mut directory = DataDirectory::open(disk.clone(), path, expected, 0xbad).unwrap();
    assert_eq!(directory.missing_log(), Missing::Refuse);
    let log = Log::open(disk.clone(), &path.join("log"), &options(Missing::Refuse)).unwrap();
    let snapshots =
        SnapshotDirectory::open(disk, &path.join("snapshots"), 0, SnapshotOptions::default()).unwrap();
    directory.count_start().unwrap();
    let parts = Parts {
        identity: directory.identity().clone(),
        group: 0,
        members: BTreeMap::from([(expected.node, address(expected.node))]),
        contacts: Vec::new(),
        if_empty: IfEmpty::Form,
        log: log.group(0),
        snapshots,
        transport: Arc::new(Nobody),
        guard: Box::new((log, directory)),
    };
    let options = Options {
        snapshot_records: 10,
        keep_records: 0,
        heartbeat: Duration::from_millis(20),
        election: Duration::from_millis(100),
        ..Options::default()
    };
    let node = Node::open(Draws::default(), parts, options).await.unwrap();
    node.join().await.unwrap();
    node
}

async fn state(node: &Node<Draws>) -> Drawn {
    node.client().query((), Read::Linearizable).await.unwrap().answer
}

fn drawn(cluster: ClusterId, index: u64) -> u64 {
    Context::new(cluster, index, 1, Duration::ZERO).random().next_u64()
}

/// Waits for what comes by itself.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what} did not come in time");
}

#[tokio::test]
async fn rescued_node_elects_itself_and_its_machine_draws_what_it_drew() {
    let temp = tempfile::tempdir().unwrap();
    let (disk, path): (Arc<dyn Disk>, _) = (Arc::new(RealDisk), temp.path().join("data"));
    // A change of members was under way, which nobody will ever finish.
    let joint = Membership {
        voters: vec![[1, 2, 3].map(life).into(), [1, 4, 5].map(life).into()],
        ..members(&[1, 2, 3, 4, 5], &[])
    };
    let mut entries = history(8);
    entries.extend([membership(1, 9, &joint), command(1, 10, 8)]);
    leave(&disk, &path, 2, entries, Some(id(1, 5)));
    rescue(disk.clone(), &path, NEW).unwrap();

    let expected = Expected { origin: Origin::Found, ..expected(2) };
    let node = start(&path, &expected).await;
    let numbers = [2, 3, 4, 5, 6, 7, 8, 10];
    let mut all: Drawn =
        (1..).zip(numbers).map(|(index, number)| (index, drawn(old(), index), number * 10)).collect();
    assert_eq!(state(&node).await, all, "what was committed or not is kept, as it was told before");
    for value in [1000, 2000] {
        let committed = node.client().propose(value).await.unwrap();
        assert_eq!(committed.index, all.len() as u64 + 1);
        all.push((committed.index, drawn(old(), committed.index), value));
    }
    assert_eq!(state(&node).await, all);
    let status = node.status();
    assert_eq!((status.leader, status.cluster.id, status.members.len()), (Some(2), NEW, 1));
    let member = &status.members[0];
    assert_eq!((member.incarnation, member.standing), (life(2).incarnation, Standing::Voter));
    node.shutdown().await;
    drop(node);

    let node = start(&path, &expected).await;
    assert_eq!(state(&node).await, all);
    node.shutdown().await;
}

#[tokio::test]
async fn imported_node_goes_on_with_state_sessions_and_log_indexes() {
    let temp = tempfile::tempdir().unwrap();
    let (disk, old_path): (Arc<dyn Disk>, _) = (Arc::new(RealDisk), temp.path().join("old"));
    leave(&disk, &old_path, 2, history(5), Some(id(1, 5)));
    rescue(disk.clone(), &old_path, NEW).unwrap();
    let node = start(&old_path, &Expected { origin: Origin::Found, ..expected(2) }).await;
    let client = node.client();
    let key = Key { name: "a caller".to_owned(), number: 1 };
    let first = client.propose_as(&key, 500).await.unwrap();
    for value in 0..20 {
        client.propose(value).await.unwrap();
    }
    until("a snapshot", || node.status().snapshot > first.index).await;
    let before = state(&node).await;
    node.shutdown().await;

    let snapshots = old_path.join("snapshots/group-0");
    let newest = snapshots.join(disk.list(&snapshots).unwrap().pop().unwrap());
    let path = temp.path().join("new");
    let wanted = Import {
        cluster: ClusterId(5),
        cluster_name: "hawks".to_owned(),
        node: 9,
        incarnation: life(9).incarnation,
        address: address(9),
        model: Model::StateMachine,
    };
    let imported = import(&*disk, &newest, disk.clone(), &path, &wanted).unwrap();
    assert!(imported.last_index > first.index);

    let origin = Origin::Initial([9].into());
    let hawk = Expected { cluster_name: "hawks".to_owned(), node: 9, origin, model: Model::StateMachine };
    let node = start(&path, &hawk).await;
    let mut all = before;
    all.retain(|(index, ..)| *index <= imported.last_index);
    assert_eq!(all.len() as u64, imported.last_index);
    assert_eq!(state(&node).await, all);
    let again = node.client().propose_as(&key, 500).await.unwrap();
    assert_eq!(again, first, "the sessions have come along, so that the retry changes nothing");
    let committed = node.client().propose(7).await.unwrap();
    assert_eq!(committed.index, imported.last_index + 1);
    // It is another cluster, and draws its own numbers.
    all.push((committed.index, drawn(ClusterId::of("hawks", &[9].into()), committed.index), 7));
    assert_eq!(state(&node).await, all);
    assert_eq!((node.status().leader, node.status().members.len()), (Some(9), 1));
    node.shutdown().await;
    drop(node);

    let node = start(&path, &hawk).await;
    assert_eq!(state(&node).await, all);
    node.shutdown().await;
}
