//! A node with a new disk takes the place of its former self, by itself.
//!
//! Its operator has said that the disk is lost, by starting it so; all else is a change like any other, which the node asks for as an
//! operator would, again and again until it is done: through crashes of its own, since the log says whose place it is to take, and
//! through those of leaders.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;

use crate::identity::{GroupId, Membership, RaftId};
use crate::peers::Peers;
use crate::raft::Consensus;
use crate::runtime;
use crate::transport::{Change, ChangeReply, ChangeRequest, Endpoint};

/// Between attempts.
const PAUSE: Duration = Duration::from_millis(500);

/// How long a node may be silent before it is given up, and the next one asked: it may have died, or the way from it broken, without
/// a sign. While this node catches up it is told so more often than that; all else is asked for again without harm.
const ANSWER: Duration = Duration::from_secs(5);

/// Whether this node is a member, and another life of it is one no more.
fn is_settled(own: RaftId, membership: &Membership) -> bool {
    membership.members.contains_key(&own)
        && membership.members.keys().all(|id| id.node != own.node || *id == own)
}

/// Whether another life of this node is a member beside this one.
pub(crate) fn is_half_way(own: RaftId, membership: &Membership) -> bool {
    membership.members.contains_key(&own) && !is_settled(own, membership)
}

/// Asks for the place until it has it.
pub(crate) async fn enlist(consensus: Consensus, peers: Arc<Peers>, group: GroupId) {
    let own = peers.local();
    let change = Change::Replace { old: own.node, node: own.node, address: peers.own_address() };
    let request = ChangeRequest { group, change, expected: None, forwarded: false };
    while !is_settled(own, &consensus.membership()) {
        if consensus.fatal().is_some() {
            return;
        }
        for address in peers.others(&consensus.membership()) {
            match ask(&*peers.endpoint(&address), request.clone()).await {
                Ok(()) => break,
                Err(reason) => {
                    tracing::info!(%address, reason, "this node does not have its former place yet")
                }
            }
        }
        runtime::sleep(PAUSE).await;
    }
    tracing::info!("this node has taken the place that it had before it lost its disk");
}

/// Asks one node, and waits for as long as it goes on and says so.
async fn ask(endpoint: &dyn Endpoint, request: ChangeRequest) -> Result<(), String> {
    let begun = runtime::timeout(ANSWER, endpoint.change(request)).await;
    let mut replies = begun.map_err(|_| "no answer".to_owned())?.map_err(|e| e.to_string())?;
    loop {
        match runtime::timeout(ANSWER, replies.next()).await.map_err(|_| "no answer any more".to_owned())? {
            Some(Ok(ChangeReply::CatchingUp { following, last, .. })) => {
                tracing::info!(held = following.held, last, "this node catches up");
            }
            Some(Ok(ChangeReply::Done { .. })) => return Ok(()),
            Some(Ok(ChangeReply::Refused { reason, .. })) => return Err(reason),
            Some(Err(error)) => return Err(error.to_string()),
            None => return Err("the answer broke off".to_owned()),
        }
    }
}
