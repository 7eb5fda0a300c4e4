//! A node that is killed between the arrival of a snapshot and what has to be done to its log for it.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use lovebird::{Context, Model, Node, Options, StateMachine};
use lovebird_core::entry::{Entry, EntryKind};
use lovebird_core::fence::Numbering;
use lovebird_core::formation::IfEmpty;
use lovebird_core::identity::{ClusterId, Identity, Membership, RaftId};
use lovebird_core::log_store::{LogStore, Vote};
use lovebird_core::node::Parts;
use lovebird_core::snapshot_store::{SnapshotMeta, SnapshotStore};
use lovebird_storage::{Log, LogOptions, RealDisk, SnapshotDirectory, SnapshotOptions};
use lovebird_transport::GrpcTransport;

#[derive(Default)]
struct Sum(u8);

impl StateMachine for Sum {
    type Command = u8;
    type Reply = u8;
    type Query = ();
    type Answer = u8;
    type Snapshot = u8;

    fn apply(&mut self, _: &Context, add: u8) -> u8 {
        self.0 += add;
        self.0
    }

    fn query(&self, (): ()) -> u8 {
        self.0
    }

    fn snapshot(&self) -> u8 {
        self.0
    }

    fn restore(&mut self, snapshot: u8) {
        self.0 = snapshot;
    }
}

fn open(dir: &Path) -> (Log, Arc<dyn LogStore>, Arc<dyn SnapshotStore>) {
    let disk = Arc::new(RealDisk);
    let log = Log::open(disk.clone(), &dir.join("log"), &LogOptions::default()).unwrap();
    let group = log.group(0);
    (
        log,
        group,
        SnapshotDirectory::open(disk, &dir.join("snapshots"), 0, SnapshotOptions::default()).unwrap(),
    )
}

fn blank(term: u64, number: u64) -> Entry {
    let mut entry = Entry::new(EntryKind::Blank, Default::default());
    (entry.header.term, entry.header.number) = (term, number);
    entry
}

/// This node led in term 1 and wrote entries 1 to 9 that never reached anyone. Term 2 came to another order, and sent a
/// snapshot of it that ends at entry 5. The node died when the file was durable and its log was as before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_contradicts_the_uncommitted_end_of_the_log_wins_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let id = RaftId::new(1, 1);
    let members: BTreeMap<u64, String> = (1..=3).map(|id| (id, format!("127.0.0.1:{id}"))).collect();
    let voters: BTreeSet<RaftId> = (1..=3).map(|id| RaftId::new(id, id)).collect();
    let initial_members: BTreeSet<u64> = members.keys().copied().collect();
    let cluster = ClusterId::of("snapshot and crash", &initial_members);
    {
        let (_log, group, snapshots) = open(dir.path());
        let (durable, done) = std::sync::mpsc::channel();
        group.append((0..10).map(|number| blank(1, number)).collect(), Box::new(|_| ())).unwrap();
        let vote = Vote { term: 2, node: RaftId::new(2, 2), committed: true };
        group.save_vote(vote, Box::new(move |saved| durable.send(saved).unwrap())).unwrap();
        done.recv().unwrap().unwrap();
        let membership = Membership {
            members: voters.iter().map(|id| (*id, members[&id.node].clone())).collect(),
            voters: vec![voters],
        };
        let meta = SnapshotMeta {
            cluster,
            group: 0,
            last: (2, 5),
            numbering: Numbering { term: 2, last_index: 17, ..Numbering::default() },
            membership_at: Some((1, 0)),
            membership,
            sessions_bytes: 0,
        };
        let mut writer = snapshots.create(&meta).unwrap();
        writer.write_all(&[42]).unwrap();
        writer.finish().unwrap();
    }
    let (log, group, snapshots) = open(dir.path());
    let parts = Parts {
        identity: Identity {
            cluster,
            cluster_name: "snapshot and crash".to_owned(),
            initial_members,
            id,
            model: Model::StateMachine,
            starts: 2,
        },
        group: 0,
        members,
        contacts: Vec::new(),
        if_empty: IfEmpty::Form,
        log: group.clone(),
        snapshots,
        transport: Arc::new(GrpcTransport::new()),
        guard: Box::new(log),
    };
    let node = Node::open(Sum::default(), parts, Options::default()).await.unwrap();
    let status = node.status();
    assert_eq!((status.applied, status.first, status.last), (17, 18, 17));
    let state = group.state();
    assert_eq!(state.last.map(|last| (last.term, last.number)), Some((2, 5)));
    node.shutdown().await;
}
