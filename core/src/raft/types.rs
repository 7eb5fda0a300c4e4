//! Our types as openraft sees them, and the conversions between the two.

use std::fmt;

use bytes::Bytes;
use openraft::LogId;
use openraft::alias::{LogIdOf, SnapshotMetaOf, StoredMembershipOf, VoteOf};
use openraft::entry::{RaftEntry, RaftPayload};
use openraft::vote::leader_id_std::{CommittedLeaderId, LeaderId};
use openraft::vote::{RaftLeaderId, RaftVote};

use crate::codec::{Bincode, Codec};
use crate::entry::{Entry, EntryId, EntryKind};
use crate::identity::{Membership, RaftId};
use crate::log_store::Vote;
use crate::planted::{self, Bug};
use crate::runtime;
use crate::snapshot_store::SnapshotMeta;

openraft::declare_raft_types!(
    /// What openraft runs on. Nothing in it is generic over the user's types.
    pub(crate) Types:
        D = Draft,
        R = Applied,
        NodeId = RaftId,
        Node = String,
        Term = u64,
        LeaderId = LeaderId<u64, RaftId>,
        Payload = Draft,
        Entry = LogEntry,
        AsyncRuntime = runtime::Raft,
);

/// openraft's membership over our ids.
pub(crate) type RaftMembership = openraft::Membership<RaftId, String>;

/// An entry before openraft has given it a place in the log. It is both proposal and payload.
#[derive(Clone, PartialEq)]
pub(crate) struct Draft(pub(crate) Entry);

impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Display for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl RaftPayload for Draft {
    type D = Draft;
    type NodeId = RaftId;
    type Node = String;

    fn blank() -> Self {
        Draft(Entry::new(EntryKind::Blank, Bytes::new()))
    }

    fn with_normal(self, data: Draft) -> Self {
        data
    }

    fn with_membership(self, membership: RaftMembership) -> Self {
        let body = Bincode::encode(&from_raft_membership(&membership)).expect("a membership is plain data");
        let mut entry = Entry::new(EntryKind::Membership, body.into());
        entry.header.codec = Bincode::ID;
        Draft(entry)
    }

    fn get_membership(&self) -> Option<RaftMembership> {
        membership_of(&self.0).map(|m| to_raft_membership(&m))
    }
}

/// Our entry with its term in the form that openraft borrows.
#[derive(Clone, PartialEq)]
pub(crate) struct LogEntry {
    leader: CommittedLeaderId<u64>,
    entry: Entry,
}

impl LogEntry {
    pub(crate) fn new(entry: Entry) -> Self {
        LogEntry { leader: CommittedLeaderId::new(entry.header.term), entry }
    }

    pub(crate) fn into_entry(self) -> Entry {
        self.entry
    }
}

impl fmt::Debug for LogEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.entry, f)
    }
}

impl fmt::Display for LogEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.entry, f)
    }
}

impl RaftEntry for LogEntry {
    type CommittedLeaderId = CommittedLeaderId<u64>;
    type Payload = Draft;

    fn new(log_id: LogId<CommittedLeaderId<u64>>, payload: Draft) -> Self {
        let mut entry = LogEntry::new(payload.0);
        entry.set_log_id(log_id);
        entry
    }

    fn log_id_parts(&self) -> (&CommittedLeaderId<u64>, u64) {
        (&self.leader, self.entry.header.number)
    }

    fn set_log_id(&mut self, log_id: LogId<CommittedLeaderId<u64>>) {
        self.leader = log_id.leader_id;
        self.entry.header.term = log_id.leader_id.term;
        self.entry.header.number = log_id.index;
    }

    fn get_membership(&self) -> Option<RaftMembership> {
        let mut membership = membership_of(&self.entry)?;
        if planted::is(Bug::SimpleMajority) && membership.is_joint() {
            membership.voters.remove(0);
        }
        Some(to_raft_membership(&membership))
    }
}

/// What became of an entry when it was applied.
#[derive(Clone, Debug, Default)]
pub(crate) struct Applied {
    /// If it counted, the log index of its first record or, if it opens sessions, of the record that comes next.
    pub(crate) first_index: Option<u64>,
    /// One reply a record, or an opening.
    pub(crate) replies: Bytes,
}

/// The membership that an entry holds.
///
/// # Panics
/// If the entry says that it holds one and does not: its checksum was right, so it was written so.
pub(crate) fn membership_of(entry: &Entry) -> Option<Membership> {
    (entry.header.kind == EntryKind::Membership).then(|| match Bincode::decode(&entry.body) {
        Ok(membership) => membership,
        Err(error) => panic!("entry {} does not hold the membership that it should: {error}", entry.id()),
    })
}

pub(crate) fn from_raft_membership(membership: &RaftMembership) -> Membership {
    Membership {
        voters: membership.get_joint_config().clone(),
        members: membership.nodes().map(|(id, address)| (*id, address.clone())).collect(),
    }
}

/// # Panics
/// If a voter has no address, which nothing that wrote a membership allows.
pub(crate) fn to_raft_membership(membership: &Membership) -> RaftMembership {
    if membership.voters.is_empty() && membership.members.is_empty() {
        return RaftMembership::default();
    }
    match RaftMembership::new(membership.voters.clone(), membership.members.clone()) {
        Ok(membership) => membership,
        Err(error) => panic!("the log holds a membership that cannot be: {error}"),
    }
}

pub(crate) fn to_log_id(id: EntryId) -> LogIdOf<Types> {
    LogId::new_term_index(id.term, id.number)
}

pub(crate) fn from_log_id(id: LogIdOf<Types>) -> EntryId {
    EntryId::new(id.leader_id.term, id.index)
}

pub(crate) fn to_raft_vote(vote: Vote) -> VoteOf<Types> {
    VoteOf::<Types>::from_leader_id(LeaderId::new(vote.term, vote.node), vote.committed)
}

pub(crate) fn from_raft_vote(vote: &VoteOf<Types>) -> Vote {
    let leader = vote.leader_id();
    Vote { term: leader.term(), node: *leader.node_id(), committed: vote.is_committed() }
}

pub(crate) fn to_stored_membership(
    at: Option<EntryId>,
    membership: &Membership,
) -> StoredMembershipOf<Types> {
    StoredMembershipOf::<Types>::new(at.map(to_log_id), to_raft_membership(membership))
}

pub(crate) fn to_raft_meta(meta: &SnapshotMeta) -> SnapshotMetaOf<Types> {
    let at = meta.membership_at.map(|(term, number)| EntryId::new(term, number));
    SnapshotMetaOf::<Types> {
        last_log_id: Some(to_log_id(meta.last_entry())),
        last_membership: to_stored_membership(at, &meta.membership),
    }
}
