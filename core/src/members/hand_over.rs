//! A leader hands over to another node, without an error at any client.
//!
//! openraft refuses every proposal from the moment at which a transfer is begun until the next leadership, and begins it
//! whatever the heir holds. So first the heir is let come close; then proposals are held back in their queue, for the moment in which
//! the heir gets what is under way; then the transfer is begun, and the heir stands for election at once. What was held back goes to the
//! next leader, as whatever waits at a follower does (Ongaro's thesis, section 3.10).

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use super::Refusal;
use crate::identity::{NodeId, RaftId};
use crate::log_store::LogStore;
use crate::peers::Peers;
use crate::raft::Consensus;
use crate::runtime::{self, Instant};
use crate::transport::{HandOverReply, HandOverRequest, Role, Standing};

/// How often the heir is looked at.
const LOOK: Duration = Duration::from_millis(2);

/// How many entries the heir may be behind when proposals begin to be held back.
const CLOSE: u64 = 8;

/// How long the leader that a request is passed on to may take.
const ANSWER: Duration = Duration::from_secs(30);

/// While somebody holds it, the proposer proposes nothing.
#[derive(Debug, Default)]
pub(crate) struct Hold {
    holders: AtomicU64,
    released: Notify,
}

/// One who holds back proposals, until it is dropped.
struct Holding<'a>(&'a Hold);

impl Hold {
    fn hold(&self) -> Holding<'_> {
        self.holders.fetch_add(1, Ordering::SeqCst);
        Holding(self)
    }

    pub(crate) fn is_held(&self) -> bool {
        self.holders.load(Ordering::SeqCst) > 0
    }

    /// Waits until nobody holds it any more; for ever if nobody does.
    pub(crate) async fn released(&self) {
        if !self.is_held() {
            return pending().await;
        }
        while self.is_held() {
            self.released.notified().await;
        }
    }
}

impl Drop for Holding<'_> {
    fn drop(&mut self) {
        self.0.holders.fetch_sub(1, Ordering::SeqCst);
        // One permit is kept, so that whoever looks just now does not miss it.
        self.0.released.notify_one();
    }
}

/// Hands leadership over, on the node that leads.
pub(crate) struct HandOver {
    pub(crate) consensus: Consensus,
    pub(crate) peers: Arc<Peers>,
    pub(crate) log: Arc<dyn LogStore>,
    pub(crate) hold: Arc<Hold>,
    pub(crate) election: Duration,
}

impl HandOver {
    /// Hands over, or has the leader do so.
    pub(crate) async fn serve(&self, request: HandOverRequest) -> HandOverReply {
        match self.handed(request).await {
            Ok(leader) => HandOverReply::Done { leader },
            Err(Refusal { reason, retry }) => HandOverReply::Refused { reason, retry },
        }
    }

    async fn handed(&self, request: HandOverRequest) -> Result<NodeId, Refusal> {
        let now = self.consensus.leadership();
        if now.role == Role::Leader {
            return match request.to {
                Some(to) if to == self.peers.local().node => Ok(to),
                to => self.run(self.named(to)?).await.map(|heir| heir.node),
            };
        }
        if request.forwarded {
            return Err(Refusal::for_now("the node that was asked to hand over does not lead"));
        }
        // It may follow one that was added by what it does not hold yet.
        let membership = self.consensus.membership();
        let may_be_asked =
            |leader: &RaftId| *leader != self.peers.local() && membership.members.contains_key(leader);
        let leader = now.leader.filter(may_be_asked);
        let leader = leader.ok_or_else(|| Refusal::for_now("no leader is known"))?;
        if request.to == Some(leader.node) {
            return Ok(leader.node);
        }
        let endpoint = self.peers.endpoint_of(leader, &membership);
        let asked = endpoint.hand_over(HandOverRequest { forwarded: true, ..request });
        match runtime::timeout(ANSWER, asked).await {
            Ok(Ok(HandOverReply::Done { leader })) => Ok(leader),
            Ok(Ok(HandOverReply::Refused { reason, retry })) => Err(Refusal { reason, retry }),
            Ok(Err(error)) => {
                self.peers.failed(leader);
                Err(Refusal::for_now(format!("the leader, node {}, cannot be asked: {error}", leader.node)))
            }
            Err(_) => Err(Refusal::for_now(format!("the leader, node {}, does not answer", leader.node))),
        }
    }

    /// The voter that is meant by a node's id.
    fn named(&self, to: Option<NodeId>) -> Result<Option<BTreeSet<RaftId>>, Refusal> {
        let Some(to) = to else { return Ok(None) };
        let membership = self.consensus.membership();
        let lives: Vec<RaftId> = membership.members.keys().copied().filter(|id| id.node == to).collect();
        match lives.iter().find(|id| membership.standing(**id) == Standing::Voter) {
            Some(heir) => Ok(Some(BTreeSet::from([*heir]))),
            None if lives.is_empty() => Err(Refusal::for_good(format!("node {to} is no member"))),
            None => Err(Refusal::for_good(format!(
                "node {to} does not vote, and so cannot lead: promote it first"
            ))),
        }
    }

    /// Hands over to the best of `heirs`, or of all voters, and waits until it leads.
    pub(crate) async fn run(&self, heirs: Option<BTreeSet<RaftId>>) -> Result<RaftId, Refusal> {
        self.within(heirs, self.election * 4).await
    }

    /// Hands over to whoever is best if that is a matter of a moment, for a node that is about to end: without it, the others elect
    /// one in little more time than this waits.
    pub(crate) async fn briefly(&self) -> Result<RaftId, Refusal> {
        self.within(None, self.election).await
    }

    async fn within(&self, heirs: Option<BTreeSet<RaftId>>, patience: Duration) -> Result<RaftId, Refusal> {
        let begun = self.consensus.leadership();
        if begun.role != Role::Leader {
            return Err(Refusal::for_now("this node does not lead"));
        }
        let heir = self.best(heirs, patience / 2).await?;
        if !self.wait_for(heir, CLOSE, patience).await {
            return Err(Refusal::for_good(format!(
                "node {} is too far behind to lead: it has not come close to the end of the log within {patience:?}",
                heir.node
            )));
        }
        let holding = self.hold.hold();
        // If it does not get there, openraft's own transfer waits a little more.
        self.wait_for(heir, 0, self.election / 2).await;
        let mut watch = self.consensus.watch();
        if !self.consensus.transfer_to(heir).await {
            return Err(Refusal::for_good("consensus has stopped on this node"));
        }
        let taken_over = async {
            loop {
                let now = watch.now();
                if now.term > begun.term
                    && let Some(leader) = now.leader
                {
                    return leader;
                }
                if !watch.changed().await {
                    return pending().await;
                }
            }
        };
        let leader = runtime::timeout(patience, taken_over).await;
        drop(holding);
        match leader {
            Ok(leader) if leader == heir => {
                crate::sometimes!("a leader hands over");
                Ok(leader)
            }
            Ok(other) => Err(Refusal::for_good(format!(
                "node {} did not take over; by now node {} leads",
                heir.node, other.node
            ))),
            Err(_) => {
                Err(Refusal::for_now(format!("node {} did not take over, and nobody leads yet", heir.node)))
            }
        }
    }

    /// Who holds most of the log, of those voters that were heard lately. A leader that has just begun has heard nobody yet, and
    /// waits a little.
    async fn best(&self, heirs: Option<BTreeSet<RaftId>>, patience: Duration) -> Result<RaftId, Refusal> {
        let begun = Instant::now();
        loop {
            let (voters, best) = self.present(heirs.as_ref());
            if let Some(best) = best {
                return Ok(best);
            }
            if voters.is_empty() || begun.until(Instant::now()) > patience {
                let nodes: Vec<NodeId> = voters.iter().map(|id| id.node).collect();
                return Err(match nodes.is_empty() {
                    true => Refusal::for_good("there is no other voter that could lead"),
                    false => {
                        Refusal::for_now(format!("of the nodes {nodes:?} none answers, so none can lead"))
                    }
                });
            }
            runtime::sleep(LOOK).await;
        }
    }

    /// The other voters among `heirs`, and the best of those that were heard lately.
    fn present(&self, heirs: Option<&BTreeSet<RaftId>>) -> (Vec<RaftId>, Option<RaftId>) {
        let membership = self.consensus.membership();
        let own = self.peers.local();
        let may_lead = |id: &RaftId| {
            *id != own
                && membership.standing(*id) == Standing::Voter
                && heirs.is_none_or(|heirs| heirs.contains(id))
        };
        let voters: Vec<RaftId> = membership.members.keys().copied().filter(may_lead).collect();
        let present = voters.iter().filter_map(|id| {
            let replication = self.consensus.replication(*id)?;
            let silent = Duration::from_millis(replication.silent_ms?);
            // Of equals the one with the lowest id, on every node.
            (silent < self.election).then_some((replication.matched, Reverse(*id)))
        });
        let best = present.max().map(|(_, Reverse(id))| id);
        (voters, best)
    }

    /// Waits until a member is at most `behind` entries behind. `false` if it did not get there in time.
    async fn wait_for(&self, id: RaftId, behind: u64, patience: Duration) -> bool {
        let begun = Instant::now();
        loop {
            let last = self.log.state().last.map_or(0, |last| last.number);
            let matched = self.consensus.replication(id).and_then(|replication| replication.matched);
            if matched.is_some_and(|matched| matched + behind >= last) {
                return true;
            }
            if begun.until(Instant::now()) >= patience || self.consensus.leadership().role != Role::Leader {
                return false;
            }
            runtime::sleep(LOOK).await;
        }
    }
}
