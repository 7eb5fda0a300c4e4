//! Scenarios of streams.

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use lovebird_core::entry::EntryId;
use lovebird_core::snapshot_store::SnapshotId;
use lovebird_core::transport::{
    AppendReply, Outcome, Part, ProposalKind, ProposeOpen, ProposeRequest, Replies, SnapshotChunk,
    SnapshotOffer, SnapshotReply, TransportError, TransportResult,
};
use tokio::sync::mpsc;

use super::answers::pattern;
use super::{Act, Event, Fixture, append, node, route, soon, vote, votes};
use crate::limits::MESSAGE_BYTES_MAX;

const MIB: usize = 1 << 20;

pub(super) async fn next<T>(replies: &mut Replies<T>) -> TransportResult<T> {
    soon("a reply", replies.next()).await.expect("the stream goes on")
}

pub(super) async fn end<T>(replies: &mut Replies<T>) {
    assert!(soon("the end of a stream", replies.next()).await.is_none(), "the stream should have ended");
}

fn accepted(number: u64) -> TransportResult<AppendReply> {
    Ok(AppendReply::Accepted(Some(EntryId::new(3, number))))
}

fn propose(id: u64) -> ProposeRequest {
    ProposeRequest {
        id,
        kind: ProposalKind::Commands,
        timeout_ms: 1000 + id,
        codec: 255,
        count: 3,
        run: Bytes::from_static(b"run"),
    }
}

fn offer(length: u64) -> SnapshotOffer {
    SnapshotOffer { vote: vote(4), id: SnapshotId { last: EntryId::new(4, 9), length, checksum: u32::MAX } }
}

/// Entries arrive as they were sent, one after the other, and so do the replies.
pub async fn appends_are_answered_in_order(fixture: &mut impl Fixture) {
    const COUNT: u64 = 500;
    let (proxy, mut events) = node(fixture, Act::Answer).await;
    let requests = stream::iter((0..COUNT).map(|number| append(number, pattern(number as usize))));
    let mut replies =
        soon("a stream", proxy.append(route(), requests.boxed())).await.expect("the node takes it");
    events.asked("append", &route()).await;
    for number in 0..COUNT {
        assert_eq!(next(&mut replies).await, accepted(number));
        events.asked("append", &append(number, pattern(number as usize))).await;
    }
    end(&mut replies).await;
}

/// A sender need not wait for replies.
pub async fn many_appends_are_under_way_before_the_first_reply(fixture: &mut impl Fixture) {
    const COUNT: u64 = 300;
    let (proxy, _events) = node(fixture, Act::Gather(COUNT as usize)).await;
    let requests =
        stream::iter((0..COUNT).map(|number| append(number, pattern(100)))).chain(stream::pending());
    let mut replies =
        soon("a stream", proxy.append(route(), requests.boxed())).await.expect("the node takes it");
    for number in (0..COUNT).rev() {
        assert_eq!(next(&mut replies).await, accepted(number));
    }
}

/// Far more than a window, in one message.
pub async fn an_append_of_20_mib_arrives(fixture: &mut impl Fixture) {
    let (proxy, mut events) = node(fixture, Act::Answer).await;
    let request = append(1, pattern(20 * MIB));
    let requests = stream::iter([request.clone()]).boxed();
    let mut replies = soon("a stream", proxy.append(route(), requests)).await.expect("the node takes it");
    assert_eq!(next(&mut replies).await, accepted(1));
    events.asked("append", &route()).await;
    // An entry shows its length here; that its bytes are right its checksum has shown on the way.
    events.asked("append", &request).await;
    end(&mut replies).await;
}

/// The receiver speaks first, and then once a chunk.
pub async fn a_snapshot_is_sent_from_where_its_receiver_says(fixture: &mut impl Fixture) {
    let (proxy, mut events) = node(fixture, Act::Answer).await;
    let (chunks, source) = mpsc::unbounded_channel();
    let source = stream::unfold(source, |mut source| async move { Some((source.recv().await?, source)) });
    let length = 4 * MIB as u64;
    let mut replies = soon("a stream", proxy.snapshot(route(), offer(length), source.boxed()))
        .await
        .expect("the node takes it before any chunk is there");
    events.asked("snapshot", &(route(), offer(length))).await;
    assert_eq!(next(&mut replies).await, Ok(SnapshotReply::Received(length / 2)));
    for offset in [length / 2, length / 2 + MIB as u64] {
        let chunk = SnapshotChunk { offset, bytes: pattern(MIB) };
        chunks.send(chunk.clone()).expect("the stream takes chunks");
        let last = offset + MIB as u64 == length;
        let reply =
            if last { SnapshotReply::Done(vote(4)) } else { SnapshotReply::Received(offset + MIB as u64) };
        assert_eq!(next(&mut replies).await, Ok(reply));
        events.asked("snapshot", &chunk).await;
    }
    drop(chunks);
    end(&mut replies).await;
}

/// Replies to commands carry the id of their request, and overtake one another.
pub async fn outcomes_come_in_any_order(fixture: &mut impl Fixture) {
    let (proxy, mut events) = node(fixture, Act::Gather(3)).await;
    let open = ProposeOpen { group: 7, forwarded: true };
    let requests = stream::iter((0..6).map(propose)).boxed();
    let mut replies = soon("a stream", proxy.propose(open, requests)).await.expect("the node takes it");
    for id in [2, 1, 0, 5, 4, 3] {
        let reply = next(&mut replies).await.expect("the node answers");
        let outcome = Outcome::Committed { first_index: 1000 + id, replies: Bytes::from_static(b"run") };
        assert_eq!((reply.id, reply.outcome), (id, outcome));
    }
    end(&mut replies).await;
    events.asked("propose", &open).await;
    for id in 0..6 {
        events.asked("propose", &propose(id)).await;
    }
}

/// What a reply says may differ from record to record, in every way there is.
pub async fn outcomes_come_in_parts(fixture: &mut impl Fixture) {
    let (proxy, mut events) = node(fixture, Act::Answer).await;
    let open = ProposeOpen::default();
    let request = ProposeRequest { kind: ProposalKind::Openings, ..propose(9) };
    let requests = stream::iter([request.clone()]).boxed();
    let mut replies = soon("a stream", proxy.propose(open, requests)).await.expect("the node takes it");
    let reason = "this node does not lead – ask 3".to_owned();
    let outcomes = [
        Outcome::Committed { first_index: 1009, replies: Bytes::from_static(b"run") },
        Outcome::NotCommitted { reason: reason.clone(), retry: true, leader: Some(3) },
        Outcome::Unknown { reason },
        Outcome::Expired,
        Outcome::ReplyGone { index: u64::MAX },
    ];
    let parts = (1..).zip(outcomes).map(|(count, outcome)| Part { count, outcome });
    let reply = next(&mut replies).await.expect("the node answers");
    assert_eq!((reply.id, reply.outcome), (9, Outcome::Parts(parts.collect())));
    end(&mut replies).await;
    events.asked("propose", &open).await;
    events.asked("propose", &request).await;
}

/// The handler sees the end, answers what is left, and ends without an error.
pub async fn a_stream_ends_when_its_requests_do(fixture: &mut impl Fixture) {
    let (proxy, mut events) = node(fixture, Act::Answer).await;
    let mut replies =
        soon("a stream", proxy.append(route(), stream::empty().boxed())).await.expect("the node takes it");
    end(&mut replies).await;
    events.asked("append", &route()).await;
    assert_eq!(events.next().await, Event::Ended);
}

/// A refusal of the stream as a whole is the result of the call.
pub async fn a_stream_may_be_refused(fixture: &mut impl Fixture) {
    let error = TransportError::Refused("the intended receiver is 2#16, this is 2#17".to_owned());
    let (proxy, _events) = node(fixture, Act::Fail(error.clone())).await;
    let refused = soon("a refusal", proxy.append(route(), stream::pending().boxed())).await.map(drop);
    assert_eq!(refused, Err(error.clone()));
    let refused =
        soon("a refusal", proxy.snapshot(route(), offer(1), stream::pending().boxed())).await.map(drop);
    assert_eq!(refused, Err(error.clone()));
    let refused =
        soon("a refusal", proxy.propose(ProposeOpen::default(), stream::pending().boxed())).await.map(drop);
    assert_eq!(refused, Err(error));
}

/// What fails later comes behind the replies, and nothing comes behind it.
pub async fn an_error_is_the_last_reply(fixture: &mut impl Fixture) {
    let error = TransportError::Refused("this node is shutting down".to_owned());
    let (proxy, mut events) = node(fixture, Act::FailLater(error.clone())).await;
    let requests = stream::iter([append(1, Bytes::new())]).chain(stream::pending()).boxed();
    let mut replies = soon("a stream", proxy.append(route(), requests)).await.expect("the node takes it");
    assert_eq!(next(&mut replies).await, accepted(1));
    assert_eq!(next(&mut replies).await, Err(error));
    end(&mut replies).await;
    events.dropped().await;
}

/// What came before it is answered; the refusal comes behind that; the connection goes on.
pub async fn a_stream_ends_before_a_request_over_the_limit(fixture: &mut impl Fixture) {
    let (proxy, _events) = node(fixture, Act::Answer).await;
    let chunk = |bytes: usize| SnapshotChunk { offset: 0, bytes: vec![0; bytes].into() };
    let chunks =
        stream::iter([chunk(7), chunk(MESSAGE_BYTES_MAX), chunk(8)]).chain(stream::pending()).boxed();
    let mut replies =
        soon("a stream", proxy.snapshot(route(), offer(10), chunks)).await.expect("the node takes it");
    assert_eq!(next(&mut replies).await, Ok(SnapshotReply::Received(5)));
    assert_eq!(next(&mut replies).await, Ok(SnapshotReply::Received(7)));
    match next(&mut replies).await {
        Err(TransportError::Refused(text)) => {
            assert!(text.contains(&MESSAGE_BYTES_MAX.to_string()), "{text}")
        }
        other => panic!("a refusal was due, not {other:?}"),
    }
    end(&mut replies).await;
    votes(&*proxy).await;
}

/// A handler that takes nothing stops its own stream alone.
pub async fn a_stream_that_is_not_read_does_not_hold_up_calls(fixture: &mut impl Fixture) {
    let (proxy, _events) = node(fixture, Act::Ignore).await;
    let (given, mut gave) = mpsc::unbounded_channel();
    let chunks = stream::repeat(()).map(move |()| {
        // Nobody needs to count.
        let _ = given.send(());
        SnapshotChunk { offset: 0, bytes: vec![0; MIB].into() }
    });
    let mut replies = soon("a stream", proxy.snapshot(route(), offer(10), chunks.boxed()))
        .await
        .expect("the node takes it");
    assert_eq!(next(&mut replies).await, Ok(SnapshotReply::Received(5)));
    // More than one chunk has left, so that what follows does stand behind some that nobody takes.
    for _ in 0..3 {
        soon("a chunk", gave.recv()).await;
    }
    for _ in 0..10 {
        votes(&*proxy).await;
    }
    let mut taken = 3;
    while gave.try_recv().is_ok() {
        taken += 1;
    }
    assert!(taken < 200, "{taken} MiB were sent to a handler that takes nothing");
}
