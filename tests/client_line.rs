//! A client against a node that is played by the test: which number each command carries, and when it is sent again.
#![allow(clippy::unwrap_used, missing_docs)]

mod played;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, StreamExt};
use lovebird::{Attempt, Client, ClientOptions, Context, ProposeError, StateMachine};
use lovebird_core::codec::{Bincode, Codec};
use lovebird_core::record::{Record, records};
use lovebird_core::reply::push_reply;
use lovebird_core::session::Opened;
use lovebird_core::transport::*;
use played::{Played, Plays};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Only its types matter here.
struct Echo;

impl StateMachine for Echo {
    type Command = u64;
    type Reply = u64;
    type Query = ();
    type Answer = ();
    type Snapshot = ();

    fn apply(&mut self, _: &Context, command: u64) -> u64 {
        command
    }

    fn query(&self, (): ()) {}

    fn snapshot(&self) {}

    fn restore(&mut self, (): ()) {}
}

/// One propose stream, as the node has it.
struct Stream {
    requests: BoxStream<'static, ProposeRequest>,
    replies: UnboundedSender<TransportResult<ProposeReply>>,
}

impl Stream {
    /// The next message of commands and its records. Openings of sessions are answered on the way.
    async fn next(&mut self) -> (u64, Vec<Record>) {
        loop {
            let waiting = tokio::time::timeout(Duration::from_secs(30), self.requests.next());
            let request = waiting.await.expect("the client sends").expect("the client keeps its stream");
            if request.kind == ProposalKind::Openings {
                self.answer(request.id, committed(1, &Opened::Session(1)));
                continue;
            }
            return (request.id, records(request.run).map(Result::unwrap).collect());
        }
    }

    fn answer(&self, id: u64, outcome: Outcome) {
        self.replies.send(Ok(ProposeReply { id, outcome })).unwrap();
    }
}

fn committed(first_index: u64, reply: &impl serde::Serialize) -> Outcome {
    let mut replies = BytesMut::new();
    push_reply(&mut replies, Ok(&Bincode::encode(reply).unwrap()));
    Outcome::Committed { first_index, replies: replies.freeze() }
}

fn refused(retry: bool) -> Outcome {
    Outcome::NotCommitted { reason: "the test says so".to_owned(), retry, leader: None }
}

/// (sequence, command) of each record, all of session 1.
fn numbers(records: &[Record]) -> Vec<(u64, u64)> {
    let number = |record: &Record| {
        assert_eq!(record.number.session, 1);
        (record.number.sequence, Bincode::decode::<u64>(&record.payload).unwrap())
    };
    records.iter().map(number).collect()
}

/// The node: every stream that is opened to it goes to the test.
struct Node(UnboundedSender<Stream>);

impl Transport for Node {
    fn endpoint(&self, _: &str) -> Arc<dyn Endpoint> {
        Arc::new(Played(Node(self.0.clone())))
    }
}

#[async_trait]
impl Plays for Node {
    async fn propose(
        &self,
        requests: BoxStream<'static, ProposeRequest>,
    ) -> TransportResult<Replies<ProposeReply>> {
        let (replies, outgoing) = unbounded_channel();
        self.0.send(Stream { requests, replies }).unwrap();
        Ok(stream::unfold(outgoing, async |mut outgoing| Some((outgoing.recv().await?, outgoing))).boxed())
    }
}

fn client() -> (Client<Echo>, UnboundedReceiver<Stream>) {
    let (streams, at_test) = unbounded_channel();
    let options = ClientOptions { timeout: Duration::from_secs(30), ..ClientOptions::default() };
    (Client::over_with(&Node(streams), ["the node".to_owned()], options), at_test)
}

/// Hands a command to the client's line.
fn hand_over(client: &Client<Echo>, command: u64) -> Attempt<Echo> {
    let mut attempt = client.attempt(command).unwrap();
    assert!(attempt.outcome().now_or_never().is_none());
    attempt
}

#[tokio::test]
async fn what_was_certainly_refused_gives_its_numbers_back() {
    let (client, mut streams) = client();
    let mut first = hand_over(&client, 10);
    let mut stream = streams.recv().await.unwrap();
    let (message, records) = stream.next().await;
    assert_eq!(numbers(&records), [(1, 10)]);
    let mut second = hand_over(&client, 20);
    let (other, records) = stream.next().await;
    assert_eq!(numbers(&records), [(2, 20)]);
    // Both are refused; they are sent again in their order, as if they never had been.
    stream.answer(other, refused(true));
    stream.answer(message, refused(true));
    let mut stream = streams.recv().await.unwrap();
    let (message, records) = stream.next().await;
    assert_eq!(numbers(&records), [(1, 10), (2, 20)]);
    let part = |index, reply: u64| Part { count: 1, outcome: committed(index, &reply) };
    stream.answer(message, Outcome::Parts(vec![part(5, 10), part(9, 20)]));
    assert_eq!(first.outcome().await.unwrap().index, 5);
    assert_eq!(second.outcome().await.unwrap().index, 9);
}

#[tokio::test]
async fn what_may_have_entered_keeps_its_number_and_goes_before_what_is_new() {
    let (client, mut streams) = client();
    let mut first = hand_over(&client, 10);
    let mut stream = streams.recv().await.unwrap();
    let (message, _) = stream.next().await;
    stream.answer(message, Outcome::Unknown { reason: "the test says so".to_owned() });
    let mut stream = streams.recv().await.unwrap();
    let mut second = hand_over(&client, 20);
    let (message, records) = stream.next().await;
    assert_eq!(numbers(&records), [(1, 10)]);
    let (other, records) = stream.next().await;
    assert_eq!(numbers(&records), [(2, 20)]);
    assert_eq!(records[0].number.window, 1, "the first one may still be asked for");
    // The stream breaks: nobody knows, and both are sent again.
    drop(stream);
    let mut stream = streams.recv().await.unwrap();
    let (message_again, records) = stream.next().await;
    assert_eq!(numbers(&records), [(1, 10), (2, 20)]);
    assert_eq!((message, other, message_again), (0, 1, 0), "messages are named anew on each stream");
    let part = |index, reply: u64| Part { count: 1, outcome: committed(index, &reply) };
    stream.answer(message_again, Outcome::Parts(vec![part(5, 10), part(6, 20)]));
    assert_eq!(first.outcome().await.unwrap().reply, 10);
    assert_eq!(second.outcome().await.unwrap().reply, 20);
    let mut third = hand_over(&client, 30);
    let (message, records) = stream.next().await;
    assert_eq!((numbers(&records), records[0].number.window), (vec![(3, 30)], 0));
    stream.answer(message, committed(7, &30_u64));
    assert_eq!(third.outcome().await.unwrap().index, 7);
}

/// A late copy of the second command may still be on its way: whoever got its number would be taken for it.
#[tokio::test]
async fn a_number_that_was_in_doubt_is_never_given_to_another_command() {
    let (client, mut streams) = client();
    let mut first = hand_over(&client, 10);
    let mut stream = streams.recv().await.unwrap();
    let (message, _) = stream.next().await;
    let mut second = hand_over(&client, 20);
    stream.next().await;
    // The first is certainly refused; of the second nobody knows.
    stream.answer(message, refused(true));
    tokio::task::yield_now().await;
    drop(stream);
    let mut stream = streams.recv().await.unwrap();
    let (message, records) = stream.next().await;
    assert_eq!(numbers(&records), [(1, 10), (2, 20)]);
    let part = |outcome| Part { count: 1, outcome };
    stream.answer(message, Outcome::Parts(vec![part(refused(true)), part(refused(false))]));
    let error = second.outcome().await.unwrap_err();
    assert!(matches!(error, ProposeError::Unknown { .. }), "an earlier attempt may have entered: {error}");
    let mut stream = streams.recv().await.unwrap();
    let mut third = hand_over(&client, 30);
    let (message, records) = stream.next().await;
    assert_eq!(numbers(&records), [(1, 10)]);
    let (other, records) = stream.next().await;
    assert_eq!(numbers(&records), [(3, 30)]);
    stream.answer(message, committed(5, &10_u64));
    stream.answer(other, committed(6, &30_u64));
    assert_eq!(first.outcome().await.unwrap().reply, 10);
    assert_eq!(third.outcome().await.unwrap().reply, 30);
}

#[tokio::test]
async fn a_session_that_is_lost_takes_along_what_was_in_doubt_and_nothing_else() {
    let (client, mut streams) = client();
    let mut first = hand_over(&client, 10);
    let mut stream = streams.recv().await.unwrap();
    stream.next().await;
    drop(stream);
    let mut stream = streams.recv().await.unwrap();
    let mut second = hand_over(&client, 20);
    let (message, _) = stream.next().await;
    let (other, records) = stream.next().await;
    assert_eq!(numbers(&records), [(2, 20)]);
    stream.answer(message, Outcome::Expired);
    stream.answer(other, Outcome::Expired);
    let error = first.outcome().await.unwrap_err();
    assert!(matches!(error, ProposeError::Expired { .. }), "{error}");
    // The second certainly has not entered: it goes into a new session.
    let mut stream = streams.recv().await.unwrap();
    let (message, records) = stream.next().await;
    assert_eq!(numbers(&records), [(1, 20)]);
    stream.answer(message, committed(5, &20_u64));
    assert_eq!(second.outcome().await.unwrap().reply, 20);
}

#[tokio::test]
async fn a_plain_command_is_sent_again_only_if_it_was_refused() {
    let (client, mut streams) = client();
    let plain = client.without_session();
    let mut first = hand_over(&plain, 10);
    let mut stream = streams.recv().await.unwrap();
    let (message, records) = stream.next().await;
    assert_eq!(records[0].number.session, 0);
    stream.answer(message, refused(true));
    let mut stream = streams.recv().await.unwrap();
    let (_, records) = stream.next().await;
    assert_eq!(Bytes::from(Bincode::encode(&10_u64).unwrap()), records[0].payload);
    drop(stream);
    let told = tokio::time::timeout(Duration::from_secs(10), first.outcome()).await;
    let error = told.expect("it is told at once").unwrap_err();
    assert!(matches!(error, ProposeError::Unknown { .. }), "{error}");
    assert!(tokio::time::timeout(Duration::from_millis(200), streams.recv()).await.is_err());
}

/// The outcome of a command to which nobody answers, within what a caller may have to wait for that.
async fn in_vain(client: &Client<Echo>, command: u64) -> ProposeError {
    let client = client.clone();
    // A task of its own, which nothing wakes but the line: the end of our own patience would have it look at the clock.
    let proposing = tokio::spawn(async move { client.propose(command).await });
    let told = tokio::time::timeout(Duration::from_secs(10), proposing);
    told.await.expect("a caller whose time is over is told so").unwrap().unwrap_err()
}

#[tokio::test]
async fn a_caller_whose_time_is_over_is_told_so_while_others_are_answered_all_the_time() {
    let (client, mut streams) = client();
    let impatient = client.with_timeout(Duration::from_millis(300));
    let opening = hand_over(&client, 1);
    let mut stream = streams.recv().await.unwrap();
    let (ignored, _) = stream.next().await;
    let answering = tokio::spawn(async move {
        // Everything is answered at once but for the first message, and for the impatient caller's.
        let mut index = 10;
        loop {
            let (message, records) = stream.next().await;
            let commands: Vec<u64> = numbers(&records).into_iter().map(|(_, command)| command).collect();
            if message == ignored || commands.contains(&7) {
                continue;
            }
            let part = |reply: &u64| Part { count: 1, outcome: committed(index, reply) };
            stream.answer(message, Outcome::Parts(commands.iter().map(part).collect()));
            index += 1;
        }
    });
    let busy = tokio::spawn(async move {
        loop {
            client.propose(2).await.unwrap();
        }
    });
    assert!(matches!(in_vain(&impatient, 7).await, ProposeError::Unknown { .. }));
    busy.abort();
    answering.abort();
    drop(opening);
}

#[tokio::test]
async fn a_caller_without_a_session_whose_time_is_over_is_told_so_too() {
    let (client, mut streams) = client();
    let plain = client.without_session().with_timeout(Duration::from_millis(300));
    let (error, sent) = futures_util::join!(in_vain(&plain, 7), async {
        let mut stream = streams.recv().await.unwrap();
        let sent = stream.next().await.1.len();
        (stream, sent)
    });
    assert!(matches!(error, ProposeError::Unknown { .. }), "{error}");
    assert_eq!(sent.1, 1);
}
