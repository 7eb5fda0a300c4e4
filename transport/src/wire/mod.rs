//! Conversions between the core's messages and those of the protocol: pure, total on the way out, checked on the way in.
//!
//! [`Wire`] is all that a transport knows of a message, so that gRPC and the in-memory twin carry the very same bytes.

mod clients;
mod outcomes;
mod queries;
mod subscriptions;
mod operators;
mod common;
mod peers;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use prost::Message;

use lovebird_core::entry::{Entry, decode_entries};
use lovebird_core::transport::{TransportError, TransportResult};

pub(crate) use clients::StatusRequest;
pub(crate) use operators::{ExportRequest, TakeSnapshotReply, TakeSnapshotRequest};
pub(crate) use peers::ReadIndexRequest;

/// A message of the core that has a form in the protocol.
pub(crate) trait Wire: Sized + Send + 'static {
    /// That form.
    type Proto: Message + Default + 'static;

    /// Gives the form. Never fails: the core's types cannot hold what the protocol cannot say, but for parts within parts,
    /// which their contract rules out.
    fn into_proto(self) -> Self::Proto;

    /// Reads the form.
    ///
    /// # Errors
    /// [`TransportError::Malformed`] if something is absent, out of range, or does not match its checksum.
    fn from_proto(proto: Self::Proto) -> TransportResult<Self>;
}

/// A message of a stream of requests, which says first what the stream is for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Frame<O, M> {
    /// The first, and only the first.
    Open(O),
    /// Every later one.
    Message(M),
}

/// The bytes of a message, as the twin carries them.
pub(crate) fn encode(message: &impl Message) -> Bytes {
    message.encode_to_vec().into()
}

/// Reads the bytes of a message.
pub(crate) fn decode<P: Message + Default>(bytes: Bytes) -> TransportResult<P> {
    P::decode(bytes).map_err(|error| TransportError::Malformed(error.to_string()))
}

/// What must be there.
fn need<T>(field: Option<T>, name: &str) -> TransportResult<T> {
    field.ok_or_else(|| TransportError::Malformed(format!("the message lacks its {name}")))
}

/// A number that must mean something. Guessing what one that does not was to mean could do something else than was asked.
fn known<T: TryFrom<i32>>(number: i32, name: &str) -> TransportResult<T> {
    T::try_from(number).map_err(|_| TransportError::Malformed(format!("there is no {name} {number}")))
}

/// Entries end to end, each verified by its checksums.
fn entries(bytes: Bytes) -> TransportResult<Vec<Entry>> {
    decode_entries(bytes).map_err(|error| TransportError::Malformed(error.to_string()))
}

/// What may be absent, but must make sense if it is there.
fn maybe<T: Wire>(field: Option<T::Proto>) -> TransportResult<Option<T>> {
    field.map(T::from_proto).transpose()
}

/// What must be there and make sense.
fn must<T: Wire>(field: Option<T::Proto>, name: &str) -> TransportResult<T> {
    T::from_proto(need(field, name)?)
}
