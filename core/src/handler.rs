//! The node's side of every message: what peers and clients ask of it.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::future::ready;
use futures_util::stream::BoxStream;

use crate::answers::Answering;
use crate::apply::Replica;
use crate::formation::Formation;
use crate::identity::{GroupId, Identity};
use crate::intake::Intake;
use crate::log_store::LogStore;
use crate::members::changer::Changer;
use crate::members::steward::Heard;
use crate::peers::Peers;
use crate::planted::{self, Bug};
use crate::proposal::Proposal;
use crate::queue::Queue;
use crate::raft::Consensus;
use crate::runtime;
use crate::snapshot::{self, Receiving};
use crate::stop::Stop;
use crate::subscription::feed;
use crate::transport::{
    AppendReply, AppendRequest, ChangeReply, ChangeRequest, ClusterInfo, Confirm, Endpoint, ExportPiece,
    HandOverReply, HandOverRequest, Hello, HelloReply, Member, ProposeOpen, ProposeReply, ProposeRequest,
    QueryOpen, QueryReply, QueryRequest, ReadIndex, Replies, Route, SnapshotChunk, SnapshotOffer,
    SnapshotReply, Status, SubscribeReply, SubscribeRequest, TransferRequest, TransportError,
    TransportResult, VoteReply, VoteRequest,
};

/// Answers everything. It holds the parts that messages touch and has no state of its own.
pub(crate) struct Handler {
    pub(crate) identity: Identity,
    pub(crate) group: GroupId,
    pub(crate) formation: Arc<Formation>,
    pub(crate) consensus: Consensus,
    pub(crate) peers: Arc<Peers>,
    pub(crate) replica: Arc<Replica>,
    pub(crate) log: Arc<dyn LogStore>,
    pub(crate) queue: Arc<Queue<Proposal>>,
    pub(crate) answering: Answering,
    pub(crate) receiving: Arc<Receiving>,
    pub(crate) changer: Arc<Changer>,
    pub(crate) heard: Arc<Heard>,
    pub(crate) stop: Arc<Stop>,
}

impl Handler {
    fn admit(&self, route: &Route) -> TransportResult<()> {
        self.running()?;
        self.check_group(route.group)?;
        self.formation.admits(route).map_err(TransportError::Refused)
    }

    fn check_group(&self, group: GroupId) -> TransportResult<()> {
        if group != self.group {
            return Err(TransportError::Refused(format!("this node does not host group {group}")));
        }
        Ok(())
    }

    fn running(&self) -> TransportResult<()> {
        match self.stop.get() {
            Some(reason) => Err(TransportError::Refused(reason.to_string())),
            None => Ok(()),
        }
    }

    pub(crate) fn status_now(&self) -> Status {
        let leadership = self.consensus.leadership();
        let log = self.log.state();
        let index_at = |number| self.log.numbering_at(number).map(|n| n.last_index);
        let (version, membership) = self.consensus.membership_and_version();
        let members = membership
            .members
            .iter()
            .map(|(id, recorded)| Member {
                id: id.node,
                incarnation: id.incarnation,
                address: self.peers.address(*id, recorded),
                standing: membership.standing(*id),
                following: self.changer.following(*id),
            })
            .collect();
        // Consensus publishes what it committed a moment after the replica may have applied it.
        let applied = self.replica.applied_index();
        let committed =
            self.consensus.committed().and_then(|id| index_at(id.number)).unwrap_or(0).max(applied);
        Status {
            id: self.identity.id.node,
            role: leadership.role,
            term: leadership.term,
            leader: leadership.leader.map(|id| id.node),
            committed,
            applied,
            snapshot: self.replica.snapshot_index(),
            first: log.first_index,
            last: log.last_index,
            members,
            version,
            cluster: self.cluster_info(),
        }
    }

    fn cluster_info(&self) -> ClusterInfo {
        let Identity { cluster, cluster_name, initial_members, model, .. } = self.identity.clone();
        ClusterInfo { id: cluster, name: cluster_name, initial_members, model }
    }
}

#[async_trait]
impl Endpoint for Handler {
    async fn append(
        &self,
        route: Route,
        requests: BoxStream<'static, AppendRequest>,
    ) -> TransportResult<Replies<AppendReply>> {
        self.admit(&route)?;
        // A stream outlives its opening: until the cluster is formed, each request on it must still come from the life of its
        // node that presented itself last.
        let (formation, heard) = (self.formation.clone(), self.heard.clone());
        let admits = move |_: &AppendRequest| {
            heard.now();
            ready(formation.admits(&route).is_ok())
        };
        let admitted = requests.take_while(admits).boxed();
        Ok(self.consensus.append(match planted::is(Bug::SkipConsistencyCheck) {
            true => follow_anything(admitted, self.log.clone()),
            false => admitted,
        }))
    }

    async fn vote(&self, route: Route, request: VoteRequest) -> TransportResult<VoteReply> {
        self.admit(&route)?;
        self.consensus.vote(request).await
    }

    async fn pre_vote(&self, route: Route, request: VoteRequest) -> TransportResult<VoteReply> {
        self.admit(&route)?;
        self.consensus.pre_vote(request).await
    }

    async fn snapshot(
        &self,
        route: Route,
        offer: SnapshotOffer,
        chunks: BoxStream<'static, SnapshotChunk>,
    ) -> TransportResult<Replies<SnapshotReply>> {
        self.admit(&route)?;
        Ok(self.receiving.receive(self.consensus.clone(), offer, chunks))
    }

    async fn transfer(&self, route: Route, request: TransferRequest) -> TransportResult<()> {
        self.admit(&route)?;
        self.consensus.transfer(request).await
    }

    async fn hello(&self, hello: Hello) -> TransportResult<HelloReply> {
        self.running()?;
        // In this order: whoever is told that the cluster is formed is told of the membership that formed it, too.
        let formed = self.formation.is_formed();
        let (_, membership) = self.consensus.membership_now().await.map_err(TransportError::Refused)?;
        let known_as = membership.find_life(hello.from);
        // What is applied is committed.
        let applied = self.replica.position();
        let removed = hello.members_at.is_some_and(|at| applied.membership_at >= Some(at))
            && !applied.membership.members.contains_key(&hello.from);
        let leads = removed && self.consensus.read_number(Confirm::Lease).await.is_ok();
        Ok(self.formation.answer(&hello, formed, known_as, removed, leads))
    }

    async fn read_index(&self, route: Route, confirm: Confirm) -> TransportResult<ReadIndex> {
        self.admit(&route)?;
        let number = self.consensus.read_number(confirm).await.map_err(TransportError::Refused)?;
        Ok(ReadIndex { number })
    }

    async fn propose(
        &self,
        open: ProposeOpen,
        requests: BoxStream<'static, ProposeRequest>,
    ) -> TransportResult<Replies<ProposeReply>> {
        self.running()?;
        self.check_group(open.group)?;
        let intake = Intake { queue: self.queue.clone(), consensus: self.consensus.clone() };
        Ok(intake.serve(open, requests))
    }

    async fn query(
        &self,
        open: QueryOpen,
        requests: BoxStream<'static, QueryRequest>,
    ) -> TransportResult<Replies<QueryReply>> {
        self.running()?;
        self.check_group(open.group)?;
        Ok(self.answering.clone().serve(requests))
    }

    async fn subscribe(&self, request: SubscribeRequest) -> TransportResult<Replies<SubscribeReply>> {
        self.running()?;
        self.check_group(request.group)?;
        let feed = feed::serve(self.replica.clone(), self.log.clone(), request);
        // A node that has stopped applies nothing more: whoever follows it must go on elsewhere.
        let stop = self.stop.clone();
        let stopped = async move {
            stop.wait().await;
            crate::sometimes!("a node stops under a subscriber");
        };
        Ok(feed.take_until(stopped).boxed())
    }

    async fn status(&self, group: GroupId) -> TransportResult<Status> {
        self.check_group(group)?;
        Ok(self.status_now())
    }

    async fn change(&self, request: ChangeRequest) -> TransportResult<Replies<ChangeReply>> {
        self.running()?;
        self.check_group(request.group)?;
        Ok(self.changer.serve(request).await)
    }

    async fn hand_over(&self, request: HandOverRequest) -> TransportResult<HandOverReply> {
        self.running()?;
        self.check_group(request.group)?;
        Ok(self.changer.hand_over.serve(request).await)
    }

    async fn take_snapshot(&self, group: GroupId) -> TransportResult<u64> {
        self.running()?;
        self.check_group(group)?;
        snapshot::take_now(&self.consensus, &self.replica).await.map_err(TransportError::Refused)
    }

    async fn export(&self, group: GroupId) -> TransportResult<Replies<ExportPiece>> {
        self.take_snapshot(group).await?;
        let snapshots = self.receiving.snapshots.clone();
        let newest = runtime::blocking(move || snapshots.latest()).await;
        match newest
            .map_err(|error| TransportError::Refused(format!("the snapshot cannot be read: {error}")))?
        {
            Some(file) => Ok(snapshot::export(file)),
            None => Err(TransportError::Refused("there is no snapshot".to_owned())),
        }
    }
}

/// Requests that say of what they follow on whatever this log holds there, so that they always match.
fn follow_anything(
    requests: BoxStream<'static, AppendRequest>,
    log: Arc<dyn LogStore>,
) -> BoxStream<'static, AppendRequest> {
    let agreeing = move |mut request: AppendRequest| {
        if let Some(previous) = request.previous
            && let Ok(held) = log.read(previous.number..previous.number + 1, 0)
            && let Some(held) = held.first()
        {
            request.previous = Some(held.id());
        }
        request
    };
    requests.map(agreeing).boxed()
}
