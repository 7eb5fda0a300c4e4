//! The members of a running cluster change.
//!
//! Over a network whose links are cut and disks that are lost; the story with real processes is told by `tests/churn.rs`.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lovebird::{
    Change, Client, ClientOptions, Member, Node, Operator, Read, Role, Standing, StartError, Status, Stopped,
};
use lovebird_core::formation::IfEmpty;

mod in_memory;

use in_memory::{Cluster, Sum, quick, until};

/// For what comes to nothing, sooner.
const SHORT: Duration = Duration::from_millis(1500);

fn operator(cluster: &Cluster<Sum>, ids: &[u64]) -> Operator {
    Operator::over(&cluster.network.transport("operator"), ids.iter().map(|id| cluster.address(*id)))
}

fn add(cluster: &Cluster<Sum>, node: u64, standing: Standing) -> Change {
    Change::Add { node, address: cluster.address(node), standing }
}

async fn change(cluster: &Cluster<Sum>, ids: &[u64], change: Change) {
    let text = change.to_string();
    if let Err(error) = operator(cluster, ids).change(change, None, |_| {}).await {
        panic!("to {text} has failed: {error}");
    }
}

fn voters(node: &Node<Sum>) -> BTreeSet<u64> {
    node.status().voters()
}

/// Whether this life of a node votes.
fn votes(status: &Status, id: u64, life: u64) -> bool {
    let votes = |member: &Member| member.standing != Standing::Learner;
    status.members.iter().any(|member| (member.id, member.incarnation) == (id, life) && votes(member))
}

/// Commands from a client that never rests, each of which must succeed: it sends again by itself.
struct Load {
    stop: Arc<AtomicBool>,
    client: Client<Sum>,
    task: tokio::task::JoinHandle<u64>,
}

impl Load {
    fn start(cluster: &Cluster<Sum>, ids: &[u64]) -> Load {
        let client = cluster.client("load", ids);
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, proposing) = (stop.clone(), client.clone());
        let task = tokio::spawn(async move {
            let mut sum = 0;
            while !stopped.load(Ordering::SeqCst) {
                sum += 1;
                assert_eq!(proposing.propose(1).await.unwrap().reply, sum);
            }
            sum
        });
        Load { stop, client, task }
    }

    /// Everything that was acknowledged is there, once.
    async fn check(self) -> u64 {
        self.stop.store(true, Ordering::SeqCst);
        let sum = self.task.await.unwrap();
        assert_eq!(self.client.query((), Read::Linearizable).await.unwrap().answer, sum);
        sum
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_grows_from_one_to_five_and_shrinks_to_three_under_load() {
    let mut cluster = Cluster::start(1, quick(), |_| Sum::default()).await;
    let load = Load::start(&cluster, &[1]);
    for id in 2..=5 {
        cluster.join(id).await;
        change(&cluster, &[1], add(&cluster, id, Standing::Voter)).await;
        // Whoever leads knows at once, the others in a moment.
        let expected: BTreeSet<u64> = (1..=id).collect();
        until("the members are known", || (voters(cluster.node(1)) == expected).then_some(())).await;
    }
    let all = [1, 2, 3, 4, 5];
    let leader = cluster.leader().await;
    let others = cluster.others(leader);
    // The leader itself goes, and another one.
    for gone in [leader, others[0]] {
        change(&cluster, &all, Change::Remove { node: gone }).await;
        assert!(matches!(cluster.node(gone).stopped().await, Stopped::Removed(_)));
    }
    let left = &others[1..];
    let expected: BTreeSet<u64> = left.iter().copied().collect();
    for id in left {
        until("the members are known", || (voters(cluster.node(*id)) == expected).then_some(())).await;
        assert!(!cluster.node(*id).status().is_joint());
    }
    // The load began at a node that may be gone: what it was told counts.
    load.stop.store(true, Ordering::SeqCst);
    let client = cluster.client("reader", left);
    let answered = client.query((), Read::Linearizable).await.unwrap();
    assert_eq!(answered.answer, answered.index);
    cluster.kill_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_learner_stays_one_until_it_is_promoted_and_answers_reads() {
    let mut cluster = Cluster::start(3, quick(), |_| Sum::default()).await;
    let load = Load::start(&cluster, &[1, 2, 3]);
    cluster.join(4).await;
    change(&cluster, &[2], add(&cluster, 4, Standing::Learner)).await;
    until("it knows that it learns", || {
        let status = cluster.node(4).status();
        (status.role == Role::Learner && status.learners() == BTreeSet::from([4])).then_some(())
    })
    .await;
    let reader = cluster.client("reader", &[4]);
    for _ in 0..3 {
        let before = cluster.client("other reader", &[1]).query((), Read::Linearizable).await.unwrap();
        assert!(reader.query((), Read::Linearizable).await.unwrap().answer >= before.answer);
    }
    // A majority without it is enough; and it alone is none.
    change(&cluster, &[4], Change::Promote { node: 4 }).await;
    let all = BTreeSet::from([1, 2, 3, 4]);
    until("it knows that it votes", || {
        let status = cluster.node(4).status();
        (status.voters() == all && !status.is_joint()).then_some(())
    })
    .await;
    // What is there already is not done twice.
    let version = cluster.node(4).status().version;
    change(&cluster, &[1], Change::Promote { node: 4 }).await;
    change(&cluster, &[1], add(&cluster, 4, Standing::Voter)).await;
    assert_eq!(cluster.node(4).status().version, version);
    load.check().await;
    cluster.kill_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_with_a_new_disk_takes_its_own_place() {
    let mut cluster = Cluster::start(3, quick(), |_| Sum::default()).await;
    let load = Load::start(&cluster, &[1, 3]);
    cluster.leader().await;
    cluster.kill(2).await;
    cluster.lose_disk(2);
    let refused = cluster.start_again(2, IfEmpty::Form).await.unwrap_err();
    assert!(matches!(refused, StartError::DiskLost { node: 2, .. }), "{refused}");
    assert!(refused.to_string().contains("--replace"), "{refused}");
    cluster.start_again(2, IfEmpty::Replace).await.unwrap();
    let alone = |status: &Status| {
        let lives: Vec<u64> = status.members.iter().filter(|m| m.id == 2).map(|m| m.incarnation).collect();
        lives == [1002] && status.voters() == BTreeSet::from([1, 2, 3])
    };
    until("node 2 has its place", || alone(&cluster.node(2).status()).then_some(())).await;
    // Its vote counts: without node 1 the two others are a majority.
    cluster.kill(1).await;
    let client = cluster.client("reader", &[2, 3]);
    client.query((), Read::Linearizable).await.unwrap();
    cluster.restart(1).await;
    load.check().await;
    cluster.kill_all().await;
}

/// Whoever replaces its disk while no majority is there waits for one. Nothing is lost: the votes that are gone are not given again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_lost_disk_and_another_node_down_cost_availability_and_no_data() {
    let mut cluster = Cluster::start(3, quick(), |_| Sum::default()).await;
    let client = cluster.client("client", &[1, 2, 3]);
    assert_eq!(client.propose(7).await.unwrap().reply, 7);
    cluster.kill(2).await;
    cluster.kill(3).await;
    cluster.lose_disk(2);
    cluster.start_again(2, IfEmpty::Replace).await.unwrap();
    let brief = client.clone().with_timeout(SHORT);
    brief.query((), Read::Linearizable).await.unwrap_err();
    assert!(!votes(&cluster.node(1).status(), 2, 1002));
    cluster.restart(3).await;
    until("node 2 has its place", || {
        let status = cluster.node(2).status();
        (status.voters().contains(&2) && status.applied >= 1).then_some(())
    })
    .await;
    assert_eq!(client.query((), Read::Linearizable).await.unwrap().answer, 7);
    cluster.kill_all().await;
}

/// Nothing rests on a new disk before it has caught up: to lose it again is to begin again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_is_lost_again_while_it_is_replaced_costs_nothing() {
    let mut cluster = Cluster::start(3, quick(), |_| Sum::default()).await;
    let load = Load::start(&cluster, &[1, 3]);
    let leader = cluster.leader().await;
    let lost = cluster.others(leader)[0];
    cluster.kill(lost).await;
    cluster.lose_disk(lost);
    // It is heard, and hears nothing: so it is made a learner, and catches up for ever.
    cluster.cut(leader, lost);
    cluster.start_again(lost, IfEmpty::Replace).await.unwrap();
    cluster.heal(leader, lost);
    until("it learns", || {
        let status = cluster.node(leader).status();
        (status.members.iter().filter(|member| member.id == lost).count() >= 2).then_some(())
    })
    .await;
    cluster.kill(lost).await;
    cluster.lose_disk(lost);
    cluster.start_again(lost, IfEmpty::Replace).await.unwrap();
    until("only its third life is a member", || {
        let status = cluster.node(leader).status();
        let lives: Vec<u64> = status.members.iter().filter(|m| m.id == lost).map(|m| m.incarnation).collect();
        (lives == [lost + 2000] && votes(&status, lost, lost + 2000)).then_some(())
    })
    .await;
    load.check().await;
    cluster.kill_all().await;
}

/// That its disk is lost is said once: from then on the log says whose place it is to take.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_has_begun_to_take_its_place_goes_on_after_a_restart() {
    let mut cluster = Cluster::start(3, quick(), |_| Sum::default()).await;
    let leader = cluster.leader().await;
    cluster.client("client", &[leader]).propose(7).await.unwrap();
    let lost = cluster.others(leader)[0];
    cluster.kill(lost).await;
    cluster.lose_disk(lost);
    cluster.start_again(lost, IfEmpty::Replace).await.unwrap();
    until("it learns", || {
        let members = cluster.node(leader).status().members;
        members.iter().any(|member| member.incarnation > 1000).then_some(())
    })
    .await;
    cluster.kill(lost).await;
    cluster.restart(lost).await;
    until("it has its place", || {
        let status = cluster.node(leader).status();
        let lives: Vec<u64> = status.members.iter().filter(|m| m.id == lost).map(|m| m.incarnation).collect();
        (lives == [lost + 1000] && votes(&status, lost, lost + 1000)).then_some(())
    })
    .await;
    until("it holds what was there", || (cluster.node(lost).status().applied == 1).then_some(())).await;
    cluster.kill_all().await;
}

/// Two of three disks are gone, and with them what only they held: the third one must not go on as if nothing had been.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_majority_of_lost_disks_stops_the_cluster() {
    let mut cluster = Cluster::start(3, quick(), |_| Sum::default()).await;
    let client = cluster.client("client", &[1, 2, 3]).with_timeout(SHORT);
    assert_eq!(client.propose(7).await.unwrap().reply, 7);
    for id in [2, 3] {
        cluster.kill(id).await;
        cluster.lose_disk(id);
    }
    for id in [2, 3] {
        cluster.start_again(id, IfEmpty::Replace).await.unwrap();
    }
    client.query((), Read::Linearizable).await.unwrap_err();
    client.propose(1).await.unwrap_err();
    // What was appended at most is that they learn, which nobody agrees on either.
    let status = cluster.node(1).status();
    assert!(votes(&status, 2, 2) && votes(&status, 3, 3));
    assert!(!votes(&status, 2, 1002) && !votes(&status, 3, 1003));
    cluster.kill_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_its_leader_has_left_half_way_is_finished_by_the_next() {
    let mut cluster = Cluster::start(3, quick(), |_| Sum::default()).await;
    let leader = cluster.leader().await;
    let others = cluster.others(leader);
    for id in [4, 5] {
        cluster.join(id).await;
        change(&cluster, &[leader], add(&cluster, id, Standing::Learner)).await;
    }
    // The new set has no majority that the leader reaches, so the step between stays.
    for id in [4, 5] {
        cluster.cut(leader, id);
    }
    let asked = operator(&cluster, &[leader]).with_patience(SHORT);
    let goal = BTreeSet::from([leader, 4, 5]);
    let change = Change::Voters { nodes: goal.clone() };
    let asked = tokio::spawn(async move { asked.change(change, None, |_| {}).await });
    until("the change is half-way", || cluster.node(others[0]).status().is_joint().then_some(())).await;
    cluster.kill(leader).await;
    asked.await.unwrap().unwrap_err();
    for id in [4, 5] {
        until("the change is finished", || {
            let status = cluster.node(id).status();
            (status.voters() == goal && !status.is_joint()).then_some(())
        })
        .await;
    }
    for id in others {
        assert!(matches!(cluster.node(id).stopped().await, Stopped::Removed(_)));
    }
    let client = cluster.client("client", &[4, 5]);
    client.propose(1).await.unwrap();
    cluster.restart(leader).await;
    until("the one that was down follows", || (cluster.node(leader).status().applied >= 1).then_some(()))
        .await;
    cluster.kill_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_change_meanwhile_is_refused_with_the_reason() {
    let mut cluster = Cluster::start(3, quick(), |_| Sum::default()).await;
    let leader = cluster.leader().await;
    cluster.client("client", &[leader]).propose(1).await.unwrap();
    cluster.join(4).await;
    let (first, second) = (operator(&cluster, &[leader]), operator(&cluster, &[leader]));
    // It answers who it is; what it is sent does not arrive.
    let replies_lost = cluster.address(4);
    let adding = add(&cluster, 4, Standing::Voter);
    cluster.network.cut(&replies_lost, &cluster.address(leader));
    let refused = first.change(adding.clone(), None, |_| {}).await.unwrap_err();
    assert!(refused.to_string().contains("does not answer"), "{refused}");
    cluster.heal(4, leader);
    change(&cluster, &[leader], add(&cluster, 4, Standing::Learner)).await;
    cluster.isolate(4);
    cluster.client("client", &[leader]).propose(1).await.unwrap();
    let (told, waits) = tokio::sync::oneshot::channel();
    let mut told = Some(told);
    let promoting = tokio::spawn(async move {
        let progress = |_| {
            if let Some(told) = told.take() {
                let _ = told.send(());
            }
        };
        first.change(Change::Promote { node: 4 }, None, progress).await
    });
    waits.await.unwrap();
    let moving = Change::Move { node: 4, address: "elsewhere".to_owned() };
    let refused = second.change(moving, None, |_| {}).await.unwrap_err().to_string();
    assert!(refused.contains("another change is under way, to promote node 4"), "{refused}");
    promoting.abort();
    let _ = promoting.await;
    // Whoever asked has gone, and the node stays a learner.
    let status = until("the turn is free", || {
        let status = cluster.node(leader).status();
        status.learners().contains(&4).then_some(status)
    })
    .await;
    assert_eq!(status.voters(), BTreeSet::from([1, 2, 3]));
    cluster.kill_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_is_based_on_another_membership_is_refused() {
    let mut cluster = Cluster::start(3, quick(), |_| Sum::default()).await;
    let leader = cluster.leader().await;
    let before = cluster.node(leader).status().version;
    cluster.join(4).await;
    change(&cluster, &[leader], add(&cluster, 4, Standing::Learner)).await;
    let remove = Change::Remove { node: 4 };
    let refused = operator(&cluster, &[leader]).change(remove.clone(), before, |_| {}).await.unwrap_err();
    assert!(refused.to_string().contains("is based on membership"), "{refused}");
    let now = cluster.node(leader).status().version;
    operator(&cluster, &[leader]).change(remove, now, |_| {}).await.unwrap();
    assert!(matches!(cluster.node(4).stopped().await, Stopped::Removed(_)));
    cluster.kill_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_would_leave_no_majority_is_refused() {
    let mut cluster = Cluster::start(3, quick(), |_| Sum::default()).await;
    let leader = cluster.leader().await;
    let others = cluster.others(leader);
    cluster.kill(others[0]).await;
    let asked = operator(&cluster, &[leader]);
    let brief = asked.clone().with_patience(SHORT);
    let refused = until_refused(&brief, Change::Remove { node: others[1] }).await;
    assert!(refused.contains("the cluster would stop"), "{refused}");
    // The one that is down can be removed: then two of two are there.
    change(&cluster, &[leader], Change::Remove { node: others[0] }).await;
    let refused = asked.change(Change::Voters { nodes: BTreeSet::new() }, None, |_| {}).await.unwrap_err();
    assert!(refused.to_string().contains("without a voter"), "{refused}");
    let refused = asked.change(Change::Promote { node: 9 }, None, |_| {}).await.unwrap_err();
    assert!(refused.to_string().contains("node 9 is no member"), "{refused}");
    // Back with its old disk it is none of them, and says so.
    let removed = cluster.start_again(others[0], IfEmpty::Form).await.unwrap_err();
    assert!(matches!(removed, StartError::Removed { .. }), "{removed}");
    cluster.kill_all().await;
}

/// That a node is down is noticed after a while.
async fn until_refused(operator: &Operator, change: Change) -> String {
    tokio::time::sleep(quick().election * 3).await;
    operator.change(change, None, |_| {}).await.unwrap_err().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_hands_over_without_an_error_at_a_client() {
    let mut cluster = Cluster::start(3, quick(), |_| Sum::default()).await;
    let load = Load::start(&cluster, &[1, 2, 3]);
    // Without a session nothing is sent twice: whatever is refused or lost is seen.
    let plain = cluster.client_with("plain", &[1, 2, 3], ClientOptions::default()).without_session();
    let asked = operator(&cluster, &[1, 2, 3]);
    for turn in 0..9 {
        let to = turn % 3 + 1;
        let (handed, committed) = tokio::join!(asked.hand_over(Some(to)), plain.propose(0));
        assert_eq!(handed.unwrap(), to);
        committed.unwrap();
        until("it leads", || (cluster.node(to).status().role == Role::Leader).then_some(())).await;
    }
    let leader = cluster.leader().await;
    let best = asked.hand_over(None).await.unwrap();
    assert_ne!(best, leader);
    // The end of a leader is a hand-over, too.
    let term = cluster.node(best).status().term;
    cluster.node(best).shutdown().await;
    let left = cluster.others(best);
    let next = cluster.leader_among(&left).await;
    assert_eq!(cluster.node(next).status().term, term + 1);
    let refused = asked.hand_over(Some(7)).await.unwrap_err();
    assert!(refused.to_string().contains("node 7 is no member"), "{refused}");
    cluster.kill(best).await;
    cluster.restart(best).await;
    load.check().await;
    cluster.kill_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_has_moved_is_found() {
    let mut cluster = Cluster::start(3, quick(), |_| Sum::default()).await;
    let leader = cluster.leader().await;
    let moving = cluster.others(leader)[0];
    change(&cluster, &[leader], Change::Move { node: moving, address: "elsewhere".to_owned() }).await;
    cluster.kill(moving).await;
    cluster.move_to(moving, "elsewhere");
    cluster.restart(moving).await;
    let client = cluster.client("client", &[leader]);
    let index = client.propose(1).await.unwrap().index;
    // The others were started with its old address.
    until("it follows", || (cluster.node(moving).status().applied >= index).then_some(())).await;
    let third = cluster.others(leader).into_iter().find(|id| *id != moving).unwrap();
    cluster.kill(third).await;
    client.propose(1).await.unwrap();
    cluster.kill_all().await;
}

/// Whoever has come to be a learner, and has moved before it was a voter, is asked for again at its new address.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_learner_that_has_moved_is_added_where_it_is() {
    let mut cluster = Cluster::start(3, quick(), |_| Sum::default()).await;
    let leader = cluster.leader().await;
    cluster.join(4).await;
    change(&cluster, &[leader], add(&cluster, 4, Standing::Learner)).await;
    cluster.kill(4).await;
    cluster.move_to(4, "elsewhere");
    cluster.restart(4).await;
    cluster.client("client", &[leader]).propose(1).await.unwrap();
    change(&cluster, &[leader], add(&cluster, 4, Standing::Voter)).await;
    let members = cluster.node(leader).status().members;
    let moved = members.iter().find(|member| member.id == 4).unwrap();
    assert_eq!((moved.address.as_str(), moved.standing), ("elsewhere", Standing::Voter));
    cluster.kill_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_takes_the_place_of_another_in_one_step() {
    let mut cluster = Cluster::start(3, quick(), |_| Sum::default()).await;
    let load = Load::start(&cluster, &[1, 2, 3]);
    let leader = cluster.leader().await;
    cluster.join(4).await;
    let old = cluster.others(leader).into_iter().find(|id| *id < 4).unwrap();
    let replace = Change::Replace { old, node: 4, address: cluster.address(4) };
    change(&cluster, &[old], replace.clone()).await;
    let mut expected = BTreeSet::from([1, 2, 3, 4]);
    expected.remove(&old);
    assert_eq!(voters(cluster.node(leader)), expected);
    // Asked for again, it is done.
    change(&cluster, &[leader], replace).await;
    load.check().await;
    cluster.kill_all().await;
}
