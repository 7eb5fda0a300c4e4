//! What nodes say to one another.

use lovebird_core::entry::encode_entries;
use lovebird_core::identity::ClusterId;
use lovebird_core::snapshot_store::SnapshotId;
use lovebird_core::transport::{
    AppendReply, AppendRequest, Confirm, Hello, HelloReply, ReadIndex, Route, SnapshotChunk, SnapshotOffer,
    SnapshotReply, TransferRequest, TransportResult, VoteReply, VoteRequest,
};

use super::common::{read_model, write_model};
use super::{Frame, Wire, entries, maybe, must, need};
use crate::proto::{self, append_message, append_reply, snapshot_message, snapshot_reply};

/// A follower's request for a read index.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ReadIndexRequest(pub(crate) Route, pub(crate) Confirm);

impl Wire for AppendRequest {
    type Proto = proto::AppendRequest;

    fn into_proto(self) -> proto::AppendRequest {
        proto::AppendRequest {
            vote: Some(self.vote.into_proto()),
            previous: self.previous.map(Wire::into_proto),
            entries: encode_entries(&self.entries),
            committed: self.committed.map(Wire::into_proto),
        }
    }

    fn from_proto(proto: proto::AppendRequest) -> TransportResult<Self> {
        Ok(AppendRequest {
            vote: must(proto.vote, "leader's vote")?,
            previous: maybe(proto.previous)?,
            entries: entries(proto.entries)?,
            committed: maybe(proto.committed)?,
        })
    }
}

impl Wire for Frame<Route, AppendRequest> {
    type Proto = proto::AppendMessage;

    fn into_proto(self) -> proto::AppendMessage {
        let kind = match self {
            Frame::Open(route) => append_message::Kind::Open(route.into_proto()),
            Frame::Message(request) => append_message::Kind::Request(request.into_proto()),
        };
        proto::AppendMessage { kind: Some(kind) }
    }

    fn from_proto(proto: proto::AppendMessage) -> TransportResult<Self> {
        Ok(match need(proto.kind, "kind")? {
            append_message::Kind::Open(route) => Frame::Open(Route::from_proto(route)?),
            append_message::Kind::Request(request) => Frame::Message(AppendRequest::from_proto(request)?),
        })
    }
}

impl Wire for AppendReply {
    type Proto = proto::AppendReply;

    fn into_proto(self) -> proto::AppendReply {
        let kind = match self {
            AppendReply::Accepted(upto) => {
                append_reply::Kind::Accepted(proto::Accepted { upto: upto.map(Wire::into_proto) })
            }
            AppendReply::Conflict(at) => append_reply::Kind::Conflict(at.into_proto()),
            AppendReply::HigherVote(vote) => append_reply::Kind::HigherVote(vote.into_proto()),
        };
        proto::AppendReply { kind: Some(kind) }
    }

    fn from_proto(proto: proto::AppendReply) -> TransportResult<Self> {
        Ok(match need(proto.kind, "kind")? {
            append_reply::Kind::Accepted(accepted) => AppendReply::Accepted(maybe(accepted.upto)?),
            append_reply::Kind::Conflict(at) => AppendReply::Conflict(Wire::from_proto(at)?),
            append_reply::Kind::HigherVote(vote) => AppendReply::HigherVote(Wire::from_proto(vote)?),
        })
    }
}

impl Wire for (Route, VoteRequest) {
    type Proto = proto::VoteRequest;

    fn into_proto(self) -> proto::VoteRequest {
        let (route, request) = self;
        proto::VoteRequest {
            route: Some(route.into_proto()),
            vote: Some(request.vote.into_proto()),
            last: request.last.map(Wire::into_proto),
            leadership_transfer: request.leadership_transfer,
        }
    }

    fn from_proto(proto: proto::VoteRequest) -> TransportResult<Self> {
        let request = VoteRequest {
            vote: must(proto.vote, "candidate's vote")?,
            last: maybe(proto.last)?,
            leadership_transfer: proto.leadership_transfer,
        };
        Ok((must(proto.route, "route")?, request))
    }
}

impl Wire for VoteReply {
    type Proto = proto::VoteReply;

    fn into_proto(self) -> proto::VoteReply {
        proto::VoteReply {
            vote: Some(self.vote.into_proto()),
            granted: self.granted,
            last: self.last.map(Wire::into_proto),
        }
    }

    fn from_proto(proto: proto::VoteReply) -> TransportResult<Self> {
        Ok(VoteReply { vote: must(proto.vote, "vote")?, granted: proto.granted, last: maybe(proto.last)? })
    }
}

impl Wire for (Route, SnapshotOffer) {
    type Proto = proto::SnapshotOpen;

    fn into_proto(self) -> proto::SnapshotOpen {
        let (route, SnapshotOffer { vote, id }) = self;
        proto::SnapshotOpen {
            route: Some(route.into_proto()),
            vote: Some(vote.into_proto()),
            last: Some(id.last.into_proto()),
            length: id.length,
            checksum: id.checksum,
        }
    }

    fn from_proto(proto: proto::SnapshotOpen) -> TransportResult<Self> {
        let last = must(proto.last, "snapshot's last entry")?;
        let id = SnapshotId { last, length: proto.length, checksum: proto.checksum };
        Ok((must(proto.route, "route")?, SnapshotOffer { vote: must(proto.vote, "leader's vote")?, id }))
    }
}

impl Wire for Frame<(Route, SnapshotOffer), SnapshotChunk> {
    type Proto = proto::SnapshotMessage;

    fn into_proto(self) -> proto::SnapshotMessage {
        let kind = match self {
            Frame::Open(open) => snapshot_message::Kind::Open(open.into_proto()),
            Frame::Message(SnapshotChunk { offset, bytes }) => {
                snapshot_message::Kind::Chunk(proto::SnapshotChunk { offset, bytes })
            }
        };
        proto::SnapshotMessage { kind: Some(kind) }
    }

    fn from_proto(proto: proto::SnapshotMessage) -> TransportResult<Self> {
        Ok(match need(proto.kind, "kind")? {
            snapshot_message::Kind::Open(open) => Frame::Open(Wire::from_proto(open)?),
            snapshot_message::Kind::Chunk(proto::SnapshotChunk { offset, bytes }) => {
                Frame::Message(SnapshotChunk { offset, bytes })
            }
        })
    }
}

impl Wire for SnapshotReply {
    type Proto = proto::SnapshotReply;

    fn into_proto(self) -> proto::SnapshotReply {
        let kind = match self {
            SnapshotReply::Received(offset) => snapshot_reply::Kind::Received(offset),
            SnapshotReply::Done(vote) => snapshot_reply::Kind::Done(vote.into_proto()),
        };
        proto::SnapshotReply { kind: Some(kind) }
    }

    fn from_proto(proto: proto::SnapshotReply) -> TransportResult<Self> {
        Ok(match need(proto.kind, "kind")? {
            snapshot_reply::Kind::Received(offset) => SnapshotReply::Received(offset),
            snapshot_reply::Kind::Done(vote) => SnapshotReply::Done(Wire::from_proto(vote)?),
        })
    }
}

impl Wire for (Route, TransferRequest) {
    type Proto = proto::TransferRequest;

    fn into_proto(self) -> proto::TransferRequest {
        let (route, request) = self;
        proto::TransferRequest {
            route: Some(route.into_proto()),
            from_leader: Some(request.from_leader.into_proto()),
            to: Some(request.to.into_proto()),
            last: request.last.map(Wire::into_proto),
        }
    }

    fn from_proto(proto: proto::TransferRequest) -> TransportResult<Self> {
        let request = TransferRequest {
            from_leader: must(proto.from_leader, "leader's vote")?,
            to: must(proto.to, "next leader")?,
            last: maybe(proto.last)?,
        };
        Ok((must(proto.route, "route")?, request))
    }
}

/// The reply to a transfer says nothing but that it was taken.
impl Wire for () {
    type Proto = proto::TransferReply;

    fn into_proto(self) -> proto::TransferReply {
        proto::TransferReply {}
    }

    fn from_proto(_: proto::TransferReply) -> TransportResult<Self> {
        Ok(())
    }
}

impl Wire for Hello {
    type Proto = proto::HelloRequest;

    fn into_proto(self) -> proto::HelloRequest {
        proto::HelloRequest {
            cluster: self.cluster.0,
            from: Some(self.from.into_proto()),
            model: write_model(self.model),
            members_at: self.members_at.map(Wire::into_proto),
        }
    }

    fn from_proto(proto: proto::HelloRequest) -> TransportResult<Self> {
        Ok(Hello {
            cluster: ClusterId(proto.cluster),
            from: must(proto.from, "sender")?,
            model: read_model(proto.model)?,
            members_at: maybe(proto.members_at)?,
        })
    }
}

impl Wire for HelloReply {
    type Proto = proto::HelloReply;

    fn into_proto(self) -> proto::HelloReply {
        proto::HelloReply {
            cluster: self.cluster.0,
            cluster_name: self.cluster_name,
            id: Some(self.id.into_proto()),
            formed: self.formed,
            known_as: self.known_as.map(Wire::into_proto),
            model: write_model(self.model),
            removed: self.removed,
            leads: self.leads,
        }
    }

    fn from_proto(proto: proto::HelloReply) -> TransportResult<Self> {
        Ok(HelloReply {
            cluster: ClusterId(proto.cluster),
            cluster_name: proto.cluster_name,
            id: must(proto.id, "answering node")?,
            model: read_model(proto.model)?,
            formed: proto.formed,
            known_as: maybe(proto.known_as)?,
            removed: proto.removed,
            leads: proto.leads,
        })
    }
}

impl Wire for ReadIndexRequest {
    type Proto = proto::ReadIndexRequest;

    fn into_proto(self) -> proto::ReadIndexRequest {
        let ReadIndexRequest(route, confirm) = self;
        proto::ReadIndexRequest { route: Some(route.into_proto()), lease: confirm == Confirm::Lease }
    }

    fn from_proto(proto: proto::ReadIndexRequest) -> TransportResult<Self> {
        let confirm = if proto.lease { Confirm::Lease } else { Confirm::Quorum };
        Ok(ReadIndexRequest(must(proto.route, "route")?, confirm))
    }
}

impl Wire for ReadIndex {
    type Proto = proto::ReadIndexReply;

    fn into_proto(self) -> proto::ReadIndexReply {
        proto::ReadIndexReply { number: self.number }
    }

    fn from_proto(proto: proto::ReadIndexReply) -> TransportResult<Self> {
        Ok(ReadIndex { number: proto.number })
    }
}
