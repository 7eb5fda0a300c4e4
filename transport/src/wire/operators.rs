//! What operators and nodes say to one another: who the members are, and that this shall change.

use lovebird_core::identity::{ClusterId, GroupId};
use lovebird_core::transport::{
    Change, ChangeReply, ChangeRequest, ClusterInfo, ExportPiece, Following, HandOverReply, HandOverRequest,
    Member, MembershipVersion, Sending, Standing, TransportError, TransportResult,
};

use super::common::{read_model, write_model};
use super::{Wire, known, maybe, must, need};
use crate::proto::{self, change, change_reply, hand_over_reply};

/// That the node shall take a snapshot of a group.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TakeSnapshotRequest(pub(crate) GroupId);

/// The log index that the newest snapshot covers then.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TakeSnapshotReply(pub(crate) u64);

/// A request for the newest snapshot of a group.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ExportRequest(pub(crate) GroupId);

fn write_standing(standing: Standing) -> i32 {
    let standing = match standing {
        Standing::Voter => proto::Standing::Voter,
        Standing::Joining => proto::Standing::Joining,
        Standing::Leaving => proto::Standing::Leaving,
        Standing::Learner => proto::Standing::Learner,
    };
    standing.into()
}

/// What a node says that a member may do.
fn read_standing(number: i32) -> TransportResult<Standing> {
    Ok(match known(number, "standing")? {
        // Nodes from before there were learners say nothing, and all of their members vote.
        proto::Standing::Unspecified | proto::Standing::Voter => Standing::Voter,
        proto::Standing::Joining => Standing::Joining,
        proto::Standing::Leaving => Standing::Leaving,
        proto::Standing::Learner => Standing::Learner,
    })
}

/// What an operator says that a new member shall be in the end. To say nothing is not a choice here: who wanted a learner
/// must not get a voter.
fn read_standing_to_be(number: i32) -> TransportResult<Standing> {
    match known(number, "standing")? {
        proto::Standing::Voter => Ok(Standing::Voter),
        proto::Standing::Learner => Ok(Standing::Learner),
        proto::Standing::Unspecified | proto::Standing::Joining | proto::Standing::Leaving => {
            let text = format!("a node is added as a voter or as a learner, not with the standing {number}");
            Err(TransportError::Malformed(text))
        }
    }
}

impl Wire for MembershipVersion {
    type Proto = proto::MembershipVersion;

    fn into_proto(self) -> proto::MembershipVersion {
        proto::MembershipVersion { term: self.term, number: self.number }
    }

    fn from_proto(proto: proto::MembershipVersion) -> TransportResult<Self> {
        Ok(MembershipVersion { term: proto.term, number: proto.number })
    }
}

impl Wire for Following {
    type Proto = proto::Following;

    fn into_proto(self) -> proto::Following {
        let snapshot = self.snapshot.map(|Sending { sent, length }| proto::Sending { sent, length });
        proto::Following { held: self.held, silent_ms: self.silent_ms, snapshot }
    }

    fn from_proto(proto: proto::Following) -> TransportResult<Self> {
        let snapshot = proto.snapshot.map(|proto::Sending { sent, length }| Sending { sent, length });
        Ok(Following { held: proto.held, silent_ms: proto.silent_ms, snapshot })
    }
}

impl Wire for Member {
    type Proto = proto::Member;

    fn into_proto(self) -> proto::Member {
        proto::Member {
            id: self.id,
            address: self.address,
            incarnation: self.incarnation,
            standing: write_standing(self.standing),
            following: self.following.map(Wire::into_proto),
        }
    }

    fn from_proto(proto: proto::Member) -> TransportResult<Self> {
        Ok(Member {
            id: proto.id,
            incarnation: proto.incarnation,
            address: proto.address,
            standing: read_standing(proto.standing)?,
            following: maybe(proto.following)?,
        })
    }
}

impl Wire for ClusterInfo {
    type Proto = proto::ClusterInfo;

    fn into_proto(self) -> proto::ClusterInfo {
        proto::ClusterInfo {
            id: self.id.0,
            name: self.name,
            initial_members: self.initial_members.into_iter().collect(),
            model: write_model(self.model),
        }
    }

    fn from_proto(proto: proto::ClusterInfo) -> TransportResult<Self> {
        Ok(ClusterInfo {
            id: ClusterId(proto.id),
            name: proto.name,
            initial_members: proto.initial_members.into_iter().collect(),
            model: read_model(proto.model)?,
        })
    }
}

impl Wire for Change {
    type Proto = proto::Change;

    fn into_proto(self) -> proto::Change {
        let kind = match self {
            Change::Add { node, address, standing } => {
                let standing = write_standing(standing);
                change::Kind::Add(proto::AddMember { node, address, standing })
            }
            Change::Promote { node } => change::Kind::Promote(proto::PromoteMember { node }),
            Change::Remove { node } => change::Kind::Remove(proto::RemoveMember { node }),
            Change::Replace { old, node, address } => {
                change::Kind::Replace(proto::ReplaceMember { old, node, address })
            }
            Change::Move { node, address } => change::Kind::Move(proto::MoveMember { node, address }),
            Change::Voters { nodes } => {
                change::Kind::Voters(proto::SetVoters { nodes: nodes.into_iter().collect() })
            }
        };
        proto::Change { kind: Some(kind) }
    }

    fn from_proto(proto: proto::Change) -> TransportResult<Self> {
        Ok(match need(proto.kind, "kind of change")? {
            change::Kind::Add(proto::AddMember { node, address, standing }) => {
                Change::Add { node, address, standing: read_standing_to_be(standing)? }
            }
            change::Kind::Promote(proto::PromoteMember { node }) => Change::Promote { node },
            change::Kind::Remove(proto::RemoveMember { node }) => Change::Remove { node },
            change::Kind::Replace(proto::ReplaceMember { old, node, address }) => {
                Change::Replace { old, node, address }
            }
            change::Kind::Move(proto::MoveMember { node, address }) => Change::Move { node, address },
            change::Kind::Voters(proto::SetVoters { nodes }) => {
                Change::Voters { nodes: nodes.into_iter().collect() }
            }
        })
    }
}

impl Wire for ChangeRequest {
    type Proto = proto::ChangeRequest;

    fn into_proto(self) -> proto::ChangeRequest {
        proto::ChangeRequest {
            group: self.group,
            change: Some(self.change.into_proto()),
            expected: self.expected.map(Wire::into_proto),
            forwarded: self.forwarded,
        }
    }

    fn from_proto(proto: proto::ChangeRequest) -> TransportResult<Self> {
        Ok(ChangeRequest {
            group: proto.group,
            change: must(proto.change, "change")?,
            expected: maybe(proto.expected)?,
            forwarded: proto.forwarded,
        })
    }
}

impl Wire for ChangeReply {
    type Proto = proto::ChangeReply;

    fn into_proto(self) -> proto::ChangeReply {
        let kind = match self {
            ChangeReply::CatchingUp { node, following, last, remaining_ms } => {
                let following = Some(following.into_proto());
                change_reply::Kind::CatchingUp(proto::CatchingUp { node, following, last, remaining_ms })
            }
            ChangeReply::Done { version } => change_reply::Kind::Done(version.into_proto()),
            ChangeReply::Refused { reason, retry } => {
                change_reply::Kind::Refused(proto::Refused { reason, retry })
            }
        };
        proto::ChangeReply { kind: Some(kind) }
    }

    fn from_proto(proto: proto::ChangeReply) -> TransportResult<Self> {
        Ok(match need(proto.kind, "kind")? {
            change_reply::Kind::CatchingUp(proto::CatchingUp { node, following, last, remaining_ms }) => {
                let following = must(following, "account of how far a node has come")?;
                ChangeReply::CatchingUp { node, following, last, remaining_ms }
            }
            change_reply::Kind::Done(version) => ChangeReply::Done { version: Wire::from_proto(version)? },
            change_reply::Kind::Refused(proto::Refused { reason, retry }) => {
                ChangeReply::Refused { reason, retry }
            }
        })
    }
}

impl Wire for HandOverRequest {
    type Proto = proto::HandOverRequest;

    fn into_proto(self) -> proto::HandOverRequest {
        proto::HandOverRequest { group: self.group, to: self.to, forwarded: self.forwarded }
    }

    fn from_proto(proto: proto::HandOverRequest) -> TransportResult<Self> {
        Ok(HandOverRequest { group: proto.group, to: proto.to, forwarded: proto.forwarded })
    }
}

impl Wire for HandOverReply {
    type Proto = proto::HandOverReply;

    fn into_proto(self) -> proto::HandOverReply {
        let kind = match self {
            HandOverReply::Done { leader } => hand_over_reply::Kind::Done(leader),
            HandOverReply::Refused { reason, retry } => {
                hand_over_reply::Kind::Refused(proto::Refused { reason, retry })
            }
        };
        proto::HandOverReply { kind: Some(kind) }
    }

    fn from_proto(proto: proto::HandOverReply) -> TransportResult<Self> {
        Ok(match need(proto.kind, "kind")? {
            hand_over_reply::Kind::Done(leader) => HandOverReply::Done { leader },
            hand_over_reply::Kind::Refused(proto::Refused { reason, retry }) => {
                HandOverReply::Refused { reason, retry }
            }
        })
    }
}

impl Wire for TakeSnapshotRequest {
    type Proto = proto::TakeSnapshotRequest;

    fn into_proto(self) -> proto::TakeSnapshotRequest {
        proto::TakeSnapshotRequest { group: self.0 }
    }

    fn from_proto(proto: proto::TakeSnapshotRequest) -> TransportResult<Self> {
        Ok(TakeSnapshotRequest(proto.group))
    }
}

impl Wire for TakeSnapshotReply {
    type Proto = proto::TakeSnapshotReply;

    fn into_proto(self) -> proto::TakeSnapshotReply {
        proto::TakeSnapshotReply { index: self.0 }
    }

    fn from_proto(proto: proto::TakeSnapshotReply) -> TransportResult<Self> {
        Ok(TakeSnapshotReply(proto.index))
    }
}

impl Wire for ExportRequest {
    type Proto = proto::ExportRequest;

    fn into_proto(self) -> proto::ExportRequest {
        proto::ExportRequest { group: self.0 }
    }

    fn from_proto(proto: proto::ExportRequest) -> TransportResult<Self> {
        Ok(ExportRequest(proto.group))
    }
}

impl Wire for ExportPiece {
    type Proto = proto::ExportPiece;

    fn into_proto(self) -> proto::ExportPiece {
        proto::ExportPiece { index: self.index, length: self.length, bytes: self.bytes }
    }

    fn from_proto(proto: proto::ExportPiece) -> TransportResult<Self> {
        Ok(ExportPiece { index: proto.index, length: proto.length, bytes: proto.bytes })
    }
}
