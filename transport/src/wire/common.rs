//! The parts that messages are made of.

use lovebird_core::entry::EntryId;
use lovebird_core::identity::{ClusterId, RaftId};
use lovebird_core::log_store::Vote;
use lovebird_core::service::Model;
use lovebird_core::transport::{Route, TransportResult};

use super::{Wire, known, must};
use crate::proto;

/// The number of a model.
pub(super) fn write_model(model: Model) -> i32 {
    let model = match model {
        Model::StateMachine => proto::Model::StateMachine,
        Model::PrimaryBackup => proto::Model::PrimaryBackup,
    };
    model.into()
}

/// The model that a number means.
pub(super) fn read_model(number: i32) -> TransportResult<Model> {
    Ok(match known(number, "model")? {
        proto::Model::StateMachine => Model::StateMachine,
        proto::Model::PrimaryBackup => Model::PrimaryBackup,
    })
}

impl Wire for RaftId {
    type Proto = proto::RaftId;

    fn into_proto(self) -> proto::RaftId {
        proto::RaftId { node: self.node, incarnation: self.incarnation }
    }

    fn from_proto(proto: proto::RaftId) -> TransportResult<Self> {
        Ok(RaftId { node: proto.node, incarnation: proto.incarnation })
    }
}

impl Wire for EntryId {
    type Proto = proto::EntryId;

    fn into_proto(self) -> proto::EntryId {
        proto::EntryId { term: self.term, number: self.number }
    }

    fn from_proto(proto: proto::EntryId) -> TransportResult<Self> {
        Ok(EntryId { term: proto.term, number: proto.number })
    }
}

impl Wire for Vote {
    type Proto = proto::Vote;

    fn into_proto(self) -> proto::Vote {
        proto::Vote { term: self.term, node: Some(self.node.into_proto()), committed: self.committed }
    }

    fn from_proto(proto: proto::Vote) -> TransportResult<Self> {
        Ok(Vote { term: proto.term, node: must(proto.node, "vote's node")?, committed: proto.committed })
    }
}

impl Wire for Route {
    type Proto = proto::Route;

    fn into_proto(self) -> proto::Route {
        proto::Route {
            cluster: self.cluster.0,
            group: self.group,
            from: Some(self.from.into_proto()),
            to: Some(self.to.into_proto()),
        }
    }

    fn from_proto(proto: proto::Route) -> TransportResult<Self> {
        Ok(Route {
            cluster: ClusterId(proto.cluster),
            group: proto.group,
            from: must(proto.from, "sender")?,
            to: must(proto.to, "intended receiver")?,
        })
    }
}
