//! A replica: the state machine, and where in the log it is.
//!
//! Committed entries come in order and go through [`count`], the same function that the log engine used when it appended
//! them; the two must agree on every log index. Records of entries that count are applied one by one on the replica's own
//! thread, the only one that ever touches the user's state.
//!
//! With the state go the sessions and the replies that clients may still ask for ([`crate::session`]). In the call that applies
//! the barrier of this very node, a leader's working state is copied from both: [`Beginning`].
//!
//! Invariants, asserted: entries are applied in the order of their numbers without a gap; a record's log index is the one
//! that the log gave it. A panic on the replica's thread, the user's or ours, stops the node.

mod entry;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::{Notify, oneshot};

use crate::entry::{Entry, EntryId};
use crate::error::Stopped;
use crate::fence::{Numbering, Token};
use crate::identity::{ClusterId, GroupId, Identity, Membership};
use crate::machine::{Capture, Machine, WorkingCopy};
use crate::progress::Progress;
use crate::raft::Applied;
use crate::record::Number;
use crate::runtime::Worker;
use crate::service::Model;
use crate::session::{Kept, SessionTable, Sessions};
use crate::snapshot_store::{SnapshotFile, SnapshotMeta, read_sessions};
use crate::stop::Stop;
use entry::apply_entry;

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

/// What a leader begins with: everything as it was when its barrier was applied.
pub(crate) struct Beginning {
    /// The barrier's token.
    pub(crate) token: Token,
    /// Log index and log time.
    pub(crate) numbering: Numbering,
    /// Which commands are duplicates.
    pub(crate) sessions: Sessions,
    /// The state, for a primary.
    pub(crate) copy: Option<Box<dyn WorkingCopy>>,
}

/// Whose barrier is waited for, and what was copied when it came.
#[derive(Default)]
struct Awaited {
    token: Option<Token>,
    beginning: Option<Beginning>,
}

/// What moves with the log, all on the replica's thread.
struct Applying {
    origin: ClusterId,
    machine: Mutex<Box<dyn Machine>>,
    position: Mutex<Position>,
    sessions: Mutex<SessionTable>,
    awaited: Mutex<Awaited>,
}

/// One replica of the state machine; see the module.
pub(crate) struct Replica {
    cluster: ClusterId,
    group: GroupId,
    model: Model,
    worker: Worker,
    applying: Arc<Applying>,
    applied: Arc<Progress>,
    applied_index: Arc<Progress>,
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
        identity: &Identity,
        group: GroupId,
        machine: Box<dyn Machine>,
        policy: SnapshotPolicy,
        stop: Arc<Stop>,
    ) -> Self {
        let model = machine.model();
        Replica {
            cluster: identity.cluster,
            group,
            model,
            worker: Worker::start("lovebird-apply"),
            applying: Arc::new(Applying {
                origin: identity.origin(),
                machine: Mutex::new(machine),
                position: Mutex::default(),
                sessions: Mutex::default(),
                awaited: Mutex::default(),
            }),
            applied: Arc::default(),
            applied_index: Arc::default(),
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

    /// In which model its state machine runs.
    pub(crate) fn model(&self) -> Model {
        self.model
    }

    /// Where it is.
    pub(crate) fn position(&self) -> Position {
        lock(&self.applying.position).clone()
    }

    /// The log index up to which it has applied.
    pub(crate) fn applied_index(&self) -> u64 {
        lock(&self.applying.position).numbering.last_index
    }

    /// What a duplicate is told.
    pub(crate) fn kept(&self, number: Number) -> Kept {
        lock(&self.applying.sessions).kept(number)
    }

    /// Has a beginning made when the barrier with this token is applied, and none for any earlier token.
    pub(crate) fn await_barrier(&self, token: Token) {
        self.replace_awaited(Awaited { token: Some(token), beginning: None });
    }

    /// Has no beginning made, and drops what was.
    pub(crate) fn await_no_barrier(&self) {
        self.replace_awaited(Awaited::default());
    }

    fn replace_awaited(&self, awaited: Awaited) {
        let before = std::mem::replace(&mut *lock(&self.applying.awaited), awaited);
        // What is dropped may be the user's, which must not happen under the lock.
        drop(before);
    }

    /// What was copied when the barrier that was last awaited was applied.
    pub(crate) fn take_beginning(&self) -> Option<Beginning> {
        std::mem::take(&mut *lock(&self.applying.awaited)).beginning
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

    /// Waits until it has applied the record with this log index.
    pub(crate) async fn wait_index(&self, index: u64) {
        if index > 0 {
            self.applied_index.wait(index).await;
        }
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
        F: FnOnce(&mut Box<dyn Machine>, &Applying) -> T + Send + 'static,
    {
        let (done, result) = oneshot::channel();
        let applying = self.applying.clone();
        let stop = self.stop.clone();
        self.worker.submit(move || {
            // Poisoned means that an earlier job panicked half-way: this state must never be seen again.
            let Ok(mut machine) = applying.machine.lock() else { return };
            match catch_unwind(AssertUnwindSafe(|| job(&mut machine, &applying))) {
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
        let mut position = self.position();
        let before = position.numbering.last_index;
        let (results, after) = self
            .run(move |machine, applying| {
                let results = entries
                    .iter()
                    .map(|e| apply_entry(applying, machine.as_mut(), &mut position, e))
                    .collect();
                let after = position.clone();
                *lock(&applying.position) = position;
                (results, after)
            })
            .await?;
        if let Some(last) = after.last {
            self.applied.reach(last.number);
        }
        self.applied_index.reach(after.numbering.last_index);
        self.growth.grow(after.numbering.last_index - before, bytes);
        Ok(results)
    }

    /// Lets `look` see the state as it is, and at which log index that is. Nothing is applied meanwhile.
    pub(crate) async fn visit<T, F>(&self, look: F) -> Result<T, Stopped>
    where
        T: Send + 'static,
        F: FnOnce(&dyn Machine, u64) -> T + Send + 'static,
    {
        self.run(move |machine, applying| {
            let index = lock(&applying.position).numbering.last_index;
            look(machine.as_ref(), index)
        })
        .await
    }

    /// Captures the state for whoever follows the log from there on, and says at which log index that is.
    pub(crate) async fn capture_state(&self) -> Result<(u64, Capture), Stopped> {
        self.visit(|machine, index| (index, machine.capture())).await
    }

    /// Captures the state and the sessions for a snapshot. `None` before anything was applied.
    pub(crate) async fn capture(&self) -> Result<Option<(SnapshotMeta, SessionTable, Capture)>, Stopped> {
        let (cluster, group) = (self.cluster, self.group);
        self.growth.reset();
        self.run(move |machine, applying| {
            let position = lock(&applying.position).clone();
            let last = position.last?;
            let meta = SnapshotMeta {
                cluster,
                group,
                last: (last.term, last.number),
                numbering: position.numbering,
                membership_at: position.membership_at.map(|id| (id.term, id.number)),
                membership: position.membership,
                sessions_bytes: 0,
            };
            let sessions = lock(&applying.sessions).clone();
            Some((meta, sessions, machine.capture()))
        })
        .await
    }

    /// Becomes what a snapshot holds.
    pub(crate) async fn restore(&self, file: Arc<dyn SnapshotFile>) -> io::Result<()> {
        let restored = self
            .run(move |machine, applying| {
                let meta = file.meta().clone();
                let mut input = file.open()?;
                let sessions = read_sessions(&meta, &mut *input)?;
                machine.restore(&mut *input)?;
                let last = meta.last_entry();
                *lock(&applying.sessions) = sessions;
                *lock(&applying.position) = Position {
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
        self.applied_index.reach(index);
        Ok(())
    }
}

/// Only for what is never held while the user's code runs.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no code panics while it holds this lock")
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
