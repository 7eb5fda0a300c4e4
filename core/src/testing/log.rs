//! openraft's log suite on any [`LogStore`] and [`SnapshotStore`].

use std::any::Any;
use std::collections::BTreeSet;
use std::io::{self, Read};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use openraft::alias::{LogIdOf, SnapshotMetaOf, SnapshotOf, StoredMembershipOf};
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::{OptionalSend, RaftLogReader, RaftSnapshotBuilder, StorageError};

use crate::apply::{Replica, SnapshotPolicy};
use crate::context::Context;
use crate::entry::{Entry, EntryId, EntryKind};
use crate::fence::Numbering;
use crate::identity::{ClusterId, Identity, Membership, RaftId};
use crate::log_store::LogStore;
use crate::machine::erase;
use crate::raft::{
    LogAdapter, LogEntry, MachineAdapter, SnapshotBuilder, SnapshotHandle, Types, from_log_id,
};
use crate::service::Model;
use crate::snapshot_store::{SnapshotFile, SnapshotId, SnapshotMeta, SnapshotStore};
use crate::state_machine::StateMachine;

/// A fresh, empty storage, and whatever must be dropped after it (a temporary directory, say).
pub struct Storage {
    /// A log without entries.
    pub log: Arc<dyn LogStore>,
    /// No snapshots.
    pub snapshots: Arc<dyn SnapshotStore>,
    /// Dropped last.
    pub guard: Box<dyn Any + Send + Sync>,
}

/// Runs openraft's log suite, and what it does not ask. `build` is called once a test and gives an empty storage for group 0 each
/// time.
///
/// # Panics
/// If the suite finds a fault.
pub async fn log_suite(build: impl Fn() -> Storage + Send + Sync) {
    nothing_is_sent_from_behind_a_gap(build()).await;
    if let Err(error) = Suite::test_all(Builder(build)).await {
        panic!("openraft's log suite fails: {error}");
    }
}

/// A peer that is to be sent what was purged meanwhile is sent nothing, and not what follows.
async fn nothing_is_sent_from_behind_a_gap(Storage { log, guard, .. }: Storage) {
    let blank = |number| {
        let mut blank = Entry::new(EntryKind::Blank, Bytes::new());
        (blank.header.term, blank.header.number) = (1, number);
        blank
    };
    let purged = blank(4).id();
    if let Err(error) =
        log.append((1..10).map(blank).collect(), Box::new(|_| {})).and_then(|()| log.purge(purged))
    {
        panic!("the log could not be filled: {error}");
    }
    let mut reader = LogAdapter::new(log, 0);
    let held = async |reader: &mut LogAdapter, start, end| match reader
        .limited_get_log_entries(start, end)
        .await
    {
        Ok(entries) => entries.into_iter().map(|entry| entry.into_entry().header.number).collect::<Vec<_>>(),
        Err(error) => panic!("entries {start} to {end} could not be read: {error}"),
    };
    assert_eq!(held(&mut reader, 5, 8).await, [5, 6, 7]);
    for start in 1..5 {
        assert_eq!(held(&mut reader, start, 8).await, [0; 0], "asked for {start}, which was purged");
    }
    drop(guard);
}

/// Small enough that even a small snapshot takes several messages.
const TRANSFER_BYTES: usize = 64;

struct Builder<F>(F);

impl<F: Fn() -> Storage + Send + Sync>
    StoreBuilder<Types, LogAdapter, SuiteMachine, Box<dyn Any + Send + Sync>> for Builder<F>
{
    async fn build(
        &self,
    ) -> Result<(Box<dyn Any + Send + Sync>, LogAdapter, SuiteMachine), StorageError<Types>> {
        let Storage { log, snapshots, guard } = (self.0)();
        let policy = SnapshotPolicy { records: u64::MAX, bytes: u64::MAX };
        let identity = Identity {
            cluster: ClusterId::default(),
            cluster_name: String::new(),
            initial_members: BTreeSet::new(),
            id: RaftId::default(),
            model: Model::StateMachine,
            starts: 0,
        };
        let replica = Replica::new(&identity, 0, erase(Nothing), policy, Arc::default());
        let adapter = MachineAdapter::new(Arc::new(replica), snapshots.clone(), log.clone());
        Ok((guard, LogAdapter::new(log, 0), SuiteMachine { adapter, snapshots }))
    }
}

/// Our adapter, but for three things that the suite does and consensus never does, and that our adapter refuses.
///
/// The suite purges logs of which nothing was ever applied, and then wants a snapshot of that. In production this is a
/// replica that has lost its state; here it gets a snapshot of nothing. And the suite applies entries with gaps between
/// them; here they are filled with blank ones, which change nothing. And it installs one store's snapshot into another;
/// here it travels first, as it does between nodes.
struct SuiteMachine {
    adapter: MachineAdapter,
    snapshots: Arc<dyn SnapshotStore>,
}

struct SuiteBuilder(Option<SnapshotBuilder>);

impl RaftStateMachine<Types> for SuiteMachine {
    type SnapshotData = SnapshotHandle;
    type SnapshotBuilder = SuiteBuilder;

    async fn applied_state(
        &mut self,
    ) -> Result<(Option<LogIdOf<Types>>, StoredMembershipOf<Types>), io::Error> {
        self.adapter.applied_state().await
    }

    async fn apply<S>(&mut self, entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<Types>, io::Error>> + Unpin + OptionalSend,
    {
        let mut last = self.adapter.applied_state().await?.0.map(|id| from_log_id(id).number);
        let mut filled = Vec::new();
        let mut entries = entries;
        while let Some(item) = entries.next().await {
            let (entry, responder) = item?;
            let entry = entry.into_entry();
            let EntryId { term, number } = entry.id();
            for missing in last.map_or(number, |last| last + 1)..number {
                let mut blank = Entry::new(EntryKind::Blank, Bytes::new());
                (blank.header.term, blank.header.number) = (term, missing);
                filled.push(Ok((LogEntry::new(blank), None)));
            }
            last = Some(number);
            filled.push(Ok((LogEntry::new(entry), responder)));
        }
        self.adapter.apply(futures_util::stream::iter(filled)).await
    }

    async fn try_create_snapshot_builder(&mut self, force: bool) -> Option<SuiteBuilder> {
        match self.adapter.applied_state().await {
            Ok((None, _)) => Some(SuiteBuilder(None)),
            _ => self
                .adapter
                .try_create_snapshot_builder(force)
                .await
                .map(|builder| SuiteBuilder(Some(builder))),
        }
    }

    async fn get_snapshot_builder(&mut self) -> SuiteBuilder {
        SuiteBuilder(Some(self.adapter.get_snapshot_builder().await))
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMetaOf<Types>,
        snapshot: SnapshotHandle,
    ) -> Result<(), io::Error> {
        let mut receiver = self.snapshots.receive(snapshot.id())?;
        while receiver.offset() < snapshot.id().length {
            receiver.write(&snapshot.read_raw(receiver.offset(), TRANSFER_BYTES)?)?;
        }
        self.adapter.install_snapshot(meta, receiver.finish()?).await
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<SnapshotOf<Types, SnapshotHandle>>, io::Error> {
        self.adapter.get_current_snapshot().await
    }
}

impl RaftSnapshotBuilder<Types> for SuiteBuilder {
    type SnapshotData = SnapshotHandle;

    async fn build_snapshot(&mut self) -> Result<SnapshotOf<Types, SnapshotHandle>, io::Error> {
        match &mut self.0 {
            Some(builder) => builder.build_snapshot().await,
            None => Ok(SnapshotOf::<Types, SnapshotHandle> {
                meta: SnapshotMetaOf::<Types>::default(),
                snapshot: Arc::new(NoSnapshot(SnapshotMeta {
                    cluster: ClusterId::default(),
                    group: 0,
                    last: (0, 0),
                    numbering: Numbering::default(),
                    membership_at: None,
                    membership: Membership::default(),
                    sessions_bytes: 0,
                })),
            }),
        }
    }
}

/// The snapshot of nothing. The suite looks at its meta alone.
struct NoSnapshot(SnapshotMeta);

impl SnapshotFile for NoSnapshot {
    fn meta(&self) -> &SnapshotMeta {
        &self.0
    }

    fn id(&self) -> SnapshotId {
        SnapshotId { last: self.0.last_entry(), length: 0, checksum: 0 }
    }

    fn read_raw(&self, _: u64, _: usize) -> io::Result<Bytes> {
        Err(io::Error::other("a snapshot of nothing was read"))
    }

    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        Err(io::Error::other("a snapshot of nothing was read"))
    }
}

/// A state machine without a state.
struct Nothing;

impl StateMachine for Nothing {
    type Command = ();
    type Reply = ();
    type Query = ();
    type Answer = ();
    type Snapshot = ();

    fn apply(&mut self, _: &Context, _: ()) {}

    fn query(&self, _: ()) {}

    fn snapshot(&self) {}

    fn restore(&mut self, _: ()) {}
}
