//! Scenarios of streams of queries: many to a message, answered when they can be.

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use lovebird_core::transport::{Freshness, QueryOpen, QueryPart, QueryRequest, TransportError};

use super::answers::queried;
use super::streams::{end, next};
use super::{Act, Event, Fixture, Script, node, soon, votes};
use crate::limits::MESSAGE_BYTES_MAX;

const OPEN: QueryOpen = QueryOpen { group: 7 };

/// A request of one part each, which differ in everything, and of which one cannot be answered.
fn request(id: u64) -> QueryRequest {
    let part = |freshness, at_least, count| QueryPart { freshness, at_least, timeout_ms: 1000 + id, count };
    let parts = vec![
        part(Freshness::Quorum, 3, 1),
        part(Freshness::Lease, 0, u32::MAX / 4),
        part(Freshness::Any, u64::MAX, 7),
        part(Freshness::Any, u64::MAX - 1, 2),
    ];
    QueryRequest { id, parts, run: Bytes::from(id.to_string()) }
}

/// What is said arrives as it was said, and each part is answered by itself, the last one first: a request need not wait for all of
/// its queries, nor for the requests before it.
pub async fn queries_are_answered_part_by_part(fixture: &mut impl Fixture) {
    let (proxy, mut events) = node(fixture, Act::Gather(3)).await;
    let requests = stream::iter((0..6).map(request)).boxed();
    let mut replies = soon("a stream", proxy.query(OPEN, requests)).await.expect("the node takes it");
    for id in [2, 1, 0, 5, 4, 3] {
        let expected = queried(request(id), None);
        assert!(expected.len() == 5 && expected[0].answers.is_empty(), "a sign of life, and each part");
        for reply in expected {
            assert_eq!(next(&mut replies).await, Ok(reply));
        }
    }
    end(&mut replies).await;
    events.asked("query", &OPEN).await;
    for id in 0..6 {
        events.asked("query", &request(id)).await;
    }
    assert_eq!(events.next().await, Event::Ended);
}

/// A sender need not wait for answers.
pub async fn many_queries_are_under_way_before_the_first_answer(fixture: &mut impl Fixture) {
    const COUNT: u64 = 300;
    let (proxy, _events) = node(fixture, Act::Gather(COUNT as usize)).await;
    let requests = stream::iter((0..COUNT).map(request)).chain(stream::pending()).boxed();
    let mut replies = soon("a stream", proxy.query(OPEN, requests)).await.expect("the node takes it");
    for id in (0..COUNT).rev() {
        for reply in queried(request(id), None) {
            assert_eq!(next(&mut replies).await, Ok(reply));
        }
    }
}

/// A refusal is the result of the call; what fails later comes behind the answers, and nothing comes behind it.
pub async fn queries_may_be_refused_at_once_or_later(fixture: &mut impl Fixture) {
    let error = TransportError::Refused("this node has no group 7".to_owned());
    let (proxy, _events) = node(fixture, Act::Fail(error.clone())).await;
    let refused = soon("a refusal", proxy.query(OPEN, stream::pending().boxed())).await.map(drop);
    assert_eq!(refused, Err(error));

    let error = TransportError::Refused("this node is shutting down".to_owned());
    let (proxy, mut events) = node(fixture, Act::FailLater(error.clone())).await;
    let requests = stream::iter([request(1), request(2)]).chain(stream::pending()).boxed();
    let mut replies = soon("a stream", proxy.query(OPEN, requests)).await.expect("the node takes it");
    for reply in queried(request(1), None) {
        assert_eq!(next(&mut replies).await, Ok(reply));
    }
    assert_eq!(next(&mut replies).await, Err(error));
    end(&mut replies).await;
    events.dropped().await;
}

/// Nobody could decode them. The stream breaks, and the connection goes on.
pub async fn answers_over_the_limit_end_their_stream(fixture: &mut impl Fixture) {
    let (proxy, mut events) = node(fixture, Act::Large(MESSAGE_BYTES_MAX)).await;
    let requests = stream::iter([request(1)]).chain(stream::pending()).boxed();
    let mut replies = soon("a stream", proxy.query(OPEN, requests)).await.expect("the node takes it");
    assert!(next(&mut replies).await.is_ok(), "the sign of life fits");
    match next(&mut replies).await {
        Err(TransportError::Broken { reason, .. }) => {
            assert!(reason.contains(&MESSAGE_BYTES_MAX.to_string()), "{reason}");
        }
        Err(error) => panic!("the stream counts as broken, not: {error}"),
        Ok(_) => panic!("answers over the limit arrived"),
    }
    end(&mut replies).await;
    events.dropped().await;
    votes(&*proxy).await;
}

/// Letting go of the answers is how a client gives its queries up.
pub async fn dropped_queries_are_dropped_by_their_handler(fixture: &mut impl Fixture) {
    let (proxy, mut events) = node(fixture, Act::Ignore).await;
    let requests = stream::iter([request(1)]).chain(stream::pending()).boxed();
    let replies = soon("a stream", proxy.query(OPEN, requests)).await.expect("the node takes it");
    drop(replies);
    events.dropped().await;
    votes(&*proxy).await;
}

/// Whoever asked hears of it, so that it can ask elsewhere.
pub async fn a_node_stops_under_queries(fixture: &mut impl Fixture) {
    let (script, mut events) = Script::new(Act::Ignore);
    let address = fixture.start(script).await;
    let proxy = fixture.transport().endpoint(&address);
    let requests = stream::iter([request(1)]).chain(stream::pending()).boxed();
    let mut replies = soon("a stream", proxy.query(OPEN, requests)).await.expect("the node takes it");
    soon("the stop", fixture.stop(&address)).await;
    match soon("the end of a stream", replies.next()).await {
        Some(Err(TransportError::Broken { address: at, .. })) => assert_eq!(at, address),
        other => panic!("the connection broke, yet the stream gave {other:?}"),
    }
    end(&mut replies).await;
    events.dropped().await;
}
