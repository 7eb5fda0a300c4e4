//! Who does what, and until when.

use std::future::Future;

use futures_util::FutureExt;
use futures_util::future::{AbortHandle, AbortRegistration, Abortable, select};
use lovebird_core::runtime::{self, Task};

use super::{Found, Life};

/// Starts a task of a node. It ends with this life of it.
pub(super) fn work_at(node: &Found, work: impl Future<Output = ()> + Send + 'static) {
    let life = node.life.clone();
    node.host.spawn(Box::pin(async move {
        let work = std::pin::pin!(work);
        select(life, work).await;
    }));
}

/// A task of a node that also ends with whoever waits for what it does.
pub(super) struct Owned(AbortHandle);

impl Owned {
    pub(super) fn work_at(node: &Found, work: impl Future<Output = ()> + Send + 'static) -> Self {
        Owned::abortable(node, AbortHandle::new_pair(), work)
    }

    pub(super) fn abortable(
        node: &Found,
        (handle, registration): (AbortHandle, AbortRegistration),
        work: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        // That it was ended is seen by its waiters.
        work_at(node, Abortable::new(work, registration).map(drop));
        Owned(handle)
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A task of the caller that sends to a node: it ends with the replies, and with the node.
pub(super) struct Pumping(Task);

impl Pumping {
    pub(super) fn spawn(life: Life, work: impl Future<Output = ()> + Send + 'static) -> Self {
        Pumping(runtime::spawn(async move {
            let work = std::pin::pin!(work);
            select(life, work).await;
        }))
    }
}

impl Drop for Pumping {
    fn drop(&mut self) {
        self.0.abort();
    }
}
