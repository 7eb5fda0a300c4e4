//! What becomes of messages under conditions: each test says what it wants to happen, and when time passes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, StreamExt, pending, unfold};
use lovebird_core::entry::EntryId;
use lovebird_core::runtime;
use lovebird_core::transport::{
    AppendReply, AppendRequest, Change, ChangeRequest, Endpoint, ProposalKind, ProposeOpen, ProposeRequest,
    Replies, Transport, TransportError,
};
use tokio::sync::{mpsc, watch};

use super::{append, route, run, waits};
use crate::conformance::{Act, Event, Events, Script};
use crate::memory::{Conditions, Fate, MemoryNetwork, Sending};

const NEVER: Option<Duration> = None;

/// Conditions by the kind of a message, and a time that passes when it is told to.
struct Told {
    fates: Mutex<BTreeMap<&'static str, VecDeque<Fate>>>,
    seen: Mutex<Vec<(&'static str, bool)>>,
    now: watch::Sender<Duration>,
}

impl Told {
    /// What becomes of the next messages of a kind. All others arrive at once.
    fn next(&self, kind: &'static str, fates: impl IntoIterator<Item = Fate>) {
        self.fates.lock().unwrap().entry(kind).or_default().extend(fates);
    }

    fn pass_to(&self, millis: u64) {
        self.now.send_replace(Duration::from_millis(millis));
    }
}

impl Conditions for Told {
    fn fate(&self, sending: &Sending<'_>) -> Fate {
        self.seen.lock().unwrap().push((sending.kind, sending.repeatable));
        let told = self.fates.lock().unwrap().get_mut(sending.kind).and_then(VecDeque::pop_front);
        told.unwrap_or(Fate::Arrives { at: *self.now.borrow(), again: None })
    }

    fn until(&self, time: Duration) -> BoxFuture<'static, ()> {
        let mut now = self.now.subscribe();
        Box::pin(async move {
            now.wait_for(|now| *now >= time).await.unwrap();
        })
    }
}

fn at(millis: u64) -> Fate {
    Fate::Arrives { at: Duration::from_millis(millis), again: NEVER }
}

fn again(millis: u64) -> Fate {
    Fate::Arrives { at: Duration::ZERO, again: Some(Duration::from_millis(millis)) }
}

/// A scripted node, a proxy for it, and what lies between them.
fn network(act: Act) -> (Arc<Told>, MemoryNetwork, Arc<dyn Endpoint>, Events) {
    let now = watch::Sender::new(Duration::from_millis(1));
    let told = Arc::new(Told { fates: Mutex::default(), seen: Mutex::default(), now });
    let network = MemoryNetwork::under(told.clone());
    let (script, events) = Script::new(act);
    network.register("node", script);
    let proxy = network.transport("client").endpoint("node");
    (told, network, proxy, events)
}

/// A stream of requests, and where they come from.
fn requests() -> (mpsc::UnboundedSender<AppendRequest>, BoxStream<'static, AppendRequest>) {
    let (requests, source) = mpsc::unbounded_channel();
    let source = unfold(source, |mut source| async move { Some((source.recv().await?, source)) });
    (requests, source.boxed())
}

async fn accepted(replies: &mut Replies<AppendReply>, number: u64) {
    assert_eq!(replies.next().await, Some(Ok(AppendReply::Accepted(Some(EntryId::new(1, number))))));
}

async fn broken(replies: &mut Replies<AppendReply>) {
    let reply = replies.next().await;
    assert!(matches!(reply, Some(Err(TransportError::Broken { .. }))), "{reply:?}");
}

/// Checks that nothing more happens at the node.
async fn rests(events: &mut Events) {
    waits(&mut Box::pin(events.next())).await;
}

#[test]
fn calls_overtake_one_another() {
    run(async {
        let (told, _network, proxy, mut events) = network(Act::Answer);
        told.next("status", [at(10), at(5)]);
        told.next("status reply", [at(7)]);
        let (mut first, mut second) = (proxy.status(1), proxy.status(2));
        waits(&mut first).await;
        waits(&mut second).await;
        told.pass_to(5);
        waits(&mut second).await;
        events.asked("status", &2).await;
        told.pass_to(7);
        second.await.unwrap();
        waits(&mut first).await;
        told.pass_to(10);
        first.await.unwrap();
        events.asked("status", &1).await;
    });
}

#[test]
fn a_stream_stays_in_order_whatever_its_messages_take() {
    run(async {
        let (told, _network, proxy, mut events) = network(Act::Answer);
        // Anything will do that goes up and down.
        let mess = |factor: u64| (0..100).map(move |number| at(number * factor % 97));
        told.next("append", mess(31));
        told.next("append reply", mess(57));
        let (requests, source) = requests();
        let mut replies = proxy.append(route(), source).await.unwrap();
        (0..100).for_each(|number| requests.send(append(number)).unwrap());
        let passing = runtime::spawn(async move {
            for millis in 2..100 {
                told.pass_to(millis);
                runtime::yield_now().await;
            }
        });
        events.asked("append", &route()).await;
        for number in 0..100 {
            accepted(&mut replies, number).await;
            events.asked("append", &append(number)).await;
        }
        passing.ended().await;
    });
}

#[test]
fn a_message_does_not_arrive_before_its_time() {
    run(async {
        let (told, _network, proxy, mut events) = network(Act::Answer);
        told.next("append opening", [at(3)]);
        told.next("append", [at(9), at(2)]);
        let (requests, source) = requests();
        let mut opening = proxy.append(route(), source);
        (1..=2).for_each(|number| requests.send(append(number)).unwrap());
        waits(&mut opening).await;
        told.pass_to(3);
        let mut replies = opening.await.unwrap();
        events.asked("append", &route()).await;
        told.pass_to(8);
        waits(&mut replies.next()).await;
        told.pass_to(9);
        accepted(&mut replies, 1).await;
        accepted(&mut replies, 2).await;
    });
}

#[test]
fn a_lost_request_stops_its_direction_alone() {
    run(async {
        let (told, _network, proxy, mut events) = network(Act::Answer);
        told.next("append", [at(1), Fate::Lost]);
        told.next("append reply", [at(20)]);
        let (requests, source) = requests();
        let mut replies = proxy.append(route(), source).await.unwrap();
        (1..=3).for_each(|number| requests.send(append(number)).unwrap());
        waits(&mut replies.next()).await;
        told.pass_to(20);
        accepted(&mut replies, 1).await;
        told.pass_to(10_000);
        waits(&mut replies.next()).await;
        drop(replies);
        events.asked("append", &route()).await;
        events.asked("append", &append(1)).await;
        assert!(matches!(events.next().await, Event::Ended | Event::Dropped));
    });
}

#[test]
fn a_lost_reply_is_to_a_request_that_was_handled() {
    run(async {
        let (told, _network, proxy, mut events) = network(Act::Answer);
        told.next("append reply", [at(1), Fate::Lost]);
        told.next("status reply", [Fate::Lost]);
        let (requests, source) = requests();
        let mut replies = proxy.append(route(), source).await.unwrap();
        (1..=3).for_each(|number| requests.send(append(number)).unwrap());
        accepted(&mut replies, 1).await;
        waits(&mut replies.next()).await;
        events.asked("append", &route()).await;
        events.asked("append", &append(1)).await;
        events.asked("append", &append(2)).await;

        let mut call = proxy.status(1);
        waits(&mut call).await;
        events.asked("status", &1).await;
    });
}

#[test]
fn a_reset_is_seen_at_both_ends() {
    for reset in ["append", "append reply"] {
        run(async move {
            // The node says nothing of itself that could end the stream.
            let (told, _network, proxy, mut events) = network(Act::Answer);
            told.next(reset, [at(1), Fate::Reset]);
            let (requests, source) = requests();
            let mut replies = proxy.append(route(), source).await.unwrap();
            requests.send(append(1)).unwrap();
            accepted(&mut replies, 1).await;
            requests.send(append(2)).unwrap();
            broken(&mut replies).await;
            events.dropped().await;
        });
    }
}

#[test]
fn a_stream_is_reset_whose_node_takes_nothing() {
    run(async {
        let (told, _network, proxy, mut events) = network(Act::Ignore);
        told.next("append", [Fate::Reset]);
        let (requests, source) = requests();
        let mut replies = proxy.append(route(), source).await.unwrap();
        waits(&mut replies.next()).await;
        requests.send(append(1)).unwrap();
        broken(&mut replies).await;
        events.dropped().await;
    });
}

#[test]
fn a_reset_breaks_a_call_and_may_have_let_it_pass() {
    run(async {
        let (told, _network, proxy, mut events) = network(Act::Answer);
        told.next("status", [Fate::Reset]);
        told.next("status reply", [Fate::Reset]);
        for group in 1..=2 {
            let reply = proxy.status(group).await;
            assert!(matches!(reply, Err(TransportError::Broken { .. })), "{reply:?}");
        }
        events.asked("status", &2).await;
        rests(&mut events).await;
    });
}

#[test]
fn a_doubled_call_is_handled_twice_and_answered_once() {
    run(async {
        let (told, _network, proxy, mut events) = network(Act::Answer);
        told.next("status", [again(50)]);
        proxy.status(1).await.unwrap();
        events.asked("status", &1).await;
        rests(&mut events).await;
        told.pass_to(50);
        events.asked("status", &1).await;
        rests(&mut events).await;
        let replies = told.seen.lock().unwrap().iter().filter(|(kind, _)| *kind == "status reply").count();
        assert_eq!(replies, 1);
    });
}

#[test]
fn a_doubled_append_stream_begins_once_more() {
    run(async {
        let (told, _network, proxy, mut events) = network(Act::Answer);
        told.next("append opening", [again(50)]);
        let (requests, source) = requests();
        let mut replies = proxy.append(route(), source).await.unwrap();
        events.asked("append", &route()).await;
        for number in 1..=6 {
            requests.send(append(number)).unwrap();
            accepted(&mut replies, number).await;
            events.asked("append", &append(number)).await;
        }
        told.pass_to(50);
        events.asked("append", &route()).await;
        for number in 1..=4 {
            events.asked("append", &append(number)).await;
        }
        assert_eq!(events.next().await, Event::Ended);
        events.dropped().await;
        // The stream itself goes on, and is told nothing of this.
        requests.send(append(7)).unwrap();
        accepted(&mut replies, 7).await;
    });
}

#[test]
fn what_arrives_again_ends_with_the_life_that_it_was_sent_to() {
    run(async {
        let (told, network, proxy, _events) = network(Act::Answer);
        told.next("status", [again(50)]);
        told.next("append opening", [again(50)]);
        proxy.status(1).await.unwrap();
        let replies = proxy.append(route(), pending().boxed()).await.unwrap();
        drop(replies);
        let (successor, mut events) = Script::new(Act::Answer);
        network.register("node", successor);
        told.pass_to(50);
        rests(&mut events).await;
    });
}

#[test]
fn commands_and_snapshots_never_arrive_again() {
    run(async {
        let (told, _network, proxy, mut events) = network(Act::Answer);
        told.next("propose opening", [again(50)]);
        let open = ProposeOpen { group: 1, forwarded: false };
        let run = vec![0; 3].into();
        let kind = ProposalKind::Commands;
        let request = ProposeRequest { id: 1, kind, timeout_ms: 1, codec: 1, count: 1, run };
        let requests = futures_util::stream::iter([request.clone()]).boxed();
        let mut replies = proxy.propose(open, requests).await.unwrap();
        replies.next().await.unwrap().unwrap();
        events.asked("propose", &open).await;
        events.asked("propose", &request).await;
        drop(replies);
        while !matches!(events.next().await, Event::Dropped) {}
        told.pass_to(50);
        rests(&mut events).await;
        let seen = told.seen.lock().unwrap();
        assert!(seen.iter().any(|(kind, _)| *kind == "propose"));
        assert!(seen.iter().all(|(_, repeatable)| !repeatable), "{seen:?}");
    });
}

#[test]
fn changes_and_exports_never_arrive_again() {
    run(async {
        let (told, _network, proxy, mut events) = network(Act::Ignore);
        told.next("change", [again(50)]);
        told.next("export", [again(50)]);
        let change = Change::Promote { node: 4 };
        let request = ChangeRequest { group: 1, change, expected: None, forwarded: false };
        drop(proxy.change(request.clone()).await.unwrap());
        events.asked("change", &request).await;
        assert_eq!(events.next().await, Event::Dropped);
        drop(proxy.export(1).await.unwrap());
        events.asked("export", &1).await;
        assert_eq!(events.next().await, Event::Dropped);
        told.pass_to(50);
        rests(&mut events).await;
        let seen = told.seen.lock().unwrap();
        let kinds = ["change", "change taken", "export", "export taken"];
        assert_eq!(*seen, kinds.map(|kind| (kind, false)));
    });
}

#[test]
fn that_nobody_listens_takes_the_way_there_to_find_out() {
    run(async {
        let (told, network, proxy, _events) = network(Act::Answer);
        network.unregister("node");
        told.next("status", [at(5), Fate::Lost]);
        let (mut call, mut lost) = (proxy.status(1), proxy.status(2));
        waits(&mut call).await;
        waits(&mut lost).await;
        told.pass_to(5);
        let reply = call.await;
        assert!(matches!(reply, Err(TransportError::Unreachable { .. })), "{reply:?}");
        waits(&mut lost).await;
    });
}
