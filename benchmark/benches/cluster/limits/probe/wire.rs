//! What is sent, and how it gathers until it is.
//!
//! All numbers are little-endian. A client sends `WRITES` and behind it writes, each slot (`u32`), key (`u32`), length (`u32`), value;
//! or `READS` and behind it reads, each slot and key. It is answered with replies: slot, length, value, where `NO_VALUE` in
//! place of the length stands for none. A batch is its checksum (`u32`, of all that follows), the position in the log behind it
//! (`u64`), and writes. Its acknowledgement is that position.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Buf, BufMut, Bytes};
use futures_util::Stream;
use futures_util::stream::poll_fn;

pub(super) const WRITES: u8 = 1;
pub(super) const READS: u8 = 2;
pub(super) const NO_VALUE: u32 = u32::MAX;

/// A batch that the log thread begins to make has room for its header.
pub(super) const BATCH_HEADER: [u8; 12] = [0; 12];

/// One write of those that stand behind one another in `bytes`. `None` at their end.
pub(super) fn next_write<'a>(bytes: &mut &'a [u8]) -> Option<(u32, u32, &'a [u8])> {
    let (slot, key, length) =
        (bytes.try_get_u32_le().ok()?, bytes.try_get_u32_le().ok()?, bytes.try_get_u32_le().ok()?);
    let (value, rest) = bytes.split_at_checked(length as usize)?;
    *bytes = rest;
    Some((slot, key, value))
}

/// Appends a reply.
pub(super) fn put_reply(into: &mut Vec<u8>, slot: u32, value: Option<&[u8]>) {
    into.put_u32_le(slot);
    into.put_u32_le(value.map_or(NO_VALUE, |value| value.len() as u32));
    into.put_slice(value.unwrap_or_default());
}

/// Completes the header of a batch that ends at `end`.
pub(super) fn seal(batch: &mut [u8], end: u64) {
    batch[4..12].copy_from_slice(&end.to_le_bytes());
    let checksum = crc32c::crc32c(&batch[4..]);
    batch[..4].copy_from_slice(&checksum.to_le_bytes());
}

/// Where a batch ends, if it arrived as it was sent.
pub(super) fn check(mut batch: &[u8]) -> Option<u64> {
    let checksum = batch.try_get_u32_le().ok()?;
    (crc32c::crc32c(batch) == checksum).then(|| batch.try_get_u64_le().ok())?
}

/// Bytes of many on their way into one message.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    pub(super) bytes: Vec<u8>,
    sender: Option<Waker>,
    has_yielded: bool,
}

impl Gathering {
    /// Whom to wake when something was added.
    pub(super) fn sender(&mut self) -> Option<Waker> {
        self.sender.take()
    }

    /// Takes what has gathered, after yielding once to those who are about to add more.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Bytes> {
        if self.bytes.is_empty() {
            self.sender = Some(context.waker().clone());
            return Poll::Pending;
        }
        self.has_yielded = !self.has_yielded;
        if self.has_yielded {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        // The next message is about as long.
        let next = Vec::with_capacity(self.bytes.len());
        Poll::Ready(std::mem::replace(&mut self.bytes, next).into())
    }
}

/// What goes back to whoever opened a stream.
#[derive(Debug, Default)]
pub(super) struct Outbox(Mutex<Gathering>);

impl Outbox {
    /// Adds what `add` appends. Gives whom to wake then.
    #[must_use]
    pub(super) fn add(&self, add: impl FnOnce(&mut Vec<u8>)) -> Option<Waker> {
        let mut gathering = self.lock();
        add(&mut gathering.bytes);
        gathering.sender()
    }

    fn lock(&self) -> MutexGuard<'_, Gathering> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is sent.
    pub(super) fn messages<E>(self: std::sync::Arc<Self>) -> impl Stream<Item = Result<Bytes, E>> {
        poll_fn(move |context| self.lock().poll(context).map(|message| Some(Ok(message))))
    }
}
