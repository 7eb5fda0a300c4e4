//! Errors as gRPC carries them.
//!
//! | code | meaning |
//! |---|---|
//! | `FAILED_PRECONDITION` | refused, nothing was done |
//! | `INVALID_ARGUMENT` | malformed, nothing was done |
//! | any other | broken: it may have been done |
//!
//! The two are only ever sent by our own handlers. Whatever tonic and HTTP/2 say by themselves therefore counts as
//! broken, except that no connection could be made: then nothing can have arrived.

use std::error::Error;

use lovebird_core::transport::TransportError;
use tonic::{Code, ConnectError, Status};

use crate::limits::clip;

/// What a server answers with.
pub(super) fn to_status(error: TransportError) -> Status {
    match error {
        TransportError::Refused(text) => Status::failed_precondition(clip(text)),
        TransportError::Malformed(text) => Status::invalid_argument(clip(text)),
        // What the answering node could not reach does not say that nothing has arrived at the answering node.
        error @ (TransportError::Unreachable { .. } | TransportError::Broken { .. }) => {
            Status::unavailable(clip(error.to_string()))
        }
    }
}

/// What a client makes of an answer, or of the lack of one.
pub(super) fn from_status(address: &str, status: &Status) -> TransportError {
    let address = address.to_owned();
    match status.code() {
        Code::FailedPrecondition => TransportError::Refused(status.message().to_owned()),
        Code::InvalidArgument => TransportError::Malformed(status.message().to_owned()),
        _ if is_connect_failure(status) => TransportError::Unreachable { address, reason: reason(status) },
        _ => TransportError::Broken { address, reason: reason(status) },
    }
}

/// What is wrong with a message of a stream of requests, as its receiver sees it.
pub(super) fn from_request_status(status: &Status) -> TransportError {
    match status.code() {
        // tonic's own check of the size, before anything was decoded.
        Code::OutOfRange => TransportError::Refused(status.message().to_owned()),
        _ => TransportError::Broken { address: "the sender".to_owned(), reason: reason(status) },
    }
}

/// tonic says `UNAVAILABLE` both if no connection could be made and if one broke with the request out. Only the first
/// has a [`ConnectError`] among its causes, since it alone comes from making a connection.
fn is_connect_failure(status: &Status) -> bool {
    causes(status).any(|cause| cause.is::<ConnectError>())
}

/// The message and all causes behind it, each text once.
fn reason(status: &Status) -> String {
    let mut texts = vec![status.message().to_owned()];
    if texts[0].is_empty() {
        texts[0] = status.code().description().to_owned();
    }
    for cause in causes(status).skip(1) {
        let text = cause.to_string();
        if !texts.iter().any(|known| known.contains(&text)) {
            texts.push(text);
        }
    }
    texts.join(": ")
}

fn causes(status: &Status) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(Some(status as &(dyn Error + 'static)), |&error| error.source())
}
