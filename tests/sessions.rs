//! Exactly once: whatever is lost between a client and the log, a command takes effect once, and every retry gets the first reply.
#![allow(clippy::unwrap_used, missing_docs)]

mod in_memory;

use std::time::Duration;

use bytes::BytesMut;
use futures_util::{StreamExt, stream};
use in_memory::{Cluster, quick, until};
use lovebird::{ClientOptions, Context, KEYS_KEPT, Key, Options, ProposeError, Read, StateMachine};
use lovebird_core::record::{Number, push_record};
use lovebird_core::transport::{Outcome, ProposalKind, ProposeOpen, ProposeRequest};

/// A list of what was applied, so that order and number of effects are seen.
#[derive(Default)]
struct List(Vec<u64>);

impl StateMachine for List {
    type Command = u64;
    type Reply = usize;
    type Query = ();
    type Answer = Vec<u64>;
    type Snapshot = Vec<u64>;

    fn apply(&mut self, _: &Context, number: u64) -> usize {
        self.0.push(number);
        self.0.len()
    }

    fn query(&self, (): ()) -> Vec<u64> {
        self.0.clone()
    }

    fn snapshot(&self) -> Vec<u64> {
        self.0.clone()
    }

    fn restore(&mut self, snapshot: Vec<u64>) {
        self.0 = snapshot;
    }
}

const ALL: [u64; 3] = [1, 2, 3];

async fn start(options: Options) -> Cluster<List> {
    let cluster = Cluster::start(3, options, |_| List::default()).await;
    cluster.leader().await;
    cluster
}

/// What the list is, as a linearizable read at node `id` sees it.
async fn list(cluster: &Cluster<List>, id: u64) -> Vec<u64> {
    let client = cluster.node(id).client().with_timeout(Duration::from_secs(30));
    client.query((), Read::Linearizable).await.unwrap().answer
}

fn key(name: &str, number: u64) -> Key {
    Key { name: name.to_owned(), number }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_dies_between_append_and_replication_loses_nothing_and_doubles_nothing() {
    let mut cluster = start(quick()).await;
    let client = cluster.client("client", &ALL);
    client.propose(1).await.unwrap();
    let leader = cluster.leader().await;
    for other in cluster.others(leader) {
        cluster.cut(leader, other);
    }
    let last = cluster.node(leader).status().last;
    let proposing = tokio::spawn(async move { client.propose(2).await });
    // The command is in the leader's log, and in no other.
    until("the leader appends", || (cluster.node(leader).status().last > last).then_some(())).await;
    cluster.kill(leader).await;
    let committed = proposing.await.unwrap().unwrap();
    assert_eq!((committed.index, committed.reply), (2, 2));
    cluster.restart(leader).await;
    cluster.applied(2).await;
    for id in ALL {
        assert_eq!(list(&cluster, id).await, [1, 2], "on node {id}");
    }
    cluster.kill_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_dies_between_replication_and_reply_gives_the_first_reply_again() {
    let mut cluster = start(quick()).await;
    let client = cluster.client("client", &ALL);
    client.propose(1).await.unwrap();
    let leader = cluster.leader().await;
    // Replies to the client are lost from here on.
    for id in ALL {
        cluster.network.cut(&cluster.address(id), "client");
    }
    let proposing = tokio::spawn(async move { client.propose(2).await });
    cluster.applied(2).await;
    cluster.kill(leader).await;
    cluster.leader_among(&cluster.others(leader)).await;
    for id in ALL {
        cluster.network.heal(&cluster.address(id), "client");
    }
    let committed = proposing.await.unwrap().unwrap();
    assert_eq!((committed.index, committed.reply), (2, 2));
    cluster.restart(leader).await;
    cluster.applied(2).await;
    // The duplicate is nowhere in the log.
    for id in ALL {
        assert_eq!(cluster.records(id).len(), 2, "on node {id}");
    }
    cluster.kill_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_commands_in_flight_survive_a_restart_of_all_once_and_in_order() {
    let mut cluster = start(quick()).await;
    let client = cluster.client("client", &ALL);
    let mut pending = Vec::new();
    for round in 0..3 {
        let mut attempts = Vec::new();
        for number in 0..300_u64 {
            let client = client.clone();
            let (sent, at_client) = tokio::sync::oneshot::channel();
            attempts.push(tokio::spawn(async move {
                let mut attempt = client.attempt(round * 300 + number).unwrap();
                let outcome = attempt.outcome();
                tokio::pin!(outcome);
                // Handed over at its first poll, so that the order of the callers is the order of the commands.
                let first = futures_util::poll!(&mut outcome);
                sent.send(()).unwrap();
                match first {
                    std::task::Poll::Ready(outcome) => outcome,
                    std::task::Poll::Pending => outcome.await,
                }
            }));
            at_client.await.unwrap();
        }
        pending.extend(attempts);
        cluster.kill_all().await;
        for id in ALL {
            cluster.restart(id).await;
        }
    }
    let mut indexes = Vec::new();
    for attempt in pending {
        let committed = attempt.await.unwrap().unwrap();
        assert_eq!(committed.index, committed.reply as u64);
        indexes.push(committed.index);
    }
    assert!(indexes.is_sorted(), "a session's commands are applied in the order in which it sent them");
    let expected: Vec<u64> = (0..900).collect();
    for id in ALL {
        assert_eq!(list(&cluster, id).await, expected, "on node {id}");
    }
    cluster.kill_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_majority_a_command_that_no_leader_took_is_certainly_not_committed() {
    let mut cluster = start(quick()).await;
    let leader = cluster.leader().await;
    let survivor = cluster.others(leader)[0];
    for id in cluster.others(survivor) {
        cluster.kill(id).await;
    }
    let client = cluster.node(survivor).client().with_timeout(Duration::from_millis(300));
    let error = client.propose(7).await.unwrap_err();
    assert!(matches!(error, ProposeError::NotCommitted { .. }), "{error}");
    for id in cluster.others(survivor) {
        cluster.restart(id).await;
    }
    client.with_timeout(Duration::from_secs(30)).propose(8).await.unwrap();
    assert_eq!(list(&cluster, survivor).await, [8]);
    cluster.kill_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_outcome_is_found_out_by_the_same_attempt() {
    let mut cluster = start(quick()).await;
    let client = cluster.client("client", &ALL);
    client.propose(1).await.unwrap();
    for id in ALL {
        cluster.network.cut(&cluster.address(id), "client");
    }
    let impatient = client.with_timeout(Duration::from_millis(200));
    let mut attempt = impatient.attempt(2).unwrap();
    let error = attempt.outcome().await.unwrap_err();
    assert!(matches!(error, ProposeError::Unknown { .. }), "{error}");
    for id in ALL {
        cluster.network.heal(&cluster.address(id), "client");
    }
    let committed = loop {
        match attempt.outcome().await {
            Err(ProposeError::Unknown { .. }) => {}
            outcome => break outcome.unwrap(),
        }
    };
    assert_eq!((committed.index, committed.reply), (2, 2));
    assert_eq!(list(&cluster, 1).await, [1, 2]);
    cluster.kill_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_key_gives_the_same_answer_at_any_node_and_after_snapshot_and_restart() {
    let options = Options { snapshot_records: 50, keep_records: 1, ..quick() };
    let mut cluster = start(options).await;
    let first = cluster.client("one", &[1]).propose_as(&key("alice", 1), 10).await.unwrap();
    let again = cluster.client("other", &[2]).propose_as(&key("alice", 1), 10).await.unwrap();
    assert_eq!(first, again);
    // Another number is another command, in any order.
    let third = cluster.client("one", &[1]).propose_as(&key("alice", 3), 30).await.unwrap();
    let second = cluster.client("other", &[2]).propose_as(&key("alice", 2), 20).await.unwrap();
    assert_eq!((third.index, second.index), (2, 3));
    // One node is away while the log is purged, and comes back by a snapshot.
    cluster.kill(3).await;
    let client = cluster.client("another", &[1, 2]);
    for number in 0..200 {
        client.propose(number).await.unwrap();
    }
    until("the log is purged", || {
        [1, 2].iter().all(|id| cluster.node(*id).status().first > 100).then_some(())
    })
    .await;
    cluster.restart(3).await;
    cluster.applied(203).await;
    cluster.kill_all().await;
    for id in ALL {
        cluster.restart(id).await;
    }
    for id in ALL {
        let again = cluster.client("third", &[id]).propose_as(&key("alice", 1), 10).await.unwrap();
        assert_eq!(first, again, "through node {id}");
    }
    // Also where the node that only ever had the snapshot leads.
    cluster.kill(1).await;
    cluster.kill(2).await;
    cluster.restart(1).await;
    cluster.leader().await;
    let again = cluster.client("fourth", &[3]).propose_as(&key("alice", 2), 20).await.unwrap();
    assert_eq!(second, again);
    cluster.kill_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_far_behind_is_refused_and_not_carried_out_again() {
    let mut cluster = start(quick()).await;
    let client = cluster.client("client", &ALL);
    client.propose_as(&key("alice", 1), 1).await.unwrap();
    let ahead = u64::from(KEYS_KEPT) + 2;
    client.propose_as(&key("alice", ahead), 2).await.unwrap();
    let error = client.propose_as(&key("alice", 1), 1).await.unwrap_err();
    assert!(matches!(error, ProposeError::ReplyGone { .. }), "{error}");
    // The last one that is kept is not.
    client.propose_as(&key("alice", 2), 3).await.unwrap();
    assert_eq!(list(&cluster, 1).await, [1, 2, 3]);
    for wrong in [key("", 1), key("alice", 0), key(&"a".repeat(300), 1)] {
        let error = client.propose_as(&wrong, 1).await.unwrap_err();
        assert!(matches!(error, ProposeError::NotCommitted { .. }), "{error}");
    }
    cluster.kill_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_name_is_an_error_and_never_a_second_execution() {
    let mut cluster = start(quick()).await;
    let options = ClientOptions {
        key_expiry: Duration::from_millis(400),
        timeout: Duration::from_secs(30),
        ..ClientOptions::default()
    };
    let client = cluster.client_with("client", &ALL, options);
    client.propose_as(&key("alice", 1), 1).await.unwrap();
    // Log time moves on with what others log.
    let other = cluster.client("other", &ALL);
    tokio::time::sleep(Duration::from_millis(800)).await;
    other.propose(2).await.unwrap();
    for from in ["client", "another"] {
        let client = cluster.client_with(from, &ALL, options);
        let error = client.propose_as(&key("alice", 1), 1).await.unwrap_err();
        assert!(matches!(error, ProposeError::Expired { .. }), "{error}");
    }
    let error = client.propose_as(&key("alice", 1), 1).await.unwrap_err();
    assert!(matches!(error, ProposeError::Expired { .. }), "{error}");
    cluster.kill_all().await;
    for id in ALL {
        cluster.restart(id).await;
    }
    let error = client.propose_as(&key("alice", 1), 1).await.unwrap_err();
    assert!(matches!(error, ProposeError::Expired { .. }), "{error}");
    assert_eq!(list(&cluster, 2).await, [1, 2]);
    cluster.kill_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_rests_longer_than_its_session_lasts_does_not_notice() {
    let mut cluster = start(quick()).await;
    let options = ClientOptions {
        session_expiry: Duration::from_millis(300),
        timeout: Duration::from_secs(30),
        ..ClientOptions::default()
    };
    let client = cluster.client_with("client", &ALL, options);
    client.propose(1).await.unwrap();
    tokio::time::sleep(Duration::from_millis(600)).await;
    cluster.client("other", &ALL).propose(2).await.unwrap();
    assert_eq!(client.propose(3).await.unwrap().index, 3);
    assert_eq!(list(&cluster, 1).await, [1, 2, 3]);
    cluster.kill_all().await;
}

/// Sends one message to a node as it stands, and gives what it is answered.
async fn send(cluster: &Cluster<List>, id: u64, records: &[(Number, u8)]) -> Outcome {
    let mut run = BytesMut::new();
    for (number, payload) in records {
        push_record(&mut run, *number, &[*payload]);
    }
    let count = records.len() as u32;
    let kind = ProposalKind::Commands;
    let request = ProposeRequest { id: 1, kind, timeout_ms: 10_000, codec: 1, count, run: run.freeze() };
    let requests = stream::iter([request]).chain(stream::pending()).boxed();
    let mut replies = cluster.node(id).endpoint().propose(ProposeOpen::default(), requests).await.unwrap();
    replies.next().await.unwrap().unwrap().outcome
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_of_new_old_early_and_foreign_commands_is_answered_in_parts() {
    let mut cluster = start(quick()).await;
    let leader = cluster.leader().await;
    cluster.client("client", &ALL).propose(0).await.unwrap();
    // The client's is the first session that was opened; it has taken sequence 1.
    let own = |sequence, window| Number { session: 1, sequence, window };
    let outcome =
        send(&cluster, leader, &[(own(2, 1), 2), (own(1, 0), 0), (own(3, 2), 3), (own(7, 6), 7)]).await;
    let Outcome::Parts(parts) = outcome else { panic!("{outcome:?}") };
    let [new, old, next, early] = &parts[..] else { panic!("{parts:?}") };
    assert!(matches!(new.outcome, Outcome::Committed { first_index: 2, .. }), "{new:?}");
    assert!(matches!(old.outcome, Outcome::Committed { first_index: 1, .. }), "{old:?}");
    assert!(matches!(next.outcome, Outcome::Committed { first_index: 3, .. }), "{next:?}");
    assert!(matches!(early.outcome, Outcome::NotCommitted { retry: true, .. }), "{early:?}");
    // Who says that 7 is the lowest that it waits for has given up those before it, for ever.
    let outcome = send(&cluster, leader, &[(own(7, 0), 7)]).await;
    assert!(matches!(outcome, Outcome::Committed { first_index: 4, .. }), "{outcome:?}");
    let outcome = send(&cluster, leader, &[(own(4, 0), 4)]).await;
    assert!(matches!(outcome, Outcome::ReplyGone { .. }), "{outcome:?}");
    // A session that nobody opened is as good as one that has expired; and numbers that cannot be are refused.
    let outcome = send(&cluster, leader, &[(Number { session: 99, sequence: 1, window: 0 }, 9)]).await;
    assert_eq!(outcome, Outcome::Expired);
    let outcome = send(&cluster, leader, &[(own(8, 8), 9)]).await;
    assert!(matches!(outcome, Outcome::NotCommitted { retry: false, .. }), "{outcome:?}");
    assert_eq!(list(&cluster, leader).await, [0, 2, 3, 7]);
    cluster.kill_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_command_is_proposed_once_and_told_to_be_unknown() {
    let mut cluster = start(quick()).await;
    let client = cluster.client("client", &ALL).without_session();
    assert_eq!(client.propose(1).await.unwrap().index, 1);
    for id in ALL {
        cluster.network.cut(&cluster.address(id), "client");
    }
    let error = client.with_timeout(Duration::from_millis(300)).propose(2).await.unwrap_err();
    assert!(matches!(error, ProposeError::Unknown { .. }), "{error}");
    for id in ALL {
        cluster.network.heal(&cluster.address(id), "client");
    }
    let other = cluster.client("other client", &ALL).without_session();
    assert_eq!(other.propose(3).await.unwrap().reply, 3);
    assert_eq!(list(&cluster, 1).await, [1, 2, 3]);
    cluster.kill_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_was_replaced_and_does_not_know_it_gives_no_final_verdict() {
    let mut cluster = start(quick()).await;
    let old = cluster.leader().await;
    cluster.node(old).client().without_session().propose(0).await.unwrap();
    cluster.isolate(old);
    cluster.leader_among(&cluster.others(old)).await;
    // A session that is opened where the old leader does not hear of it.
    let client = cluster.client("client", &cluster.others(old));
    client.propose(1).await.unwrap();
    assert_eq!(cluster.node(old).status().role, lovebird::Role::Leader, "it believes that it leads");
    let of_session = Number { session: 1, sequence: 2, window: 0 };
    let verdict = tokio::time::timeout(Duration::from_secs(1), send(&cluster, old, &[(of_session, 2)])).await;
    let harmless = |outcome: &Outcome| {
        matches!(outcome, Outcome::Unknown { .. } | Outcome::NotCommitted { retry: true, .. })
    };
    assert!(verdict.as_ref().is_err() || verdict.as_ref().is_ok_and(harmless), "{verdict:?}");
    cluster.rejoin(old);
    // Nor does a client that goes through it lose anything.
    let through_old = cluster.client("other client", &[old]);
    // The one above may have waited there, and have gone on to the new leader by now.
    assert!((3..=4).contains(&through_old.propose(2).await.unwrap().reply));
    cluster.kill_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_never_said_to_be_certainly_not_committed() {
    let mut cluster = start(quick()).await;
    let client = cluster.client("client", &[1]);
    client.propose_as(&key("alice", 1), 1).await.unwrap();
    for id in [2, 3] {
        cluster.kill(id).await;
    }
    // The session is known, and nobody leads: an earlier attempt under this key may be under way for all that anyone knows.
    let error =
        client.with_timeout(Duration::from_millis(300)).propose_as(&key("alice", 2), 2).await.unwrap_err();
    assert!(matches!(error, ProposeError::Unknown { .. }), "{error}");
    for id in [2, 3] {
        cluster.restart(id).await;
    }
    assert_eq!(client.propose_as(&key("alice", 2), 2).await.unwrap().reply, 2);
    cluster.kill_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_command_that_nobody_answers_holds_up_no_session() {
    let mut cluster = start(quick()).await;
    let leader = cluster.leader().await;
    let others = cluster.others(leader);
    let client = cluster.client("client", &[leader, others[0], others[1]]);
    client.propose(1).await.unwrap();
    // At the leader that is cut off a plain command is appended, and waits for a majority that never comes.
    cluster.isolate(leader);
    let last = cluster.node(leader).status().last;
    let stuck = tokio::spawn({
        let plain = client.without_session();
        async move { plain.propose(7).await }
    });
    until("the command is appended", || (cluster.node(leader).status().last > last).then_some(())).await;
    cluster.leader_among(&others).await;
    let committed = tokio::time::timeout(Duration::from_secs(30), client.propose(2)).await.unwrap().unwrap();
    assert_eq!(committed.reply, 2);
    cluster.rejoin(leader);
    let error = stuck.await.unwrap().unwrap_err();
    assert!(matches!(error, ProposeError::Unknown { .. }), "{error}");
    assert_eq!(list(&cluster, leader).await, [1, 2]);
    cluster.kill_all().await;
}
