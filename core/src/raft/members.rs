//! Memberships and leadership transfers, as far as openraft decides them.

use std::collections::BTreeMap;

use openraft::ChangeMembers;
use openraft::async_runtime::{Instant, WatchReceiver};
use openraft::entry::RaftPayload;
use openraft::errors::{ChangeMembershipError, ClientWriteError, ForwardReason, RaftError};
use openraft::raft::{ClientWriteResponse, Precondition};

use super::consensus::Consensus;
use super::types::{Draft, Types, from_log_id, from_raft_membership, to_log_id, to_raft_membership};
use crate::entry::EntryId;
use crate::identity::{Membership, RaftId};
use crate::members::Refusal;
use crate::transport::MembershipVersion;

/// How far a member has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Replication {
    /// The number of the last entry that is known to be durable there.
    pub(crate) matched: Option<u64>,
    /// For how long it has not been heard, in milliseconds; none if it never was.
    pub(crate) silent_ms: Option<u64>,
}

/// Why a membership was not agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Agreement {
    /// Nothing was appended, and may be in a moment.
    NotYet(String),
    /// It was not, or nobody knows.
    Refused(Refusal),
}

impl Consensus {
    /// The members as of everything that the log holds at this moment, and which membership that is. Waits for consensus to finish
    /// what it is doing, where [`Consensus::membership`] may lag behind the log for an instant.
    pub(crate) async fn membership_now(&self) -> Result<(Option<MembershipVersion>, Membership), String> {
        let effective = self.raft().with_raft_state(|state| state.membership_state.effective().clone());
        let effective = effective.await.map_err(|e| e.to_string())?;
        let version = effective.log_id().map(|id| version_of(from_log_id(id)));
        Ok((version, from_raft_membership(effective.membership())))
    }

    /// The last membership that this node knows to be committed, and which one that is. The log's last one may be dropped yet.
    pub(crate) async fn membership_committed(
        &self,
    ) -> Result<(Option<MembershipVersion>, Membership), String> {
        let committed = self.raft().with_raft_state(|state| state.membership_state.committed().clone());
        let committed = committed.await.map_err(|e| e.to_string())?;
        let version = committed.log_id().map(|id| version_of(from_log_id(id)));
        Ok((version, from_raft_membership(committed.membership())))
    }

    /// The members as the log says, and which membership that is.
    pub(crate) fn membership_and_version(&self) -> (Option<MembershipVersion>, Membership) {
        let metrics = self.raft().metrics();
        let stored = metrics.borrow_watched().membership_config.clone();
        let version = stored.log_id().map(|id| version_of(from_log_id(id)));
        (version, from_raft_membership(stored.membership()))
    }

    /// The members, as the log says.
    pub(crate) fn membership(&self) -> Membership {
        self.membership_and_version().1
    }

    /// How far a member has come, if this node leads and replicates to it.
    pub(crate) fn replication(&self, id: RaftId) -> Option<Replication> {
        let metrics = self.raft().metrics();
        let metrics = metrics.borrow_watched();
        let matched = metrics.replication.as_ref()?.get(&id)?.map(|id| id.index);
        let heard = metrics.heartbeat.as_ref().and_then(|all| *all.get(&id)?);
        let silent_ms =
            heard.map(|at| u64::try_from(at.into_inner().elapsed().as_millis()).unwrap_or(u64::MAX));
        Some(Replication { matched, silent_ms })
    }

    /// Has this membership agreed on, as the next after `expected`. Returns once it is committed and applied here.
    ///
    /// It is written as it is: [`crate::members::goal`] decides which one follows on which, and openraft refuses those that
    /// would not share a set of voters.
    pub(crate) async fn agree(
        &self,
        membership: &Membership,
        expected: MembershipVersion,
    ) -> Result<MembershipVersion, Agreement> {
        let membership = to_raft_membership(membership);
        let written = self.raft().append_membership(membership, Draft::blank(), [after(expected)]).await;
        agreed(written)
    }

    /// Has another address of a member agreed on, as the next membership after `expected`.
    pub(crate) async fn set_address(
        &self,
        id: RaftId,
        address: String,
        expected: MembershipVersion,
    ) -> Result<MembershipVersion, Agreement> {
        let change = ChangeMembers::SetNodes(BTreeMap::from([(id, address)]));
        let written = self.raft().change_membership_if(change, true, [after(expected)]).await;
        agreed(written)
    }

    /// Has `heir` stand for election at once. Nothing is accepted from then on until the next leadership. `false` if consensus has
    /// stopped.
    pub(crate) async fn transfer_to(&self, heir: RaftId) -> bool {
        self.raft().trigger().transfer_leader(heir).await.is_ok()
    }
}

fn version_of(id: EntryId) -> MembershipVersion {
    MembershipVersion { term: id.term, number: id.number }
}

/// That the membership that a change is based on is still the last one.
fn after(expected: MembershipVersion) -> Precondition<Types> {
    let id = to_log_id(EntryId::new(expected.term, expected.number));
    Precondition::LastMembershipLogId { last_membership_log_id: Some(id) }
}

fn agreed(
    written: Result<ClientWriteResponse<Types>, RaftError<Types, ClientWriteError<Types>>>,
) -> Result<MembershipVersion, Agreement> {
    let error = match written {
        Ok(response) => return Ok(version_of(from_log_id(response.log_id))),
        Err(RaftError::APIError(error)) => error,
        Err(RaftError::Fatal(fatal)) => return Err(Agreement::Refused(Refusal::for_now(fatal.to_string()))),
    };
    Err(match error {
        ClientWriteError::ForwardToLeader(forward) if forward.reason == ForwardReason::LeaseExpired => {
            Agreement::NotYet("no majority answers the leader".to_owned())
        }
        ClientWriteError::ForwardToLeader(_) => {
            Agreement::Refused(Refusal::for_now("the node does not lead any more"))
        }
        ClientWriteError::LogEntryDiscarded(_) => Agreement::Refused(Refusal::for_now(
            "the leader changed before the members had; the change may still come about",
        )),
        ClientWriteError::ChangeMembershipError(
            ChangeMembershipError::InProgress(_) | ChangeMembershipError::UncommittedLeaderLog(_),
        ) => Agreement::NotYet("an earlier change is not agreed on yet".to_owned()),
        ClientWriteError::PreconditionFailed(_) => Agreement::Refused(Refusal::for_good(
            "the members have changed in between: look at them again, and decide anew",
        )),
        ClientWriteError::ChangeMembershipError(error) => {
            Agreement::Refused(Refusal::for_good(error.to_string()))
        }
    })
}
