//! The leader: gathers, sends, writes, syncs, and replies.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::task::Waker;
use std::thread;

use bytes::{Buf, Bytes};
use futures_util::StreamExt;
use futures_util::stream::poll_fn;
use tokio::sync::mpsc as tasks;
use tonic::Streaming;

use super::wire::{BATCH_HEADER, Outbox, READS, next_write, put_reply, seal};
use super::{Failures, Ring, link};
use crate::system::Outcome;

/// A batch is not made longer than this by one more message.
const BATCH_BYTES: usize = 1 << 20;

/// Writes, and who is told when they are committed.
type Message = (Bytes, Arc<Outbox>);

/// What the leader knows.
#[derive(Debug, Default)]
struct Committing(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Up to where each node has synced the log, the leader first.
    synced: [u64; 3],
    /// What is not committed yet: where a batch ends, and its messages.
    waiting: VecDeque<(u64, Vec<Message>)>,
    values: HashMap<u32, Vec<u8>>,
}

/// Serves clients with these followers.
pub(super) async fn lead(port: u16, ring: Ring, followers: &[u16], failures: Failures) -> Outcome<()> {
    let committing = Arc::new(Committing::default());
    let mut sending = Vec::new();
    for (place, follower) in followers.iter().enumerate() {
        let (send, mut batches) = tasks::unbounded_channel();
        let channel = link::connect(*follower).await?;
        let acknowledged = link::stream(&channel, poll_fn(move |context| batches.poll_recv(context))).await?;
        tokio::spawn(count(committing.clone(), place + 1, acknowledged, failures.clone()));
        sending.push(send);
    }
    let (send, waiting) = mpsc::channel();
    let log = Log { ring, followers: sending, committing: committing.clone() };
    thread::Builder::new().name("log".to_owned()).spawn(move || {
        let written = log.write(&waiting);
        // Nobody listens any more when the process ends.
        let _ = failures.send(format!("the leader's log ended: {written:?}"));
    })?;
    link::serve(port, move |messages| {
        let outbox = Arc::new(Outbox::default());
        tokio::spawn(receive(messages, outbox.clone(), send.clone(), committing.clone()));
        outbox.messages().boxed()
    })
    .await
}

/// Hands writes to the log, and answers reads.
async fn receive(
    mut messages: Streaming<Bytes>,
    outbox: Arc<Outbox>,
    log: mpsc::Sender<Message>,
    committing: Arc<Committing>,
) {
    while let Ok(Some(mut message)) = messages.message().await {
        if message.try_get_u8() == Ok(READS) {
            committing.read(&message, &outbox).into_iter().for_each(Waker::wake);
        } else if log.send((message, outbox.clone())).is_err() {
            return;
        }
    }
}

/// Takes note of what a follower has synced.
async fn count(committing: Arc<Committing>, node: usize, mut ends: Streaming<Bytes>, failures: Failures) {
    let ended = loop {
        match ends.message().await {
            // Several may have come together; the last is the furthest.
            Ok(Some(message)) => match message.last_chunk() {
                Some(end) => committing.synced(node, u64::from_le_bytes(*end)),
                None => break "it acknowledged nothing".to_owned(),
            },
            Ok(None) => break "it has no more to say".to_owned(),
            Err(status) => break status.to_string(),
        }
    };
    let _ = failures.send(format!("follower {node} is lost: {ended}"));
}

/// The log thread's own.
struct Log {
    ring: Ring,
    followers: Vec<tasks::UnboundedSender<Bytes>>,
    committing: Arc<Committing>,
}

impl Log {
    /// Makes batches of what waits, and writes them, for as long as there are clients to come.
    fn write(mut self, waiting: &mpsc::Receiver<Message>) -> io::Result<()> {
        let (mut end, mut last_bytes) = (0, 0);
        while let Ok(first) = waiting.recv() {
            // The next batch is about as long.
            let mut batch = Vec::with_capacity(last_bytes);
            batch.extend_from_slice(&BATCH_HEADER);
            let mut messages = Vec::new();
            let mut next = Some(first);
            while let Some((writes, outbox)) = next {
                batch.extend_from_slice(&writes);
                messages.push((writes, outbox));
                next = if batch.len() < BATCH_BYTES { waiting.try_recv().ok() } else { None };
            }
            last_bytes = batch.len();
            end += last_bytes as u64;
            seal(&mut batch, end);
            let batch = Bytes::from(batch);
            self.committing.lock().waiting.push_back((end, messages));
            for follower in &self.followers {
                // One that is gone is reported by whoever counts what it has synced.
                let _ = follower.send(batch.clone());
            }
            self.ring.append(&batch)?;
            self.ring.sync()?;
            self.committing.synced(0, end);
        }
        Ok(())
    }
}

impl Committing {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A node has synced the log up to `end`: what two of three have synced is put into memory and acknowledged.
    fn synced(&self, node: usize, end: u64) {
        let mut senders = Vec::new();
        let mut state = self.lock();
        state.synced[node] = end;
        let mut synced = state.synced;
        synced.sort_unstable();
        let State { waiting, values, .. } = &mut *state;
        while let Some((_, messages)) = waiting.pop_front_if(|(end, _)| *end <= synced[1]) {
            for (writes, outbox) in messages {
                senders.extend(outbox.add(|replies| {
                    let mut writes = &writes[..];
                    while let Some((slot, key, value)) = next_write(&mut writes) {
                        let held = values.entry(key).or_default();
                        held.clear();
                        held.extend_from_slice(value);
                        put_reply(replies, slot, None);
                    }
                }));
            }
        }
        drop(state);
        senders.into_iter().for_each(Waker::wake);
    }

    fn read(&self, mut reads: &[u8], outbox: &Outbox) -> Option<Waker> {
        let state = self.lock();
        outbox.add(|replies| {
            while let (Ok(slot), Ok(key)) = (reads.try_get_u32_le(), reads.try_get_u32_le()) {
                put_reply(replies, slot, state.values.get(&key).map(Vec::as_slice));
            }
        })
    }
}
