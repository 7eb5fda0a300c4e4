//! What became of what clients proposed.
//!
//! In the protocol a part has outcomes of its own, without `parts` among them: there is no way to say that parts have parts.
//! So most of the conversion is that of a part, and that of the whole adds the one outcome that only the whole may have.

use lovebird_core::transport::{Outcome, Part, ProposeReply, TransportError, TransportResult};

use super::{Wire, need};
use crate::proto::{self, part, propose_reply};

impl Wire for ProposeReply {
    type Proto = proto::ProposeReply;

    fn into_proto(self) -> proto::ProposeReply {
        let outcome = match self.outcome {
            Outcome::Parts(parts) => {
                let parts = parts.into_iter().map(Wire::into_proto).collect();
                propose_reply::Outcome::Parts(proto::Parts { parts })
            }
            one => match write_one(one) {
                part::Outcome::Committed(it) => propose_reply::Outcome::Committed(it),
                part::Outcome::NotCommitted(it) => propose_reply::Outcome::NotCommitted(it),
                part::Outcome::Unknown(it) => propose_reply::Outcome::Unknown(it),
                part::Outcome::Expired(it) => propose_reply::Outcome::Expired(it),
                part::Outcome::ReplyGone(it) => propose_reply::Outcome::ReplyGone(it),
            },
        };
        proto::ProposeReply { id: self.id, outcome: Some(outcome) }
    }

    fn from_proto(proto: proto::ProposeReply) -> TransportResult<Self> {
        let outcome = match need(proto.outcome, "outcome")? {
            propose_reply::Outcome::Parts(proto::Parts { parts }) => {
                Outcome::Parts(parts.into_iter().map(Part::from_proto).collect::<TransportResult<_>>()?)
            }
            propose_reply::Outcome::Committed(it) => read_one(part::Outcome::Committed(it)),
            propose_reply::Outcome::NotCommitted(it) => read_one(part::Outcome::NotCommitted(it)),
            propose_reply::Outcome::Unknown(it) => read_one(part::Outcome::Unknown(it)),
            propose_reply::Outcome::Expired(it) => read_one(part::Outcome::Expired(it)),
            propose_reply::Outcome::ReplyGone(it) => read_one(part::Outcome::ReplyGone(it)),
        };
        Ok(ProposeReply { id: proto.id, outcome })
    }
}

impl Wire for Part {
    type Proto = proto::Part;

    fn into_proto(self) -> proto::Part {
        proto::Part { count: self.count, outcome: Some(write_one(self.outcome)) }
    }

    fn from_proto(proto: proto::Part) -> TransportResult<Self> {
        if proto.count == 0 {
            return Err(TransportError::Malformed("a part of the outcome is that of no record".to_owned()));
        }
        Ok(Part { count: proto.count, outcome: read_one(need(proto.outcome, "part's outcome")?) })
    }
}

/// An outcome that has no parts.
///
/// # Panics
/// If it has.
fn write_one(outcome: Outcome) -> part::Outcome {
    match outcome {
        Outcome::Committed { first_index, replies } => {
            part::Outcome::Committed(proto::Committed { first_index, replies })
        }
        Outcome::NotCommitted { reason, retry, leader } => {
            part::Outcome::NotCommitted(proto::NotCommitted { reason, retry, leader })
        }
        Outcome::Unknown { reason } => part::Outcome::Unknown(proto::Unknown { reason }),
        Outcome::Expired => part::Outcome::Expired(proto::Expired {}),
        Outcome::ReplyGone { index } => part::Outcome::ReplyGone(proto::ReplyGone { index }),
        Outcome::Parts(parts) => {
            panic!("a part of an outcome has {} parts of its own, which the contract rules out", parts.len())
        }
    }
}

fn read_one(outcome: part::Outcome) -> Outcome {
    match outcome {
        part::Outcome::Committed(proto::Committed { first_index, replies }) => {
            Outcome::Committed { first_index, replies }
        }
        part::Outcome::NotCommitted(proto::NotCommitted { reason, retry, leader }) => {
            Outcome::NotCommitted { reason, retry, leader }
        }
        part::Outcome::Unknown(proto::Unknown { reason }) => Outcome::Unknown { reason },
        part::Outcome::Expired(proto::Expired {}) => Outcome::Expired,
        part::Outcome::ReplyGone(proto::ReplyGone { index }) => Outcome::ReplyGone { index },
    }
}
