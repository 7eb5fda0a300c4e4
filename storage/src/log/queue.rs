//! The queue between the groups and the writer, and the log's failure, if it has one.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Condvar, Mutex};

use lovebird_core::identity::GroupId;
use lovebird_core::log_store::Completion;

use super::group::Group;
use super::operation::Operation;
use super::trail::Trail;
use crate::sync::lock;

/// A frame takes operations until it has this many bytes, so that a sync has an end. What came meanwhile is the next one.
const FRAME_BYTES_TARGET: usize = 8 << 20;

/// The largest single operation.
const OPERATION_BYTES_MAX: usize = 1 << 30;

/// An operation on its way to the stream.
pub(super) struct Pending {
    pub(super) group: Arc<Group>,
    pub(super) operation: Arc<Operation>,
    /// If it is an append: which of the group's.
    pub(super) append: u64,
    pub(super) done: Option<Completion>,
}

/// What groups and writer share.
pub(super) struct Shared {
    queue: Mutex<Queue>,
    /// Signalled when the writer has something to do.
    wake: Condvar,
    groups: Mutex<BTreeMap<GroupId, Arc<Group>>>,
}

#[derive(Default)]
struct Queue {
    pending: VecDeque<Pending>,
    /// How many of `pending` must not wait for others: all but commit points, which ride along.
    urgent: usize,
    failure: Option<String>,
    closing: bool,
}

/// What the writer finds when it looks.
#[cfg(not(madsim))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Demand {
    Work,
    Close,
}

impl Pending {
    fn is_urgent(&self) -> bool {
        !matches!(*self.operation, Operation::Committed(_))
    }
}

impl Shared {
    pub(super) fn new(groups: BTreeMap<GroupId, Arc<Group>>) -> Self {
        Shared { queue: Mutex::default(), wake: Condvar::new(), groups: Mutex::new(groups) }
    }

    /// A group; an empty one if nothing was ever written for it.
    pub(super) fn group(&self, id: GroupId, tail_bytes_max: usize) -> Arc<Group> {
        let mut groups = lock(&self.groups);
        let group = groups.entry(id);
        group.or_insert_with(|| Arc::new(Group::new(id, Trail::default(), tail_bytes_max))).clone()
    }

    /// All groups, in order.
    pub(super) fn groups(&self) -> Vec<Arc<Group>> {
        lock(&self.groups).values().cloned().collect()
    }

    /// Queues an operation. Callers hold the lock of its group, so that the queue has the order of their changes.
    pub(super) fn enqueue(&self, pending: Pending) -> Result<(), (Option<Completion>, io::Error)> {
        let mut queue = lock(&self.queue);
        if let Some(failure) = &queue.failure {
            return Err((pending.done, poisoned(failure)));
        }
        let bytes = pending.operation.bytes();
        if bytes > OPERATION_BYTES_MAX {
            let text = format!(
                "{bytes} bytes are too many for one append; at most {OPERATION_BYTES_MAX} are allowed"
            );
            return Err((pending.done, io::Error::new(io::ErrorKind::InvalidInput, text)));
        }
        if pending.is_urgent() {
            queue.urgent += 1;
            self.wake.notify_one();
        }
        queue.pending.push_back(pending);
        Ok(())
    }

    /// Takes what goes into the next frame.
    pub(super) fn take(&self) -> Vec<Pending> {
        let mut queue = lock(&self.queue);
        let mut batch = Vec::new();
        if queue.urgent == 0 && !queue.closing {
            return batch;
        }
        let mut bytes = 0;
        while bytes < FRAME_BYTES_TARGET
            && let Some(pending) = queue.pending.pop_front()
        {
            queue.urgent -= usize::from(pending.is_urgent());
            bytes += pending.operation.bytes();
            batch.push(pending);
        }
        batch
    }

    /// Whether there is something that must not wait for others.
    pub(super) fn has_work(&self) -> bool {
        lock(&self.queue).urgent > 0
    }

    /// Waits until there is something to do.
    #[cfg(not(madsim))]
    pub(super) fn wait(&self) -> Demand {
        let mut queue = lock(&self.queue);
        loop {
            if queue.urgent > 0 {
                return Demand::Work;
            }
            if queue.closing {
                return Demand::Close;
            }
            queue = self.wake.wait(queue).expect("a thread panicked while it held the log's queue");
        }
    }

    /// Nothing more will be queued; what is there shall be written.
    pub(super) fn close(&self) {
        lock(&self.queue).closing = true;
        self.wake.notify_one();
    }

    /// Whether nothing more will be queued.
    pub(super) fn is_closing(&self) -> bool {
        lock(&self.queue).closing
    }

    /// Why the log is poisoned, if it is.
    pub(super) fn failure(&self) -> Option<String> {
        lock(&self.queue).failure.clone()
    }

    /// Poisons the log for good, and tells everyone who waits: first those of `batch`, then those behind it.
    pub(super) fn poison(&self, cause: &str, batch: Vec<Pending>) {
        let rest = {
            let mut queue = lock(&self.queue);
            if queue.failure.is_none() {
                queue.failure = Some(cause.to_owned());
            }
            queue.urgent = 0;
            std::mem::take(&mut queue.pending)
        };
        tracing::error!(cause, "the log failed and takes no more writes");
        for done in batch.into_iter().chain(rest).filter_map(|pending| pending.done) {
            done(Err(poisoned(cause)));
        }
    }
}

pub(super) fn poisoned(cause: &str) -> io::Error {
    io::Error::other(format!("the log has failed and takes no more writes: {cause}"))
}
