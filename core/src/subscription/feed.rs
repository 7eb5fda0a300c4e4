//! The node's side of a subscription: reads the log behind what is applied, and sends it on.
//!
//! Only what this replica has applied is sent, so a subscriber never sees what could still be lost. A cursor over entries stays
//! within that too: what lies beyond may be cut off and be written anew. While a snapshot takes the log's place, the log may for a
//! moment hold an end that was never committed, under the numbers of what the snapshot covers; so before each reading the log
//! must know the last applied entry just as the replica does, token and position, which name all that is before it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;

use crate::apply::Replica;
use crate::entry::{Entry, EntryKind};
use crate::log_store::LogStore;
use crate::planted::{self, Bug};
use crate::runtime;
use crate::transport::{
    IfPurged, Replies, SubscribeReply, SubscribeRequest, TransportError, TransportResult,
};

/// How many messages may wait for a subscriber that is slow.
const AHEAD_MAX: usize = 4;

/// How many bytes of entries make a message.
const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// How often a subscriber hears that there is nothing new.
const IDLE: Duration = Duration::from_secs(1);

/// How long to wait for a log that does not hold what is applied.
const PAUSE: Duration = Duration::from_millis(5);

/// Serves one subscription until its subscriber drops the stream.
pub(crate) fn serve(
    replica: Arc<Replica>,
    log: Arc<dyn LogStore>,
    request: SubscribeRequest,
) -> Replies<SubscribeReply> {
    let (replies, outgoing) = mpsc::channel(AHEAD_MAX);
    let feed = Feed { replica, log, next: request.from, entry: None, replies };
    runtime::spawn(async move {
        let replies = feed.replies.clone();
        if let Err(End::Failed(error)) = feed.run(request.if_purged).await {
            // The subscriber has gone if this fails.
            let _ = replies.send(Err(error)).await;
        }
    });
    stream::unfold(outgoing, async |mut outgoing| outgoing.recv().await.map(|reply| (reply, outgoing)))
        .boxed()
}

/// Why a feed ended.
enum End {
    /// The subscriber has gone, or was told all there is to tell.
    Done,
    /// It cannot go on.
    Failed(TransportError),
}

struct Feed {
    replica: Arc<Replica>,
    log: Arc<dyn LogStore>,
    /// The next log index to be sent.
    next: u64,
    /// The number of the entry at which it may be looked for.
    entry: Option<u64>,
    replies: mpsc::Sender<TransportResult<SubscribeReply>>,
}

impl Feed {
    async fn run(mut self, if_purged: IfPurged) -> Result<(), End> {
        loop {
            let first = self.log.state().first_index;
            if self.next < first {
                match if_purged {
                    IfPurged::Tell => {
                        crate::sometimes!("a subscriber is told that what it asks for was purged");
                        self.send(SubscribeReply::Purged { first }).await?;
                        return Err(End::Done);
                    }
                    IfPurged::SendState => {
                        crate::sometimes!("a subscriber that is behind the log is sent the state");
                        self.send_state().await?;
                    }
                }
                continue;
            }
            self.wait().await?;
            let entries = self.read().await?;
            if !entries.is_empty() {
                self.send(SubscribeReply::Entries(entries)).await?;
            } else if self.entry.is_none() {
                // What is applied is not in the log: it was purged a moment ago, or is about to be.
                runtime::sleep(PAUSE).await;
            }
        }
    }

    async fn send(&self, reply: SubscribeReply) -> Result<(), End> {
        self.replies.send(Ok(reply)).await.map_err(|_| End::Done)
    }

    /// Waits until the next record is applied.
    async fn wait(&self) -> Result<(), End> {
        loop {
            tokio::select! {
                biased;
                () = self.replica.wait_index(self.next) => return Ok(()),
                () = self.replies.closed() => return Err(End::Done),
                () = runtime::sleep(IDLE) => self.send(SubscribeReply::Idle).await?,
            }
        }
    }

    /// Reads on, and moves behind what is given.
    async fn read(&mut self) -> Result<Vec<Entry>, End> {
        let position = self.replica.position();
        let Some(last) = position.last else { return Ok(Vec::new()) };
        if self.log.numbering_at(last.number) != Some(position.numbering) {
            crate::sometimes!("a subscriber waits while the log goes over to a snapshot");
            self.entry = None;
            return Ok(Vec::new());
        }
        let Some(start) = self.entry.or_else(|| self.log.find(self.next)) else { return Ok(Vec::new()) };
        let numbers = start..if planted::is(Bug::FeedAhead) { u64::MAX } else { last.number + 1 };
        let entries = match self.log.read_cached(numbers.clone(), MESSAGE_BYTES_MAX) {
            Some(entries) => entries,
            None => {
                let log = self.log.clone();
                let read = runtime::blocking(move || log.read(numbers, MESSAGE_BYTES_MAX)).await;
                read.map_err(|e| {
                    End::Failed(TransportError::Refused(format!("the log cannot be read: {e}")))
                })?
            }
        };
        self.entry = None;
        if entries.first().is_none_or(|first| first.header.number != start) {
            crate::sometimes!("the log is purged while a subscriber reads it");
            return Ok(Vec::new());
        }
        self.entry = entries.last().map(|last| last.header.number + 1);
        let entries: Vec<Entry> = entries.into_iter().filter(counts).collect();
        if let Some(Entry { header, .. }) = entries.last() {
            self.next = header.first_index + u64::from(header.record_count);
        }
        Ok(entries)
    }

    /// Sends the state as it is now, and moves behind it.
    async fn send_state(&mut self) -> Result<(), End> {
        let stopped = |reason: String| End::Failed(TransportError::Refused(reason));
        let (index, capture) = self.replica.capture_state().await.map_err(|e| stopped(e.to_string()))?;
        let state = runtime::blocking(move || {
            let mut bytes = Vec::new();
            capture(&mut bytes).map(|()| Bytes::from(bytes))
        });
        let mut state = state.await.map_err(|e| stopped(format!("the state cannot be written: {e}")))?;
        loop {
            let bytes = state.split_to(state.len().min(MESSAGE_BYTES_MAX));
            let last = state.is_empty();
            self.send(SubscribeReply::State { index, bytes, last }).await?;
            if last {
                break;
            }
        }
        self.next = index + 1;
        self.entry = None;
        Ok(())
    }
}

/// Whether an entry holds records that count.
fn counts(entry: &Entry) -> bool {
    matches!(entry.header.kind, EntryKind::Commands | EntryKind::Outcomes) && entry.header.first_index > 0
}
