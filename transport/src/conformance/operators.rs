//! Scenarios of what operators ask.

use std::collections::BTreeSet;

use futures_util::FutureExt;
use futures_util::future::{Either, select};
use futures_util::stream::StreamExt;
use lovebird_core::transport::{
    Change, ChangeReply, ChangeRequest, Endpoint, ExportPiece, HandOverReply, HandOverRequest,
    MembershipVersion, Replies, Standing, TransportError,
};

use super::answers::{EXPORTED_BYTES, NOT_LEADER, changing, exported, pattern};
use super::streams::{end, next};
use super::{Act, Event, Fixture, Script, node, soon, votes};

const MIB: usize = 1 << 20;

/// A change that is based on a membership, which the script therefore brings to an end.
fn ending(change: Change) -> ChangeRequest {
    let expected = Some(MembershipVersion { term: 3, number: u64::MAX });
    ChangeRequest { group: 7, change, expected, forwarded: true }
}

/// A change that waits for a node to catch up, for as long as somebody wants it.
fn waiting() -> ChangeRequest {
    ChangeRequest { group: 7, change: Change::Promote { node: 4 }, expected: None, forwarded: false }
}

async fn change(proxy: &dyn Endpoint, request: &ChangeRequest) -> Replies<ChangeReply> {
    soon("a change", proxy.change(request.clone())).await.expect("the node takes it")
}

async fn export(proxy: &dyn Endpoint) -> Replies<ExportPiece> {
    soon("an export", proxy.export(7)).await.expect("the node takes it")
}

/// Every kind of change arrives as it was asked for, and all that the node says of how it goes comes back.
pub async fn a_change_is_told_how_it_goes(fixture: &mut impl Fixture) {
    let (proxy, mut events) = node(fixture, Act::Answer).await;
    let address = "Täubchen:7000".to_owned();
    let changes = [
        Change::Add { node: 4, address: address.clone(), standing: Standing::Voter },
        Change::Add { node: 4, address: address.clone(), standing: Standing::Learner },
        Change::Promote { node: u64::MAX },
        Change::Remove { node: 2 },
        Change::Replace { old: 2, node: 5, address: address.clone() },
        Change::Move { node: 3, address },
        Change::Voters { nodes: BTreeSet::from([1, 4, u64::MAX]) },
    ];
    for request in changes.map(ending) {
        let mut replies = change(&*proxy, &request).await;
        events.asked("change", &request).await;
        for expected in changing(request).collect::<Vec<_>>().await {
            assert_eq!(next(&mut replies).await, Ok(expected));
        }
        end(&mut replies).await;
        events.dropped().await;
    }
}

/// What the node says while the change goes on comes at once, not with the end.
pub async fn a_change_that_waits_is_told_so(fixture: &mut impl Fixture) {
    let (proxy, mut events) = node(fixture, Act::Answer).await;
    let mut replies = change(&*proxy, &waiting()).await;
    events.asked("change", &waiting()).await;
    let mut told = changing(waiting());
    while let Some(Some(expected)) = told.next().now_or_never() {
        assert_eq!(next(&mut replies).await, Ok(expected));
    }
    assert_eq!(replies.next().now_or_never(), None, "the node has told no more");
}

/// To whom, and what became of it.
pub async fn a_leader_is_asked_to_hand_over(fixture: &mut impl Fixture) {
    let (proxy, mut events) = node(fixture, Act::Answer).await;
    let request = HandOverRequest { group: 7, to: Some(u64::MAX), forwarded: true };
    let reply = HandOverReply::Done { leader: u64::MAX };
    assert_eq!(soon("a hand-over", proxy.hand_over(request)).await, Ok(reply));
    events.asked("hand_over", &request).await;

    for forwarded in [false, true] {
        let request = HandOverRequest { group: 7, to: None, forwarded };
        let reply = HandOverReply::Refused { reason: NOT_LEADER.to_owned(), retry: forwarded };
        assert_eq!(soon("a hand-over", proxy.hand_over(request)).await, Ok(reply));
        events.asked("hand_over", &request).await;
    }
}

/// Of which group, and how far it reaches.
pub async fn a_snapshot_is_taken_when_it_is_asked_for(fixture: &mut impl Fixture) {
    let (proxy, mut events) = node(fixture, Act::Answer).await;
    assert_eq!(soon("a snapshot", proxy.take_snapshot(7)).await, Ok(u64::MAX - 7));
    events.asked("take_snapshot", &7).await;
}

/// Every byte of the file, once and in order.
pub async fn an_export_arrives_whole(fixture: &mut impl Fixture) {
    let (proxy, mut events) = node(fixture, Act::Answer).await;
    let mut pieces = export(&*proxy).await;
    events.asked("export", &7).await;
    let mut whole = Vec::new();
    for expected in exported() {
        let piece = next(&mut pieces).await.expect("the node answers");
        assert_eq!((piece.index, piece.length), (expected.index, expected.length));
        whole.extend(piece.bytes);
    }
    end(&mut pieces).await;
    assert!(whole == pattern(EXPORTED_BYTES), "other bytes arrived than were sent");
    events.dropped().await;
}

/// A refusal of the whole is the result of the call, in the node's words.
pub async fn what_an_operator_asks_may_be_refused(fixture: &mut impl Fixture) {
    let error = TransportError::Refused("this node has no group 7".to_owned());
    let (proxy, _events) = node(fixture, Act::Fail(error.clone())).await;
    let refused = soon("a refusal", proxy.change(waiting())).await.map(drop);
    assert_eq!(refused, Err(error.clone()));
    let request = HandOverRequest { group: 7, to: None, forwarded: false };
    assert_eq!(soon("a refusal", proxy.hand_over(request)).await, Err(error.clone()));
    assert_eq!(soon("a refusal", proxy.take_snapshot(7)).await, Err(error.clone()));
    let refused = soon("a refusal", proxy.export(7)).await.map(drop);
    assert_eq!(refused, Err(error));
}

/// What fails later comes behind the replies, and nothing comes behind it.
pub async fn an_error_is_the_last_reply_to_an_operator(fixture: &mut impl Fixture) {
    let error = TransportError::Refused("this node is shutting down".to_owned());
    let (proxy, mut events) = node(fixture, Act::FailLater(error.clone())).await;
    let mut replies = change(&*proxy, &waiting()).await;
    assert!(next(&mut replies).await.is_ok(), "the node answers once");
    assert_eq!(next(&mut replies).await, Err(error.clone()));
    end(&mut replies).await;
    events.dropped().await;

    let mut pieces = export(&*proxy).await;
    assert!(next(&mut pieces).await.is_ok(), "the node answers once");
    assert_eq!(next(&mut pieces).await, Err(error));
    end(&mut pieces).await;
    events.dropped().await;
}

/// It is how an operator gives a change up, whether the node has said something or not.
pub async fn a_dropped_change_is_dropped_by_its_handler(fixture: &mut impl Fixture) {
    let (proxy, mut events) = node(fixture, Act::Answer).await;
    let mut replies = change(&*proxy, &waiting()).await;
    assert!(next(&mut replies).await.is_ok(), "the node answers");
    events.asked("change", &waiting()).await;
    assert_eq!(events.next().now_or_never(), None, "the change still goes on");
    drop(replies);
    assert_eq!(events.next().await, Event::Dropped);
    votes(&*proxy).await;

    let (proxy, mut events) = node(fixture, Act::Ignore).await;
    let replies = change(&*proxy, &waiting()).await;
    events.asked("change", &waiting()).await;
    drop(replies);
    assert_eq!(events.next().await, Event::Dropped);
    votes(&*proxy).await;
}

/// The same while the node has not yet said whether it takes the change.
pub async fn a_change_dropped_before_it_was_taken_is_dropped_by_its_handler(fixture: &mut impl Fixture) {
    let (proxy, mut events) = node(fixture, Act::Hang).await;
    let call = proxy.change(waiting());
    {
        let asked = std::pin::pin!(async { events.asked("change", &waiting()).await });
        match select(call, asked).await {
            Either::Left(_) => panic!("a change that hangs was taken"),
            Either::Right(((), call)) => drop(call),
        }
    }
    assert_eq!(events.next().await, Event::Dropped);
}

/// The operator hears of it, and does not take it for the end of the change.
pub async fn a_node_stops_in_the_middle_of_a_change(fixture: &mut impl Fixture) {
    let (script, mut events) = Script::new(Act::Ignore);
    let address = fixture.start(script).await;
    let proxy = fixture.transport().endpoint(&address);
    let mut replies = change(&*proxy, &waiting()).await;
    soon("the stop", fixture.stop(&address)).await;
    match soon("the end of a change", replies.next()).await {
        Some(Err(TransportError::Broken { address: at, .. })) => assert_eq!(at, address),
        other => panic!("the connection broke, yet the change gave {other:?}"),
    }
    end(&mut replies).await;
    events.dropped().await;
}

/// Whoever writes an export to a slow disk holds up nothing else, and what waits for it is bounded. It may be given up.
pub async fn an_export_that_is_not_read_does_not_hold_up_calls(fixture: &mut impl Fixture) {
    let (proxy, mut events) = node(fixture, Act::Large(MIB)).await;
    let mut pieces = export(&*proxy).await;
    events.asked("export", &7).await;
    // More than one piece has left, so that what follows does stand behind some that nobody takes.
    for _ in 0..3 {
        assert_eq!(events.next().await, Event::Gave);
    }
    for _ in 0..10 {
        votes(&*proxy).await;
    }
    let mut given = 3;
    while let Some(event) = events.next().now_or_never() {
        given += usize::from(event == Event::Gave);
    }
    assert!(given < 200, "{given} MiB were given to somebody who reads nothing");
    assert!(next(&mut pieces).await.is_ok(), "what was given can still be read");
    drop(pieces);
    events.dropped().await;
}
