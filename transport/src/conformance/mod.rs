//! The suite that every transport passes (feature `testing`).
//!
//! Write a [`Fixture`] for the transport and let [`transport_conformance!`](crate::transport_conformance) make a test of
//! each scenario. On the other side of the transport stands a [`Script`], a node that does as it is told and says what
//! happens to it.

mod calls;
mod failures;
mod script;
mod answers;
mod streams;
mod queries;
mod subscriptions;
mod operators;

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use lovebird_core::entry::{Entry, EntryId, EntryKind};
use lovebird_core::identity::{ClusterId, RaftId};
use lovebird_core::log_store::Vote;
use lovebird_core::runtime;
use lovebird_core::transport::{AppendRequest, Endpoint, Route, Transport, VoteRequest};

pub use calls::*;
pub use failures::*;
pub use operators::*;
pub use queries::*;
pub use script::{Act, Event, Events, Script};
pub use streams::*;
pub use subscriptions::*;

/// How long anything that must happen may take. Far above what it does take, on a busy machine too.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What the suite needs of a transport that it tests.
#[async_trait]
pub trait Fixture: Send {
    /// Starts to serve `endpoint`, and gives the address.
    async fn start(&mut self, endpoint: Arc<dyn Endpoint>) -> String;

    /// Ends the service at `address` as the end of its process would. Nobody listens there when this returns.
    async fn stop(&mut self, address: &str);

    /// Starts to serve `endpoint` at an address that has been stopped.
    async fn restart(&mut self, address: &str, endpoint: Arc<dyn Endpoint>);

    /// The transport under test, always the same.
    fn transport(&self) -> Arc<dyn Transport>;
}

/// Makes a test of each scenario, from a function that runs a future on some runtime, and an expression that gives a
/// [`Fixture`](crate::conformance::Fixture). Belongs in a module of its own, since the tests are named after the scenarios.
#[macro_export]
macro_rules! transport_conformance {
    ($run:expr, $fixture:expr) => {
        $crate::transport_conformance! { @each $run, $fixture,
            every_call_arrives_and_its_reply_comes_back
            a_refusal_arrives_with_its_text
            a_long_refusal_is_cut
            what_the_node_itself_cannot_reach_is_not_unreachable
            a_request_over_the_limit_is_refused
            a_reply_over_the_limit_is_not_a_refusal
            appends_are_answered_in_order
            many_appends_are_under_way_before_the_first_reply
            an_append_of_20_mib_arrives
            a_snapshot_is_sent_from_where_its_receiver_says
            outcomes_come_in_any_order
            outcomes_come_in_parts
            a_stream_ends_when_its_requests_do
            a_stream_may_be_refused
            an_error_is_the_last_reply
            a_stream_ends_before_a_request_over_the_limit
            a_stream_that_is_not_read_does_not_hold_up_calls
            queries_are_answered_part_by_part
            many_queries_are_under_way_before_the_first_answer
            queries_may_be_refused_at_once_or_later
            answers_over_the_limit_end_their_stream
            dropped_queries_are_dropped_by_their_handler
            a_node_stops_under_queries
            a_subscriber_is_sent_all_in_order
            a_subscription_may_be_refused
            an_error_is_the_last_reply_to_a_subscription
            a_reply_over_the_limit_ends_its_subscription
            a_subscriber_that_reads_nothing_does_not_hold_up_calls
            a_dropped_subscription_is_dropped_by_its_handler
            a_subscription_dropped_before_it_was_taken_is_dropped_by_its_handler
            a_node_stops_in_the_middle_of_a_subscription
            a_change_is_told_how_it_goes
            a_change_that_waits_is_told_so
            a_leader_is_asked_to_hand_over
            a_snapshot_is_taken_when_it_is_asked_for
            an_export_arrives_whole
            what_an_operator_asks_may_be_refused
            an_error_is_the_last_reply_to_an_operator
            a_dropped_change_is_dropped_by_its_handler
            a_change_dropped_before_it_was_taken_is_dropped_by_its_handler
            a_node_stops_in_the_middle_of_a_change
            an_export_that_is_not_read_does_not_hold_up_calls
            a_dropped_call_is_dropped_by_its_handler
            a_dropped_stream_is_dropped_by_its_handler
            a_stream_dropped_before_it_was_taken_is_dropped_by_its_handler
            nobody_listens
            a_node_stops_in_the_middle_of_a_call_and_comes_back
            a_node_stops_in_the_middle_of_a_stream_and_comes_back
        }
    };
    (@each $run:expr, $fixture:expr, $($scenario:ident)*) => {
        $(
            #[test]
            fn $scenario() {
                $run(async { $crate::conformance::$scenario(&mut $fixture).await });
            }
        )*
    };
}

/// A scripted node, and a proxy for it.
async fn node(fixture: &mut impl Fixture, act: Act) -> (Arc<dyn Endpoint>, Events) {
    let (script, events) = Script::new(act);
    let address = fixture.start(script).await;
    (fixture.transport().endpoint(&address), events)
}

/// Waits for what must happen.
async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    match runtime::timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("{what} did not happen within {PATIENCE:?}"),
    }
}

/// Asks for a vote, to see that calls pass.
async fn votes(endpoint: &dyn Endpoint) {
    let request = vote_request(3);
    let reply = soon("a vote", endpoint.vote(route(), request)).await.expect("the node answers");
    assert_eq!(reply.vote, request.vote);
}

fn route() -> Route {
    Route { cluster: ClusterId(u64::MAX), group: 7, from: RaftId::new(1, 11), to: RaftId::new(2, 22) }
}

fn vote(term: u64) -> Vote {
    Vote { term, node: RaftId::new(1, 11), committed: true }
}

fn vote_request(term: u64) -> VoteRequest {
    VoteRequest { vote: vote(term), last: Some(EntryId::new(1, 2)), leadership_transfer: true }
}

/// An append of one entry.
fn append(number: u64, body: Bytes) -> AppendRequest {
    let mut entry = Entry::new(EntryKind::Commands, body);
    entry.header.term = 3;
    entry.header.number = number;
    AppendRequest { vote: vote(3), previous: None, entries: vec![entry], committed: None }
}

fn text(value: &impl Debug) -> String {
    format!("{value:?}")
}
