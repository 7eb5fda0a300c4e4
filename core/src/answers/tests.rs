//! A node's side of a stream of queries, of which a test plays the other side, and the rounds among the nodes.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::apply::SnapshotPolicy;
use crate::codec::{Bincode, Codec};
use crate::context::Context;
use crate::entry::{Entry, EntryKind};
use crate::identity::{ClusterId, Identity, RaftId};
use crate::query_run::push_query;
use crate::reply::{Reply, replies};
use crate::service::{Model, Service};
use crate::state_machine::StateMachine;
use crate::transport::QueryPart;

/// Answers twice what it is asked.
struct Twice;

impl StateMachine for Twice {
    type Command = ();
    type Reply = ();
    type Query = u64;
    type Answer = u64;
    type Snapshot = ();

    fn apply(&mut self, _: &Context, (): ()) {}

    fn query(&self, number: u64) -> u64 {
        2 * number
    }

    fn snapshot(&self) {}

    fn restore(&mut self, (): ()) {}
}

fn answering() -> Answering {
    let initial_members = [1].into();
    let identity = Identity {
        cluster: ClusterId::of("test", &initial_members),
        cluster_name: "test".to_owned(),
        initial_members,
        id: RaftId::new(1, 1),
        model: Model::StateMachine,
        starts: 1,
    };
    let policy = SnapshotPolicy { records: u64::MAX, bytes: u64::MAX };
    let stop: Arc<Stop> = Arc::default();
    let replica = Replica::new(&identity, 0, Twice.erase().0, policy, stop.clone());
    Answering::new(Arc::new(replica), Arc::default(), Arc::default(), stop)
}

/// One stream to a node.
struct Client {
    requests: mpsc::UnboundedSender<QueryRequest>,
    replies: Replies<QueryReply>,
}

impl Client {
    fn of(answering: &Answering) -> Client {
        let (requests, outgoing) = crate::courier::outgoing();
        Client { requests, replies: answering.clone().serve(outgoing) }
    }

    /// Asks the numbers from 0 on, in these parts.
    fn ask(&self, id: u64, parts: &[(Freshness, u64, u64, u32)]) {
        let part =
            |&(freshness, at_least, timeout_ms, count)| QueryPart { freshness, at_least, timeout_ms, count };
        let parts: Vec<QueryPart> = parts.iter().map(part).collect();
        let mut run = BytesMut::new();
        for number in 0..parts.iter().map(|part| u64::from(part.count)).sum() {
            push_query(&mut run, &Bincode::encode(&number).unwrap());
        }
        self.requests.send(QueryRequest { id, parts, run: run.freeze() }).unwrap();
    }

    async fn next(&mut self) -> QueryReply {
        let waiting = tokio::time::timeout(Duration::from_secs(30), self.replies.next());
        waiting.await.expect("a reply comes").expect("the stream goes on").unwrap()
    }

    /// Nothing more comes for the moment.
    async fn rest(&mut self) {
        let waiting = tokio::time::timeout(Duration::from_millis(50), self.replies.next());
        assert!(waiting.await.is_err(), "an answer came too early");
    }
}

fn is_answered(answers: &Answers, first: u32, count: u32) {
    assert_eq!((answers.first, answers.count), (first, count));
    let QueryOutcome::Answered { answers, .. } = &answers.outcome else { panic!("{answers:?}") };
    let numbers: Vec<u64> = replies(answers.clone())
        .map(|reply| match reply {
            Reply::Reply(bytes) => Bincode::decode(&bytes).unwrap(),
            Reply::Undecodable(reason) => panic!("{reason}"),
        })
        .collect();
    let expected: Vec<u64> = (first..first + count).map(|number| 2 * u64::from(number)).collect();
    assert_eq!(numbers, expected);
}

const MINUTE: u64 = 60_000;

#[tokio::test]
async fn what_waits_holds_up_nothing_else_of_its_message_and_is_told_that_it_does() {
    let mut client = Client::of(&answering());
    // In the middle stands what waits for a log index that does not come, and for a round that nobody makes.
    client.ask(
        7,
        &[
            (Freshness::Any, 0, MINUTE, 2),
            (Freshness::Any, 5, 700, 3),
            (Freshness::Quorum, 0, 900, 1),
            (Freshness::Any, 0, MINUTE, 1),
        ],
    );
    let reply = client.next().await;
    assert_eq!((reply.id, reply.answers.len()), (7, 2));
    is_answered(&reply.answers[0], 0, 2);
    is_answered(&reply.answers[1], 6, 1);
    let sign = client.next().await;
    assert_eq!(sign, QueryReply { id: 7, answers: Vec::new() });
    for (first, count, text) in [
        (2, 3, "this replica did not come to log index 5 before the deadline"),
        (5, 1, "no majority of the members answered before the deadline"),
    ] {
        let outcome = QueryOutcome::Failed { reason: text.to_owned(), applied: 0 };
        assert_eq!(client.next().await.answers, [Answers { first, count, outcome }]);
    }
    // The message is done: there are no more signs of it, and the stream serves the next one.
    client.ask(8, &[(Freshness::Any, 0, MINUTE, 1)]);
    is_answered(&client.next().await.answers[0], 0, 1);
    assert!(tokio::time::timeout(2 * SIGN, client.replies.next()).await.is_err());
}

#[tokio::test]
async fn message_is_answered_by_a_round_that_began_after_it_had_come() {
    let answering = answering();
    let (rounds, end_round) = (Arc::new(AtomicU64::new(0)), Arc::new(Semaphore::new(0)));
    let (began, ends) = (rounds.clone(), end_round.clone());
    let serving = tokio::spawn(answering.reads.clone().run(move || {
        let (began, ends) = (began.clone(), ends.clone());
        async move {
            let round = began.fetch_add(1, Ordering::SeqCst);
            ends.acquire().await.unwrap().forget();
            Ok(round)
        }
    }));
    let blank = |number| {
        let mut entry = Entry::new(EntryKind::Blank, Bytes::new());
        (entry.header.term, entry.header.number) = (1, number);
        entry
    };
    answering.replica.apply(vec![blank(0)]).await.unwrap();
    let mut client = Client::of(&answering);
    client.ask(1, &[(Freshness::Quorum, 0, MINUTE, 3)]);
    client.rest().await;
    assert_eq!(rounds.load(Ordering::SeqCst), 1);
    // The first round is under way: it may have begun before what the second message must see.
    client.ask(2, &[(Freshness::Quorum, 0, MINUTE, 3)]);
    client.rest().await;
    end_round.add_permits(1);
    let reply = client.next().await;
    assert_eq!(reply.id, 1);
    is_answered(&reply.answers[0], 0, 3);
    client.rest().await;
    // Nor is it answered before the replica has applied what its round has found.
    end_round.add_permits(1);
    client.rest().await;
    answering.replica.apply(vec![blank(1)]).await.unwrap();
    let reply = client.next().await;
    assert_eq!((reply.id, rounds.load(Ordering::SeqCst)), (2, 2));
    is_answered(&reply.answers[0], 0, 3);
    serving.abort();
}

#[tokio::test]
async fn many_queries_take_several_visits_and_each_answer_keeps_its_place() {
    let mut client = Client::of(&answering());
    client.ask(1, &[(Freshness::Any, 0, MINUTE, 2_000), (Freshness::Any, 0, MINUTE, 3_000)]);
    let (mut next, mut visits) = (0, 0);
    while next < 5_000 {
        let reply = client.next().await;
        let [answers] = &reply.answers[..] else { panic!("queries side by side are answered together") };
        assert!(answers.count <= VISIT.queries);
        is_answered(answers, next, answers.count);
        (next, visits) = (next + answers.count, visits + 1);
    }
    assert!(visits >= 5);
}

#[tokio::test]
async fn message_that_does_not_hold_its_queries_ends_its_stream() {
    let mut client = Client::of(&answering());
    let part = QueryPart { freshness: Freshness::Any, at_least: 0, timeout_ms: 1, count: 2 };
    let run = Bytes::from_static(&[1, 0, 0, 0, 9]);
    client.requests.send(QueryRequest { id: 1, parts: vec![part], run }).unwrap();
    let error = client.replies.next().await.unwrap().unwrap_err();
    assert!(matches!(error, TransportError::Malformed(_)), "{error}");
    assert!(client.replies.next().await.is_none());
}

#[tokio::test]
async fn node_that_stops_says_so_to_whoever_waits() {
    let answering = answering();
    let mut client = Client::of(&answering);
    client.ask(1, &[(Freshness::Any, 9, MINUTE, 1)]);
    client.rest().await;
    answering.stop.set(crate::error::Stopped::Shutdown);
    let error = client.replies.next().await.unwrap().unwrap_err();
    assert_eq!(error, TransportError::Refused("the node was shut down".to_owned()));
    assert!(client.replies.next().await.is_none());
}
