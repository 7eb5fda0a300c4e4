//! A client's queries against nodes that are played by the test, and against a cluster: what travels together, what waits, what is
//! asked again, and what is refused.
#![allow(clippy::unwrap_used, missing_docs)]

mod in_memory;
mod played;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::BytesMut;
use futures_util::future::{join_all, join3};
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, StreamExt};
use in_memory::{Cluster, Sum, quick};
use lovebird::{Answered, Client, ClientOptions, Context, QueryError, Read, StateMachine};
use lovebird_core::codec::{Bincode, Codec};
use lovebird_core::query_run::take_query;
use lovebird_core::reply::push_reply;
use lovebird_core::transport::*;
use played::{Played, Plays};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Only its types matter here.
struct Echo;

impl StateMachine for Echo {
    type Command = ();
    type Reply = ();
    type Query = String;
    type Answer = String;
    type Snapshot = ();

    fn apply(&mut self, _: &Context, (): ()) {}

    fn query(&self, query: String) -> String {
        query
    }

    fn snapshot(&self) {}

    fn restore(&mut self, (): ()) {}
}

/// One stream of queries, as a node has it.
struct Stream {
    /// To which node.
    node: String,
    requests: BoxStream<'static, QueryRequest>,
    replies: UnboundedSender<TransportResult<QueryReply>>,
}

impl Stream {
    /// The next message, and what it asks.
    async fn next(&mut self) -> (QueryRequest, Vec<String>) {
        let waiting = tokio::time::timeout(Duration::from_secs(30), self.requests.next());
        let request = waiting.await.expect("the client asks").expect("the client keeps its stream");
        let mut run = request.run.clone();
        let queries: Vec<String> = std::iter::from_fn(|| take_query(&mut run))
            .map(|query| Bincode::decode(&query).unwrap())
            .collect();
        assert_eq!(queries.len(), request.parts.iter().map(|part| part.count as usize).sum::<usize>());
        (request, queries)
    }

    fn answer(&self, id: u64, first: u32, index: u64, queries: &[String]) {
        let mut answers = BytesMut::new();
        for query in queries {
            push_reply(&mut answers, Ok(&Bincode::encode(query).unwrap()));
        }
        let outcome = QueryOutcome::Answered { index, answers: answers.freeze() };
        self.reply(id, vec![Answers { first, count: queries.len() as u32, outcome }]);
    }

    fn fail(&self, id: u64, first: u32, count: u32) {
        let outcome = QueryOutcome::Failed { reason: "the test says so".to_owned(), applied: 3 };
        self.reply(id, vec![Answers { first, count, outcome }]);
    }

    fn reply(&self, id: u64, answers: Vec<Answers>) {
        self.replies.send(Ok(QueryReply { id, answers })).unwrap();
    }
}

/// The nodes: every stream of queries that is opened to one goes to the test.
struct Nodes(UnboundedSender<Stream>);

/// One of them.
struct Node(String, UnboundedSender<Stream>);

impl Transport for Nodes {
    fn endpoint(&self, address: &str) -> Arc<dyn Endpoint> {
        Arc::new(Played(Node(address.to_owned(), self.0.clone())))
    }
}

#[async_trait]
impl Plays for Node {
    async fn query(
        &self,
        requests: BoxStream<'static, QueryRequest>,
    ) -> TransportResult<Replies<QueryReply>> {
        let (replies, outgoing) = unbounded_channel();
        self.1.send(Stream { node: self.0.clone(), requests, replies }).unwrap();
        Ok(stream::unfold(outgoing, async |mut outgoing| Some((outgoing.recv().await?, outgoing))).boxed())
    }
}

fn client(nodes: &[&str]) -> (Client<Echo>, UnboundedReceiver<Stream>) {
    let (streams, at_test) = unbounded_channel();
    let options = ClientOptions { timeout: Duration::from_secs(30), ..ClientOptions::default() };
    (Client::over_with(&Nodes(streams), nodes.iter().map(|node| (*node).to_owned()), options), at_test)
}

type Asked = tokio::task::JoinHandle<Result<Answered<String>, QueryError>>;

fn ask(client: &Client<Echo>, query: &str, read: Read) -> Asked {
    let (client, query) = (client.clone(), query.to_owned());
    tokio::spawn(async move { client.query(query, read).await })
}

async fn answered(asked: Asked) -> (u64, String) {
    let Answered { index, answer } = asked.await.unwrap().unwrap();
    (index, answer)
}

#[tokio::test]
async fn queries_that_are_asked_together_travel_together_and_are_told_apart_by_what_they_wait_for() {
    let (client, mut streams) = client(&["a"]);
    let patient = client.with_timeout(Duration::from_secs(300));
    let reads = [Read::AtLeast(7), Read::Stale, Read::Linearizable, Read::AtLeast(7), Read::Linearizable];
    let asked: Vec<Asked> =
        reads.iter().enumerate().map(|(i, read)| ask(&client, &i.to_string(), *read)).collect();
    let late = ask(&patient, "late", Read::Linearizable);
    let mut stream = streams.recv().await.unwrap();
    let (request, queries) = stream.next().await;
    assert_eq!(queries, ["2", "4", "late", "1", "0", "3"]);
    let parts: Vec<_> =
        request.parts.iter().map(|part| (part.freshness, part.at_least, part.count)).collect();
    let (quorum, any) = (Freshness::Quorum, Freshness::Any);
    assert_eq!(parts, [(quorum, 0, 2), (quorum, 0, 1), (any, 0, 1), (any, 7, 2)]);
    assert!(request.parts[0].timeout_ms <= 30_000 && request.parts[1].timeout_ms > 30_000);
    // What waits is answered last, and holds up neither the others of its message nor the next message.
    stream.answer(request.id, 3, 5, &queries[3..4]);
    stream.answer(request.id, 0, 6, &queries[..3]);
    stream.reply(request.id, Vec::new());
    assert_eq!(answered(late).await, (6, "late".to_owned()));
    let next = ask(&client, "next", Read::Stale);
    let (other, next_queries) = stream.next().await;
    stream.answer(other.id, 0, 6, &next_queries);
    assert_eq!(answered(next).await, (6, "next".to_owned()));
    stream.answer(request.id, 4, 7, &queries[4..]);
    for (i, (asked, index)) in asked.into_iter().zip([7, 5, 6, 7, 6]).enumerate() {
        assert_eq!(answered(asked).await, (index, i.to_string()));
    }
}

#[tokio::test]
async fn queries_on_a_stream_that_breaks_are_asked_again_of_the_next_node() {
    let (client, mut streams) = client(&["a", "b"]);
    let asked = [ask(&client, "x", Read::Linearizable), ask(&client, "y", Read::Stale)];
    let mut stream = streams.recv().await.unwrap();
    assert_eq!(stream.node, "a");
    let (request, queries) = stream.next().await;
    assert_eq!(queries, ["x", "y"]);
    stream.answer(request.id, 1, 4, &queries[1..]);
    tokio::task::yield_now().await;
    drop(stream);
    let mut stream = streams.recv().await.unwrap();
    assert_eq!(stream.node, "b");
    let (request, queries) = stream.next().await;
    assert_eq!(queries, ["x"], "what was answered is not asked again");
    stream.answer(request.id, 0, 5, &queries);
    let [x, y] = asked;
    assert_eq!(answered(x).await.0, 5);
    assert_eq!(answered(y).await.0, 4);
}

/// It may be that the connection looks alive, and a message on it was lost. A node that waits says so.
#[tokio::test]
async fn node_that_gives_no_sign_is_left_and_one_that_waits_is_not() {
    let (client, mut streams) = client(&["a", "b"]);
    let silent = ask(&client, "silent", Read::Linearizable);
    let mut stream = streams.recv().await.unwrap();
    stream.next().await;
    let mut other = streams.recv().await.unwrap();
    assert_eq!(other.node, "b");
    let (request, queries) = other.next().await;
    for _ in 0..6 {
        other.reply(request.id, Vec::new());
        let more = tokio::time::timeout(Duration::from_millis(500), streams.recv()).await;
        assert!(more.is_err(), "the node that waits was left");
    }
    other.answer(request.id, 0, 9, &queries);
    assert_eq!(answered(silent).await.0, 9);
}

#[tokio::test]
async fn query_that_a_node_cannot_answer_goes_elsewhere_and_the_others_are_still_waited_for() {
    let (client, mut streams) = client(&["a", "b"]);
    let (waits, fails) = (ask(&client, "waits", Read::AtLeast(9)), ask(&client, "fails", Read::Linearizable));
    let mut stream = streams.recv().await.unwrap();
    let (request, queries) = stream.next().await;
    assert_eq!(queries, ["fails", "waits"]);
    stream.fail(request.id, 0, 1);
    let mut other = streams.recv().await.unwrap();
    assert_eq!(other.node, "b");
    let (again, queries_again) = other.next().await;
    assert_eq!(queries_again, ["fails"]);
    other.answer(again.id, 0, 5, &queries_again);
    assert_eq!(answered(fails).await.0, 5);
    stream.answer(request.id, 1, 9, &queries[1..]);
    assert_eq!(answered(waits).await.0, 9);
}

#[tokio::test]
async fn single_node_that_cannot_answer_is_believed_at_once() {
    let (client, mut streams) = client(&["a"]);
    let fails = ask(&client, "fails", Read::Linearizable);
    let mut stream = streams.recv().await.unwrap();
    let (request, _) = stream.next().await;
    stream.fail(request.id, 0, 1);
    let error = fails.await.unwrap().unwrap_err();
    assert_eq!(error, QueryError::Unavailable { reason: "the test says so".to_owned(), applied: Some(3) });
}

/// More than can be under way: slow ones do not keep others from being sent.
#[tokio::test]
async fn messages_that_wait_do_not_hold_up_those_behind_them() {
    let (client, mut streams) = client(&["a"]);
    let first = ask(&client, "slow", Read::AtLeast(9));
    let mut stream = streams.recv().await.unwrap();
    let mut slow = vec![(stream.next().await, first)];
    for _ in 0..20 {
        let asked = ask(&client, "slow", Read::AtLeast(9));
        slow.push((stream.next().await, asked));
    }
    let quick = ask(&client, "quick", Read::Stale);
    let (request, queries) = stream.next().await;
    stream.answer(request.id, 0, 1, &queries);
    assert_eq!(answered(quick).await.0, 1);
    for ((request, queries), asked) in slow {
        stream.answer(request.id, 0, 9, &queries);
        assert_eq!(answered(asked).await.0, 9);
    }
}

#[tokio::test]
async fn too_much_that_waits_is_refused_at_once() {
    let (client, _streams) = client(&["a"]);
    let large = "x".repeat(1 << 20);
    let mut waiting: Vec<_> = (0..63).map(|_| Box::pin(client.query(large.clone(), Read::Stale))).collect();
    assert!(waiting.iter_mut().all(|query| query.now_or_never().is_none()));
    let refused = client.query(large.clone(), Read::Stale).now_or_never().unwrap().unwrap_err();
    let QueryError::Unavailable { reason, applied: None } = refused else { panic!("{refused:?}") };
    assert_eq!(reason, "this client has more queries waiting than it accepts; try again later");
    let error = client.query("x".repeat(17 << 20), Read::Stale).await.unwrap_err();
    assert!(matches!(error, QueryError::Codec { .. }), "{error}");
}

#[tokio::test]
async fn caller_whose_time_is_over_is_told_so_though_nobody_answers() {
    let (client, mut streams) = client(&["a"]);
    let brief = client.with_timeout(Duration::from_millis(100));
    let asked = ask(&brief, "x", Read::Stale);
    let mut stream = streams.recv().await.unwrap();
    stream.next().await;
    let told = tokio::time::timeout(Duration::from_secs(10), asked).await.expect("it is told").unwrap();
    let reason = "the node does not answer".to_owned();
    assert_eq!(told.unwrap_err(), QueryError::Unavailable { reason, applied: None });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn read_that_waits_for_its_record_holds_up_nobody_who_asks_with_it() {
    let mut cluster = Cluster::start(3, quick(), |_| Sum::default()).await;
    let leader = cluster.leader().await;
    let client = cluster.node(cluster.others(leader)[0]).client();
    let hasty = client.with_timeout(Duration::from_secs(30));
    let waits = hasty.query((), Read::AtLeast(1));
    let others = async {
        let stale = join_all((0..100).map(|_| hasty.query((), Read::Stale))).await;
        assert!(stale.into_iter().all(|answered| answered.unwrap().index == 0));
        hasty.query((), Read::Linearizable).await.unwrap();
        client.propose(1).await.unwrap();
    };
    let (waited, (), at_once) = join3(waits, others, hasty.query((), Read::Stale)).await;
    assert_eq!((waited.unwrap().answer, at_once.unwrap().answer), (1, 0));
    cluster.kill_all().await;
}
