//! openraft's state machine over a [`Replica`] and a [`SnapshotStore`].

use std::io;
use std::sync::{Arc, Mutex};

use futures_util::{Stream, StreamExt};
use openraft::alias::{LogIdOf, SnapshotMetaOf, SnapshotOf, StoredMembershipOf};
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::{OptionalSend, RaftSnapshotBuilder};

use super::types::{Types, to_log_id, to_raft_meta, to_stored_membership};
use crate::apply::Replica;
use crate::log_store::LogStore;
use crate::machine::Capture;
use crate::planted::{self, Bug};
use crate::runtime;
use crate::session::SessionTable;
use crate::snapshot_store::{SnapshotFile, SnapshotMeta, SnapshotStore, encode_sessions};

/// How many entries are applied in one visit to the replica's thread.
const ENTRIES_AT_A_TIME: usize = 64;

/// A finished snapshot as openraft passes it around: a handle on a file, never the bytes.
pub(crate) type SnapshotHandle = Arc<dyn SnapshotFile>;

/// The state machine as openraft wants it. Clones share it.
#[derive(Clone)]
pub(crate) struct MachineAdapter {
    replica: Arc<Replica>,
    snapshots: Arc<dyn SnapshotStore>,
    log: Arc<dyn LogStore>,
}

impl MachineAdapter {
    pub(crate) fn new(
        replica: Arc<Replica>,
        snapshots: Arc<dyn SnapshotStore>,
        log: Arc<dyn LogStore>,
    ) -> Self {
        MachineAdapter { replica, snapshots, log }
    }

    /// Has a snapshot say that it is one entry older than it is.
    fn predate(&self, meta: &mut SnapshotMeta) {
        let Some(number) = meta.last.1.checked_sub(1) else { return };
        let before = self.log.read(number..number + 1, 0).ok().and_then(|held| Some(held.first()?.id()));
        if let (Some(before), Some(numbering)) = (before, self.log.numbering_at(number)) {
            meta.last = (before.term, before.number);
            meta.numbering = numbering;
        }
    }
}

impl RaftStateMachine<Types> for MachineAdapter {
    type SnapshotData = SnapshotHandle;
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(
        &mut self,
    ) -> Result<(Option<LogIdOf<Types>>, StoredMembershipOf<Types>), io::Error> {
        let position = self.replica.position();
        let membership = to_stored_membership(position.membership_at, &position.membership);
        Ok((position.last.map(to_log_id), membership))
    }

    async fn apply<S>(&mut self, entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<Types>, io::Error>> + Unpin + OptionalSend,
    {
        let mut chunks = entries.ready_chunks(ENTRIES_AT_A_TIME);
        while let Some(chunk) = chunks.next().await {
            let mut entries = Vec::with_capacity(chunk.len());
            let mut responders = Vec::with_capacity(chunk.len());
            for item in chunk {
                let (entry, responder) = item?;
                entries.push(entry.into_entry());
                responders.push(responder);
            }
            let results = self.replica.apply(entries).await.map_err(io::Error::other)?;
            for (responder, applied) in responders.into_iter().zip(results) {
                if let Some(responder) = responder {
                    responder.send(applied);
                }
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        let mut captured = self.replica.capture().await.map_err(io::Error::other);
        if planted::is(Bug::ApplyTwiceAfterRestart)
            && let Ok(Some((meta, ..))) = &mut captured
        {
            self.predate(meta);
        }
        let (snapshots, replica) = (self.snapshots.clone(), self.replica.clone());
        SnapshotBuilder { captured: Mutex::new(Some(captured)), snapshots, replica }
    }

    async fn install_snapshot(
        &mut self,
        _meta: &SnapshotMetaOf<Types>,
        snapshot: SnapshotHandle,
    ) -> Result<(), io::Error> {
        let meta = snapshot.meta();
        // The log must know the numbering before openraft tells it to purge up to here.
        self.log.install(meta.last_entry(), meta.numbering)?;
        self.replica.restore(snapshot.clone()).await
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<SnapshotOf<Types, SnapshotHandle>>, io::Error> {
        let snapshots = self.snapshots.clone();
        let latest = runtime::blocking(move || snapshots.latest()).await?;
        Ok(latest.map(to_raft_snapshot))
    }
}

pub(crate) fn to_raft_snapshot(snapshot: SnapshotHandle) -> SnapshotOf<Types, SnapshotHandle> {
    SnapshotOf::<Types, SnapshotHandle> { meta: to_raft_meta(snapshot.meta()), snapshot }
}

/// What capturing gave: nothing before anything was applied.
type Captured = io::Result<Option<(SnapshotMeta, SessionTable, Capture)>>;

/// Writes one captured state, in the background.
pub(crate) struct SnapshotBuilder {
    /// Behind a lock only because openraft wants builders to be `Sync`, which a capture need not be.
    captured: Mutex<Option<Captured>>,
    snapshots: Arc<dyn SnapshotStore>,
    replica: Arc<Replica>,
}

impl RaftSnapshotBuilder<Types> for SnapshotBuilder {
    type SnapshotData = SnapshotHandle;

    async fn build_snapshot(&mut self) -> Result<SnapshotOf<Types, SnapshotHandle>, io::Error> {
        let captured = self.captured.get_mut().ok().and_then(Option::take);
        let captured = captured.unwrap_or_else(|| Err(io::Error::other("the snapshot was already built")))?;
        let Some((mut meta, sessions, write)) = captured else {
            return Err(io::Error::other("nothing has been applied yet that a snapshot could hold"));
        };
        let snapshots = self.snapshots.clone();
        let file = runtime::blocking(move || {
            let sessions = match planted::is(Bug::SnapshotWithoutSessions) {
                true => Vec::new(),
                false => encode_sessions(&sessions)?,
            };
            meta.sessions_bytes = sessions.len() as u64;
            let mut writer = snapshots.create(&meta)?;
            writer.write_all(&sessions)?;
            write(&mut writer)?;
            writer.finish()
        })
        .await?;
        self.replica.snapshot_taken(file.meta().numbering.last_index);
        Ok(to_raft_snapshot(file))
    }
}
