//! A follower: checks, writes, syncs, and says how far it is.

use std::io;
use std::sync::{Arc, mpsc};
use std::thread;

use bytes::Bytes;
use futures_util::StreamExt;
use tonic::Streaming;

use super::wire::{Outbox, check};
use super::{Failures, Ring, link};
use crate::system::Outcome;

/// A batch, where it ends, and who is told when it is durable.
type Checked = (Bytes, u64, Arc<Outbox>);

/// Serves a leader.
pub(super) async fn follow(port: u16, ring: Ring, failures: Failures) -> Outcome<()> {
    let (send, checked) = mpsc::channel();
    let failed = failures.clone();
    thread::Builder::new().name("log".to_owned()).spawn(move || {
        let written = write(ring, &checked);
        // Nobody listens any more when the process ends.
        let _ = failed.send(format!("the follower's log ended: {written:?}"));
    })?;
    link::serve(port, move |batches| {
        let outbox = Arc::new(Outbox::default());
        tokio::spawn(receive(batches, outbox.clone(), send.clone(), failures.clone()));
        outbox.messages().boxed()
    })
    .await
}

async fn receive(
    mut batches: Streaming<Bytes>,
    outbox: Arc<Outbox>,
    checked: mpsc::Sender<Checked>,
    failures: Failures,
) {
    while let Ok(Some(batch)) = batches.message().await {
        let Some(end) = check(&batch) else {
            let _ = failures.send("a batch does not have its checksum".to_owned());
            return;
        };
        if checked.send((batch, end, outbox.clone())).is_err() {
            return;
        }
    }
}

/// Writes what waits, and syncs it at once.
fn write(mut ring: Ring, checked: &mpsc::Receiver<Checked>) -> io::Result<()> {
    while let Ok((batch, mut end, mut outbox)) = checked.recv() {
        ring.append(&batch)?;
        while let Ok(next) = checked.try_recv() {
            ring.append(&next.0)?;
            (_, end, outbox) = next;
        }
        ring.sync()?;
        if let Some(sender) = outbox.add(|bytes| bytes.extend_from_slice(&end.to_le_bytes())) {
            sender.wake();
        }
    }
    Ok(())
}
