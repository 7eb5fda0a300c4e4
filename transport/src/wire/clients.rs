//! What clients and nodes say to one another: commands, and what a node is.

use lovebird_core::identity::GroupId;
use lovebird_core::transport::{
    ClusterInfo, Member, ProposalKind, ProposeOpen, ProposeRequest, Role, Status, TransportError,
    TransportResult,
};

use super::{Frame, Wire, known, maybe, need};
use crate::proto::{self, propose_message};

/// A question what the node is in a group.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StatusRequest(pub(crate) GroupId);

impl Wire for ProposeRequest {
    type Proto = proto::ProposeRequest;

    fn into_proto(self) -> proto::ProposeRequest {
        let kind = match self.kind {
            ProposalKind::Commands => proto::ProposalKind::Commands,
            ProposalKind::Openings => proto::ProposalKind::Openings,
        };
        proto::ProposeRequest {
            id: self.id,
            timeout_ms: self.timeout_ms,
            codec: self.codec.into(),
            count: self.count,
            run: self.run,
            kind: kind.into(),
        }
    }

    fn from_proto(proto: proto::ProposeRequest) -> TransportResult<Self> {
        let codec = u8::try_from(proto.codec)
            .map_err(|_| TransportError::Malformed(format!("there is no codec {}", proto.codec)))?;
        let kind = match known(proto.kind, "kind of proposal")? {
            proto::ProposalKind::Commands => ProposalKind::Commands,
            proto::ProposalKind::Openings => ProposalKind::Openings,
        };
        Ok(ProposeRequest {
            id: proto.id,
            kind,
            timeout_ms: proto.timeout_ms,
            codec,
            count: proto.count,
            run: proto.run,
        })
    }
}

impl Wire for Frame<ProposeOpen, ProposeRequest> {
    type Proto = proto::ProposeMessage;

    fn into_proto(self) -> proto::ProposeMessage {
        let kind = match self {
            Frame::Open(ProposeOpen { group, forwarded }) => {
                propose_message::Kind::Open(proto::ProposeOpen { group, forwarded })
            }
            Frame::Message(request) => propose_message::Kind::Request(request.into_proto()),
        };
        proto::ProposeMessage { kind: Some(kind) }
    }

    fn from_proto(proto: proto::ProposeMessage) -> TransportResult<Self> {
        Ok(match need(proto.kind, "kind")? {
            propose_message::Kind::Open(proto::ProposeOpen { group, forwarded }) => {
                Frame::Open(ProposeOpen { group, forwarded })
            }
            propose_message::Kind::Request(request) => Frame::Message(Wire::from_proto(request)?),
        })
    }
}

impl Wire for StatusRequest {
    type Proto = proto::StatusRequest;

    fn into_proto(self) -> proto::StatusRequest {
        proto::StatusRequest { group: self.0 }
    }

    fn from_proto(proto: proto::StatusRequest) -> TransportResult<Self> {
        Ok(StatusRequest(proto.group))
    }
}

impl Wire for Status {
    type Proto = proto::StatusReply;

    fn into_proto(self) -> proto::StatusReply {
        let role = match self.role {
            Role::Leader => proto::Role::Leader,
            Role::Follower => proto::Role::Follower,
            Role::Candidate => proto::Role::Candidate,
            Role::Learner => proto::Role::Learner,
        };
        proto::StatusReply {
            id: self.id,
            role: role.into(),
            term: self.term,
            leader: self.leader,
            committed: self.committed,
            applied: self.applied,
            snapshot: self.snapshot,
            first: self.first,
            last: self.last,
            members: self.members.into_iter().map(Wire::into_proto).collect(),
            version: self.version.map(Wire::into_proto),
            cluster: Some(self.cluster.into_proto()),
        }
    }

    fn from_proto(proto: proto::StatusReply) -> TransportResult<Self> {
        let role = match proto::Role::try_from(proto.role) {
            Ok(proto::Role::Leader) => Role::Leader,
            Ok(proto::Role::Follower) => Role::Follower,
            Ok(proto::Role::Candidate) => Role::Candidate,
            Ok(proto::Role::Learner) => Role::Learner,
            Ok(proto::Role::Unspecified) | Err(_) => {
                return Err(TransportError::Malformed(format!("there is no role {}", proto.role)));
            }
        };
        Ok(Status {
            id: proto.id,
            role,
            term: proto.term,
            leader: proto.leader,
            committed: proto.committed,
            applied: proto.applied,
            snapshot: proto.snapshot,
            first: proto.first,
            last: proto.last,
            members: proto.members.into_iter().map(Member::from_proto).collect::<TransportResult<_>>()?,
            version: maybe(proto.version)?,
            // Nodes from before operators could change the members do not say. What else they are is worth knowing, and all
            // the more while an operator replaces them by newer ones one after the other.
            cluster: ClusterInfo::from_proto(proto.cluster.unwrap_or_default())?,
        })
    }
}
