//! Scenarios of single calls.

use lovebird_core::entry::EntryId;
use lovebird_core::identity::{ClusterId, RaftId};
use lovebird_core::service::Model;
use lovebird_core::transport::{
    Change, ChangeRequest, Confirm, Hello, ReadIndex, TransferRequest, TransportError, VoteReply,
};

use super::answers::{CLUSTER_NAME, status};
use super::{Act, Fixture, node, route, soon, vote, vote_request, votes};
use crate::limits::{MESSAGE_BYTES_MAX, TEXT_BYTES_MAX};

/// A request of so many bytes and some more.
fn large(bytes: usize) -> ChangeRequest {
    let change = Change::Move { node: 2, address: "x".repeat(bytes) };
    ChangeRequest { group: 7, change, expected: None, forwarded: false }
}

/// Every single call: what the node sees is what was said, and the other way round.
pub async fn every_call_arrives_and_its_reply_comes_back(fixture: &mut impl Fixture) {
    let (proxy, mut events) = node(fixture, Act::Answer).await;

    let request = vote_request(5);
    let reply = VoteReply { vote: request.vote, granted: true, last: request.last };
    assert_eq!(soon("a vote", proxy.vote(route(), request)).await, Ok(reply));
    events.asked("vote", &(route(), request)).await;

    let reply = VoteReply { vote: request.vote, granted: false, last: None };
    assert_eq!(soon("a pre-vote", proxy.pre_vote(route(), request)).await, Ok(reply));
    events.asked("pre_vote", &(route(), request)).await;

    let request =
        TransferRequest { from_leader: vote(6), to: RaftId::new(3, 33), last: Some(EntryId::new(6, 60)) };
    assert_eq!(soon("a transfer", proxy.transfer(route(), request)).await, Ok(()));
    events.asked("transfer", &(route(), request)).await;

    for members_at in [None, Some(EntryId::new(6, 60))] {
        let (cluster, from) = (ClusterId(77), RaftId::new(1, u64::MAX));
        let hello = Hello { cluster, from, model: Model::PrimaryBackup, members_at };
        let reply = soon("a hello", proxy.hello(hello.clone())).await.expect("the node answers");
        events.asked("hello", &hello).await;
        assert_eq!((reply.cluster, reply.known_as, reply.formed), (cluster, Some(from), true));
        assert_eq!((reply.cluster_name.as_str(), reply.model), (CLUSTER_NAME, hello.model));
        assert_eq!((reply.removed, reply.leads), (members_at.is_some(), members_at.is_some()));
    }

    for confirm in [Confirm::Quorum, Confirm::Lease] {
        let reply = soon("a read index", proxy.read_index(route(), confirm)).await;
        assert_eq!(reply, Ok(ReadIndex { number: 7 }));
        events.asked("read_index", &(route(), confirm)).await;
    }

    assert_eq!(soon("a status", proxy.status(8)).await, Ok(status(8)));
    events.asked("status", &8).await;
}

/// What a node refuses, or does not understand, arrives as that, in its words.
pub async fn a_refusal_arrives_with_its_text(fixture: &mut impl Fixture) {
    for error in [
        TransportError::Refused("100 % sure:\nNein, „ungültig“ – \u{0} 鴛".to_owned()),
        TransportError::Malformed("no such codec: 200".to_owned()),
        TransportError::Refused(String::new()),
    ] {
        let (proxy, _events) = node(fixture, Act::Fail(error.clone())).await;
        assert_eq!(soon("a refusal", proxy.vote(route(), vote_request(1))).await, Err(error.clone()));
        assert_eq!(soon("a refusal", proxy.status(1)).await.expect_err("it refuses"), error);
    }
}

/// A text may be cut, but it does not break the connection.
pub async fn a_long_refusal_is_cut(fixture: &mut impl Fixture) {
    let (proxy, _events) = node(fixture, Act::Fail(TransportError::Refused("ä".repeat(1 << 20)))).await;
    match soon("a refusal", proxy.read_index(route(), Confirm::Quorum)).await {
        Err(TransportError::Refused(text)) => {
            assert!(text.len() <= TEXT_BYTES_MAX && text.starts_with("äää"), "{} bytes arrived", text.len());
        }
        other => panic!("a refusal was sent, {other:?} arrived"),
    }
}

/// A node that forwards may fail to reach a third: for its caller that is no proof that nothing has arrived.
pub async fn what_the_node_itself_cannot_reach_is_not_unreachable(fixture: &mut impl Fixture) {
    let error =
        TransportError::Unreachable { address: "third:7000".to_owned(), reason: "it is off".to_owned() };
    let (proxy, _events) = node(fixture, Act::Fail(error)).await;
    match soon("an error", proxy.status(1)).await {
        Err(TransportError::Broken { reason, .. }) => assert!(reason.contains("third:7000"), "{reason}"),
        other => panic!("the connection counts as broken, not {other:?}"),
    }
}

/// Too large a request is refused without a trace, and the connection goes on.
pub async fn a_request_over_the_limit_is_refused(fixture: &mut impl Fixture) {
    let (proxy, mut events) = node(fixture, Act::Answer).await;
    votes(&*proxy).await;
    events.asked("vote", &(route(), vote_request(3))).await;
    match soon("a refusal", proxy.change(large(MESSAGE_BYTES_MAX))).await {
        Err(TransportError::Refused(text)) => {
            assert!(text.contains(&MESSAGE_BYTES_MAX.to_string()), "{text}")
        }
        Err(error) => panic!("a refusal was due, not: {error}"),
        Ok(_) => panic!("a request over the limit was answered"),
    }
    votes(&*proxy).await;
    events.asked("vote", &(route(), vote_request(3))).await;
}

/// The node has done what it was asked: to say that it refused would be a lie.
pub async fn a_reply_over_the_limit_is_not_a_refusal(fixture: &mut impl Fixture) {
    let (proxy, _events) = node(fixture, Act::Large(MESSAGE_BYTES_MAX)).await;
    match soon("an error", proxy.status(1)).await {
        Err(TransportError::Broken { reason, .. }) => {
            assert!(reason.contains(&MESSAGE_BYTES_MAX.to_string()), "{reason}");
        }
        Err(error) => panic!("the connection counts as broken, not: {error}"),
        Ok(_) => panic!("a reply over the limit arrived"),
    }
    votes(&*proxy).await;
}
