//! The proposer: one task a group, the only one that sends proposals to consensus.
//!
//! It follows the leadership. While another node leads, it forwards; while nobody does, proposals wait for their deadlines.
//! While this node leads, it works behind the fence ([`crate::fence`]):
//!
//! 1. draw a new token and propose the barrier;
//! 2. when the barrier is *applied here*, begin with what was copied in that very call ([`Working`]);
//! 3. make one entry of whatever has gathered and may enter, with the token and the next position, send it, go on;
//! 4. at any failure, or when the leadership changes: drop all of that and start over with a new token.
//!
//! Sends are awaited one after the other and never cancelled, so that the order of positions is the order in the log. An entry
//! that is committed but does not count had no effect and never will; so it is with those that consensus refused before it
//! appended them: their clients are told so, and propose again, in their order. What was appended and lost sight of is
//! unknown, and they are told that. A command that has entered before is answered when everything that was under way before it
//! has been applied, from the replies that the replica keeps.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;

use crate::apply::Replica;
use crate::courier::{End, deliver};
use crate::entry::{Entry, EntryKind};
use crate::fence::{Fence, Token};
use crate::identity::{ClusterId, GroupId, Identity, RaftId};
use crate::members::hand_over::Hold;
use crate::outcome::{joined, not_committed, unknown};
use crate::peers::Peers;
use crate::planted::{self, Bug};
use crate::proposal::{Batch, Proposal};
use crate::queue::Queue;
use crate::raft::{Applied, Consensus, Leadership, LeadershipWatch, ProposeFailure, Proposed};
use crate::reply::split_replies;
use crate::runtime;
use crate::session::Kept;
use crate::transport::{Outcome, Part, ProposeOpen, Role};
use crate::working::{Decision, Plan, Planner, Working};

/// How often to look for callers whose time has passed while nothing else happens.
const TICK: Duration = Duration::from_millis(20);

/// How long to wait before asking a new leader again that has not heard from a quorum yet, or a node that refused.
const PAUSE: Duration = Duration::from_millis(10);

/// How long opening a stream to the leader may take.
const OPENING: Duration = Duration::from_secs(1);

/// How many entries may be under way. While they are, the next one grows.
const UNDER_WAY_MAX: usize = 4;

/// How many bytes of replies go back in one message, which must be one that can be sent. What does not fit is told to be unknown, and
/// its client asks again: those of a session get the reply that is kept. One that alone is longer is never sent.
const MESSAGE_REPLY_BYTES_MAX: usize = 32 << 20;

const TOO_MUCH: &str = "the replies are too long for one message";

/// Draws tokens that are never used twice, in this or any other life of the node.
pub(crate) struct Tokens {
    id: RaftId,
    starts: u32,
    next: AtomicU64,
}

impl Tokens {
    pub(crate) fn new(identity: &Identity) -> Self {
        Tokens { id: identity.id, starts: identity.starts, next: AtomicU64::new(1) }
    }

    fn draw(&self) -> Token {
        let count = self.next.fetch_add(1, Ordering::Relaxed);
        assert!(count <= u64::from(u32::MAX), "this node has begun {count} leaderships since it started");
        Token {
            node: self.id.node,
            incarnation: self.id.incarnation,
            counter: (u64::from(self.starts) << 32) | count,
        }
    }
}

pub(crate) struct Proposer {
    pub(crate) origin: ClusterId,
    pub(crate) group: GroupId,
    pub(crate) consensus: Consensus,
    pub(crate) replica: Arc<Replica>,
    pub(crate) planner: Planner,
    pub(crate) peers: Arc<Peers>,
    pub(crate) queue: Arc<Queue<Proposal>>,
    pub(crate) hold: Arc<Hold>,
    pub(crate) tokens: Tokens,
}

impl Proposer {
    /// Works until consensus has stopped.
    pub(crate) async fn run(self) {
        let mut watch = self.consensus.watch();
        loop {
            let now = watch.now();
            match now {
                Leadership { role: Role::Leader, term, .. } => self.lead(term, &mut watch).await,
                Leadership { leader: Some(leader), .. } if leader != self.peers.local() => {
                    self.forward(leader, now, &mut watch).await;
                }
                _ => {
                    let _ = runtime::timeout(TICK, watch.changed()).await;
                }
            }
            self.queue.expire();
            if watch.has_ended() || self.consensus.fatal().is_some() {
                return;
            }
        }
    }

    /// Proposes as the leader of `term`, until that ends.
    async fn lead(&self, term: u64, watch: &mut LeadershipWatch) {
        let Some(mut working) = self.begin(term, watch).await else {
            return self.replica.await_no_barrier();
        };
        let mut under_way = FuturesOrdered::new();
        loop {
            let held = self.hold.is_held();
            let free = under_way.len() < UNDER_WAY_MAX && !held;
            tokio::select! {
                biased;
                Some((plan, outcome)) = under_way.next(), if !under_way.is_empty() => {
                    if !settle(plan, outcome, &self.replica) && !planted::is(Bug::CountByTerm) {
                        break;
                    }
                }
                alive = watch.changed() => {
                    if !alive || !leads(watch.now(), term) {
                        break;
                    }
                }
                () = self.queue.wait(), if free => {
                    runtime::yield_now().await;
                    let Some(batch) = Batch::take(&self.queue) else { continue };
                    let now = runtime::unix_time();
                    let Some((moved, mut plan)) = self.planner.plan(working, batch, now).await else { break };
                    working = moved;
                    match plan.entry.take() {
                        None => {
                            crate::sometimes!(!under_way.is_empty(), "a duplicate waits for what is under way");
                            under_way.push_back(outcome_of(plan, None));
                        }
                        Some(entry) => match self.consensus.propose(term, entry).await {
                            Ok(proposed) => under_way.push_back(outcome_of(plan, Some(proposed))),
                            Err(_) => {
                                // Consensus did not even receive it.
                                plan.batch.finish(not_committed("consensus has stopped on this node"));
                                break;
                            }
                        },
                    }
                }
                () = self.hold.released(), if held => {}
                () = runtime::sleep(TICK), if !free => {
                        self.queue.expire();
                    }
            }
        }
        if !under_way.is_empty() {
            crate::sometimes!("a leader drops its working state while commands are under way");
            let replica = self.replica.clone();
            runtime::spawn(async move {
                while let Some((plan, outcome)) = under_way.next().await {
                    settle(plan, outcome, &replica);
                }
            });
        }
    }

    /// Proposes a barrier and waits until it is applied here. `None` if the leadership of `term` ended first.
    async fn begin(&self, term: u64, watch: &mut LeadershipWatch) -> Option<Working> {
        loop {
            let token = self.tokens.draw();
            self.replica.await_barrier(token);
            let early = if planted::is(Bug::BeginEarly) { self.replica.capture().await.ok()? } else { None };
            let mut entry = Entry::new(EntryKind::Barrier, Bytes::new());
            entry.header.group = self.group;
            entry.header.time = runtime::unix_time();
            entry.header.fence = Fence { token, position: 0 };
            let proposed = self.consensus.propose(term, entry).await.ok()?;
            let mut outcome = std::pin::pin!(proposed.outcome());
            let outcome = loop {
                tokio::select! {
                    biased;
                    outcome = &mut outcome => break outcome,
                    alive = watch.changed() => {
                        if !alive || !leads(watch.now(), term) {
                            crate::sometimes!("a leadership ends before its barrier is applied");
                            return None;
                        }
                    }
                    () = runtime::sleep(TICK) => {
                        self.queue.expire();
                    }
                }
            };
            match outcome {
                Ok(_) => {
                    let mut beginning = self.replica.take_beginning()?;
                    if let Some((_, table, _)) = early {
                        beginning.sessions = table.sessions().clone();
                    }
                    return Some(Working::new(
                        self.origin,
                        self.group,
                        self.replica.model(),
                        term,
                        beginning,
                    ));
                }
                Err(ProposeFailure::NotYet) => {
                    crate::sometimes!(
                        "a barrier comes before a quorum has answered the leader, and is proposed again"
                    );
                    runtime::sleep(PAUSE).await;
                }
                Err(_) => {
                    // The leadership has ended or is about to: let that news arrive.
                    let _ = runtime::timeout(PAUSE, watch.changed()).await;
                    return None;
                }
            }
        }
    }

    /// Sends proposals to the leader, until another one leads.
    async fn forward(&self, leader: RaftId, now: Leadership, watch: &mut LeadershipWatch) {
        let membership = self.consensus.membership();
        if !membership.members.contains_key(&leader) {
            let _ = runtime::timeout(TICK, watch.changed()).await;
            return;
        }
        let endpoint = self.peers.endpoint_of(leader, &membership);
        let open = ProposeOpen { group: self.group, forwarded: true };
        // Nothing is opened before there is something to send.
        tokio::select! {
            biased;
            _ = watch.changed() => return,
            () = self.queue.wait() => {}
        }
        let changed = async {
            while watch.changed().await {
                if watch.now() != now {
                    return;
                }
            }
        };
        match deliver(&endpoint, open, &self.queue, OPENING, changed).await {
            End::Told => {}
            End::Broken(error) => {
                tracing::debug!(leader = leader.node, %error, "cannot forward");
                self.peers.failed(leader);
                runtime::sleep(PAUSE).await;
            }
            End::Refused => runtime::sleep(PAUSE).await,
        }
    }
}

fn leads(now: Leadership, term: u64) -> bool {
    now.role == Role::Leader && now.term == term
}

/// What became of a plan's entry; `None` if it has none.
async fn outcome_of(
    plan: Plan,
    proposed: Option<Proposed>,
) -> (Plan, Option<Result<Applied, ProposeFailure>>) {
    let outcome = match proposed {
        Some(proposed) => Some(proposed.outcome().await),
        None => None,
    };
    (plan, outcome)
}

/// Tells the callers of a batch what became of it. `false` if the leader must begin anew.
fn settle(plan: Plan, outcome: Option<Result<Applied, ProposeFailure>>, replica: &Replica) -> bool {
    let applied = match outcome {
        None => None,
        Some(Ok(applied)) if applied.first_index.is_some() => Some(applied),
        Some(Ok(_)) => {
            crate::sometimes!("a leader's entry is committed and does not count");
            let reason = "the leader changed, and the command had no effect";
            plan.batch.finish(not_committed(reason));
            return false;
        }
        Some(Err(ProposeFailure::Refused(_) | ProposeFailure::NotYet)) => {
            crate::sometimes!("a leader's entry is refused before it is appended");
            plan.batch.finish(not_committed("the node does not lead any more"));
            return false;
        }
        Some(Err(ProposeFailure::Discarded(reason))) => {
            crate::sometimes!("a leader's entry is discarded, and its outcome is unknown");
            plan.batch.finish(match planted::is(Bug::RefuseDiscarded) {
                true => not_committed(&reason),
                false => unknown(reason),
            });
            return false;
        }
        Some(Err(ProposeFailure::Stopped)) => {
            plan.batch.finish(unknown("the node stopped while the command was under way"));
            return false;
        }
    };
    let (mut next, mut replies) =
        applied.map_or((0, Bytes::new()), |applied| (applied.first_index.unwrap_or(0), applied.replies));
    let mut parts = Vec::with_capacity(plan.decisions.len());
    let mut room = MESSAGE_REPLY_BYTES_MAX;
    for decision in plan.decisions {
        match decision {
            Decision::Enter(count) => {
                parts.extend(replied(next, &mut replies, count, &mut room));
                next += u64::from(count);
            }
            Decision::Known(number) => {
                let outcome = match replica.kept(number) {
                    Kept::Reply(index, replies) => match within(replies.len(), &mut room) {
                        Fit::Yes => {
                            crate::sometimes!("a retry is answered with the reply that was kept");
                            Outcome::Committed { first_index: index, replies }
                        }
                        Fit::NotNow => unknown(TOO_MUCH),
                        Fit::Never => Outcome::ReplyGone { index },
                    },
                    Kept::Index(index) => {
                        crate::sometimes!("a retry is told that the reply is gone");
                        Outcome::ReplyGone { index }
                    }
                    // It is not applied yet, or by now it is settled or expired: whoever asks again is told which.
                    Kept::Nothing => {
                        crate::sometimes!("a retry asks for a command of which nothing is kept");
                        unknown("what became of the command before is not known yet")
                    }
                };
                parts.push(Part { count: 1, outcome });
            }
            Decision::Told(outcome) => parts.push(Part { count: 1, outcome }),
        }
    }
    plan.batch.finish(joined(parts));
    true
}

/// The outcome of the next `count` records, which were committed from `first_index` on: their replies, as far as there is room.
fn replied(first_index: u64, replies: &mut Bytes, count: u32, room: &mut usize) -> Vec<Part> {
    let Some(mut all) = split_replies(replies, count) else {
        return vec![Part { count, outcome: unknown("the replies to the command did not arrive whole") }];
    };
    if let Some(left) = room.checked_sub(all.len()) {
        *room = left;
        return vec![Part { count, outcome: Outcome::Committed { first_index, replies: all } }];
    }
    // One by one: the first of them that does not fit, and all behind it, are asked for again.
    let mut parts = Vec::new();
    for place in 0..count {
        let index = first_index + u64::from(place);
        let Some(reply) = split_replies(&mut all, 1) else { break };
        let outcome = match within(reply.len(), room) {
            Fit::Yes => Outcome::Committed { first_index: index, replies: reply },
            Fit::NotNow => {
                parts.push(Part { count: count - place, outcome: unknown(TOO_MUCH) });
                break;
            }
            Fit::Never => Outcome::ReplyGone { index },
        };
        parts.push(Part { count: 1, outcome });
    }
    parts
}

/// Whether a reply goes into the message that has this much room left.
enum Fit {
    Yes,
    NotNow,
    Never,
}

fn within(bytes: usize, room: &mut usize) -> Fit {
    if bytes > MESSAGE_REPLY_BYTES_MAX {
        return Fit::Never;
    }
    match room.checked_sub(bytes) {
        Some(left) => {
            *room = left;
            Fit::Yes
        }
        None => Fit::NotNow,
    }
}
