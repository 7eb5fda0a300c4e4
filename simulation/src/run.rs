//! One run: a cluster, clients and a schedule, from the first start to the last comparison.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lovebird_core::runtime::{self, Instant, Simulation};
use lovebird_core::transport::{Read, Role};

use crate::check::{Checker, Tally};
use crate::cluster::{Cluster, DiskMaker, Replica};
use crate::counter::{Add, Answer, Query, State};
use crate::logs;
use crate::schedule::{Fault, Schedule, Survives};
use crate::workload::{Workload, propose};

/// After everything has healed, the cluster must acknowledge a new command within this time.
const SERVE: Duration = Duration::from_secs(10);

/// And all replicas must then have come to the same log index within this.
const SETTLE: Duration = Duration::from_secs(20);

/// How long one attempt of the probe may take.
const PROBE: Duration = Duration::from_secs(2);

/// How many violations of a run are printed: the first few tell the story.
const TOLD_MAX: usize = 10;

/// How often nodes are looked at.
const GLANCE: Duration = Duration::from_millis(5);

/// Where the probe is on the network.
const PROBE_ADDRESS: u64 = 100;

/// A run to be made.
#[derive(Clone)]
pub struct Run {
    /// Decides the order of tasks, latencies, what nodes draw and what clients do.
    pub seed: u64,
    /// What is inflicted.
    pub schedule: Schedule,
    disks: DiskMaker,
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// How much time passed in the simulated world.
    pub simulated: Duration,
    /// What was seen.
    pub tally: Tally,
}

/// Runs a seed.
pub fn run(seed: u64) -> Outcome {
    Run::of(seed).run()
}

impl Run {
    /// The run of a seed: its own schedule, disks that do what they say.
    pub fn of(seed: u64) -> Run {
        Run { seed, schedule: Schedule::of(seed), disks: Arc::new(|disk| Arc::new(disk)) }
    }

    /// Has the nodes see their disks through something else.
    pub fn with_disks(self, disks: DiskMaker) -> Run {
        Run { disks, ..self }
    }

    /// Makes the run, on a thread of its own, since madsim seeds the order of hash tables a thread. A panic anywhere in it
    /// is told as a violation.
    pub fn run(self) -> Outcome {
        let checker = Checker::new();
        let (seed, watching) = (self.seed, checker.clone());
        let thread = std::thread::Builder::new().name(format!("seed {seed}"));
        let simulated = thread
            .spawn(move || {
                let simulation = Simulation::new(seed);
                simulation.block_on(async move {
                    let start = Instant::now();
                    self.go(watching).await;
                    start.until(Instant::now())
                })
            })
            .map(std::thread::JoinHandle::join);
        let simulated = match simulated {
            Ok(Ok(simulated)) => simulated,
            Ok(Err(panic)) => {
                let text = panic.downcast_ref::<String>().cloned();
                let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                checker.violation(format!("the run panicked: {}", text.unwrap_or_default()));
                Duration::ZERO
            }
            Err(error) => panic!("the system gives no thread for a run: {error}"),
        };
        Outcome { seed, simulated, tally: checker.tally() }
    }

    async fn go(self, checker: Checker) {
        checker.start();
        let Run { seed, schedule, disks } = self;
        let cluster = Arc::new(Cluster::start(schedule.nodes, &disks, checker.clone()));
        let (network, ids) = (cluster.network(), cluster.ids());
        let workload = Workload::start(seed, &schedule.clients, &ids, &network, &checker).await;
        let observer = runtime::spawn(observe(cluster.clone(), checker.clone()));
        let start = Instant::now();
        for step in &schedule.steps {
            sleep_until(start, step.at.min(schedule.length)).await;
            cluster.inflict(&step.fault);
        }
        sleep_until(start, schedule.length).await;
        let mut probe = Probe { cluster: cluster.clone(), checker: checker.clone(), next: 0 };
        cluster.heal(&schedule.clients);
        probe.serves("the faults had healed").await;
        workload.stop().await;
        // Once more everybody loses what was not synced: what has been acknowledged must come from the disks.
        cluster.inflict(&Fault::PowerLoss { nodes: ids, survives: Survives::Nothing });
        cluster.heal(&schedule.clients);
        probe.serves("all had lost power").await;
        probe.settle().await;
        observer.abort();
    }
}

async fn sleep_until(start: Instant, at: Duration) {
    let left = Instant::now().until(start + at);
    if !left.is_zero() {
        runtime::sleep(left).await;
    }
}

/// Looks at all nodes now and then.
async fn observe(cluster: Arc<Cluster>, checker: Checker) {
    loop {
        for (id, replica) in cluster.replicas() {
            let status = replica.node.status();
            if status.role == Role::Leader {
                checker.leads(id, status.term);
            }
            if status.applied > status.committed || status.snapshot > status.applied {
                checker.violation(format!("node {id} says of itself {status:?}"));
            }
        }
        runtime::sleep(GLANCE).await;
    }
}

/// Finds out whether the cluster serves, and where its replicas are.
struct Probe {
    cluster: Arc<Cluster>,
    checker: Checker,
    next: u64,
}

impl Probe {
    /// A command through each node is acknowledged within the bound.
    async fn serves(&mut self, since: &str) {
        let deadline = Instant::now() + SERVE;
        for id in self.cluster.ids() {
            let client = self.cluster.client(PROBE_ADDRESS, [id]).with_timeout(PROBE);
            loop {
                let add = Add { client: PROBE_ADDRESS, number: self.next, amount: 1 };
                self.next += 1;
                if propose(&client, &self.checker, add, None).await {
                    break;
                }
                if Instant::now() >= deadline {
                    let statuses: Vec<_> = self.statuses();
                    self.checker.violation(format!(
                        "{SERVE:?} after {since}, node {id} had not served a command; {statuses:#?}"
                    ));
                    return;
                }
            }
        }
    }

    fn statuses(&self) -> Vec<lovebird_core::transport::Status> {
        self.cluster.replicas().iter().map(|(_, replica)| replica.node.status()).collect()
    }

    /// All replicas come to the same log index; there, states and logs are compared.
    async fn settle(&self) {
        let deadline = Instant::now() + SETTLE;
        let replicas = loop {
            let replicas = self.cluster.replicas();
            if self.level(&replicas) {
                break replicas;
            }
            if Instant::now() >= deadline {
                self.checker.violation(format!(
                    "{SETTLE:?} after the last command the replicas have not come to the same log index: {:#?}",
                    self.statuses()
                ));
                return;
            }
            runtime::sleep(GLANCE).await;
        };
        let mut last = None;
        for (id, replica) in &replicas {
            let client = replica.node.client();
            match client.query(Query::State, Read::Stale).await {
                Ok(answered) => match answered.answer {
                    Answer::State(state) => {
                        self.checker.settled(*id, &state);
                        last = Some(state);
                    }
                    Answer::Value(_) => self.checker.violation(format!("node {id} gave another answer")),
                },
                Err(error) => self.checker.violation(format!("node {id} did not tell its state: {error}")),
            }
        }
        logs::compare(&self.checker, &replicas, &last.unwrap_or_else(State::default));
    }

    fn level(&self, replicas: &[(u64, Replica)]) -> bool {
        let all = replicas.len() == self.cluster.ids().len();
        let applied: Vec<u64> = replicas.iter().map(|(_, replica)| replica.node.status().applied).collect();
        let highest = replicas.iter().map(|(_, replica)| replica.log.state().last_index).max().unwrap_or(0);
        all && applied.iter().all(|applied| *applied == highest)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { trace, acknowledged, unknown, not_committed, reads, reads_failed, .. } = &self.tally;
        let Tally { terms, restores, faults, violations, .. } = &self.tally;
        write!(
            f,
            "seed {}: {:.1} s, trace {trace:016x}, {acknowledged} acknowledged, {unknown} unknown, {not_committed} not \
             committed, {reads} reads ({reads_failed} failed), {terms} leaders, {restores} snapshots restored, {faults:?}",
            self.seed,
            self.simulated.as_secs_f64()
        )?;
        for violation in violations.iter().take(TOLD_MAX) {
            write!(f, "\n  VIOLATION: {violation}")?;
        }
        if violations.len() > TOLD_MAX {
            write!(f, "\n  and {} more", violations.len() - TOLD_MAX)?;
        }
        Ok(())
    }
}
