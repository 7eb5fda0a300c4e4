//! A replica: the state machine, and where in the log it is.
//!
//! Committed entries come in order and go through [`count`], the same function that the log engine used when it appended
//! them; the two must agree on every log index. Records of entries that count are applied one by one on the replica's own
//! thread, the only one that ever touches the user's state.
//!
//! Invariants, asserted: entries are applied in the order of their numbers without a gap; a record's log index is the one
//! that the log gave it. A panic on the replica's thread, the user's or ours, stops the node.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::{Notify, oneshot};

use crate::codec::{Bincode, Codec, CodecError};
use crate::context::Context;
use crate::entry::{Entry, EntryId, EntryKind};
use crate::error::Stopped;
use crate::fence::{Numbering, count};
use crate::identity::{ClusterId, GroupId, Membership};
use crate::machine::{Capture, Machine};
use crate::progress::Progress;
use crate::raft::{Applied, membership_of};
use crate::record::records;
use crate::runtime::Worker;
use crate::snapshot_store::{SnapshotFile, SnapshotMeta};
use crate::stop::Stop;

/// When to take a snapshot: as soon as one of the two has been applied since the last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SnapshotPolicy {
    pub(crate) records: u64,
    pub(crate) bytes: u64,
}

/// Where a replica is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Position {
    /// The last entry applied.
    pub(crate) last: Option<EntryId>,
    /// Log index, log time and fence after it.
    pub(crate) numbering: Numbering,
    /// The last membership, and the entry that made it.
    pub(crate) membership: Membership,
    pub(crate) membership_at: Option<EntryId>,
}

/// One replica of the state machine; see the module.
pub(crate) struct Replica {
    cluster: ClusterId,
    group: GroupId,
    worker: Worker,
    machine: Arc<Mutex<Box<dyn Machine>>>,
    position: Arc<Mutex<Position>>,
    applied: Arc<Progress>,
    growth: Growth,
    snapshot_index: AtomicU64,
    stop: Arc<Stop>,
}

/// What has been applied since the last snapshot was begun.
struct Growth {
    policy: SnapshotPolicy,
    records: AtomicU64,
    bytes: AtomicU64,
    due: Arc<Notify>,
}

impl Growth {
    fn grow(&self, records: u64, bytes: u64) {
        let records = self.records.fetch_add(records, Ordering::Relaxed) + records;
        let bytes = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if records >= self.policy.records || bytes >= self.policy.bytes {
            // One permit is kept, however often this is called.
            self.due.notify_one();
        }
    }

    fn is_due(&self) -> bool {
        self.records.load(Ordering::Relaxed) >= self.policy.records
            || self.bytes.load(Ordering::Relaxed) >= self.policy.bytes
    }

    fn reset(&self) {
        self.records.store(0, Ordering::Relaxed);
        self.bytes.store(0, Ordering::Relaxed);
    }
}

impl Replica {
    pub(crate) fn new(
        cluster: ClusterId,
        group: GroupId,
        machine: Box<dyn Machine>,
        policy: SnapshotPolicy,
        stop: Arc<Stop>,
    ) -> Self {
        Replica {
            cluster,
            group,
            worker: Worker::start("lovebird-apply"),
            machine: Arc::new(Mutex::new(machine)),
            position: Arc::default(),
            applied: Arc::default(),
            growth: Growth {
                policy,
                records: AtomicU64::new(0),
                bytes: AtomicU64::new(0),
                due: Arc::new(Notify::new()),
            },
            snapshot_index: AtomicU64::new(0),
            stop,
        }
    }

    /// Where it is.
    pub(crate) fn position(&self) -> Position {
        self.position.lock().expect("no code panics while it holds this lock").clone()
    }

    /// The log index up to which it has applied.
    pub(crate) fn applied_index(&self) -> u64 {
        self.position.lock().expect("no code panics while it holds this lock").numbering.last_index
    }

    /// The log index that its newest snapshot covers.
    pub(crate) fn snapshot_index(&self) -> u64 {
        self.snapshot_index.load(Ordering::SeqCst)
    }

    /// Says that a snapshot up to this log index is durable here.
    pub(crate) fn snapshot_taken(&self, index: u64) {
        self.snapshot_index.fetch_max(index, Ordering::SeqCst);
    }

    /// Waits until it has applied the entry `number`.
    pub(crate) async fn wait_applied(&self, number: u64) {
        self.applied.wait(number).await;
    }

    /// Is notified when a snapshot is due.
    pub(crate) fn snapshot_due(&self) -> Arc<Notify> {
        self.growth.due.clone()
    }

    /// Whether enough has been applied since the last snapshot.
    pub(crate) fn is_snapshot_due(&self) -> bool {
        self.growth.is_due()
    }

    /// Runs `job` on the replica's thread; a panic there stops the node.
    async fn run<T, F>(&self, job: F) -> Result<T, Stopped>
    where
        T: Send + 'static,
        F: FnOnce(&mut Box<dyn Machine>) -> T + Send + 'static,
    {
        let (done, result) = oneshot::channel();
        let machine = self.machine.clone();
        let stop = self.stop.clone();
        self.worker.submit(move || {
            // Poisoned means that an earlier job panicked half-way: this state must never be seen again.
            let Ok(mut machine) = machine.lock() else { return };
            match catch_unwind(AssertUnwindSafe(|| job(&mut machine))) {
                Ok(value) => {
                    let _ = done.send(value);
                }
                Err(panic) => {
                    stop.set(Stopped::StateMachine(panic_text(&*panic)));
                    // Unwinding on through the guard poisons the lock.
                    std::panic::resume_unwind(panic);
                }
            }
        });
        result.await.map_err(|_| self.stop.get().unwrap_or(Stopped::Shutdown))
    }

    /// Applies entries, which follow on the last ones.
    pub(crate) async fn apply(&self, entries: Vec<Entry>) -> Result<Vec<Applied>, Stopped> {
        let bytes = entries.iter().map(|e| e.encoded_bytes() as u64).sum();
        let (cluster, shared) = (self.cluster, self.position.clone());
        let mut position = self.position();
        let before = position.numbering.last_index;
        let (results, after) = self
            .run(move |machine| {
                let results = entries
                    .iter()
                    .map(|e| apply_entry(cluster, machine.as_mut(), &mut position, e))
                    .collect();
                let after = position.clone();
                *shared.lock().expect("no code panics while it holds this lock") = position;
                (results, after)
            })
            .await?;
        if let Some(last) = after.last {
            self.applied.reach(last.number);
        }
        self.growth.grow(after.numbering.last_index - before, bytes);
        Ok(results)
    }

    /// Answers a query from the state as it is, and says at which log index that is.
    pub(crate) async fn query(&self, query: Bytes) -> Result<(u64, Result<Vec<u8>, CodecError>), Stopped> {
        let position = self.position.clone();
        self.run(move |machine| {
            let index =
                position.lock().expect("no code panics while it holds this lock").numbering.last_index;
            (index, machine.query(&query))
        })
        .await
    }

    /// Captures the state for a snapshot. `None` before anything was applied.
    pub(crate) async fn capture(&self) -> Result<Option<(SnapshotMeta, Capture)>, Stopped> {
        let (cluster, group, shared) = (self.cluster, self.group, self.position.clone());
        self.growth.reset();
        self.run(move |machine| {
            let position = shared.lock().expect("no code panics while it holds this lock").clone();
            let last = position.last?;
            let meta = SnapshotMeta {
                cluster,
                group,
                last: (last.term, last.number),
                numbering: position.numbering,
                membership_at: position.membership_at.map(|id| (id.term, id.number)),
                membership: position.membership,
            };
            Some((meta, machine.capture()))
        })
        .await
    }

    /// Becomes what a snapshot holds.
    pub(crate) async fn restore(&self, file: Arc<dyn SnapshotFile>) -> io::Result<()> {
        let shared = self.position.clone();
        let restored = self
            .run(move |machine| {
                let meta = file.meta().clone();
                machine.restore(&mut *file.open()?)?;
                let last = meta.last_entry();
                *shared.lock().expect("no code panics while it holds this lock") = Position {
                    last: Some(last),
                    numbering: meta.numbering,
                    membership: meta.membership,
                    membership_at: meta.membership_at.map(|(term, number)| EntryId::new(term, number)),
                };
                io::Result::Ok((last, meta.numbering.last_index))
            })
            .await;
        let (last, index) = restored.map_err(io::Error::other)??;
        self.snapshot_taken(index);
        self.growth.reset();
        self.applied.reach(last.number);
        Ok(())
    }
}

/// Applies one entry and moves `position` behind it.
fn apply_entry(
    cluster: ClusterId,
    machine: &mut dyn Machine,
    position: &mut Position,
    entry: &Entry,
) -> Applied {
    let header = &entry.header;
    if let Some(last) = position.last {
        assert!(
            header.number == last.number + 1,
            "entry {} was to be applied behind {last}: entries are applied in order and without gaps",
            entry.id()
        );
    }
    let (after, first_index) = count(position.numbering, header);
    assert!(
        header.first_index == first_index.unwrap_or(0),
        "the log numbers the records of entry {} from {}, counting gives {first_index:?}",
        entry.id(),
        header.first_index
    );
    let mut replies = BytesMut::new();
    if let Some(first_index) = first_index {
        apply_records(cluster, machine, entry, first_index, after.time, &mut replies);
    }
    if let Some(membership) = membership_of(entry) {
        position.membership = membership;
        position.membership_at = Some(entry.id());
    }
    position.last = Some(entry.id());
    position.numbering = after;
    Applied { first_index, replies: replies.freeze(), time: after.time }
}

fn apply_records(
    cluster: ClusterId,
    machine: &mut dyn Machine,
    entry: &Entry,
    first_index: u64,
    time: u64,
    replies: &mut BytesMut,
) {
    let header = &entry.header;
    assert!(
        header.kind == EntryKind::Commands && header.codec == Bincode::ID,
        "entry {} is written by codec {}, which this build does not know: upgrade this node",
        entry.id(),
        header.codec
    );
    let mut next = first_index;
    for record in records(entry.body.clone()) {
        let record = record.unwrap_or_else(|e| panic!("entry {} is not a run of records: {e}", entry.id()));
        let context = Context::new(cluster, next, header.term, Duration::from_nanos(time));
        machine.apply(&context, &record.payload, replies);
        next += 1;
    }
    assert!(
        next - first_index == u64::from(header.record_count),
        "entry {} holds {} records, its header says {}",
        entry.id(),
        next - first_index,
        header.record_count
    );
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text.clone()
    } else {
        "it gave no text".to_owned()
    }
}
