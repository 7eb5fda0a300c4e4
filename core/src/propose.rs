//! The proposer: one task a group, the only one that sends proposals to consensus.
//!
//! It follows the leadership. While another node leads, it forwards; while nobody does, proposals wait for their deadlines.
//! While this node leads, it works behind the fence ([`crate::fence`]):
//!
//! 1. draw a new token and propose the barrier;
//! 2. when the barrier is *applied here*, begin: position 1, log time from the barrier's;
//! 3. make one entry of whatever has gathered, give it the token and the next position, send it, go on;
//! 4. at any failure, or when the leadership changes: drop all of that and start over with a new token.
//!
//! Sends are awaited one after the other and never cancelled, so that the order of positions is the order in the log. An entry
//! that is committed but does not count had no effect and never will, so its commands are proposed again; so are those
//! that consensus refused before it appended them. What was appended and lost sight of is unknown, and its callers are told.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;

use crate::courier::{End, deliver};
use crate::entry::{Entry, EntryKind};
use crate::fence::{Fence, Token};
use crate::identity::{GroupId, Identity, RaftId};
use crate::peers::Peers;
use crate::queue::{Batch, Queue, unknown};
use crate::raft::{Applied, Consensus, Leadership, LeadershipWatch, ProposeFailure, Proposed};
use crate::runtime;
use crate::transport::{Outcome, ProposeOpen, Role};

/// How often to look for callers whose time has passed while nothing else happens.
const TICK: Duration = Duration::from_millis(20);

/// How long to wait before asking a new leader again that has not heard from a quorum yet, or a node that refused.
const PAUSE: Duration = Duration::from_millis(10);

/// How long opening a stream to the leader may take.
const OPENING: Duration = Duration::from_secs(1);

/// How many entries may be under way. While they are, the next one grows.
const UNDER_WAY_MAX: usize = 4;

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
    pub(crate) group: GroupId,
    pub(crate) consensus: Consensus,
    pub(crate) peers: Arc<Peers>,
    pub(crate) queue: Arc<Queue>,
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
        let Some((token, mut time)) = self.begin(term, watch).await else { return };
        let mut position = 0;
        let mut under_way = FuturesOrdered::new();
        loop {
            let free = under_way.len() < UNDER_WAY_MAX;
            tokio::select! {
                biased;
                Some((batch, outcome)) = under_way.next(), if !under_way.is_empty() => {
                    if !settle(batch, outcome, &self.queue) {
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
                    let Some(batch) = self.queue.take() else { continue };
                    position += 1;
                    time = runtime::unix_time().max(time);
                    let entry = self.entry(&batch, Fence { token, position }, time);
                    match self.consensus.propose(term, entry).await {
                        Ok(proposed) => under_way.push_back(outcome_of(batch, proposed)),
                        Err(_) => {
                            // Consensus did not even receive it.
                            self.queue.put_back(batch);
                            break;
                        }
                    }
                }
                () = runtime::sleep(TICK), if !free => self.queue.expire(),
            }
        }
        if !under_way.is_empty() {
            let queue = self.queue.clone();
            runtime::spawn(async move {
                while let Some((batch, outcome)) = under_way.next().await {
                    settle(batch, outcome, &queue);
                }
            });
        }
    }

    /// Proposes a barrier and waits until it is applied here. `None` if the leadership of `term` ended first.
    async fn begin(&self, term: u64, watch: &mut LeadershipWatch) -> Option<(Token, u64)> {
        loop {
            let token = self.tokens.draw();
            let mut entry = Entry::new(EntryKind::Barrier, bytes::Bytes::new());
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
                            return None;
                        }
                    }
                    () = runtime::sleep(TICK) => self.queue.expire(),
                }
            };
            match outcome {
                Ok(applied) => return Some((token, applied.time)),
                Err(ProposeFailure::NotYet) => runtime::sleep(PAUSE).await,
                Err(_) => {
                    // The leadership has ended or is about to: let that news arrive.
                    let _ = runtime::timeout(PAUSE, watch.changed()).await;
                    return None;
                }
            }
        }
    }

    fn entry(&self, batch: &Batch, fence: Fence, time: u64) -> Entry {
        let mut entry = Entry::new(EntryKind::Commands, batch.run.clone());
        entry.header.group = self.group;
        entry.header.codec = batch.codec;
        entry.header.record_count = batch.count;
        entry.header.time = time;
        entry.header.fence = fence;
        entry
    }

    /// Sends proposals to the leader, until another one leads.
    async fn forward(&self, leader: RaftId, now: Leadership, watch: &mut LeadershipWatch) {
        let Some(recorded) = self.consensus.membership().members.get(&leader).cloned() else {
            let _ = runtime::timeout(TICK, watch.changed()).await;
            return;
        };
        let endpoint = self.peers.endpoint(&self.peers.address(leader.node, &recorded));
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
                runtime::sleep(PAUSE).await;
            }
            End::Refused => runtime::sleep(PAUSE).await,
        }
    }
}

fn leads(now: Leadership, term: u64) -> bool {
    now.role == Role::Leader && now.term == term
}

async fn outcome_of(batch: Batch, proposed: Proposed) -> (Batch, Result<Applied, ProposeFailure>) {
    (batch, proposed.outcome().await)
}

/// Tells the callers of a batch what became of it, or puts it back. `false` if the leader must begin anew.
fn settle(batch: Batch, outcome: Result<Applied, ProposeFailure>, queue: &Queue) -> bool {
    match outcome {
        Ok(Applied { first_index: Some(first_index), replies, .. }) => {
            batch.finish(Outcome::Committed { first_index, replies });
            true
        }
        // Committed outside the fence: without effect, for ever.
        Ok(Applied { first_index: None, .. }) => {
            queue.put_back(batch);
            false
        }
        Err(ProposeFailure::Refused(_) | ProposeFailure::NotYet) => {
            queue.put_back(batch);
            false
        }
        Err(ProposeFailure::Discarded(reason)) => {
            batch.finish(unknown(reason));
            false
        }
        Err(ProposeFailure::Stopped) => {
            batch.finish(unknown("the node stopped while the command was under way"));
            false
        }
    }
}
