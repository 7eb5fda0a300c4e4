//! Carries changes out, on the node that leads.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use tokio::sync::mpsc;

use super::Refusal;
use super::catch_up::{Rounds, Seen, remaining};
use super::goal::{Goal, Step, goal, next};
use super::hand_over::HandOver;
use crate::identity::{ClusterId, Membership, RaftId};
use crate::log_store::LogStore;
use crate::peers::Peers;
use crate::planted::{self, Bug};
use crate::raft::{Agreement, Consensus};
use crate::runtime::{self, Instant};
use crate::service::Model;
use crate::transport::{
    Change, ChangeReply, ChangeRequest, Following, MembershipVersion, Replies, Role, Standing,
    TransportResult,
};

/// How often a learner that catches up is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// How often who waits for it is told.
const TELL: Duration = Duration::from_millis(500);

/// How long the node at an address is waited for.
const ANSWER: Duration = Duration::from_secs(2);

/// How long a majority may take to agree on a membership.
const AGREEMENT: Duration = Duration::from_secs(20);

/// Between attempts while this leader waits for its first entry to be committed.
const PAUSE: Duration = Duration::from_millis(20);

/// What a membership is changed with.
pub(crate) struct Changer {
    pub(crate) cluster: ClusterId,
    pub(crate) model: Model,
    pub(crate) consensus: Consensus,
    pub(crate) peers: Arc<Peers>,
    pub(crate) log: Arc<dyn LogStore>,
    pub(crate) hand_over: Arc<HandOver>,
    /// A member that was not heard for longer is not there.
    pub(crate) election: Duration,
    /// The change under way.
    pub(crate) turn: Mutex<Option<String>>,
}

/// The turn of one change; ends when it is dropped.
struct Turn<'a>(&'a Changer);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.turn.lock().expect("no code panics while it holds this lock") = None;
    }
}

/// Where the progress of a change is told.
type Told = mpsc::Sender<TransportResult<ChangeReply>>;

impl Changer {
    /// Carries a change out, or has the leader do so.
    pub(crate) async fn serve(self: &Arc<Self>, request: ChangeRequest) -> Replies<ChangeReply> {
        let refused = |refusal: Refusal| {
            let reply = ChangeReply::Refused { reason: refusal.reason, retry: refusal.retry };
            stream::once(async move { Ok(reply) }).boxed()
        };
        let now = self.consensus.leadership();
        if now.role == Role::Leader {
            return self.begin(request);
        }
        if request.forwarded {
            return refused(Refusal::for_now("the node that was asked to change the members does not lead"));
        }
        // It may follow one that was added by what it does not hold yet.
        let membership = self.consensus.membership();
        let may_be_asked =
            |leader: &RaftId| *leader != self.peers.local() && membership.members.contains_key(leader);
        let leader = match now.leader.filter(may_be_asked) {
            Some(leader) => leader,
            None => return refused(Refusal::for_now("no leader is known: the members cannot change now")),
        };
        crate::sometimes!("a change of the members is passed on to the leader");
        let endpoint = self.peers.endpoint_of(leader, &membership);
        let forwarded = endpoint.change(ChangeRequest { forwarded: true, ..request });
        match runtime::timeout(ANSWER, forwarded).await {
            Ok(Ok(replies)) => replies,
            Ok(Err(error)) => {
                self.peers.failed(leader);
                refused(Refusal::for_now(format!(
                    "the leader, node {}, cannot be asked: {error}",
                    leader.node
                )))
            }
            Err(_) => refused(Refusal::for_now(format!("the leader, node {}, does not answer", leader.node))),
        }
    }

    fn begin(self: &Arc<Self>, request: ChangeRequest) -> Replies<ChangeReply> {
        let (told, replies) = mpsc::channel(16);
        let this = self.clone();
        // A task of its own: a step that was begun is waited for, whether or not anybody listens.
        runtime::spawn(async move {
            let last = match this.carry_out(request, &told).await {
                Ok(version) => ChangeReply::Done { version },
                Err(Refusal { reason, retry }) => ChangeReply::Refused { reason, retry },
            };
            // Whoever asked may have gone.
            let _ = told.send(Ok(last)).await;
        });
        stream::unfold(replies, async |mut replies| replies.recv().await.map(|reply| (reply, replies)))
            .boxed()
    }

    fn take_turn(&self, change: &str) -> Result<Turn<'_>, Refusal> {
        let mut turn = self.turn.lock().expect("no code panics while it holds this lock");
        if let Some(other) = &*turn {
            crate::sometimes!("a second change of the members is refused");
            return Err(Refusal::for_good(format!(
                "another change is under way, to {other}: wait for it, or end the command that asked for it"
            )));
        }
        *turn = Some(change.to_owned());
        Ok(Turn(self))
    }

    /// Whether no change is under way here.
    fn is_idle(&self) -> bool {
        self.turn.lock().expect("no code panics while it holds this lock").is_none()
    }

    async fn carry_out(&self, request: ChangeRequest, told: &Told) -> Result<MembershipVersion, Refusal> {
        let ChangeRequest { change, expected, .. } = request;
        let _turn = self.take_turn(&change.to_string())?;
        let (mut version, mut now) = self.present().await?;
        if let Some(expected) = expected.filter(|expected| *expected != version) {
            return Err(Refusal::for_good(format!(
                "the change is based on membership {expected}, and the present one is {version}: look at the members \
                 again, and decide anew"
            )));
        }
        if now.is_joint() {
            return Err(Refusal::for_now("a change that an earlier leader has begun is being finished"));
        }
        if let Change::Add { node: 0, .. } | Change::Replace { node: 0, .. } = change {
            return Err(Refusal::for_good("a node's id is at least 1"));
        }
        let candidate = self.candidate(&change).await?;
        if let Some(life) = candidate
            && let Change::Add { address, .. } | Change::Replace { address, .. } = &change
            && now.members.get(&life).is_some_and(|recorded| recorded != address)
        {
            crate::sometimes!("a member that is asked for again has moved meanwhile");
            self.agreed(|| self.consensus.set_address(life, address.clone(), version)).await?;
            (version, now) = self.present().await?;
        }
        let goal = goal(&change, &now, candidate)?;
        if let Change::Move { node, address } = change {
            let moved = now.members.keys().find(|id| id.node == node).copied().unwrap_or_default();
            if now.members.get(&moved) == Some(&address) {
                return Ok(version);
            }
            return self.agreed(|| self.consensus.set_address(moved, address.clone(), version)).await;
        }
        self.step_aside(&now, &goal).await?;
        self.check_presence(&now, &goal, &BTreeSet::new()).await?;
        self.walk(version, now, goal, told).await
    }

    /// Goes from one membership to the next, until the goal is reached.
    async fn walk(
        &self,
        mut version: MembershipVersion,
        mut now: Membership,
        goal: Goal,
        told: &Told,
    ) -> Result<MembershipVersion, Refusal> {
        let mut ready = BTreeSet::new();
        loop {
            match next(&now, &goal, &ready) {
                Some(Step::Done) => return Ok(version),
                Some(Step::CatchUp(learner)) => {
                    self.catch_up(learner, told).await?;
                    ready.insert(learner);
                    self.check_presence(&now, &goal, &ready).await?;
                }
                Some(Step::Agree(membership)) => {
                    crate::sometimes!(membership.is_joint(), "voters change by joint consensus");
                    version = self.agreed(|| self.consensus.agree(&membership, version)).await?;
                    now = membership;
                }
                None => {
                    return Err(Refusal::for_good("the members have changed in between: look at them again"));
                }
            }
        }
    }

    /// The membership of the log's end.
    async fn present(&self) -> Result<(MembershipVersion, Membership), Refusal> {
        let (version, now) = self.consensus.membership_now().await.map_err(Refusal::for_now)?;
        Ok((version.ok_or_else(|| Refusal::for_now("the cluster is not formed yet"))?, now))
    }

    /// Waits until a majority has agreed, and tries again for as long as consensus is only not ready.
    async fn agreed<F, A>(&self, attempt: A) -> Result<MembershipVersion, Refusal>
    where
        A: Fn() -> F,
        F: Future<Output = Result<MembershipVersion, Agreement>>,
    {
        let begun = Instant::now();
        loop {
            let left = AGREEMENT.saturating_sub(begun.until(Instant::now()));
            match runtime::timeout(left, attempt()).await {
                Ok(Ok(version)) => return Ok(version),
                Ok(Err(Agreement::NotYet(reason))) if left.is_zero() => {
                    return Err(Refusal::for_good(format!("{reason}: look at the members, and ask again")));
                }
                Ok(Err(Agreement::NotYet(_))) => runtime::sleep(PAUSE).await,
                Ok(Err(Agreement::Refused(refusal))) => return Err(refusal),
                Err(_) => {
                    return Err(Refusal::for_good(
                        "no majority has agreed in time; the change may still come about, or be dropped by the next \
                         leader: look at the members",
                    ));
                }
            }
        }
    }

    /// The life of the node at the address that a change names.
    async fn candidate(&self, change: &Change) -> Result<Option<RaftId>, Refusal> {
        let (node, address) = match change {
            Change::Add { node, address, .. } | Change::Replace { node, address, .. } => (*node, address),
            Change::Promote { .. } | Change::Remove { .. } | Change::Move { .. } | Change::Voters { .. } => {
                return Ok(None);
            }
        };
        let endpoint = self.peers.endpoint(address);
        let asked = endpoint.hello(self.peers.hello(None));
        let hello = match runtime::timeout(ANSWER, asked).await {
            Ok(Ok(hello)) => hello,
            Ok(Err(error)) => {
                return Err(Refusal::for_good(format!(
                    "node {node} must run before it is added, and at {address} nothing answers: {error}"
                )));
            }
            Err(_) => {
                return Err(Refusal::for_good(format!(
                    "the node at {address} does not answer within {ANSWER:?}"
                )));
            }
        };
        if hello.cluster != self.cluster {
            return Err(Refusal::for_good(format!(
                "the node at {address} belongs to the cluster {} ({}), not to this one ({}): start it on an empty \
                 directory, to join this one",
                hello.cluster_name, hello.cluster, self.cluster
            )));
        }
        if hello.model != self.model {
            return Err(Refusal::for_good(format!(
                "the node at {address} runs the service in the {} model, this cluster in the {} model",
                hello.model, self.model
            )));
        }
        if hello.id.node != node {
            return Err(Refusal::for_good(format!(
                "at {address} there is node {}, not node {node}",
                hello.id.node
            )));
        }
        Ok(Some(hello.id))
    }

    /// Hands over first, if this node is to go.
    async fn step_aside(&self, now: &Membership, goal: &Goal) -> Result<(), Refusal> {
        let own = self.peers.local();
        if goal.voters.contains(&own) || !now.is_voter(own) {
            return Ok(());
        }
        crate::sometimes!("a leader that is to be removed hands over first");
        let heirs: BTreeSet<RaftId> =
            goal.voters.iter().copied().filter(|id| now.standing(*id) == Standing::Voter).collect();
        if heirs.is_empty() {
            return Err(Refusal::for_good(
                "the leader would go, and none of those who stay votes yet: add them first, and then remove it",
            ));
        }
        let heir = self.hand_over.run(Some(heirs)).await?;
        Err(Refusal::for_now(format!(
            "the leader is to be removed, and has handed over to node {}",
            heir.node
        )))
    }

    /// Refuses a set of voters of which no majority is there.
    async fn check_presence(
        &self,
        now: &Membership,
        goal: &Goal,
        ready: &BTreeSet<RaftId>,
    ) -> Result<(), Refusal> {
        if now.voters.last() == Some(&goal.voters) {
            return Ok(());
        }
        // Whoever is added is waited for, so it is there when it votes.
        let is_there =
            |id: &RaftId| !now.members.contains_key(id) || ready.contains(id) || self.is_present(*id);
        let begun = Instant::now();
        loop {
            let absent: Vec<u64> = goal.voters.iter().filter(|id| !is_there(id)).map(|id| id.node).collect();
            if absent.len() < goal.voters.len().div_ceil(2) {
                return Ok(());
            }
            // A leader that has just begun has heard nobody yet.
            if begun.until(Instant::now()) > self.election * 2 {
                crate::sometimes!("a change that would leave no majority is refused");
                let voters: Vec<u64> = goal.voters.iter().map(|id| id.node).collect();
                return Err(Refusal::for_now(format!(
                    "of the voters that there would be, {voters:?}, the nodes {absent:?} do not answer: the cluster would \
                     stop. Start them, or remove or replace one of them first"
                )));
            }
            runtime::sleep(LOOK).await;
        }
    }

    fn is_present(&self, id: RaftId) -> bool {
        id == self.peers.local()
            || self
                .consensus
                .replication(id)
                .and_then(|replication| replication.silent_ms)
                .is_some_and(|silent| Duration::from_millis(silent) < self.election * 2)
    }

    /// Waits until a learner holds the log.
    async fn catch_up(&self, learner: RaftId, told: &Told) -> Result<(), Refusal> {
        let begun = Instant::now();
        let mut rounds = Rounds::new(self.election);
        let (mut told_at, mut told_done) = (begun, None);
        loop {
            let now = self.consensus.leadership();
            if now.role != Role::Leader {
                return Err(Refusal::for_now("the leader changed while a node was catching up"));
            }
            if told.is_closed() {
                crate::sometimes!("whoever asked for a change goes while a node catches up");
                return Err(Refusal::for_good("nobody waits for the change any more"));
            }
            let last = self.log.state().last.map(|last| last.number);
            let matched = self.consensus.replication(learner).and_then(|replication| replication.matched);
            let at = begun.until(Instant::now());
            if rounds.see(Seen { at, matched, last }) {
                crate::sometimes!(at > self.election, "a learner takes long to catch up");
                return Ok(());
            }
            if told_at.until(Instant::now()) >= TELL {
                let (reply, done) = self.progress(learner, told_done, told_at);
                // Who reads slowly is told less.
                let _ = told.try_send(Ok(reply));
                (told_at, told_done) = (Instant::now(), Some(done));
            }
            runtime::sleep(LOOK).await;
        }
    }

    /// What is told of a learner; and what was done of what there is to do, in records or in bytes of its snapshot.
    fn progress(&self, learner: RaftId, before: Option<u64>, since: Instant) -> (ChangeReply, u64) {
        let last = self.log.state().last_index;
        let following =
            self.following(learner).unwrap_or(Following { held: 0, silent_ms: None, snapshot: None });
        let (done, whole) = match following.snapshot {
            Some(sending) => (sending.sent, sending.length),
            None => (following.held, last),
        };
        let remaining = before.and_then(|before| remaining(before, done, whole, since.until(Instant::now())));
        let remaining_ms = remaining.map(|d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX));
        (ChangeReply::CatchingUp { node: learner.node, following, last, remaining_ms }, done)
    }

    /// How far another member has come, if this node leads.
    pub(crate) fn following(&self, id: RaftId) -> Option<Following> {
        let replication = self.consensus.replication(id).filter(|_| id != self.peers.local())?;
        let held = replication.matched.and_then(|number| self.log.numbering_at(number));
        Some(Following {
            held: held.map_or(0, |numbering| numbering.last_index),
            silent_ms: replication.silent_ms,
            snapshot: self.peers.sending(id),
        })
    }

    /// Finishes a change that was left between two sets. Tried by whoever leads.
    pub(crate) async fn finish(&self) {
        if planted::is(Bug::ForgetHalfWay) || !self.is_idle() {
            return;
        }
        let Ok((version, now)) = self.present().await else { return };
        if !now.is_joint() {
            return;
        }
        let Ok(_turn) = self.take_turn("finish what an earlier leader has begun") else { return };
        crate::sometimes!("a change that was left between two sets of voters is finished");
        let Goal { voters, members, .. } = Goal::of_joint(&now);
        let membership = Membership { voters: vec![voters], members };
        match self.agreed(|| self.consensus.agree(&membership, version)).await {
            Ok(version) => tracing::info!(%version, "finished a change of the members"),
            Err(refusal) => {
                tracing::debug!(reason = refusal.reason, "cannot finish a change of the members yet")
            }
        }
    }
}
