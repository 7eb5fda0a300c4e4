//! Laws: every message comes back as it went; no bytes whatever bring the decoder down.

use std::fmt::Debug;

use bytes::Bytes;
use lovebird_core::entry::{Entry, EntryId, EntryKind};
use lovebird_core::fence::{Fence, Token};
use lovebird_core::identity::{ClusterId, RaftId};
use lovebird_core::log_store::Vote;
use lovebird_core::snapshot_store::SnapshotId;
use lovebird_core::transport::*;
use proptest::option;
use proptest::prelude::*;
use proptest::prop_oneof;

use super::*;
use crate::proto;

fn bytes() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::from)
}

fn raft_id() -> impl Strategy<Value = RaftId> {
    any::<(u64, u64)>().prop_map(|(node, incarnation)| RaftId { node, incarnation })
}

fn entry_id() -> impl Strategy<Value = EntryId> {
    any::<(u64, u64)>().prop_map(|(term, number)| EntryId { term, number })
}

fn vote() -> impl Strategy<Value = Vote> {
    (any::<u64>(), raft_id(), any::<bool>()).prop_map(|(term, node, committed)| Vote {
        term,
        node,
        committed,
    })
}

fn route() -> impl Strategy<Value = Route> {
    (any::<(u64, u32)>(), raft_id(), raft_id()).prop_map(|((cluster, group), from, to)| Route {
        cluster: ClusterId(cluster),
        group,
        from,
        to,
    })
}

fn entry() -> impl Strategy<Value = Entry> {
    let kind = prop_oneof![
        Just(EntryKind::Blank),
        Just(EntryKind::Membership),
        Just(EntryKind::Barrier),
        Just(EntryKind::Commands)
    ];
    let fence = any::<(u64, u64, u64, u64)>().prop_map(|(node, incarnation, counter, position)| Fence {
        token: Token { node, incarnation, counter },
        position,
    });
    let numbers = any::<(u8, u32, u64, u64, u64, u32, u64)>();
    (kind, bytes(), fence, numbers).prop_map(|(kind, body, fence, numbers)| {
        let mut entry = Entry::new(kind, body);
        let (codec, group, term, number, first_index, record_count, time) = numbers;
        entry.header.fence = fence;
        entry.header.codec = codec;
        entry.header.group = group;
        entry.header.term = term;
        entry.header.number = number;
        entry.header.first_index = first_index;
        entry.header.record_count = record_count;
        entry.header.time = time;
        entry
    })
}

fn append_request() -> impl Strategy<Value = AppendRequest> {
    (vote(), option::of(entry_id()), prop::collection::vec(entry(), 0..5), option::of(entry_id()))
        .prop_map(|(vote, previous, entries, committed)| AppendRequest { vote, previous, entries, committed })
}

fn append_reply() -> impl Strategy<Value = AppendReply> {
    prop_oneof![
        option::of(entry_id()).prop_map(AppendReply::Accepted),
        entry_id().prop_map(AppendReply::Conflict),
        vote().prop_map(AppendReply::HigherVote),
    ]
}

fn vote_request() -> impl Strategy<Value = VoteRequest> {
    (vote(), option::of(entry_id()), any::<bool>())
        .prop_map(|(vote, last, leadership_transfer)| VoteRequest { vote, last, leadership_transfer })
}

fn vote_reply() -> impl Strategy<Value = VoteReply> {
    (vote(), any::<bool>(), option::of(entry_id())).prop_map(|(vote, granted, last)| VoteReply {
        vote,
        granted,
        last,
    })
}

fn offer() -> impl Strategy<Value = SnapshotOffer> {
    (vote(), entry_id(), any::<(u64, u32)>()).prop_map(|(vote, last, (length, checksum))| SnapshotOffer {
        vote,
        id: SnapshotId { last, length, checksum },
    })
}

fn chunk() -> impl Strategy<Value = SnapshotChunk> {
    (any::<u64>(), bytes()).prop_map(|(offset, bytes)| SnapshotChunk { offset, bytes })
}

fn snapshot_reply() -> impl Strategy<Value = SnapshotReply> {
    prop_oneof![any::<u64>().prop_map(SnapshotReply::Received), vote().prop_map(SnapshotReply::Done)]
}

fn transfer() -> impl Strategy<Value = TransferRequest> {
    (vote(), raft_id(), option::of(entry_id())).prop_map(|(from_leader, to, last)| TransferRequest {
        from_leader,
        to,
        last,
    })
}

fn hello_reply() -> impl Strategy<Value = HelloReply> {
    (any::<(u64, String, bool)>(), raft_id(), option::of(raft_id())).prop_map(
        |((cluster, cluster_name, formed), id, known_as)| HelloReply {
            cluster: ClusterId(cluster),
            cluster_name,
            id,
            formed,
            known_as,
        },
    )
}

fn propose_request() -> impl Strategy<Value = ProposeRequest> {
    (any::<(u64, u64, u8, u32)>(), bytes()).prop_map(|((id, timeout_ms, codec, count), run)| ProposeRequest {
        id,
        timeout_ms,
        codec,
        count,
        run,
    })
}

fn propose_reply() -> impl Strategy<Value = ProposeReply> {
    let outcome = prop_oneof![
        (any::<u64>(), bytes())
            .prop_map(|(first_index, replies)| Outcome::Committed { first_index, replies }),
        any::<(String, bool, Option<u64>)>().prop_map(|(reason, retry, leader)| Outcome::NotCommitted {
            reason,
            retry,
            leader
        }),
        any::<String>().prop_map(|reason| Outcome::Unknown { reason }),
    ];
    (any::<u64>(), outcome).prop_map(|(id, outcome)| ProposeReply { id, outcome })
}

fn query_request() -> impl Strategy<Value = QueryRequest> {
    let read = prop_oneof![Just(Read::Linearizable), Just(Read::Stale)];
    (any::<(u32, u64)>(), read, bytes()).prop_map(|((group, timeout_ms), read, query)| QueryRequest {
        group,
        read,
        timeout_ms,
        query,
    })
}

fn query_reply() -> impl Strategy<Value = QueryReply> {
    prop_oneof![
        (any::<u64>(), bytes()).prop_map(|(index, answer)| QueryReply::Answer { index, answer }),
        any::<(String, bool)>().prop_map(|(reason, malformed)| QueryReply::Failed { reason, malformed }),
    ]
}

fn status() -> impl Strategy<Value = Status> {
    let role =
        prop_oneof![Just(Role::Leader), Just(Role::Follower), Just(Role::Candidate), Just(Role::Learner)];
    let member = any::<(u64, String)>().prop_map(|(id, address)| Member { id, address });
    (role, any::<(u64, u64, Option<u64>)>(), any::<[u64; 5]>(), prop::collection::vec(member, 0..4)).prop_map(
        |(role, (id, term, leader), [committed, applied, snapshot, first, last], members)| Status {
            id,
            role,
            term,
            leader,
            committed,
            applied,
            snapshot,
            first,
            last,
            members,
        },
    )
}

/// Sends a message through its bytes, then those bytes with one flipped bit, which may give anything but a panic.
fn travels<T: Wire + Clone + PartialEq + Debug>(
    message: T,
    flip: prop::sample::Index,
) -> Result<(), TestCaseError> {
    let sent = encode(&message.clone().into_proto());
    let arrived = decode::<T::Proto>(sent.clone()).and_then(T::from_proto);
    prop_assert_eq!(arrived, Ok(message));
    if !sent.is_empty() {
        let mut damaged = sent.to_vec();
        let bit = flip.index(damaged.len() * 8);
        damaged[bit / 8] ^= 1 << (bit % 8);
        let _ = decode::<T::Proto>(damaged.into()).and_then(T::from_proto);
    }
    Ok(())
}

/// Reads arbitrary bytes as a message. All that may go wrong is that they are malformed.
fn survives<T: Wire>(bytes: &Bytes) -> Result<(), TestCaseError> {
    if let Err(error) = decode::<T::Proto>(bytes.clone()).and_then(T::from_proto) {
        prop_assert!(matches!(error, TransportError::Malformed(_)), "{error}");
    }
    Ok(())
}

macro_rules! round_trips {
    ($($name:ident: $strategy:expr;)*) => {
        proptest! {
            $(
                #[test]
                fn $name(message in $strategy, flip: prop::sample::Index) {
                    travels(message, flip)?;
                }
            )*
        }
    };
}

round_trips! {
    append_opening: route().prop_map(Frame::<Route, AppendRequest>::Open);
    append_requests: append_request().prop_map(Frame::<Route, AppendRequest>::Message);
    append_replies: append_reply();
    vote_requests: (route(), vote_request());
    vote_replies: vote_reply();
    snapshot_opening: (route(), offer()).prop_map(Frame::<(Route, SnapshotOffer), SnapshotChunk>::Open);
    snapshot_chunks: chunk().prop_map(Frame::<(Route, SnapshotOffer), SnapshotChunk>::Message);
    snapshot_replies: snapshot_reply();
    transfer_requests: (route(), transfer());
    transfer_replies: Just(());
    hellos: (any::<u64>(), raft_id()).prop_map(|(cluster, from)| Hello { cluster: ClusterId(cluster), from });
    hello_replies: hello_reply();
    read_index_requests: route().prop_map(ReadIndexRequest);
    read_index_replies: any::<u64>().prop_map(|number| ReadIndex { number });
    propose_opening: any::<(u32, bool)>().prop_map(|(group, forwarded)| {
        Frame::<ProposeOpen, ProposeRequest>::Open(ProposeOpen { group, forwarded })
    });
    propose_requests: propose_request().prop_map(Frame::<ProposeOpen, ProposeRequest>::Message);
    propose_replies: propose_reply();
    queries: query_request();
    query_replies: query_reply();
    status_requests: any::<u32>().prop_map(StatusRequest);
    statuses: status();
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_a_message_or_malformed(bytes in bytes()) {
        survives::<Frame<Route, AppendRequest>>(&bytes)?;
        survives::<AppendReply>(&bytes)?;
        survives::<(Route, VoteRequest)>(&bytes)?;
        survives::<VoteReply>(&bytes)?;
        survives::<Frame<(Route, SnapshotOffer), SnapshotChunk>>(&bytes)?;
        survives::<SnapshotReply>(&bytes)?;
        survives::<(Route, TransferRequest)>(&bytes)?;
        survives::<()>(&bytes)?;
        survives::<Hello>(&bytes)?;
        survives::<HelloReply>(&bytes)?;
        survives::<ReadIndexRequest>(&bytes)?;
        survives::<ReadIndex>(&bytes)?;
        survives::<Frame<ProposeOpen, ProposeRequest>>(&bytes)?;
        survives::<ProposeReply>(&bytes)?;
        survives::<QueryRequest>(&bytes)?;
        survives::<QueryReply>(&bytes)?;
        survives::<StatusRequest>(&bytes)?;
        survives::<Status>(&bytes)?;
    }

    #[test]
    fn entries_of_arbitrary_bytes_are_malformed_or_empty(vote in vote(), entries in bytes()) {
        let empty = entries.is_empty();
        let proto = proto::AppendRequest { vote: Some(vote.into_proto()), previous: None, entries, committed: None };
        prop_assert_eq!(AppendRequest::from_proto(proto).is_ok(), empty);
    }

    #[test]
    fn a_damaged_entry_never_passes(request in append_request(), flip: prop::sample::Index) {
        let mut proto = request.into_proto();
        if !proto.entries.is_empty() {
            let mut damaged = proto.entries.to_vec();
            let bit = flip.index(damaged.len() * 8);
            damaged[bit / 8] ^= 1 << (bit % 8);
            proto.entries = damaged.into();
            let error = AppendRequest::from_proto(proto).unwrap_err();
            prop_assert!(matches!(error, TransportError::Malformed(_)), "{error}");
        }
    }
}

#[test]
fn bodies_share_the_bytes_of_their_message() {
    let body = Bytes::from(vec![7; 1000]);
    let entry = Entry::new(EntryKind::Commands, body);
    let vote = Vote { term: 1, node: RaftId::new(1, 1), committed: true };
    let request = AppendRequest { vote, previous: None, entries: vec![entry], committed: None };
    let message = encode(&Frame::<Route, _>::Message(request).into_proto());

    let proto = decode::<proto::AppendMessage>(message.clone()).unwrap();
    let Frame::Message(arrived) = Frame::<Route, AppendRequest>::from_proto(proto).unwrap() else {
        panic!("a request was sent, an opening arrived");
    };
    let place = arrived.entries[0].body.as_ptr() as usize;
    let start = message.as_ptr() as usize;
    assert!((start..start + message.len()).contains(&place), "the body was copied on its way in");
}

#[test]
fn what_must_be_there_is_named_when_it_lacks() {
    let lacking =
        |proto: proto::VoteRequest| <(Route, VoteRequest)>::from_proto(proto).unwrap_err().to_string();
    let vote = proto::Vote { term: 1, node: Some(proto::RaftId::default()), committed: false };
    assert_eq!(lacking(proto::VoteRequest::default()), "malformed: the message lacks its candidate's vote");
    let text = lacking(proto::VoteRequest { vote: Some(vote), ..Default::default() });
    assert_eq!(text, "malformed: the message lacks its route");
}

#[test]
fn numbers_that_mean_nothing_are_malformed() {
    let codec = ProposeRequest::from_proto(proto::ProposeRequest { codec: 256, ..Default::default() });
    assert_eq!(codec.unwrap_err().to_string(), "malformed: there is no codec 256");
    for read in [0, 3, -1] {
        let query = QueryRequest::from_proto(proto::QueryRequest { read, ..Default::default() });
        assert_eq!(query.unwrap_err().to_string(), format!("malformed: there is no read of kind {read}"));
    }
    for role in [0, 5, -1] {
        let status = Status::from_proto(proto::StatusReply { role, ..Default::default() });
        assert_eq!(status.unwrap_err().to_string(), format!("malformed: there is no role {role}"));
    }
}
