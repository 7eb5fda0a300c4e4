//! Scenarios of subscriptions: one request, and replies for as long as the caller wants them.

use futures_util::FutureExt;
use futures_util::future::{Either, select};
use futures_util::stream::StreamExt;
use lovebird_core::transport::{
    Endpoint, IfPurged, Replies, SubscribeReply, SubscribeRequest, TransportError,
};

use super::answers::followed;
use super::streams::{end, next};
use super::{Act, Event, Fixture, Script, node, soon, votes};
use crate::limits::MESSAGE_BYTES_MAX;

const MIB: usize = 1 << 20;

fn request(if_purged: IfPurged) -> SubscribeRequest {
    SubscribeRequest { group: 7, from: 4, if_purged }
}

async fn subscribe(proxy: &dyn Endpoint, if_purged: IfPurged) -> Replies<SubscribeReply> {
    soon("a subscription", proxy.subscribe(request(if_purged))).await.expect("the node takes it")
}

/// All that a subscriber may be sent, one after the other, until the node ends it or, here, has no more for the moment.
pub async fn a_subscriber_is_sent_all_in_order(fixture: &mut impl Fixture) {
    let (proxy, mut events) = node(fixture, Act::Answer).await;

    let mut replies = subscribe(&*proxy, IfPurged::Tell).await;
    events.asked("subscribe", &request(IfPurged::Tell)).await;
    for expected in followed(request(IfPurged::Tell)).collect::<Vec<_>>().await {
        assert_eq!(next(&mut replies).await, Ok(expected));
    }
    end(&mut replies).await;
    events.dropped().await;

    let mut replies = subscribe(&*proxy, IfPurged::SendState).await;
    events.asked("subscribe", &request(IfPurged::SendState)).await;
    let mut told = followed(request(IfPurged::SendState));
    while let Some(Some(expected)) = told.next().now_or_never() {
        assert_eq!(next(&mut replies).await, Ok(expected));
    }
    assert_eq!(replies.next().now_or_never(), None, "the node has told no more");
}

/// A refusal of the subscription is the result of the call.
pub async fn a_subscription_may_be_refused(fixture: &mut impl Fixture) {
    let error = TransportError::Refused("this node has no group 7".to_owned());
    let (proxy, _events) = node(fixture, Act::Fail(error.clone())).await;
    let refused = soon("a refusal", proxy.subscribe(request(IfPurged::Tell))).await.map(drop);
    assert_eq!(refused, Err(error));
}

/// What fails later comes behind the replies, and nothing comes behind it.
pub async fn an_error_is_the_last_reply_to_a_subscription(fixture: &mut impl Fixture) {
    let error = TransportError::Refused("this node is shutting down".to_owned());
    let (proxy, mut events) = node(fixture, Act::FailLater(error.clone())).await;
    let mut replies = subscribe(&*proxy, IfPurged::Tell).await;
    assert!(next(&mut replies).await.is_ok(), "the node answers once");
    assert_eq!(next(&mut replies).await, Err(error));
    end(&mut replies).await;
    events.dropped().await;
}

/// Nobody could decode it. The subscription breaks, and the connection goes on.
pub async fn a_reply_over_the_limit_ends_its_subscription(fixture: &mut impl Fixture) {
    let (proxy, mut events) = node(fixture, Act::Large(MESSAGE_BYTES_MAX)).await;
    let mut replies = subscribe(&*proxy, IfPurged::Tell).await;
    match next(&mut replies).await {
        Err(TransportError::Broken { reason, .. }) => {
            assert!(reason.contains(&MESSAGE_BYTES_MAX.to_string()), "{reason}");
        }
        Err(error) => panic!("the subscription counts as broken, not: {error}"),
        Ok(_) => panic!("a reply over the limit arrived"),
    }
    end(&mut replies).await;
    events.dropped().await;
    votes(&*proxy).await;
}

/// A subscriber that is slow holds up itself alone, and what waits for it is bounded.
pub async fn a_subscriber_that_reads_nothing_does_not_hold_up_calls(fixture: &mut impl Fixture) {
    let (proxy, mut events) = node(fixture, Act::Large(MIB)).await;
    let mut replies = subscribe(&*proxy, IfPurged::Tell).await;
    events.asked("subscribe", &request(IfPurged::Tell)).await;
    // More than one reply has left, so that what follows does stand behind some that nobody takes.
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
    assert!(given < 200, "{given} MiB were given to a subscriber that reads nothing");
    assert!(next(&mut replies).await.is_ok(), "what was given can still be read");
    drop(replies);
    events.dropped().await;
}

/// A subscription has no end of its own: the subscriber's letting go is one, whether replies are under way or none is in sight.
pub async fn a_dropped_subscription_is_dropped_by_its_handler(fixture: &mut impl Fixture) {
    for act in [Act::Answer, Act::Ignore] {
        let (proxy, mut events) = node(fixture, act).await;
        let replies = subscribe(&*proxy, IfPurged::SendState).await;
        drop(replies);
        events.dropped().await;
        votes(&*proxy).await;
    }
}

/// The same while the node has not yet said whether it takes the subscription.
pub async fn a_subscription_dropped_before_it_was_taken_is_dropped_by_its_handler(
    fixture: &mut impl Fixture,
) {
    let (proxy, mut events) = node(fixture, Act::Hang).await;
    let call = proxy.subscribe(request(IfPurged::Tell));
    {
        let asked = std::pin::pin!(async { events.asked("subscribe", &request(IfPurged::Tell)).await });
        match select(call, asked).await {
            Either::Left(_) => panic!("a subscription that hangs was taken"),
            Either::Right(((), call)) => drop(call),
        }
    }
    assert_eq!(events.next().await, Event::Dropped);
}

/// The subscriber hears of it, even if there was nothing to be sent.
pub async fn a_node_stops_in_the_middle_of_a_subscription(fixture: &mut impl Fixture) {
    let (script, mut events) = Script::new(Act::Ignore);
    let address = fixture.start(script).await;
    let proxy = fixture.transport().endpoint(&address);
    let mut replies = subscribe(&*proxy, IfPurged::SendState).await;
    soon("the stop", fixture.stop(&address)).await;
    match soon("the end of a subscription", replies.next()).await {
        Some(Err(TransportError::Broken { address: at, .. })) => assert_eq!(at, address),
        other => panic!("the connection broke, yet the subscription gave {other:?}"),
    }
    end(&mut replies).await;
    events.dropped().await;
}
