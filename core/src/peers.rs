//! Where the other nodes are, and what this node writes on messages to them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::identity::{ClusterId, GroupId, Identity, NodeId, RaftId};
use crate::service::Model;
use crate::transport::{Endpoint, Hello, Route, Transport};

/// Finds the way to a node.
///
/// The addresses that this node was started with come first: they are what its operator says today. The membership in the
/// log says where the others are.
pub(crate) struct Peers {
    transport: Arc<dyn Transport>,
    cluster: ClusterId,
    group: GroupId,
    local: RaftId,
    model: Model,
    given: BTreeMap<NodeId, String>,
}

impl Peers {
    pub(crate) fn new(
        transport: Arc<dyn Transport>,
        group: GroupId,
        identity: &Identity,
        given: BTreeMap<NodeId, String>,
    ) -> Self {
        let Identity { cluster, id, model, .. } = *identity;
        Peers { transport, cluster, group, local: id, model, given }
    }

    /// This node.
    pub(crate) fn local(&self) -> RaftId {
        self.local
    }

    /// What this node writes on a message to `to`.
    pub(crate) fn route(&self, to: RaftId) -> Route {
        Route { cluster: self.cluster, group: self.group, from: self.local, to }
    }

    /// How this node presents itself.
    pub(crate) fn hello(&self) -> Hello {
        Hello { cluster: self.cluster, from: self.local, model: self.model }
    }

    /// The members that this node was started with, and their addresses.
    pub(crate) fn given(&self) -> &BTreeMap<NodeId, String> {
        &self.given
    }

    /// Where `node` is, if the log says `recorded`.
    pub(crate) fn address(&self, node: NodeId, recorded: &str) -> String {
        self.given.get(&node).cloned().unwrap_or_else(|| recorded.to_owned())
    }

    /// The proxy for an address.
    pub(crate) fn endpoint(&self, address: &str) -> Arc<dyn Endpoint> {
        self.transport.endpoint(address)
    }
}
