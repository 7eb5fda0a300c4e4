//! What becomes of a stream of requests on its way, for every transport alike.
//!
//! The core's streams of requests carry no errors: for the handler a stream that breaks just ends. What ended it is kept
//! in a [`Fault`] beside it, and is the last item of the replies.

use std::future::ready;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use futures_util::stream::{self, AbortHandle, Abortable, BoxStream, Stream, StreamExt};
use lovebird_core::transport::{Replies, TransportError, TransportResult};
use prost::Message;

use crate::limits::check_size;
use crate::wire::{Frame, Wire};

/// Why a stream of requests ended, if not because its sender had no more.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fault(Arc<OnceLock<TransportError>>);

impl Fault {
    fn set(&self, error: TransportError) {
        tracing::debug!(%error, "a stream of requests ends");
        // The first fault ended the stream, so there is no second one to lose.
        let _ = self.0.set(error);
    }
}

/// Ends a stream of requests when it is dropped.
#[derive(Debug)]
pub(crate) struct Cancel(AbortHandle);

impl Drop for Cancel {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The sending side's hold on its stream of requests.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// Why it ended.
    pub(crate) fault: Fault,
    /// Ends it.
    pub(crate) cancel: Cancel,
}

/// What is sent. A type of its own, since the compiler loses the `'static` of a bare boxed stream inside a generic future.
pub(crate) struct Frames<P>(BoxStream<'static, P>);

impl<P> Stream for Frames<P> {
    type Item = P;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<P>> {
        self.0.poll_next_unpin(cx)
    }
}

/// Turns requests into what is sent: the opening, then each request. Ends at a request that is too large to be sent.
pub(crate) fn outgoing<O, M, P>(open: O, messages: BoxStream<'static, M>) -> (Frames<P>, Outgoing)
where
    O: Send + 'static,
    M: Send + 'static,
    P: Message + 'static,
    Frame<O, M>: Wire<Proto = P>,
{
    let fault = Fault::default();
    let seen = fault.clone();
    let frames = stream::once(ready(Frame::Open(open)))
        .chain(messages.map(Frame::Message))
        .map(Wire::into_proto)
        .take_while(move |message| {
            let fits = check_size(message).map_err(|error| seen.set(error)).is_ok();
            ready(fits)
        });
    let (handle, registration) = AbortHandle::new_pair();
    (Frames(Abortable::new(frames, registration).boxed()), Outgoing { fault, cancel: Cancel(handle) })
}

/// Reads the opening of a stream of requests, and gives the requests behind it. They end at the first that cannot be
/// read.
///
/// # Errors
/// The stream does not begin with an opening.
pub(crate) async fn incoming<O, M, P>(
    frames: impl Stream<Item = TransportResult<P>> + Send + 'static,
) -> TransportResult<(O, BoxStream<'static, M>, Fault)>
where
    O: Send + 'static,
    M: Send + 'static,
    P: 'static,
    Frame<O, M>: Wire<Proto = P>,
{
    let malformed = |text: &str| TransportError::Malformed(text.to_owned());
    let mut frames = frames.map(|frame| frame.and_then(Frame::from_proto)).boxed();
    let open = match frames.next().await {
        Some(Ok(Frame::Open(open))) => open,
        Some(Ok(Frame::Message(_))) => return Err(malformed("the stream does not begin with its opening")),
        Some(Err(error)) => return Err(error),
        None => return Err(malformed("the stream ended before its opening")),
    };
    let fault = Fault::default();
    let seen = fault.clone();
    let messages = frames.scan((), move |(), frame| {
        ready(match frame {
            Ok(Frame::Message(message)) => Some(message),
            Ok(Frame::Open(_)) => {
                seen.set(malformed("the stream was opened twice"));
                None
            }
            Err(error) => {
                seen.set(error);
                None
            }
        })
    });
    Ok((open, messages.boxed(), fault))
}

/// Replies up to the first error; behind the last of them, what ended the requests. `held` is dropped with the replies.
pub(crate) fn ending_with<T, H>(
    fault: Fault,
    held: H,
    replies: impl Stream<Item = TransportResult<T>> + Send + 'static,
) -> Replies<T>
where
    T: Send + 'static,
    H: Send + 'static,
{
    let state = Some((Box::pin(replies), fault, held));
    stream::unfold(state, |state| async move {
        let (mut replies, fault, held) = state?;
        match replies.next().await {
            Some(Ok(reply)) => Some((Ok(reply), Some((replies, fault, held)))),
            Some(Err(error)) => Some((Err(error), None)),
            None => fault.0.get().cloned().map(|error| (Err(error), None)),
        }
    })
    .boxed()
}

/// A reply must not be taken for "nothing was done", whatever is wrong with the reply itself.
pub(crate) fn read_reply<T: Wire>(address: &str, proto: T::Proto) -> TransportResult<T> {
    T::from_proto(proto).map_err(|error| TransportError::Broken {
        address: address.to_owned(),
        reason: format!("its reply makes no sense: {error}"),
    })
}

/// Why a reply that is too large cannot be sent. What it answers has been done.
pub(crate) fn check_reply(reply: &impl Message) -> Result<(), String> {
    check_size(reply).map_err(|error| format!("its reply cannot be sent: {error}"))
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use lovebird_core::identity::GroupId;
    use lovebird_core::transport::{ProposalKind, ProposeOpen, ProposeRequest};

    use super::*;
    use crate::limits::MESSAGE_BYTES_MAX;
    use crate::proto;

    type Requests = BoxStream<'static, ProposeRequest>;

    fn request(id: u64, bytes: usize) -> ProposeRequest {
        let run = vec![0; bytes].into();
        ProposeRequest { id, kind: ProposalKind::Commands, timeout_ms: 1, codec: 1, count: 1, run }
    }

    fn open(group: GroupId) -> proto::ProposeMessage {
        Frame::<_, ProposeRequest>::Open(ProposeOpen { group, forwarded: false }).into_proto()
    }

    fn message(id: u64) -> proto::ProposeMessage {
        Frame::<ProposeOpen, _>::Message(request(id, 3)).into_proto()
    }

    /// Reads frames to their end: the ids of the requests, and what came behind replies that all succeeded.
    fn read(frames: Vec<proto::ProposeMessage>) -> TransportResult<(Vec<u64>, Option<TransportError>)> {
        let frames = stream::iter(frames.into_iter().map(Ok));
        let (_, requests, fault): (ProposeOpen, Requests, Fault) =
            incoming(frames).now_or_never().unwrap()?;
        let ids = requests.map(|request| request.id).collect().now_or_never().unwrap();
        let last =
            ending_with(fault, (), stream::empty::<TransportResult<()>>()).next().now_or_never().unwrap();
        Ok((ids, last.map(|last| last.unwrap_err())))
    }

    #[test]
    fn a_stream_that_is_not_opened_is_malformed() {
        assert_eq!(
            read(vec![message(1)]).unwrap_err().to_string(),
            "malformed: the stream does not begin with its opening"
        );
        assert_eq!(read(vec![]).unwrap_err().to_string(), "malformed: the stream ended before its opening");
    }

    #[test]
    fn a_stream_ends_where_it_makes_no_sense_and_says_so_behind_its_replies() {
        assert_eq!(read(vec![open(1), message(1), message(2)]), Ok((vec![1, 2], None)));

        let (ids, error) = read(vec![open(1), message(1), open(1), message(2)]).unwrap();
        assert_eq!(ids, [1]);
        assert_eq!(error.unwrap().to_string(), "malformed: the stream was opened twice");

        let (ids, error) = read(vec![open(1), message(1), proto::ProposeMessage { kind: None }]).unwrap();
        assert_eq!(ids, [1]);
        assert_eq!(error.unwrap().to_string(), "malformed: the message lacks its kind");
    }

    #[test]
    fn a_stream_ends_before_a_request_that_is_too_large() {
        let requests = stream::iter([request(1, 3), request(2, MESSAGE_BYTES_MAX), request(3, 3)]).boxed();
        let (frames, out) = outgoing(ProposeOpen::default(), requests);
        let frames: Vec<proto::ProposeMessage> = frames.collect().now_or_never().unwrap();
        assert_eq!(frames, [open(0), message(1)]);
        let mut replies = ending_with(out.fault, out.cancel, stream::iter([Ok(1)]));
        assert_eq!(replies.next().now_or_never().unwrap(), Some(Ok(1)));
        let error = replies.next().now_or_never().unwrap().unwrap().unwrap_err();
        assert!(matches!(&error, TransportError::Refused(text) if text.contains("at most")), "{error}");
        assert_eq!(replies.next().now_or_never().unwrap(), None);
    }

    #[test]
    fn a_dropped_hold_ends_the_requests() {
        let (mut frames, out) = outgoing(ProposeOpen::default(), stream::pending::<ProposeRequest>().boxed());
        assert_eq!(frames.next().now_or_never().unwrap(), Some(open(0)));
        assert_eq!(frames.next().now_or_never(), None, "there is nothing to send yet");
        drop(out);
        assert_eq!(frames.next().now_or_never(), Some(None));
    }
}
