//! What goes over a link: encoded messages, in order, through a bounded channel.

use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt};
use lovebird_core::transport::{TransportError, TransportResult};
use prost::Message;
use tokio::sync::mpsc;

use super::Link;
use crate::limits::clip;
use crate::wire::{decode, encode};

/// How many messages of a stream may be under way without having been taken.
const LINE_MESSAGES: usize = 32;

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
pub(super) struct Line(mpsc::Receiver<Sent>);

/// The sending end.
pub(super) struct Sender {
    link: Link,
    line: mpsc::Sender<Sent>,
}

/// One direction of a stream.
pub(super) fn line(link: Link) -> (Sender, Line) {
    let (sender, receiver) = mpsc::channel(LINE_MESSAGES);
    (Sender { link, line: sender }, Line(receiver))
}

impl Sender {
    /// Sends all of `messages`, up to the first error, and then that there are no more. Returns early if the receiver takes
    /// no more.
    pub(super) async fn pump<P: Message>(self, messages: impl Stream<Item = TransportResult<P>> + Send) {
        let sent = messages.map(|message| match message {
            Ok(message) => Sent::Message(encode(&message)),
            Err(error) => Sent::Failed(error),
        });
        let mut sent = std::pin::pin!(sent.chain(stream::iter([Sent::End])));
        while let Some(next) = sent.next().await {
            let last = !matches!(next, Sent::Message(_));
            self.link.carry().await;
            if self.line.send(next).await.is_err() || last {
                return;
            }
        }
    }
}

impl Line {
    /// The messages that arrive. If the connection to `address`, the sender's, breaks, the last item says so.
    pub(super) fn messages<P: Message + Default>(
        self,
        address: String,
    ) -> impl Stream<Item = TransportResult<P>> + Send + 'static {
        stream::unfold(Some((self.0, address)), |state| async move {
            let (mut line, address) = state?;
            let error = match line.recv().await {
                Some(Sent::Message(bytes)) => match decode(bytes) {
                    Ok(message) => return Some((Ok(message), Some((line, address)))),
                    Err(error) => broken(&address, error.to_string()),
                },
                Some(Sent::Failed(error)) => error,
                Some(Sent::End) => return None,
                None => gone(&address),
            };
            Some((Err(error), None))
        })
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

/// What a connection gives whose other side is no more.
pub(super) fn gone(address: &str) -> TransportError {
    broken(address, "the other side has gone".to_owned())
}
