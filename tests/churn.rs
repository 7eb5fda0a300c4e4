//! Members come and go for as long as one likes, under load: nodes are added, removed, replaced, promoted, handed over to, ended and
//! killed, by chance, and so are leaders in the middle of changes. Whatever was acknowledged is there afterwards, every change ends or
//! says why not, and whoever reads sees everything that was acknowledged before.
//!
//! `LOVEBIRD_CHURN_SECONDS` says for how long (20 by default), `LOVEBIRD_CHURN_SEED` which chance; the test prints both, and for each
//! kind of event how often it came and the worst gap between two acknowledged writes.

#![allow(clippy::unwrap_used)]

mod harness;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use harness::{Cluster, Freshness, Http, Load, Status, until};
use lovebird::{Change, Operator, OperatorError, Standing};

const CLIENTS: usize = 4;

/// Nodes that there are in all, members or not.
const NODES: u64 = 6;

/// Fewer voters would not survive what happens to them.
const VOTERS_LEAST: usize = 3;
const VOTERS_MOST: usize = 5;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}, and no number")))
}

/// SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): enough to choose what happens.
struct Chance(u64);

impl Chance {
    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn one_of<T: Copy>(&mut self, of: &[T]) -> Option<T> {
        (!of.is_empty()).then(|| of[(self.draw() % of.len() as u64) as usize])
    }
}

/// What may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    AddVoter,
    AddLearner,
    Promote,
    RemoveFollower,
    RemoveLeader,
    LoseDisk,
    ReplaceByAnother,
    HandOver,
    EndLeader,
    EndFollower,
    KillLeader,
    KillFollower,
    KillLeaderInAChange,
}

const EVENTS: [Event; 13] = [
    Event::AddVoter,
    Event::AddLearner,
    Event::Promote,
    Event::RemoveFollower,
    Event::RemoveLeader,
    Event::LoseDisk,
    Event::ReplaceByAnother,
    Event::HandOver,
    Event::EndLeader,
    Event::EndFollower,
    Event::KillLeader,
    Event::KillFollower,
    Event::KillLeaderInAChange,
];

/// The cluster, who of it is a member, and the operator.
struct Story {
    cluster: Cluster,
    chance: Chance,
    runtime: tokio::runtime::Runtime,
    refused: Vec<String>,
}

impl Story {
    fn operator(&self) -> Operator {
        let running = self.cluster.nodes.iter().filter(|node| node.process.is_some());
        let _within = self.runtime.enter();
        lovebird::operate(running.map(|node| node.raft.clone()).collect::<Vec<_>>())
    }

    /// Asks for a change and waits for its end. One that is refused says why, which is an end as well.
    fn change(&mut self, change: Change) {
        let text = change.to_string();
        let operator = self.operator();
        match self.runtime.block_on(operator.change(change, None, |_| {})) {
            Ok(_) => {}
            Err(OperatorError::Refused(reason)) => self.refused.push(format!("{text}: {reason}")),
            Err(error) => panic!("to {text} came to no end: {error}"),
        }
    }

    /// What the leader says, once every node that runs follows it.
    fn status(&self) -> Status {
        let leader = self.cluster.leader();
        until("the leader says what it is", || self.cluster.nodes[leader as usize - 1].status())
    }

    fn followers(&self, status: &Status) -> Vec<u64> {
        status.voters.iter().copied().filter(|id| Some(*id) != status.leader).collect()
    }

    fn outsiders(&self, status: &Status) -> Vec<u64> {
        let members: BTreeSet<u64> = status.members.iter().map(|(id, _)| *id).collect();
        self.cluster.ids().into_iter().filter(|id| !members.contains(id)).collect()
    }

    fn address(&self, id: u64) -> String {
        self.cluster.nodes[id as usize - 1].raft.clone()
    }

    /// Starts a node that is no member, on an empty directory.
    fn start_new(&mut self, id: u64) {
        let node = self.cluster.node(id);
        if node.process.is_some() {
            // It was removed, and ends by itself.
            assert!(!node.wait().success());
        }
        if node.data.exists() {
            fs::remove_dir_all(&node.data).unwrap();
        }
        let others: Vec<String> = self
            .cluster
            .nodes
            .iter()
            .filter(|node| node.process.is_some())
            .map(|node| node.raft.clone())
            .collect();
        let node = self.cluster.node(id);
        (node.peers, node.joins) = (Vec::new(), others);
        node.start();
        until("a newcomer listens", || self.cluster.nodes[id as usize - 1].status());
    }

    /// Waits for the end of a node that was removed.
    fn await_end(&mut self, id: u64) {
        let status = self.cluster.node(id).wait();
        let said = self.cluster.node(id).output();
        assert!(!status.success() && said.contains("was removed from the cluster"), "node {id} said {said}");
    }

    fn remove(&mut self, id: u64) {
        self.change(Change::Remove { node: id });
        if self.status().members.iter().all(|(member, _)| *member != id) {
            self.await_end(id);
        }
    }

    fn kill_and_start(&mut self, id: u64, load: &Load) {
        self.cluster.node(id).kill();
        load.run(30);
        self.cluster.node(id).start();
    }

    /// Lets one event happen, and says whether it could.
    fn happen(&mut self, event: Event, load: &Load) -> bool {
        let status = self.status();
        let leader = status.leader.unwrap();
        let (followers, outsiders) = (self.followers(&status), self.outsiders(&status));
        let many = status.voters.len() > VOTERS_LEAST;
        let follower = self.chance.one_of(&followers);
        let outsider = self.chance.one_of(&outsiders);
        match (event, follower, outsider) {
            (Event::AddVoter | Event::AddLearner, _, Some(new)) if status.voters.len() < VOTERS_MOST => {
                let standing = if event == Event::AddVoter { Standing::Voter } else { Standing::Learner };
                self.start_new(new);
                self.change(Change::Add { node: new, address: self.address(new), standing });
            }
            (Event::Promote, ..) if status.voters.len() < VOTERS_MOST => {
                let Some(node) = self.chance.one_of(&status.learners) else { return false };
                self.change(Change::Promote { node });
            }
            (Event::RemoveFollower, Some(gone), _) if many => self.remove(gone),
            (Event::RemoveLeader, ..) if many => self.remove(leader),
            (Event::LoseDisk, Some(lost), _) => {
                let node = self.cluster.node(lost);
                node.kill();
                fs::remove_dir_all(&node.data).unwrap();
                node.flags.push("--replace".to_owned());
                node.start();
                until("it has its place again", || {
                    let now = self.cluster.nodes[lost as usize - 1].status()?;
                    (now.voters.contains(&lost) && !now.joint && now.learners == status.learners)
                        .then_some(())
                });
                self.cluster.node(lost).flags.retain(|flag| flag != "--replace");
            }
            (Event::ReplaceByAnother, Some(old), Some(new)) => {
                self.start_new(new);
                self.change(Change::Replace { old, node: new, address: self.address(new) });
                self.await_end(old);
            }
            (Event::HandOver, Some(heir), _) => {
                let operator = self.operator();
                assert_eq!(self.runtime.block_on(operator.hand_over(Some(heir))).unwrap(), heir);
            }
            (Event::EndLeader, ..) => {
                assert!(self.cluster.node(leader).terminate().success());
                self.cluster.node(leader).start();
            }
            (Event::EndFollower, Some(follower), _) => {
                assert!(self.cluster.node(follower).terminate().success());
                self.cluster.node(follower).start();
            }
            (Event::KillLeader, ..) => self.kill_and_start(leader, load),
            (Event::KillFollower, Some(follower), _) => self.kill_and_start(follower, load),
            (Event::KillLeaderInAChange, _, Some(new)) if status.voters.len() < VOTERS_MOST => {
                self.start_new(new);
                let operator = self.operator();
                let change = Change::Add { node: new, address: self.address(new), standing: Standing::Voter };
                let asked = self.runtime.spawn(async move { operator.change(change, None, |_| {}).await });
                thread::sleep(Duration::from_millis(self.chance.draw() % 100));
                self.kill_and_start(leader, load);
                // Whoever asks goes on asking, and finds the next leader.
                match self.runtime.block_on(asked).unwrap() {
                    Ok(_) => {}
                    Err(OperatorError::Refused(reason)) => {
                        self.refused.push(format!("add node {new}: {reason}"))
                    }
                    Err(error) => panic!("to add node {new} came to no end: {error}"),
                }
            }
            _ => return false,
        }
        true
    }
}

/// Reads at every node in turn, and sees everything that was acknowledged to the first client before each read began.
fn read_for_ever(nodes: Vec<Http>, load: &Load, stop: &AtomicBool) -> u64 {
    let (variable, mut reads) = (load.variables[0].clone(), 0);
    for node in nodes.iter().cycle() {
        if stop.load(Ordering::SeqCst) {
            return reads;
        }
        let least = load.acknowledged_of(0);
        match node.read(&variable, Freshness::Linearizable, Duration::from_secs(1)) {
            Ok(reply) if reply.status == 200 => {
                let (index, value) = reply.ok();
                assert!(
                    value as u64 >= least,
                    "{} read {value} at log index {index}, when {least} were acknowledged: it answers from the past",
                    node.address()
                );
                reads += 1;
            }
            // It is down, or has no leader.
            Ok(_) | Err(_) => thread::sleep(Duration::from_millis(5)),
        }
    }
    reads
}

#[test]
fn members_come_and_go_under_load() {
    let seconds = setting("LOVEBIRD_CHURN_SECONDS").unwrap_or(20);
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = setting("LOVEBIRD_CHURN_SEED").unwrap_or(clock);
    println!("LOVEBIRD_CHURN_SEED={seed} LOVEBIRD_CHURN_SECONDS={seconds}");
    let flags = ["--snapshot-records", "2000", "--keep-records", "500"];
    let mut cluster = Cluster::start(3, &flags);
    while cluster.nodes.len() < NODES as usize {
        cluster.newcomer(&flags);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut story = Story { cluster, chance: Chance(seed), runtime, refused: Vec::new() };
    let load = Arc::new(Load::start(&story.cluster, CLIENTS));
    load.run(100);
    let stop = Arc::new(AtomicBool::new(false));
    let nodes: Vec<Http> =
        story.cluster.nodes.iter().map(|node| Http::keeping_alive(node.http.address())).collect();
    let (reading, stopped) = (load.clone(), stop.clone());
    let reader = thread::spawn(move || read_for_ever(nodes, &reading, &stopped));

    let (begun, mut gaps) = (Instant::now(), BTreeMap::<Event, (u64, Duration)>::new());
    load.worst_gap();
    while begun.elapsed() < Duration::from_secs(seconds) {
        let event = story.chance.one_of(&EVENTS).unwrap();
        let at = begun.elapsed();
        if story.happen(event, &load) {
            story.status();
            // The first that is acknowledged afterwards ends the gap.
            load.run(20);
            let gap = load.worst_gap();
            println!("{:>7} ms  {event:?}: {} ms", at.as_millis(), gap.as_millis());
            let (count, worst) = gaps.entry(event).or_default();
            (*count, *worst) = (*count + 1, gap.max(*worst));
        }
    }
    stop.store(true, Ordering::SeqCst);
    let reads = reader.join().expect("a reader was told nonsense");
    assert!(reads > 0);
    for (event, (count, worst)) in &gaps {
        println!("measured: {event:?}: {count} times, worst gap between writes {} ms", worst.as_millis());
    }
    println!(
        "measured: {reads} linearizable reads; {} changes were refused: {:#?}",
        story.refused.len(),
        story.refused
    );
    let load = Arc::into_inner(load).expect("the reader has ended");
    load.check(&story.cluster);
}
