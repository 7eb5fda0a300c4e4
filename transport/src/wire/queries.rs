//! What clients ask, and what they are answered.

use lovebird_core::transport::{
    Answers, Freshness, QueryOpen, QueryOutcome, QueryPart, QueryReply, QueryRequest, TransportError,
    TransportResult,
};

use super::{Frame, Wire, need};
use crate::proto::{self, answers, query_message};

impl Wire for Frame<QueryOpen, QueryRequest> {
    type Proto = proto::QueryMessage;

    fn into_proto(self) -> proto::QueryMessage {
        let kind = match self {
            Frame::Open(QueryOpen { group }) => query_message::Kind::Open(proto::QueryOpen { group }),
            Frame::Message(request) => query_message::Kind::Request(request.into_proto()),
        };
        proto::QueryMessage { kind: Some(kind) }
    }

    fn from_proto(proto: proto::QueryMessage) -> TransportResult<Self> {
        Ok(match need(proto.kind, "kind")? {
            query_message::Kind::Open(proto::QueryOpen { group }) => Frame::Open(QueryOpen { group }),
            query_message::Kind::Request(request) => Frame::Message(Wire::from_proto(request)?),
        })
    }
}

impl Wire for QueryRequest {
    type Proto = proto::QueryRequest;

    fn into_proto(self) -> proto::QueryRequest {
        let parts = self.parts.into_iter().map(Wire::into_proto).collect();
        proto::QueryRequest { id: self.id, parts, run: self.run }
    }

    fn from_proto(proto: proto::QueryRequest) -> TransportResult<Self> {
        let parts = proto.parts.into_iter().map(QueryPart::from_proto).collect::<TransportResult<_>>()?;
        Ok(QueryRequest { id: proto.id, parts, run: proto.run })
    }
}

impl Wire for QueryPart {
    type Proto = proto::QueryPart;

    fn into_proto(self) -> proto::QueryPart {
        let read = match self.freshness {
            Freshness::Quorum => proto::Read::Linearizable,
            Freshness::Lease => proto::Read::Lease,
            Freshness::Any => proto::Read::Stale,
        };
        proto::QueryPart {
            read: read.into(),
            at_least: self.at_least,
            timeout_ms: self.timeout_ms,
            count: self.count,
        }
    }

    fn from_proto(proto: proto::QueryPart) -> TransportResult<Self> {
        let freshness = match proto::Read::try_from(proto.read) {
            Ok(proto::Read::Linearizable) => Freshness::Quorum,
            Ok(proto::Read::Lease) => Freshness::Lease,
            Ok(proto::Read::Stale) => Freshness::Any,
            // Guessing could answer from an older state than was asked for.
            Ok(proto::Read::Unspecified) | Err(_) => {
                return Err(TransportError::Malformed(format!("there is no read of kind {}", proto.read)));
            }
        };
        if proto.count == 0 {
            return Err(TransportError::Malformed("a part of the request is of no query".to_owned()));
        }
        let (at_least, timeout_ms, count) = (proto.at_least, proto.timeout_ms, proto.count);
        Ok(QueryPart { freshness, at_least, timeout_ms, count })
    }
}

impl Wire for QueryReply {
    type Proto = proto::QueryReply;

    fn into_proto(self) -> proto::QueryReply {
        proto::QueryReply { id: self.id, answers: self.answers.into_iter().map(Wire::into_proto).collect() }
    }

    fn from_proto(proto: proto::QueryReply) -> TransportResult<Self> {
        let answers = proto.answers.into_iter().map(Answers::from_proto).collect::<TransportResult<_>>()?;
        Ok(QueryReply { id: proto.id, answers })
    }
}

impl Wire for Answers {
    type Proto = proto::Answers;

    fn into_proto(self) -> proto::Answers {
        let outcome = match self.outcome {
            QueryOutcome::Answered { index, answers } => {
                answers::Outcome::Answered(proto::Answered { index, answers })
            }
            QueryOutcome::Failed { reason, applied } => {
                answers::Outcome::Failed(proto::Failed { reason, applied })
            }
        };
        proto::Answers { first: self.first, count: self.count, outcome: Some(outcome) }
    }

    fn from_proto(proto: proto::Answers) -> TransportResult<Self> {
        let outcome = match need(proto.outcome, "answers' outcome")? {
            answers::Outcome::Answered(proto::Answered { index, answers }) => {
                QueryOutcome::Answered { index, answers }
            }
            answers::Outcome::Failed(proto::Failed { reason, applied }) => {
                QueryOutcome::Failed { reason, applied }
            }
        };
        if proto.count == 0 {
            return Err(TransportError::Malformed("an answer is to no query".to_owned()));
        }
        Ok(Answers { first: proto.first, count: proto.count, outcome })
    }
}
