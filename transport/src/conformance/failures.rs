//! Scenarios of cancelled calls and of nodes that come and go.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{Either, join, select};
use futures_util::stream::{self, StreamExt};
use lovebird_core::transport::{Endpoint, TransportError};

use super::{Act, Event, Fixture, Script, append, node, route, soon, vote_request, votes};

/// What is dropped here is dropped there.
pub async fn a_dropped_call_is_dropped_by_its_handler(fixture: &mut impl Fixture) {
    let (proxy, mut events) = node(fixture, Act::Hang).await;
    let call = proxy.vote(route(), vote_request(1));
    {
        let asked = std::pin::pin!(async { events.asked("vote", &(route(), vote_request(1))).await });
        match select(call, asked).await {
            Either::Left((reply, _)) => panic!("a call that hangs gave {reply:?}"),
            Either::Right(((), call)) => drop(call),
        }
    }
    assert_eq!(events.next().await, Event::Dropped);
}

/// Dropping the replies ends the requests and drops the handler's side, though neither had come to its end.
pub async fn a_dropped_stream_is_dropped_by_its_handler(fixture: &mut impl Fixture) {
    let (proxy, mut events) = node(fixture, Act::Answer).await;
    let requests = stream::iter([append(1, Default::default())]).chain(stream::pending()).boxed();
    let mut replies = soon("a stream", proxy.append(route(), requests)).await.expect("the node takes it");
    soon("a reply", replies.next()).await.expect("the stream goes on").expect("the node answers");
    assert_eq!(replies.next().now_or_never().map(drop), None, "nothing more was asked");
    drop(replies);
    events.dropped().await;
    votes(&*proxy).await;
}

/// The same while the node has not yet said whether it takes the stream.
pub async fn a_stream_dropped_before_it_was_taken_is_dropped_by_its_handler(fixture: &mut impl Fixture) {
    let (proxy, mut events) = node(fixture, Act::Hang).await;
    let call = proxy.append(route(), stream::pending().boxed());
    {
        let asked = std::pin::pin!(async { events.asked("append", &route()).await });
        match select(call, asked).await {
            Either::Left(_) => panic!("a stream that hangs was taken"),
            Either::Right(((), call)) => drop(call),
        }
    }
    assert_eq!(events.next().await, Event::Dropped);
}

/// Nothing can have arrived, and that is what calls and streams say.
pub async fn nobody_listens(fixture: &mut impl Fixture) {
    let (script, _events) = Script::new(Act::Answer);
    let address = fixture.start(script.clone()).await;
    fixture.stop(&address).await;
    let proxy = fixture.transport().endpoint(&address);
    for _ in 0..3 {
        unreachable(&*proxy, &address).await;
        let stream = soon("an error", proxy.append(route(), stream::pending().boxed())).await.map(drop);
        assert!(matches!(&stream, Err(TransportError::Unreachable { .. })), "{stream:?}");
    }
    fixture.restart(&address, script).await;
    votes(&*proxy).await;
}

async fn unreachable(proxy: &dyn Endpoint, at: &str) {
    match soon("an error", proxy.vote(route(), vote_request(1))).await {
        Err(TransportError::Unreachable { address, .. }) => assert_eq!(address, at),
        other => panic!("nobody listens, yet a call gave {other:?}"),
    }
}

/// The call may have been handled: it broke. Later ones cannot have arrived, until somebody listens again.
pub async fn a_node_stops_in_the_middle_of_a_call_and_comes_back(fixture: &mut impl Fixture) {
    let (script, mut events) = Script::new(Act::Hang);
    let address = fixture.start(script.clone()).await;
    let proxy = fixture.transport().endpoint(&address);
    let call = proxy.vote(route(), vote_request(1));
    let stop = async {
        events.asked("vote", &(route(), vote_request(1))).await;
        fixture.stop(&address).await;
    };
    let (reply, ()) = soon("the end of a call", join(call, stop)).await;
    match reply {
        Err(TransportError::Broken { address: at, .. }) => assert_eq!(at, address),
        other => panic!("the connection broke, yet the call gave {other:?}"),
    }
    assert_eq!(events.next().await, Event::Dropped);
    comes_back(fixture, &*proxy, &address, &script).await;
}

/// The same with a stream.
pub async fn a_node_stops_in_the_middle_of_a_stream_and_comes_back(fixture: &mut impl Fixture) {
    let (script, mut events) = Script::new(Act::Answer);
    let address = fixture.start(script.clone()).await;
    let proxy = fixture.transport().endpoint(&address);
    let requests = stream::iter([append(1, Default::default())]).chain(stream::pending()).boxed();
    let mut replies = soon("a stream", proxy.append(route(), requests)).await.expect("the node takes it");
    soon("a reply", replies.next()).await.expect("the stream goes on").expect("the node answers");
    soon("the stop", fixture.stop(&address)).await;
    match soon("the end of a stream", replies.next()).await {
        Some(Err(TransportError::Broken { address: at, .. })) => assert_eq!(at, address),
        other => panic!("the connection broke, yet the stream gave {other:?}"),
    }
    assert!(soon("the end of a stream", replies.next()).await.is_none(), "something came behind the error");
    events.dropped().await;
    comes_back(fixture, &*proxy, &address, &script).await;
}

/// A node that has stopped is unreachable, and answers again once it is back.
///
/// The sender may notice the end of its connection a moment after the end of what was on it; until then a call breaks.
async fn comes_back(fixture: &mut impl Fixture, proxy: &dyn Endpoint, address: &str, script: &Arc<Script>) {
    let refused = async {
        while let Err(TransportError::Broken { .. }) = proxy.vote(route(), vote_request(1)).await {}
    };
    soon("the end of a connection", refused).await;
    unreachable(proxy, address).await;
    script.act(Act::Answer);
    fixture.restart(address, script.clone()).await;
    votes(proxy).await;
}
