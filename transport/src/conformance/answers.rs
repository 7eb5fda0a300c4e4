//! What the node on the other side answers.

use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt};
use lovebird_core::identity::{ClusterId, GroupId};
use lovebird_core::service::Model;
use lovebird_core::transport::{
    Answers, Change, ChangeReply, ChangeRequest, ClusterInfo, ExportPiece, Following, IfPurged, Member,
    MembershipVersion, Outcome, Part, ProposalKind, ProposeRequest, QueryOutcome, QueryPart, QueryReply,
    QueryRequest, Role, Sending, Standing, Status, SubscribeReply, SubscribeRequest,
};

use super::append;

/// How many messages of entries a script answers a subscription with: more than the transport holds by itself.
const FOLLOWED_MESSAGES: u64 = 300;

/// The name of a script's cluster.
pub(super) const CLUSTER_NAME: &str = "Turteltauben – 鴛鴦";

/// Why a script does not do what only a leader can.
pub(super) const NOT_LEADER: &str = "this node does not lead – ask 3";

/// The length of the snapshot that a script exports: several pieces of which the last one is shorter.
pub(super) const EXPORTED_BYTES: usize = (5 << 20) + 3;

/// Commands are all committed. Openings have every outcome there is, one after the other.
pub(super) fn outcome(request: ProposeRequest) -> Outcome {
    let committed = Outcome::Committed { first_index: request.timeout_ms, replies: request.run };
    match request.kind {
        ProposalKind::Commands => committed,
        ProposalKind::Openings => {
            let reason = NOT_LEADER.to_owned();
            let outcomes = [
                committed,
                Outcome::NotCommitted { reason: reason.clone(), retry: true, leader: Some(3) },
                Outcome::Unknown { reason },
                Outcome::Expired,
                Outcome::ReplyGone { index: u64::MAX },
            ];
            let part = |(count, outcome)| Part { count, outcome };
            Outcome::Parts((1..).zip(outcomes).map(part).collect())
        }
    }
}

/// What a script answers queries, reply by reply: the last part of the request first, each with its own queries, one that is
/// asked for at least the last log index there is not at all, and before the others that the node is there.
pub(super) fn queried(request: QueryRequest, large: Option<usize>) -> Vec<QueryReply> {
    let QueryRequest { id, parts, run } = request;
    let reply = |answers| QueryReply { id, answers };
    let mut first = 0;
    let mut replies = vec![reply(Vec::new())];
    for QueryPart { at_least, timeout_ms, count, .. } in parts {
        let outcome = match (at_least, large) {
            (u64::MAX, _) => QueryOutcome::Failed { reason: NOT_LEADER.to_owned(), applied: timeout_ms },
            (index, None) => QueryOutcome::Answered { index, answers: run.clone() },
            (index, Some(bytes)) => QueryOutcome::Answered { index, answers: vec![0; bytes].into() },
        };
        replies.insert(1, reply(vec![Answers { first, count, outcome }]));
        first += count;
    }
    replies
}

/// What a script answers a subscription. If it was to tell when records are purged, they are in the end; otherwise it goes
/// on for good, with the state first.
pub(super) fn followed(request: SubscribeRequest) -> impl Stream<Item = SubscribeReply> + Send + 'static {
    let SubscribeRequest { from, if_purged, .. } = request;
    let piece = |last| SubscribeReply::State { index: from - 1, bytes: pattern(99), last };
    let entries = move |number: u64| {
        let request = append(number, pattern(number as usize));
        SubscribeReply::Entries([request.entries, append(number + 1, Bytes::new()).entries].concat())
    };
    let log = (from..from + FOLLOWED_MESSAGES).map(entries).chain([SubscribeReply::Idle]);
    match if_purged {
        IfPurged::Tell => {
            let end = SubscribeReply::Purged { first: u64::MAX };
            stream::iter(log.chain([end])).boxed()
        }
        IfPurged::SendState => {
            let state = [piece(false), piece(true)];
            stream::iter(state.into_iter().chain(log)).chain(stream::pending()).boxed()
        }
    }
}

/// What a script says that it is.
pub(super) fn status(group: GroupId) -> Status {
    Status {
        id: 2,
        role: Role::Learner,
        term: group.into(),
        leader: None,
        committed: 5,
        applied: 4,
        snapshot: 2,
        first: 3,
        last: 6,
        members: members(),
        version: Some(MembershipVersion { term: 3, number: 17 }),
        cluster: ClusterInfo {
            id: ClusterId(u64::MAX),
            name: CLUSTER_NAME.to_owned(),
            initial_members: [1, 2, u64::MAX].into(),
            model: Model::PrimaryBackup,
        },
    }
}

/// Its members: one of each standing, among them one that takes its former self's place.
fn members() -> Vec<Member> {
    let member = |(id, incarnation, standing)| {
        let address = format!("node-{id}:7000");
        let following = (incarnation > 0).then(|| following(incarnation));
        Member { id, incarnation, address, standing, following }
    };
    let each = [
        (1, 0, Standing::Voter),
        (2, 1, Standing::Leaving),
        (2, 2, Standing::Joining),
        (u64::MAX, u64::MAX, Standing::Learner),
    ];
    each.into_iter().map(member).collect()
}

/// A member that has come so far; every other one has been heard, and is sent a snapshot.
fn following(held: u64) -> Following {
    let heard = held.is_multiple_of(2);
    let snapshot = heard.then_some(Sending { sent: held, length: u64::MAX });
    Following { held, silent_ms: heard.then_some(0), snapshot }
}

/// What a script answers a change. One that is based on a membership comes to an end: a removal is refused, and all else is
/// done. Any other waits for a node to catch up, for good.
pub(super) fn changing(request: ChangeRequest) -> impl Stream<Item = ChangeReply> + Send + 'static {
    let waits = |held| ChangeReply::CatchingUp {
        node: 4,
        following: following(held),
        last: 9,
        remaining_ms: held.checked_sub(5),
    };
    let end = request.expected.map(|version| match request.change {
        Change::Remove { .. } => {
            ChangeReply::Refused { reason: NOT_LEADER.to_owned(), retry: request.forwarded }
        }
        _ => ChangeReply::Done { version },
    });
    let told = stream::iter((0..10).map(waits));
    match end {
        Some(end) => told.chain(stream::iter([end])).boxed(),
        None => told.chain(stream::pending()).boxed(),
    }
}

/// What a script exports.
pub(super) fn exported() -> Vec<ExportPiece> {
    let whole = pattern(EXPORTED_BYTES);
    let piece =
        |bytes: &[u8]| ExportPiece { index: 7, length: EXPORTED_BYTES as u64, bytes: whole.slice_ref(bytes) };
    whole.chunks(1 << 20).map(piece).collect()
}

/// A body whose bytes are not all alike.
pub(super) fn pattern(bytes: usize) -> Bytes {
    (0..bytes).map(|i| (i % 251) as u8).collect()
}
