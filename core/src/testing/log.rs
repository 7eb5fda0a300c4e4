//! openraft's log suite on any [`LogStore`] and [`SnapshotStore`].

use std::any::Any;
use std::sync::Arc;

use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};

use crate::apply::{Replica, SnapshotPolicy};
use crate::context::Context;
use crate::identity::ClusterId;
use crate::log_store::LogStore;
use crate::machine::erase;
use crate::raft::{LogAdapter, MachineAdapter, Types};
use crate::snapshot_store::SnapshotStore;
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

/// Runs openraft's log suite. `build` is called once a test and gives an empty storage for group 0 each time.
///
/// # Panics
/// If the suite finds a fault.
pub async fn log_suite(build: impl Fn() -> Storage + Send + Sync) {
    if let Err(error) = Suite::test_all(Builder(build)).await {
        panic!("openraft's log suite fails: {error}");
    }
}

struct Builder<F>(F);

impl<F: Fn() -> Storage + Send + Sync>
    StoreBuilder<Types, LogAdapter, MachineAdapter, Box<dyn Any + Send + Sync>> for Builder<F>
{
    async fn build(
        &self,
    ) -> Result<(Box<dyn Any + Send + Sync>, LogAdapter, MachineAdapter), StorageError<Types>> {
        let Storage { log, snapshots, guard } = (self.0)();
        let policy = SnapshotPolicy { records: u64::MAX, bytes: u64::MAX };
        let replica = Replica::new(ClusterId::default(), 0, erase(Nothing), policy, Arc::default());
        let machine = MachineAdapter::new(Arc::new(replica), snapshots, log.clone());
        Ok((guard, LogAdapter::new(log, 0), machine))
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
