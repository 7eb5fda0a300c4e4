//! How a cluster comes to be, once, and how a node with a lost disk is kept out.
//!
//! Nodes that were given the same name and the same initial members form a cluster by themselves, in whatever order they
//! start. At every start a node presents itself to all the others ([`Hello`]) and learns three things from each: whether it is
//! of the same cluster, whether it knows the cluster to be formed, and under which life it knows this node.
//!
//! - The *founder*, the initial member with the lowest id, writes the first membership, with the life of each member in it,
//!   as soon as every initial member has said in one round that its log is empty, its cluster the same, and that the life
//!   of the founder's node which last presented itself there is the one that asks.
//! - The others wait to hear from it. Until they have, they take no message from a life of a node other than the one
//!   that last presented itself, so that nothing from before a node lost its disk can reach them, also not on a stream that
//!   was opened before.
//!   So if two processes are started with the founder's id by mistake, at most one of them gets a majority: had each
//!   finished its last round last at some member, then each would have presented itself there, in the round before, after
//!   the other's last round had begun, and so each would have begun its last round after the other.
//! - A node whose log is empty while a peer knows the formed cluster, and knows this node under another life, has lost its
//!   disk. It does not start: its votes are forgotten, and giving them again could break what was promised. Unless its operator says
//!   that the disk is lost ([`IfEmpty::Replace`]): then it takes part under its new life, and takes its place by a change of the
//!   members.
//! - A node that was told to wait ([`IfEmpty::Wait`]) forms nothing. Somebody adds it, and it hears from the leader.
//! - A node that finds a later membership than its own, and is none of its members, was removed. It does not start, since nobody
//!   will ever send it anything.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;

use crate::entry::EntryId;
use crate::error::{StartError, Stopped};
use crate::identity::{Identity, NodeId, RaftId};
use crate::log_store::LogStore;
use crate::peers::Peers;
use crate::planted::{self, Bug};
use crate::raft::Consensus;
use crate::runtime;
use crate::stop::Stop;
use crate::transport::{Hello, HelloReply, MembershipVersion, Route};

/// How long one node is waited for in a round.
const ANSWER: Duration = Duration::from_secs(1);

/// Between rounds, while members are missing.
const PAUSE: Duration = Duration::from_millis(50);

/// Between rounds of a node that waits to be added.
const LONG_PAUSE: Duration = Duration::from_millis(500);

/// What a node does whose log is empty. It means nothing for one whose log is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Hash)]
pub enum IfEmpty {
    /// It forms the cluster with the other initial members, unless that is formed already: then it has lost its disk, and does not
    /// start.
    #[default]
    Form,
    /// It waits until somebody adds it.
    Wait,
    /// It takes the place that it had before it lost its disk.
    Replace,
}

/// What a node knows about the forming of its cluster.
pub(crate) struct Formation {
    identity: Identity,
    log: Arc<dyn LogStore>,
    if_empty: IfEmpty,
    /// The life of each node that last presented itself, while this node's log is empty.
    presented: Mutex<BTreeMap<NodeId, u64>>,
}

impl Formation {
    pub(crate) fn new(identity: Identity, log: Arc<dyn LogStore>, if_empty: IfEmpty) -> Self {
        Formation { identity, log, if_empty, presented: Mutex::default() }
    }

    /// Whether this node is to take the place that it had before it lost its disk.
    pub(crate) fn replaces(&self) -> bool {
        self.if_empty == IfEmpty::Replace
    }

    /// Whether this node's log holds anything.
    pub(crate) fn is_formed(&self) -> bool {
        self.log.state().last.is_some()
    }

    /// Answers a node that presents itself. `known_as` is no older than `formed`.
    pub(crate) fn answer(
        &self,
        hello: &Hello,
        formed: bool,
        known_as: Option<RaftId>,
        removed: bool,
        leads: bool,
    ) -> HelloReply {
        let mut known_as = known_as;
        if !formed && hello.cluster == self.identity.cluster {
            let mut presented = self.presented.lock().expect("no code panics while it holds this lock");
            let before = presented.insert(hello.from.node, hello.from.incarnation);
            crate::sometimes!("a node presents itself before the cluster is formed");
            crate::sometimes!(
                before.is_some_and(|life| life != hello.from.incarnation),
                "a node presents itself in another life before the cluster is formed"
            );
            known_as = before.map(|incarnation| RaftId::new(hello.from.node, incarnation));
            // Another founder's first entry may have come since `formed` was asked: then nobody else is told that this node
            // waits for them. What was admitted before this life presented itself has been taken by now, since the membership
            // was asked of consensus behind it.
            if self.is_formed() {
                known_as = None;
            }
        }
        HelloReply {
            cluster: self.identity.cluster,
            cluster_name: self.identity.cluster_name.clone(),
            id: self.identity.id,
            model: self.identity.model,
            formed,
            known_as,
            removed: removed && hello.cluster == self.identity.cluster,
            leads,
        }
    }

    /// Whether a peer's message may be taken.
    pub(crate) fn admits(&self, route: &Route) -> Result<(), String> {
        if planted::is(Bug::AdmitAnyLife) {
            return Ok(());
        }
        let Identity { cluster, id, .. } = &self.identity;
        if route.cluster != *cluster {
            return Err(format!("the message is for the cluster {}, this is {cluster}", route.cluster));
        }
        if route.to != *id {
            crate::sometimes!("a message for another life of its receiver is refused");
            return Err(format!("the message is for {}, this is {id}", route.to));
        }
        if !self.is_formed() {
            let presented = self.presented.lock().expect("no code panics while it holds this lock");
            if presented.get(&route.from.node).is_some_and(|life| *life != route.from.incarnation) {
                crate::sometimes!("a message from an earlier life of its sender is refused");
                return Err(format!("{} has been replaced by a later life of its node", route.from));
            }
        }
        Ok(())
    }

    /// Asks every other node that may know of the cluster once. Gives the answers, or why this node must not start.
    ///
    /// Whether it was removed is judged by what is committed: a membership that was only appended, and made it a member, may have been
    /// dropped, and then it still waits to be one. `was_member` says that this node has known itself to be one before.
    pub(crate) async fn ask(
        &self,
        consensus: &Consensus,
        peers: &Peers,
        was_member: bool,
    ) -> Result<Vec<HelloReply>, StartError> {
        let own = self.identity.id.node;
        let given: BTreeMap<&String, NodeId> =
            peers.given().iter().filter(|(id, _)| **id != own).map(|(id, address)| (address, *id)).collect();
        // Of a node that has just started, nothing else is up to date.
        let (effective, membership) = consensus.membership_now().await.map_err(StartError::Internal)?;
        let id = |version: MembershipVersion| EntryId::new(version.term, version.number);
        // What the log knows to be committed, consensus finds out only when it has applied it. And who votes by what was only
        // appended has been a learner by what was committed, so that it does not matter if that was dropped.
        let is_certain =
            self.log.state().committed >= effective.map(id) || membership.is_voter(self.identity.id);
        let (version, committed) = match is_certain {
            true => (effective, membership.clone()),
            false => consensus.membership_committed().await.map_err(StartError::Internal)?,
        };
        let is_member = committed.members.contains_key(&self.identity.id);
        let members_at = version.filter(|_| is_member || was_member).map(id);
        let others = peers.others(&membership);
        let calls = others.iter().map(|address| {
            let (endpoint, hello) = (peers.endpoint(address), peers.hello(members_at));
            async move { (address, runtime::timeout(ANSWER, endpoint.hello(hello)).await) }
        });
        let mut answers = Vec::new();
        for (address, answer) in join_all(calls).await {
            match answer {
                Ok(Ok(answer)) => {
                    self.judge(given.get(address).copied(), &answer, is_member)?;
                    answers.push(answer);
                }
                Ok(Err(error)) => tracing::debug!(address, %error, "does not answer yet"),
                Err(_) => tracing::debug!(address, "does not answer yet"),
            }
        }
        Ok(answers)
    }

    /// Judges the answer of who is where `given` should be, if this node was told so.
    fn judge(&self, given: Option<NodeId>, answer: &HelloReply, is_member: bool) -> Result<(), StartError> {
        let Identity { cluster, cluster_name, id, .. } = &self.identity;
        let peer = given.unwrap_or(answer.id.node);
        if answer.cluster != *cluster {
            // At an address of which only the log tells, somebody else may be by now.
            let Some(peer) = given else { return Ok(()) };
            return Err(StartError::ForeignPeer {
                peer,
                theirs: answer.cluster,
                theirs_name: answer.cluster_name.clone(),
                ours: *cluster,
                ours_name: cluster_name.clone(),
            });
        }
        if answer.model != self.identity.model {
            return Err(StartError::OtherModel { peer, theirs: answer.model, ours: self.identity.model });
        }
        if answer.id.node != peer && !self.is_formed() {
            return Err(StartError::Config(format!(
                "at the address given for node {peer} there is node {}: correct the members' addresses",
                answer.id.node
            )));
        }
        let removed = StartError::Removed { node: id.node, peer, cluster: cluster_name.clone() };
        // Who goes by a membership of which it is no member any more cannot tell who is behind: then only a leader can.
        if answer.removed && (is_member || answer.leads) {
            return Err(removed);
        }
        if !self.is_formed()
            && self.if_empty == IfEmpty::Form
            && answer.formed
            && answer.known_as != Some(*id)
        {
            let Some(known) = answer.known_as else { return Err(removed) };
            crate::sometimes!("a node that has lost its disk is kept out");
            return Err(StartError::DiskLost {
                node: id.node,
                peer,
                cluster: cluster_name.clone(),
                known_as: known.to_string(),
            });
        }
        Ok(())
    }

    /// Whether this node was removed from the cluster, as a sentence. Asks the members that it knows.
    pub(crate) async fn removal(
        &self,
        consensus: &Consensus,
        peers: &Peers,
        was_member: bool,
    ) -> Option<String> {
        match self.ask(consensus, peers, was_member).await {
            Err(removed @ StartError::Removed { .. }) => Some(removed.to_string()),
            Ok(_) | Err(_) => None,
        }
    }

    /// Goes on asking until the cluster is formed; the founder forms it. Stops the node if it must not take part.
    pub(crate) async fn form(self: Arc<Self>, consensus: Consensus, peers: Arc<Peers>, stop: Arc<Stop>) {
        while !self.is_formed() {
            let answers = match self.ask(&consensus, &peers, false).await {
                Ok(answers) => answers,
                Err(error) => return stop.set(Stopped::Refused(error.to_string())),
            };
            if let Some(members) = self.found(&answers, &peers) {
                tracing::info!(cluster = %self.identity.cluster_name, ?members, "forms the cluster");
                if let Err(error) = consensus.initialize(members).await
                    && !self.is_formed()
                {
                    return stop.set(Stopped::Internal(format!("the cluster cannot be formed: {error}")));
                }
                return;
            }
            if self.is_formed() {
                return;
            }
            runtime::sleep(if self.if_empty == IfEmpty::Form { PAUSE } else { LONG_PAUSE }).await;
        }
    }

    /// The first membership, if this node is the founder and everybody is there and empty.
    fn found(&self, answers: &[HelloReply], peers: &Peers) -> Option<BTreeMap<RaftId, String>> {
        let Identity { id, initial_members, .. } = &self.identity;
        if self.if_empty != IfEmpty::Form || initial_members.first() != Some(&id.node) {
            return None;
        }
        let mut lives: BTreeMap<NodeId, RaftId> = answers
            .iter()
            .filter(|a| !a.formed && a.known_as == Some(*id))
            .map(|a| (a.id.node, a.id))
            .collect();
        lives.insert(id.node, *id);
        initial_members
            .iter()
            .map(|node| Some((*lives.get(node)?, peers.given().get(node)?.clone())))
            .collect()
    }
}
