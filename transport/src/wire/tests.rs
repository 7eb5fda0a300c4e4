//! Laws: every message comes back as it went; no bytes whatever bring the decoder down.

mod operators;
mod queries;

use std::fmt::Debug;

use bytes::Bytes;
use lovebird_core::entry::{Entry, EntryId, EntryKind};
use lovebird_core::fence::{Fence, Token};
use lovebird_core::identity::{ClusterId, RaftId};
use lovebird_core::log_store::Vote;
use lovebird_core::service::Model;
use lovebird_core::snapshot_store::SnapshotId;
use lovebird_core::transport::*;
use proptest::option;
use proptest::prelude::*;
use proptest::prop_oneof;

use super::*;
use crate::proto;
use operators::{cluster_info, member, version};
use queries::{query_reply, query_request};

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
        Just(EntryKind::Commands),
        Just(EntryKind::Outcomes),
        Just(EntryKind::Sessions)
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

fn model() -> impl Strategy<Value = Model> {
    prop_oneof![Just(Model::StateMachine), Just(Model::PrimaryBackup)]
}

fn hello() -> impl Strategy<Value = Hello> {
    (any::<u64>(), raft_id(), model(), option::of(entry_id())).prop_map(
        |(cluster, from, model, members_at)| Hello { cluster: ClusterId(cluster), from, model, members_at },
    )
}

fn hello_reply() -> impl Strategy<Value = HelloReply> {
    (any::<(u64, String, bool, bool, bool)>(), raft_id(), model(), option::of(raft_id())).prop_map(
        |((cluster, cluster_name, formed, removed, leads), id, model, known_as)| HelloReply {
            cluster: ClusterId(cluster),
            cluster_name,
            id,
            model,
            formed,
            known_as,
            removed,
            leads,
        },
    )
}

fn read_index_request() -> impl Strategy<Value = ReadIndexRequest> {
    let confirm = prop_oneof![Just(Confirm::Quorum), Just(Confirm::Lease)];
    (route(), confirm).prop_map(|(route, confirm)| ReadIndexRequest(route, confirm))
}

fn propose_request() -> impl Strategy<Value = ProposeRequest> {
    let kind = prop_oneof![Just(ProposalKind::Commands), Just(ProposalKind::Openings)];
    (any::<(u64, u64, u8, u32)>(), kind, bytes()).prop_map(|((id, timeout_ms, codec, count), kind, run)| {
        ProposeRequest { id, kind, timeout_ms, codec, count, run }
    })
}

/// An outcome without parts.
fn one_outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        (any::<u64>(), bytes())
            .prop_map(|(first_index, replies)| Outcome::Committed { first_index, replies }),
        any::<(String, bool, Option<u64>)>().prop_map(|(reason, retry, leader)| Outcome::NotCommitted {
            reason,
            retry,
            leader
        }),
        any::<String>().prop_map(|reason| Outcome::Unknown { reason }),
        Just(Outcome::Expired),
        any::<u64>().prop_map(|index| Outcome::ReplyGone { index }),
    ]
}

fn part() -> impl Strategy<Value = Part> {
    (1..=u32::MAX, one_outcome()).prop_map(|(count, outcome)| Part { count, outcome })
}

fn propose_reply() -> impl Strategy<Value = ProposeReply> {
    let parts = prop::collection::vec(part(), 0..5).prop_map(Outcome::Parts);
    let outcome = prop_oneof![one_outcome(), parts];
    (any::<u64>(), outcome).prop_map(|(id, outcome)| ProposeReply { id, outcome })
}

fn subscribe_request() -> impl Strategy<Value = SubscribeRequest> {
    let if_purged = prop_oneof![Just(IfPurged::Tell), Just(IfPurged::SendState)];
    (any::<(u32, u64)>(), if_purged).prop_map(|((group, from), if_purged)| SubscribeRequest {
        group,
        from,
        if_purged,
    })
}

fn subscribe_reply() -> impl Strategy<Value = SubscribeReply> {
    prop_oneof![
        prop::collection::vec(entry(), 0..5).prop_map(SubscribeReply::Entries),
        (any::<(u64, bool)>(), bytes()).prop_map(|((index, last), bytes)| SubscribeReply::State {
            index,
            bytes,
            last
        }),
        any::<u64>().prop_map(|first| SubscribeReply::Purged { first }),
        Just(SubscribeReply::Idle),
    ]
}

fn status() -> impl Strategy<Value = Status> {
    let role =
        prop_oneof![Just(Role::Leader), Just(Role::Follower), Just(Role::Candidate), Just(Role::Learner)];
    let members = prop::collection::vec(member(), 0..4);
    let numbers = any::<(u64, u64, Option<u64>, [u64; 5])>();
    (role, numbers, members, option::of(version()), cluster_info()).prop_map(
        |(role, (id, term, leader, indexes), members, version, cluster)| {
            let [committed, applied, snapshot, first, last] = indexes;
            Status {
                committed,
                applied,
                snapshot,
                first,
                last,
                id,
                role,
                term,
                leader,
                members,
                version,
                cluster,
            }
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

/// Makes a test of each message: what is sent comes back.
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

use round_trips;

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
    hellos: hello();
    hello_replies: hello_reply();
    read_index_requests: read_index_request();
    read_index_replies: any::<u64>().prop_map(|number| ReadIndex { number });
    propose_opening: any::<(u32, bool)>().prop_map(|(group, forwarded)| {
        Frame::<ProposeOpen, ProposeRequest>::Open(ProposeOpen { group, forwarded })
    });
    propose_requests: propose_request().prop_map(Frame::<ProposeOpen, ProposeRequest>::Message);
    propose_replies: propose_reply();
    query_opening: any::<u32>().prop_map(|group| {
        Frame::<QueryOpen, QueryRequest>::Open(QueryOpen { group })
    });
    queries: query_request().prop_map(Frame::<QueryOpen, QueryRequest>::Message);
    query_replies: query_reply();
    subscriptions: subscribe_request();
    subscription_replies: subscribe_reply();
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
        survives::<Frame<QueryOpen, QueryRequest>>(&bytes)?;
        survives::<QueryReply>(&bytes)?;
        survives::<SubscribeRequest>(&bytes)?;
        survives::<SubscribeReply>(&bytes)?;
        survives::<StatusRequest>(&bytes)?;
        survives::<Status>(&bytes)?;
    }

    #[test]
    fn entries_of_arbitrary_bytes_are_malformed_or_empty(vote in vote(), entries in bytes()) {
        let empty = entries.is_empty();
        let proto = proto::AppendRequest { vote: Some(vote.into_proto()), previous: None, entries, committed: None };
        prop_assert_eq!(AppendRequest::from_proto(proto.clone()).is_ok(), empty);
        let kind = Some(proto::subscribe_reply::Kind::Entries(proto.entries));
        prop_assert_eq!(SubscribeReply::from_proto(proto::SubscribeReply { kind }).is_ok(), empty);
    }

    #[test]
    fn a_damaged_entry_never_passes(request in append_request(), flip: prop::sample::Index) {
        let mut proto = request.into_proto();
        if !proto.entries.is_empty() {
            let mut damaged = proto.entries.to_vec();
            let bit = flip.index(damaged.len() * 8);
            damaged[bit / 8] ^= 1 << (bit % 8);
            proto.entries = damaged.into();
            let error = AppendRequest::from_proto(proto.clone()).unwrap_err();
            prop_assert!(matches!(error, TransportError::Malformed(_)), "{error}");
            let kind = Some(proto::subscribe_reply::Kind::Entries(proto.entries));
            let error = SubscribeReply::from_proto(proto::SubscribeReply { kind }).unwrap_err();
            prop_assert!(matches!(error, TransportError::Malformed(_)), "{error}");
        }
    }
}

#[test]
fn bodies_share_the_bytes_of_their_message() {
    let within = |body: &Bytes, message: &Bytes| {
        let (place, start) = (body.as_ptr() as usize, message.as_ptr() as usize);
        (start..start + message.len()).contains(&place)
    };
    let body = Bytes::from(vec![7; 1000]);
    let entry = Entry::new(EntryKind::Commands, body);
    let vote = Vote { term: 1, node: RaftId::new(1, 1), committed: true };
    let request = AppendRequest { vote, previous: None, entries: vec![entry.clone()], committed: None };
    let message = encode(&Frame::<Route, _>::Message(request).into_proto());

    let proto = decode::<proto::AppendMessage>(message.clone()).unwrap();
    let Frame::Message(arrived) = Frame::<Route, AppendRequest>::from_proto(proto).unwrap() else {
        panic!("a request was sent, an opening arrived");
    };
    assert!(within(&arrived.entries[0].body, &message), "the body was copied on its way to a follower");

    let message = encode(&SubscribeReply::Entries(vec![entry]).into_proto());
    let proto = decode::<proto::SubscribeReply>(message.clone()).unwrap();
    let SubscribeReply::Entries(arrived) = SubscribeReply::from_proto(proto).unwrap() else {
        panic!("entries were sent, something else arrived");
    };
    assert!(within(&arrived[0].body, &message), "the body was copied on its way to a subscriber");
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
    for model in [2, -1] {
        let text = format!("malformed: there is no model {model}");
        let from = Some(proto::RaftId::default());
        let hello = Hello::from_proto(proto::HelloRequest { from, model, ..Default::default() });
        assert_eq!(hello.unwrap_err().to_string(), text);
        let reply = HelloReply::from_proto(proto::HelloReply { id: from, model, ..Default::default() });
        assert_eq!(reply.unwrap_err().to_string(), text);
    }
    for kind in [2, -1] {
        let request = ProposeRequest::from_proto(proto::ProposeRequest { kind, ..Default::default() });
        let text = format!("malformed: there is no kind of proposal {kind}");
        assert_eq!(request.unwrap_err().to_string(), text);
    }
    for if_purged in [2, -1] {
        let request =
            SubscribeRequest::from_proto(proto::SubscribeRequest { if_purged, ..Default::default() });
        let text = format!("malformed: there is no way to deal with a purged record of kind {if_purged}");
        assert_eq!(request.unwrap_err().to_string(), text);
    }
    for read in [0, 4, -1] {
        let query = QueryPart::from_proto(proto::QueryPart { read, count: 1, ..Default::default() });
        assert_eq!(query.unwrap_err().to_string(), format!("malformed: there is no read of kind {read}"));
    }
    for role in [0, 5, -1] {
        let status = Status::from_proto(proto::StatusReply { role, ..Default::default() });
        assert_eq!(status.unwrap_err().to_string(), format!("malformed: there is no role {role}"));
    }
}

#[test]
fn what_an_older_node_does_not_say_means_what_it_did() {
    let node = Some(proto::RaftId::default());
    let hello = Hello::from_proto(proto::HelloRequest { from: node, ..Default::default() });
    let hello = hello.unwrap();
    assert_eq!((hello.model, hello.members_at), (Model::StateMachine, None));
    let reply = HelloReply::from_proto(proto::HelloReply { id: node, ..Default::default() });
    let reply = reply.unwrap();
    assert_eq!((reply.model, reply.removed), (Model::StateMachine, false));
    let request = ProposeRequest::from_proto(proto::ProposeRequest::default());
    assert_eq!(request.unwrap().kind, ProposalKind::Commands);
    let route = proto::Route { from: node, to: node, ..Default::default() };
    let proto = proto::ReadIndexRequest { route: Some(route), ..Default::default() };
    assert_eq!(ReadIndexRequest::from_proto(proto).unwrap().1, Confirm::Quorum);
}

#[test]
fn a_part_is_of_some_records_and_has_no_parts() {
    let read = |part| {
        let parts = proto::Parts { parts: vec![part] };
        let outcome = Some(proto::propose_reply::Outcome::Parts(parts));
        ProposeReply::from_proto(proto::ProposeReply { id: 1, outcome })
    };
    let expired = Some(proto::part::Outcome::Expired(proto::Expired {}));
    let part = Part { count: 1, outcome: Outcome::Expired };
    let reply = read(proto::Part { count: 1, outcome: expired.clone() });
    assert_eq!(reply, Ok(ProposeReply { id: 1, outcome: Outcome::Parts(vec![part.clone()]) }));

    let none = read(proto::Part { count: 0, outcome: expired });
    assert_eq!(none.unwrap_err().to_string(), "malformed: a part of the outcome is that of no record");

    // A reply has its parts under a number that a part leaves free, and is laid out like a part otherwise.
    let whole = ProposeReply { id: 1, outcome: Outcome::Parts(vec![part]) };
    let nested = read(decode(encode(&whole.into_proto())).unwrap());
    assert_eq!(nested.unwrap_err().to_string(), "malformed: the message lacks its part's outcome");
}
