//! Newcomers, operators, and disks that are lost for good.
//!
//! What would take more than the promises allow for is not done, whatever the plan says: a set of voters never has fewer than
//! three nodes, and only one node at a time is without the disk under which it votes. So a majority always knows what was
//! acknowledged.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use lovebird_core::formation::IfEmpty;
use lovebird_core::operator::{Operator, OperatorError};
use lovebird_core::runtime;
use lovebird_core::transport::{Change, Member, MembershipVersion, Role, Standing, Status};
use madsim::runtime::Handle;

use super::{Cluster, Ends, Stand, address, lock};
use crate::plan::Request;
use crate::watched::Subject;

/// Where operators are on the network.
pub(super) const OPERATOR: u64 = 99;

/// The least voters that a plan may leave.
const VOTERS_MIN: usize = 3;

/// What is asked for, in the cluster's own words.
enum Wish {
    Change(Change, Option<MembershipVersion>),
    HandOver(Option<u64>),
}

impl<S: Subject> Cluster<S> {
    /// What the node says that leads, as far as it knows itself.
    pub(crate) fn leader_status(&self) -> Option<Status> {
        let statuses = self.replicas().into_iter().map(|(_, replica)| replica.node.status());
        let leaders = statuses.filter(|status| status.role == Role::Leader);
        leaders.max_by_key(|status| (status.term, status.id))
    }

    /// Whether a majority of the voters go by the same membership as this leader, which is one set.
    fn is_agreed(&self, status: &Status) -> bool {
        let voters = status.voters();
        let agrees = |id: &u64| self.replica(*id).is_some_and(|r| r.node.status().version == status.version);
        !status.is_joint() && 2 * voters.iter().filter(|id| agrees(id)).count() > voters.len()
    }

    /// The members, if all of them run and follow, and no change is under way; or what is missing.
    pub(crate) fn members_at_rest(&self) -> Result<Vec<u64>, String> {
        let status = self.leader_status().ok_or("nobody leads")?;
        if status.is_joint() {
            return Err(format!("a change is half-way: {:?}", status.members));
        }
        for Member { id, incarnation, .. } in &status.members {
            let life = self.places.get(id).map_or(0, |place| place.stand.incarnation.load(Ordering::Relaxed));
            if life != *incarnation {
                return Err(format!("node {id} is a member as {incarnation:x}, and its disk is of {life:x}"));
            }
            let version = self.replica(*id).and_then(|replica| replica.node.status().version);
            if version != status.version {
                return Err(format!("node {id} goes by {version:?}, the leader by {:?}", status.version));
            }
        }
        Ok(status.members.iter().map(|member| member.id).collect())
    }

    /// A node that is no member starts on an empty disk.
    pub(super) fn join(&self, node: u64) {
        let Some(place) = self.places.get(&node) else { return };
        let stand = &place.stand;
        if stand.removed.load(Ordering::Relaxed) {
            // One that was told so may be a member again by now.
            let gone = self.leader_status().is_some_and(|status| {
                self.is_agreed(&status) && status.members.iter().all(|member| member.id != node)
            });
            if !gone {
                return;
            }
            self.kill(node, Ends::Process);
            stand.take_new_disk(IfEmpty::Wait);
        }
        stand.here.store(true, Ordering::Relaxed);
        self.restart(node);
    }

    /// A member's disk is lost, if no other one's is.
    pub(super) fn renew(&self, node: u64) {
        let Some((place, status)) = self.places.get(&node).zip(self.leader_status()) else { return };
        let is_member = status.members.iter().any(|member| member.id == node);
        let has_place = |stand: &Stand<S>| {
            let life = stand.incarnation.load(Ordering::Relaxed);
            let mut lives = status.members.iter().filter(|member| member.id == stand.id);
            lives.all(|member| member.incarnation == life)
        };
        let all_there = self.places.values().all(|place| has_place(&place.stand));
        if !is_member || !all_there || !self.is_agreed(&status) || status.voters().len() < VOTERS_MIN {
            return;
        }
        let stand = &place.stand;
        let formed = stand.running().as_ref().is_some_and(|r| r.log.state().committed.is_some());
        if formed && !stand.may_stop() {
            self.kill(node, Ends::Process);
            stand.take_new_disk(IfEmpty::Replace);
        }
    }

    /// An operator asks for something, for so long at most.
    pub(super) fn ask(&self, request: Request, patience_ms: u64) {
        let (Some(host), Some(wish)) = (&self.operator, self.wish(request)) else { return };
        let (checker, network) = (self.setting.checker.clone(), self.setting.network.clone());
        let mut addresses: Vec<String> = self.ids().into_iter().map(address).collect();
        // It begins with any of them.
        let first = patience_ms as usize % addresses.len();
        addresses.rotate_left(first);
        let patience = Duration::from_millis(patience_ms);
        host.spawn(async move {
            let operator = Operator::over(&network.transport(&address(OPERATOR)), addresses);
            let operator = operator.with_patience(patience);
            let asked = async {
                match &wish {
                    Wish::Change(change, expected) => {
                        operator.change(change.clone(), *expected, |_| {}).await.map(Some)
                    }
                    Wish::HandOver(to) => operator.hand_over(*to).await.map(|_| None),
                }
            };
            let told = runtime::timeout(patience, asked).await;
            let told = told.unwrap_or_else(|_| Err(OperatorError::Unavailable("no answer".to_owned())));
            let change = match wish {
                Wish::Change(change, _) => Some(change),
                Wish::HandOver(_) => None,
            };
            checker.operated_on(request.kind(), change, told);
        });
    }

    /// What a request means now; nothing, if it must not be asked for.
    fn wish(&self, request: Request) -> Option<Wish> {
        let add = |node, standing| Change::Add { node, address: address(node), standing };
        let (change, gone, comes) = match request {
            Request::AddVoter { node } => return Some(Wish::Change(add(node, Standing::Voter), None)),
            Request::AddLearner { node } => return Some(Wish::Change(add(node, Standing::Learner), None)),
            Request::Promote { node } => return Some(Wish::Change(Change::Promote { node }, None)),
            Request::HandOver { to } => return Some(Wish::HandOver(to)),
            Request::Remove { who } => {
                let node = self.who(who)?;
                (Change::Remove { node }, node, None)
            }
            Request::Replace { old, node } => {
                let old = self.who(old).filter(|old| *old != node)?;
                (Change::Replace { old, node, address: address(node) }, old, Some(node))
            }
        };
        let status = self.leader_status()?;
        let mut voters: BTreeSet<u64> = status.voters();
        if voters.remove(&gone) {
            voters.extend(comes);
            if voters.len() < VOTERS_MIN {
                return None;
            }
        }
        let place = self.places.get(&gone)?;
        place.stand.dismissed.store(true, Ordering::Relaxed);
        Some(Wish::Change(change, Some(status.version?)))
    }

    /// Operators go, whatever they wait for.
    pub(super) fn dismiss_operators(&self) {
        if let Some(host) = &self.operator {
            Handle::current().kill(host.id());
        }
    }
}

impl<S: Subject> Stand<S> {
    /// Nothing is left of what it has held, promised or been told. Its process has ended.
    fn take_new_disk(&self, if_empty: IfEmpty) {
        self.disk.wipe();
        *lock(&self.if_empty) = if_empty;
        let former = self.incarnation.swap(0, Ordering::Relaxed);
        self.former.store(former, Ordering::Relaxed);
        self.term.store(0, Ordering::Relaxed);
        self.removed.store(false, Ordering::Relaxed);
        self.dismissed.store(false, Ordering::Relaxed);
    }
}
