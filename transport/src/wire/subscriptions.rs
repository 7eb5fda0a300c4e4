//! What subscribers ask for and are sent.

use lovebird_core::entry::encode_entries;
use lovebird_core::transport::{IfPurged, SubscribeReply, SubscribeRequest, TransportResult};

use super::{Wire, entries, known, need};
use crate::proto::{self, subscribe_reply};

impl Wire for SubscribeRequest {
    type Proto = proto::SubscribeRequest;

    fn into_proto(self) -> proto::SubscribeRequest {
        let if_purged = match self.if_purged {
            IfPurged::Tell => proto::IfPurged::Tell,
            IfPurged::SendState => proto::IfPurged::SendState,
        };
        proto::SubscribeRequest { group: self.group, from: self.from, if_purged: if_purged.into() }
    }

    fn from_proto(proto: proto::SubscribeRequest) -> TransportResult<Self> {
        let if_purged = match known(proto.if_purged, "way to deal with a purged record of kind")? {
            proto::IfPurged::Tell => IfPurged::Tell,
            proto::IfPurged::SendState => IfPurged::SendState,
        };
        Ok(SubscribeRequest { group: proto.group, from: proto.from, if_purged })
    }
}

impl Wire for SubscribeReply {
    type Proto = proto::SubscribeReply;

    fn into_proto(self) -> proto::SubscribeReply {
        let kind = match self {
            SubscribeReply::Entries(entries) => subscribe_reply::Kind::Entries(encode_entries(&entries)),
            SubscribeReply::State { index, bytes, last } => {
                subscribe_reply::Kind::State(proto::StatePiece { index, bytes, last })
            }
            SubscribeReply::Purged { first } => subscribe_reply::Kind::Purged(proto::Purged { first }),
            SubscribeReply::Idle => subscribe_reply::Kind::Idle(proto::Idle {}),
        };
        proto::SubscribeReply { kind: Some(kind) }
    }

    fn from_proto(proto: proto::SubscribeReply) -> TransportResult<Self> {
        Ok(match need(proto.kind, "kind")? {
            subscribe_reply::Kind::Entries(bytes) => SubscribeReply::Entries(entries(bytes)?),
            subscribe_reply::Kind::State(proto::StatePiece { index, bytes, last }) => {
                SubscribeReply::State { index, bytes, last }
            }
            subscribe_reply::Kind::Purged(proto::Purged { first }) => SubscribeReply::Purged { first },
            subscribe_reply::Kind::Idle(proto::Idle {}) => SubscribeReply::Idle,
        })
    }
}
