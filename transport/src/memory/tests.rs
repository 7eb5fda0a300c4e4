//! The suite inside the process, and what only this network does.

mod conditions;

use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::stream::{StreamExt, pending, unfold};
use lovebird_core::entry::EntryId;
use lovebird_core::identity::{ClusterId, RaftId};
use lovebird_core::log_store::Vote;
use lovebird_core::runtime;
use lovebird_core::transport::{AppendReply, AppendRequest, Endpoint, Route, Transport, TransportError};
use tokio::sync::mpsc;

use super::MemoryNetwork;
use crate::conformance::{Act, Event, Events, Fixture, Script};

/// Nodes on one network.
struct Nodes {
    network: MemoryNetwork,
    started: usize,
}

impl Nodes {
    fn new() -> Self {
        Nodes { network: MemoryNetwork::new(), started: 0 }
    }
}

#[async_trait]
impl Fixture for Nodes {
    async fn start(&mut self, endpoint: Arc<dyn Endpoint>) -> String {
        self.started += 1;
        let address = format!("node-{}", self.started);
        self.network.register(&address, endpoint);
        address
    }

    async fn stop(&mut self, address: &str) {
        self.network.unregister(address);
    }

    async fn restart(&mut self, address: &str, endpoint: Arc<dyn Endpoint>) {
        self.network.register(address, endpoint);
    }

    fn transport(&self) -> Arc<dyn Transport> {
        Arc::new(self.network.transport("client"))
    }
}

/// Runs a test on the runtime of the build.
#[cfg(not(madsim))]
fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

/// Runs a test under a seed.
#[cfg(madsim)]
fn run(test: impl Future<Output = ()>) {
    runtime::Simulation::new(1).block_on(test);
}

mod suite {
    crate::transport_conformance!(super::run, super::Nodes::new());
}

/// A scripted node, a proxy for it, and the network between them.
fn network(act: Act) -> (MemoryNetwork, Arc<dyn Endpoint>, Events) {
    let network = MemoryNetwork::new();
    let (script, events) = Script::new(act);
    network.register("node", script);
    let proxy = network.transport("client").endpoint("node");
    (network, proxy, events)
}

/// Lets everything happen that can, and checks that a future still waits.
async fn waits<F: Future + Unpin>(future: &mut F) {
    for _ in 0..1000 {
        assert!(future.now_or_never().is_none(), "what went over a cut link arrived");
        runtime::yield_now().await;
    }
}

fn route() -> Route {
    Route { cluster: ClusterId(1), group: 0, from: RaftId::new(1, 1), to: RaftId::new(2, 2) }
}

fn append(number: u64) -> AppendRequest {
    let vote = Vote { term: 1, node: RaftId::new(1, 1), committed: true };
    AppendRequest { vote, previous: Some(EntryId::new(1, number)), entries: Vec::new(), committed: None }
}

#[test]
fn a_request_over_a_cut_link_vanishes() {
    run(async {
        let (network, proxy, mut events) = network(Act::Answer);
        network.cut("client", "node");
        let mut call = proxy.status(1);
        waits(&mut call).await;
        network.heal("client", "node");
        waits(&mut call).await;
        proxy.status(2).await.unwrap();
        events.asked("status", &2).await;
    });
}

#[test]
fn a_reply_over_a_cut_link_vanishes_though_the_request_was_handled() {
    run(async {
        let (network, proxy, mut events) = network(Act::Answer);
        network.cut("node", "client");
        let mut call = proxy.status(1);
        waits(&mut call).await;
        events.asked("status", &1).await;
        network.heal("node", "client");
        waits(&mut call).await;
        proxy.status(2).await.unwrap();
    });
}

#[test]
fn a_cut_is_of_one_direction_and_of_one_pair() {
    run(async {
        let (network, proxy, _events) = network(Act::Answer);
        network.cut("other", "node");
        network.cut("node", "other");
        proxy.status(1).await.unwrap();
        waits(&mut network.transport("other").endpoint("node").status(1)).await;
    });
}

#[test]
fn a_stream_that_lost_a_request_stands_still_for_good() {
    run(async {
        let (network, proxy, mut events) = network(Act::Answer);
        let (requests, source) = mpsc::unbounded_channel();
        let source = unfold(source, |mut source| async move { Some((source.recv().await?, source)) });
        let mut replies = proxy.append(route(), source.boxed()).await.unwrap();
        requests.send(append(1)).unwrap();
        assert_eq!(replies.next().await, Some(Ok(AppendReply::Accepted(Some(EntryId::new(1, 1))))));

        network.cut("client", "node");
        requests.send(append(2)).unwrap();
        waits(&mut replies.next()).await;
        network.heal("client", "node");
        requests.send(append(3)).unwrap();
        waits(&mut replies.next()).await;

        drop(replies);
        events.asked("append", &route()).await;
        events.asked("append", &append(1)).await;
        // Neither the lost request nor the one behind it arrived.
        assert!(matches!(events.next().await, Event::Ended | Event::Dropped));
    });
}

#[test]
fn a_node_that_replaces_another_breaks_its_connections() {
    run(async {
        let (network, proxy, _events) = network(Act::Answer);
        let mut replies = proxy.append(route(), pending().boxed()).await.unwrap();
        let (successor, mut events) = Script::new(Act::Answer);
        network.register("node", successor);
        let reply = replies.next().await.unwrap();
        assert!(matches!(reply, Err(TransportError::Broken { .. })), "{reply:?}");
        proxy.status(1).await.unwrap();
        events.asked("status", &1).await;
    });
}
