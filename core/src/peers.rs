//! Where the other nodes are, and what this node writes on messages to them.
//!
//! Two may say where a node is: whoever started this one, and the log. They agree as a rule. After a change of addresses, or where a
//! whole cluster was moved while it was stopped, one of them is out of date, and nothing tells which. So the command line is tried
//! first, as what an operator says today, and after each failure the other one. To try the wrong address does no harm: every
//! message names the life that it is meant for, and is refused by everybody else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use crate::entry::EntryId;
use crate::identity::{ClusterId, GroupId, Identity, Membership, NodeId, RaftId};
use crate::service::Model;
use crate::transport::{Endpoint, Hello, Route, Sending, Transport};

/// Finds the way to a node; see the module.
pub(crate) struct Peers {
    transport: Arc<dyn Transport>,
    cluster: ClusterId,
    group: GroupId,
    local: RaftId,
    model: Model,
    given: BTreeMap<NodeId, String>,
    /// Nodes of the cluster that are asked before this one knows any member.
    contacts: Vec<String>,
    book: Mutex<Book>,
}

/// What is learned of the others.
#[derive(Debug, Default)]
struct Book {
    /// Where the log says that they are.
    recorded: BTreeMap<RaftId, String>,
    /// Whom the log's address is tried for now, where there are two.
    by_log: BTreeSet<RaftId>,
    /// The snapshots that they are being sent.
    sending: BTreeMap<RaftId, Sending>,
}

impl Peers {
    pub(crate) fn new(
        transport: Arc<dyn Transport>,
        group: GroupId,
        identity: &Identity,
        given: BTreeMap<NodeId, String>,
        contacts: Vec<String>,
    ) -> Self {
        let Identity { cluster, id, model, .. } = *identity;
        Peers { transport, cluster, group, local: id, model, given, contacts, book: Mutex::default() }
    }

    fn book(&self) -> std::sync::MutexGuard<'_, Book> {
        self.book.lock().expect("no code panics while it holds this lock")
    }

    /// This node.
    pub(crate) fn local(&self) -> RaftId {
        self.local
    }

    /// Where the others reach this node, as its operator says.
    pub(crate) fn own_address(&self) -> String {
        self.given.get(&self.local.node).cloned().unwrap_or_default()
    }

    /// What this node writes on a message to `to`.
    pub(crate) fn route(&self, to: RaftId) -> Route {
        Route { cluster: self.cluster, group: self.group, from: self.local, to }
    }

    /// How this node presents itself, if it goes by the membership of that entry.
    pub(crate) fn hello(&self, members_at: Option<EntryId>) -> Hello {
        Hello { cluster: self.cluster, from: self.local, model: self.model, members_at }
    }

    /// The members that this node was started with, and their addresses.
    pub(crate) fn given(&self) -> &BTreeMap<NodeId, String> {
        &self.given
    }

    /// All addresses at which others may be.
    pub(crate) fn others(&self, membership: &Membership) -> BTreeSet<String> {
        let given =
            self.given.iter().filter(|(node, _)| **node != self.local.node).map(|(_, address)| address);
        let recorded =
            membership.members.iter().filter(|(id, _)| **id != self.local).map(|(_, address)| address);
        given.chain(recorded).chain(&self.contacts).cloned().collect()
    }

    /// Takes down where the log says that the members are.
    pub(crate) fn record(&self, membership: &Membership) {
        let mut book = self.book();
        book.recorded.clone_from(&membership.members);
        book.by_log.retain(|id| membership.members.contains_key(id));
        book.sending.retain(|id, _| membership.members.contains_key(id));
    }

    /// Where a member is, if the log says `recorded`, as far as can be told now.
    pub(crate) fn address(&self, id: RaftId, recorded: &str) -> String {
        let book = self.book();
        let recorded = book.recorded.get(&id).map_or(recorded, String::as_str);
        match self.given.get(&id.node).filter(|_| !book.by_log.contains(&id)) {
            Some(given) => given.clone(),
            None => recorded.to_owned(),
        }
    }

    /// A message to a member has failed: its other address, if it has two, is tried next.
    pub(crate) fn failed(&self, id: RaftId) {
        let mut book = self.book();
        let given = self.given.get(&id.node);
        if given.is_some() && book.recorded.get(&id).is_some_and(|recorded| Some(recorded) != given) {
            crate::sometimes!("a member is looked for at its other address");
            if !book.by_log.remove(&id) {
                book.by_log.insert(id);
            }
        }
    }

    /// The proxy for a member.
    pub(crate) fn endpoint_of(&self, id: RaftId, membership: &Membership) -> Arc<dyn Endpoint> {
        let recorded = membership.members.get(&id).cloned().unwrap_or_default();
        self.endpoint(&self.address(id, &recorded))
    }

    /// The proxy for an address.
    pub(crate) fn endpoint(&self, address: &str) -> Arc<dyn Endpoint> {
        self.transport.endpoint(address)
    }

    /// Takes down how much of a snapshot has arrived at a member; none when the transfer has ended.
    pub(crate) fn sends(&self, id: RaftId, sending: Option<Sending>) {
        let mut book = self.book();
        match sending {
            Some(sending) => book.sending.insert(id, sending),
            None => book.sending.remove(&id),
        };
    }

    /// The snapshot that a member is being sent.
    pub(crate) fn sending(&self, id: RaftId) -> Option<Sending> {
        self.book().sending.get(&id).copied()
    }
}
