//! Finding out whether the cluster serves, and where its replicas are.

use std::sync::Arc;
use std::time::Duration;

use lovebird_core::client::Client;
use lovebird_core::runtime::{self, Instant};
use lovebird_core::transport::{Read, Status};

use super::GLANCE;
use crate::chance::Chance;
use crate::check::{Checker, Invariant, Line, Way, replay};
use crate::clients::propose;
use crate::cluster::{Cluster, Replica};
use crate::logs;
use crate::plan::Plan;
use crate::watched::{Answer, Name, Question, Subject, Tagged};
use crate::workload::Workload;

/// After everything has healed, the cluster must acknowledge a new command within this time.
const SERVE: Duration = Duration::from_secs(10);

/// And all replicas must then have come to the same log index within this.
const SETTLE: Duration = Duration::from_secs(20);

/// Where the members change, all of them must be there within this, before anything else is asked of them: a node with a new
/// disk is to have its place back.
const GATHER: Duration = Duration::from_secs(20);

/// How long one attempt of the probe may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where the probe is on the network.
const ADDRESS: u64 = 100;

pub(super) struct Probe<S: Subject> {
    cluster: Arc<Cluster<S>>,
    checker: Checker,
    chance: Chance,
    next: u64,
    /// Subscribers, and the only node that they know.
    bound: Vec<(u64, u64)>,
    /// Whether the members change; and those that are there at the end.
    changes: bool,
    whole: Vec<u64>,
    /// More was damaged than the promises allow for: nothing need serve.
    beyond: bool,
}

impl<S: Subject> Probe<S> {
    pub(super) fn new(plan: &Plan, cluster: Arc<Cluster<S>>, checker: Checker) -> Self {
        let bound =
            plan.subscribers.iter().filter_map(|subscriber| Some((subscriber.address, subscriber.bound?)));
        Probe {
            cluster,
            checker,
            chance: Chance::new(plan.seed, 5),
            next: 0,
            bound: bound.collect(),
            changes: plan.has_changes(),
            whole: Vec::new(),
            beyond: plan.beyond,
        }
    }

    /// A command through each node whose data is whole is acknowledged within the bound.
    pub(super) async fn serves(&mut self, since: &str) {
        if self.beyond {
            // Long enough for whoever still can to come to the end of the log.
            return runtime::sleep(SERVE / 2).await;
        }
        if !self.gather(since).await {
            return;
        }
        let deadline = Instant::now() + SERVE;
        for id in self.whole.clone() {
            let client = self.cluster.client(ADDRESS, [id]).with_timeout(PATIENCE);
            let line = self.checker.line(false);
            while !self.is_served(&client, line).await {
                if Instant::now() >= deadline {
                    let statuses: Vec<_> = self.statuses();
                    let sentence =
                        format!("{SERVE:?} after {since}, node {id} had not served a command; {statuses:#?}");
                    return self.checker.violation(Invariant::Liveness, sentence);
                }
            }
        }
    }

    /// Waits until those that are members run and follow. `false` if they do not within the bound, which is then told.
    async fn gather(&mut self, since: &str) -> bool {
        if !self.changes {
            self.whole = self.cluster.whole();
            return true;
        }
        let deadline = Instant::now() + GATHER;
        loop {
            match self.cluster.members_at_rest() {
                Ok(members) => {
                    // Who waits to be added would keep its subscribers waiting, too.
                    self.cluster.end_others(&members);
                    self.whole = members;
                    return true;
                }
                Err(missing) if Instant::now() >= deadline => {
                    let sentence = format!("{GATHER:?} after {since}, {missing}; {:#?}", self.statuses());
                    self.checker.violation(Invariant::Members, sentence);
                    return false;
                }
                Err(_) => runtime::sleep(GLANCE).await,
            }
        }
    }

    async fn is_served(&mut self, client: &Client<S::Service>, line: Line) -> bool {
        let name = Name { client: ADDRESS, number: self.next };
        self.next += 1;
        let content = S::Load::next(ADDRESS, &mut self.chance);
        let proposal = Tagged { name, content, met: None };
        propose::<S>(client, &self.checker, proposal, Way::Session(line), PATIENCE).await.is_some()
    }

    fn statuses(&self) -> Vec<Status> {
        self.cluster.replicas().iter().map(|(_, replica)| replica.node.status()).collect()
    }

    /// The replicas that must come to the end of the log.
    fn whole(&self) -> Vec<(u64, Replica<S>)> {
        let whole = &self.whole;
        self.cluster.replicas().into_iter().filter(|(id, _)| whole.contains(id)).collect()
    }

    /// All replicas and subscribers come to the same log index; there, states and logs are compared.
    pub(super) async fn settle(&self) {
        if self.beyond {
            return self.compare(&self.whole()).await;
        }
        let deadline = Instant::now() + SETTLE;
        let whole = &self.whole;
        let excused = self.bound.iter().filter(|(_, node)| !whole.contains(node));
        let excused: Vec<u64> = excused.map(|(subscriber, _)| *subscriber).collect();
        let replicas = loop {
            let replicas = self.whole();
            let (level, late) = (level(&replicas), Instant::now() >= deadline);
            let together = level.filter(|_| replicas.len() == whole.len());
            if together.is_some_and(|index| late || self.checker.all_follow(index, &excused)) {
                break replicas;
            }
            if late {
                let sentence = format!(
                    "{SETTLE:?} after the last command the replicas have not come to the same log index: {:#?}",
                    self.statuses()
                );
                return self.checker.violation(Invariant::Liveness, sentence);
            }
            runtime::sleep(GLANCE).await;
        };
        // What has become of commands is to be found out even if subscribers do not hear of it.
        self.checker.followed_to(level(&replicas).unwrap_or(0), &excused);
        self.compare(&replicas).await;
    }

    /// What these replicas have come to, and what clients were told.
    async fn compare(&self, replicas: &[(u64, Replica<S>)]) {
        for (id, replica) in replicas {
            self.look_at(*id, replica).await;
        }
        self.checker.rests();
        if let Some(status) = self.cluster.leader_status().filter(|_| self.changes) {
            self.checker.members_at_rest(&status);
        }
        replay::<S::Load>(&self.checker);
        if self.beyond {
            // Where nobody leads, logs may end in what was never committed.
            return;
        }
        let replicas: Vec<_> = replicas.iter().map(|(id, replica)| (*id, replica.log.clone())).collect();
        logs::compare(&self.checker, &replicas);
    }

    async fn look_at(&self, id: u64, replica: &Replica<S>) {
        match replica.node.client().query(Question::Digest, Read::Stale).await.map(|answered| answered.answer)
        {
            Ok(Answer::Digest(index, digest)) => self.checker.settled(id, index, digest),
            Ok(Answer::Users(_)) => {
                let sentence = format!("node {id} gave the answer to another question");
                self.checker.violation(Invariant::EqualStates, sentence);
            }
            Err(error) => {
                let sentence = format!("node {id} did not tell its state: {error}");
                self.checker.violation(Invariant::Liveness, sentence);
            }
        }
    }
}

/// The log index that all of these have applied, if that is the end of all logs.
fn level<S: Subject>(replicas: &[(u64, Replica<S>)]) -> Option<u64> {
    let highest = replicas.iter().map(|(_, replica)| replica.log.state().last_index).max()?;
    replicas.iter().all(|(_, replica)| replica.node.status().applied == highest).then_some(highest)
}
