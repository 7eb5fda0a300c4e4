//! When snapshots are taken and logs purged, and how a snapshot is received.
//!
//! A replica counts what it applies; when enough records or bytes have come together, a snapshot is taken in the background
//! (captured between two commands, written by another thread), and once it is durable the log is purged behind it, except
//! for the last records, which are kept so that a follower that was away for a moment need not be sent a whole snapshot.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::stream::BoxStream;
use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;

use crate::apply::Replica;
use crate::log_store::LogStore;
use crate::raft::Consensus;
use crate::runtime;
use crate::snapshot_store::{SnapshotFile, SnapshotReceiver, SnapshotStore};
use crate::transport::{
    ExportPiece, Replies, SnapshotChunk, SnapshotOffer, SnapshotReply, TransportError, TransportResult,
};

/// How often the sender is told that a received snapshot is still being verified and restored.
const PATIENCE: Duration = Duration::from_millis(200);

/// Bytes of a snapshot file that are exported at a time.
const PIECE_BYTES: usize = 1 << 20;

/// Takes snapshots as they fall due, and purges behind them.
pub(crate) struct Keeper {
    pub(crate) consensus: Consensus,
    pub(crate) replica: Arc<Replica>,
    pub(crate) log: Arc<dyn LogStore>,
    pub(crate) keep_records: u64,
}

impl Keeper {
    /// Works until consensus has stopped.
    pub(crate) async fn run(self) {
        let due = self.replica.snapshot_due();
        loop {
            due.notified().await;
            // Looked up first: a snapshot that is installed from here on is newer than this, or ends what was due.
            let before = self.consensus.snapshot();
            if !self.replica.is_snapshot_due() {
                continue;
            }
            if self.consensus.trigger_snapshot().await.is_err() {
                return;
            }
            let Some(snapshot) = self.consensus.snapshot_after(before).await else { return };
            if let Some(number) = self.purge_point(snapshot.number) {
                crate::sometimes!("the log is purged up to where a snapshot lets it");
                if self.consensus.purge(number).await.is_err() {
                    return;
                }
            }
        }
    }

    /// The entry up to which the log may go, given a snapshot that covers `number`.
    fn purge_point(&self, number: u64) -> Option<u64> {
        let covered = self.log.numbering_at(number)?.last_index;
        let first_kept = (covered + 1).checked_sub(self.keep_records).filter(|first| *first > 1)?;
        if first_kept > covered {
            return Some(number);
        }
        self.log.find(first_kept)?.checked_sub(1)
    }
}

/// Takes a snapshot of everything that is applied by now, unless there is one. Gives the log index that the newest covers.
pub(crate) async fn take_now(consensus: &Consensus, replica: &Replica) -> Result<u64, String> {
    let applied = replica.position().last.ok_or("nothing has been applied yet that a snapshot could hold")?;
    loop {
        let before = consensus.snapshot();
        if before >= Some(applied) {
            return Ok(replica.snapshot_index());
        }
        // One that is under way already may not reach as far: then another one follows.
        let stopped = || "consensus has stopped on this node".to_owned();
        consensus.trigger_snapshot().await.map_err(|_| stopped())?;
        consensus.snapshot_after(before).await.ok_or_else(stopped)?;
    }
}

/// The bytes of the newest snapshot, piece by piece.
pub(crate) fn export(file: Arc<dyn SnapshotFile>) -> Replies<ExportPiece> {
    stream::unfold(Some((file, 0)), async |going| {
        let (file, offset) = going?;
        let (reader, length) = (file.clone(), file.id().length);
        if offset >= length {
            return None;
        }
        Some(match runtime::blocking(move || reader.read_raw(offset, PIECE_BYTES)).await {
            Ok(bytes) if bytes.is_empty() => {
                let text = format!("the snapshot file ends at byte {offset} of {length}");
                (Err(TransportError::Refused(text)), None)
            }
            Ok(bytes) => {
                let next = offset + bytes.len() as u64;
                let index = file.meta().numbering.last_index;
                (Ok(ExportPiece { index, length, bytes }), Some((file, next)))
            }
            Err(error) => (Err(storage(error)), None),
        })
    })
    .boxed()
}

/// Receives snapshots from a leader, one at a time: a later transfer ends an earlier one.
pub(crate) struct Receiving {
    pub(crate) snapshots: Arc<dyn SnapshotStore>,
    pub(crate) transfers: AtomicU64,
}

impl Receiving {
    /// Takes a transfer; replies come while it goes on.
    pub(crate) fn receive(
        self: &Arc<Self>,
        consensus: Consensus,
        offer: SnapshotOffer,
        chunks: BoxStream<'static, SnapshotChunk>,
    ) -> Replies<SnapshotReply> {
        let (replies, outgoing) = mpsc::channel(4);
        let this = self.clone();
        runtime::spawn(async move {
            let result = this.take(&consensus, offer, chunks, &replies).await;
            if let Err(error) = result {
                tracing::warn!(snapshot = %offer.id.last, %error, "a snapshot was not received");
                let _ = replies.send(Err(error)).await;
            }
        });
        stream::unfold(outgoing, async |mut outgoing| outgoing.recv().await.map(|reply| (reply, outgoing)))
            .boxed()
    }

    async fn take(
        &self,
        consensus: &Consensus,
        offer: SnapshotOffer,
        mut chunks: BoxStream<'static, SnapshotChunk>,
        replies: &mpsc::Sender<TransportResult<SnapshotReply>>,
    ) -> TransportResult<()> {
        let turn = self.transfers.fetch_add(1, Ordering::SeqCst) + 1;
        let snapshots = self.snapshots.clone();
        let mut receiver = runtime::blocking(move || snapshots.receive(offer.id)).await.map_err(storage)?;
        tell(replies, SnapshotReply::Received(receiver.offset())).await?;
        while receiver.offset() < offer.id.length {
            let Some(chunk) = chunks.next().await else {
                crate::sometimes!("a snapshot transfer ends before the snapshot does");
                return Err(TransportError::Refused("the transfer ended before the snapshot did".to_owned()));
            };
            if self.transfers.load(Ordering::SeqCst) != turn {
                crate::sometimes!("a snapshot transfer is superseded by a later one");
                return Err(TransportError::Refused("a later transfer has begun".to_owned()));
            }
            receiver = write(receiver, chunk).await?;
            tell(replies, SnapshotReply::Received(receiver.offset())).await?;
        }
        let finishing = async {
            let file = runtime::blocking(move || receiver.finish()).await.map_err(storage)?;
            consensus.install(offer.vote, file).await.map_err(TransportError::Refused)
        };
        let mut finishing = std::pin::pin!(finishing);
        let vote = loop {
            match runtime::timeout(PATIENCE, &mut finishing).await {
                Ok(vote) => break vote?,
                // It takes its time; say that it goes on.
                Err(_) => tell(replies, SnapshotReply::Received(offer.id.length)).await?,
            }
        };
        crate::sometimes!("a snapshot is installed from a leader");
        tell(replies, SnapshotReply::Done(vote)).await
    }
}

async fn tell(
    replies: &mpsc::Sender<TransportResult<SnapshotReply>>,
    reply: SnapshotReply,
) -> TransportResult<()> {
    let gone = |_| TransportError::Refused("the sender no longer listens".to_owned());
    replies.send(Ok(reply)).await.map_err(gone)
}

async fn write(
    mut receiver: Box<dyn SnapshotReceiver>,
    chunk: SnapshotChunk,
) -> TransportResult<Box<dyn SnapshotReceiver>> {
    if chunk.offset != receiver.offset() {
        return Err(TransportError::Malformed(format!(
            "the chunk belongs at {}, {} bytes are there",
            chunk.offset,
            receiver.offset()
        )));
    }
    runtime::blocking(move || receiver.write(&chunk.bytes).map(|()| receiver)).await.map_err(storage)
}

fn storage(error: std::io::Error) -> TransportError {
    TransportError::Refused(format!("the snapshot cannot be stored: {error}"))
}
