//! What goes over a link: encoded messages, in order, through a bounded channel.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, AbortHandle, Stream, StreamExt};
use lovebird_core::transport::{TransportError, TransportResult};
use prost::Message;
use tokio::sync::mpsc;

use super::{Fate, Link};
use crate::limits::clip;
use crate::wire::{decode, encode};

/// How many messages of a stream may be under way without having been taken.
const LINE_MESSAGES: usize = 32;

/// How many messages of a stream that is delivered twice arrive a second time: its opening and a few requests.
const REPEATED_MESSAGES: usize = 5;

/// What a line carries.
enum Sent {
    /// An encoded message.
    Message(Bytes),
    /// The last thing: why there are no more messages.
    Failed(TransportError),
    /// The last thing: there are no more messages. A line that ends without it, or a failure, is broken.
    End,
}

/// The receiving end of one direction of a stream.
pub(super) struct Line {
    link: Link,
    /// What was sent, and when it arrives.
    line: mpsc::Receiver<(Duration, Sent)>,
}

/// The sending end.
pub(super) struct Sender {
    link: Link,
    line: mpsc::Sender<(Duration, Sent)>,
    /// What its messages are.
    kind: &'static str,
    /// Ends the whole stream at once.
    reset: AbortHandle,
    /// When the last message arrives.
    last: Duration,
    /// What it has sent, if that is to arrive once more.
    first_few: Option<FirstFew>,
}

/// The first messages of a stream, as they have been sent so far.
#[derive(Clone, Default)]
pub(super) struct FirstFew(Arc<Mutex<Vec<Bytes>>>);

/// One direction of a stream, whose messages are of this kind.
pub(super) fn line(link: Link, kind: &'static str, reset: AbortHandle) -> (Sender, Line) {
    let (sender, receiver) = mpsc::channel(LINE_MESSAGES);
    let line = Line { link: link.clone(), line: receiver };
    (Sender { link, line: sender, kind, reset, last: Duration::ZERO, first_few: None }, line)
}

impl Sender {
    /// Nothing of what follows arrives before this.
    pub(super) fn after(self, last: Duration) -> Self {
        Sender { last, ..self }
    }

    /// Puts a message on the line that has been sent already, and arrives then. It is the first.
    pub(super) fn begin(&mut self, at: Duration, opening: Bytes) {
        self.last = at;
        self.remember(&opening);
        // The line is new and has room; that nobody takes from it is seen with the next message.
        let _ = self.line.try_send((at, Sent::Message(opening)));
    }

    /// Keeps the first few messages from now on.
    pub(super) fn remembering(&mut self) -> FirstFew {
        self.first_few.get_or_insert_default().clone()
    }

    /// Sends all of `messages`, up to the first error, and then that there are no more. Returns early if the receiver takes
    /// no more, or the connection breaks.
    pub(super) async fn pump<P: Message>(mut self, messages: impl Stream<Item = TransportResult<P>> + Send) {
        let sent = messages.map(|message| match message {
            Ok(message) => Sent::Message(encode(&message)),
            Err(error) => Sent::Failed(error),
        });
        let mut sent = std::pin::pin!(sent.chain(stream::iter([Sent::End])));
        while let Some(next) = sent.next().await {
            let last = !matches!(next, Sent::Message(_));
            if !self.send(next).await || last {
                return;
            }
        }
    }

    /// Sends one. Tells whether another one may follow.
    async fn send(&mut self, sent: Sent) -> bool {
        let (kind, bytes) = match &sent {
            Sent::Message(bytes) => (self.kind, bytes.len()),
            Sent::Failed(_) => ("failure", 0),
            Sent::End => ("end", 0),
        };
        match self.link.fate(kind, bytes, self.last, false) {
            Fate::Arrives { at, .. } => {
                self.last = self.last.max(at);
                if let Sent::Message(bytes) = &sent {
                    self.remember(bytes);
                }
                self.line.send((self.last, sent)).await.is_ok()
            }
            // With it vanishes whatever would have come after.
            Fate::Lost => std::future::pending().await,
            Fate::Reset => {
                lovebird_core::sometimes!("a connection is reset under a stream");
                self.reset.abort();
                false
            }
        }
    }

    fn remember(&self, message: &Bytes) {
        if let Some(FirstFew(messages)) = &self.first_few {
            let mut messages = messages.lock().unwrap_or_else(PoisonError::into_inner);
            if messages.len() < REPEATED_MESSAGES {
                messages.push(message.clone());
            }
        }
    }
}

impl FirstFew {
    /// The messages, once more.
    pub(super) fn messages<P: Message + Default + 'static>(
        &self,
    ) -> impl Stream<Item = TransportResult<P>> + Send + 'static {
        let messages = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        stream::iter(messages).map(decode)
    }
}

impl Line {
    /// The messages that arrive. If the connection to `address`, the sender's, breaks, the last item says so.
    pub(super) fn messages<P: Message + Default>(
        self,
    ) -> impl Stream<Item = TransportResult<P>> + Send + 'static {
        stream::unfold(Some(self), |state| async move {
            let mut this = state?;
            let error = match this.next().await {
                Some(Sent::Message(bytes)) => match decode(bytes) {
                    Ok(message) => return Some((Ok(message), Some(this))),
                    Err(error) => broken(&this.link.from, error.to_string()),
                },
                Some(Sent::Failed(error)) => error,
                Some(Sent::End) => return None,
                None => gone(&this.link.from),
            };
            Some((Err(error), None))
        })
    }

    async fn next(&mut self) -> Option<Sent> {
        let (at, sent) = self.line.recv().await?;
        self.link.until(at).await;
        Some(sent)
    }
}

/// How an error at the node at `address` looks to its caller: texts are cut as HTTP/2 would have it, and what that node
/// could not reach does not say that nothing has arrived at it.
pub(super) fn seen_from_afar(address: &str, error: TransportError) -> TransportError {
    match error {
        TransportError::Refused(text) => TransportError::Refused(clip(text)),
        TransportError::Malformed(text) => TransportError::Malformed(clip(text)),
        error => broken(address, error.to_string()),
    }
}

/// What a connection that broke gives.
pub(super) fn broken(address: &str, reason: String) -> TransportError {
    TransportError::Broken { address: address.to_owned(), reason: clip(reason) }
}

/// What a connection gives whose other side is no more, or that was reset.
pub(super) fn gone(address: &str) -> TransportError {
    broken(address, "the other side has gone".to_owned())
}
