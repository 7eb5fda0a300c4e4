//! One run: a cluster, clients and a schedule, from the first start to the last comparison.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lovebird_core::client::Client;
use lovebird_core::planted::{self, Bug};
use lovebird_core::primary_backup::Primary;
use lovebird_core::runtime::{self, Instant, Simulation};
use lovebird_core::service::Model;
use lovebird_core::transport::{Read, Role};

use crate::check::{Checker, Line, Tally, Way};
use crate::cluster::{Cluster, DiskMaker, Replica};
use crate::counter::{Add, Answer, Counter, Query, State, Subject};
use crate::logs;
use crate::schedule::{Fault, Schedule, Survives};
use crate::subscriber::Subscribers;
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
    bug: Option<Bug>,
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// In which model the service ran.
    pub model: Model,
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
        Run { seed, schedule: Schedule::of(seed), disks: Arc::new(|disk| Arc::new(disk)), bug: None }
    }

    /// Has the nodes see their disks through something else.
    pub fn with_disks(self, disks: DiskMaker) -> Run {
        Run { disks, ..self }
    }

    /// Has the code do wrong in this way.
    pub fn with_bug(self, bug: Bug) -> Run {
        Run { bug: Some(bug), ..self }
    }

    /// Makes the run, on a thread of its own, since madsim seeds the order of hash tables a thread. A panic anywhere in it
    /// is told as a violation.
    pub fn run(self) -> Outcome {
        match self.schedule.model {
            Model::StateMachine => self.run_service::<Counter>(),
            Model::PrimaryBackup => self.run_service::<Primary<Counter>>(),
        }
    }

    /// Makes the run with a service of the caller's choice.
    pub fn run_service<S: Subject>(self) -> Outcome {
        let checker = Checker::new();
        let (seed, watching) = (self.seed, checker.clone());
        let thread = std::thread::Builder::new().name(format!("seed {seed}"));
        let simulated = thread
            .spawn(move || {
                let _planted = planted::plant(self.bug);
                let simulation = Simulation::new(seed);
                simulation.block_on(async move {
                    let start = Instant::now();
                    self.go::<S>(watching).await;
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
        Outcome { seed, model: S::MODEL, simulated, tally: checker.tally() }
    }

    async fn go<S: Subject>(self, checker: Checker) {
        checker.start();
        let Run { seed, schedule, disks, .. } = self;
        let cluster = Arc::new(Cluster::<S>::start(schedule.nodes, &disks, checker.clone()));
        let (network, ids) = (cluster.network(), cluster.ids());
        let workload = Workload::start::<S>(seed, &schedule, &ids, &network, &checker).await;
        let subscribers = Subscribers::start::<S>(seed, &schedule, &ids, &network, &checker);
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
        subscribers.hurry();
        probe.serves("all had lost power").await;
        probe.settle().await;
        subscribers.end();
        observer.abort();
        cluster.end();
    }
}

async fn sleep_until(start: Instant, at: Duration) {
    let left = Instant::now().until(start + at);
    if !left.is_zero() {
        runtime::sleep(left).await;
    }
}

/// Looks at all nodes now and then.
async fn observe<S: Subject>(cluster: Arc<Cluster<S>>, checker: Checker) {
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
struct Probe<S> {
    cluster: Arc<Cluster<S>>,
    checker: Checker,
    next: u64,
}

impl<S: Subject> Probe<S> {
    /// A command through each node is acknowledged within the bound.
    async fn serves(&mut self, since: &str) {
        let deadline = Instant::now() + SERVE;
        for id in self.cluster.ids() {
            let client = self.cluster.client(PROBE_ADDRESS, [id]).with_timeout(PROBE);
            let line = self.checker.line(false);
            while !self.is_served(&client, line).await {
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

    async fn is_served(&mut self, client: &Client<S>, line: Line) -> bool {
        let add = Add { client: PROBE_ADDRESS, number: self.next, amount: 1 };
        self.next += 1;
        propose(client, &self.checker, add, Way::Session(line), PROBE).await.is_some()
    }

    fn statuses(&self) -> Vec<lovebird_core::transport::Status> {
        self.cluster.replicas().iter().map(|(_, replica)| replica.node.status()).collect()
    }

    /// All replicas and subscribers come to the same log index; there, states and logs are compared.
    async fn settle(&self) {
        let deadline = Instant::now() + SETTLE;
        let replicas = loop {
            let replicas = self.cluster.replicas();
            let (level, late) = (level(&replicas), Instant::now() >= deadline);
            let together = level.filter(|_| replicas.len() == self.cluster.ids().len());
            if together.is_some_and(|index| late || self.checker.all_follow(index)) {
                break replicas;
            }
            if late {
                return self.checker.violation(format!(
                    "{SETTLE:?} after the last command the replicas have not come to the same log index: {:#?}",
                    self.statuses()
                ));
            }
            runtime::sleep(GLANCE).await;
        };
        // What has become of commands is to be found out even if subscribers do not hear of it.
        self.checker.followed_to(level(&replicas).unwrap_or(0));
        for (place, (id, replica)) in replicas.iter().enumerate() {
            let Some(state) = self.state_of(*id, replica).await else { continue };
            self.checker.settled(*id, &state);
            if place == 0 {
                self.checker.rests(&state);
            }
        }
        logs::compare(&self.checker, &replicas);
    }

    async fn state_of(&self, id: u64, replica: &Replica<S>) -> Option<State> {
        match replica.node.client().query(Query::State, Read::Stale).await {
            Ok(answered) => match answered.answer {
                Answer::State(state) => return Some(state),
                Answer::Value(_) => self.checker.violation(format!("node {id} gave another answer")),
            },
            Err(error) => self.checker.violation(format!("node {id} did not tell its state: {error}")),
        }
        None
    }
}

/// The log index that all of these have applied, if that is the end of all logs.
fn level<S: Subject>(replicas: &[(u64, Replica<S>)]) -> Option<u64> {
    let highest = replicas.iter().map(|(_, replica)| replica.log.state().last_index).max()?;
    replicas.iter().all(|(_, replica)| replica.node.status().applied == highest).then_some(highest)
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { trace, acknowledged, repeated, unknown, not_committed, expired, .. } = &self.tally;
        let Tally { reads, reads_failed, followed, followed_states, purged, .. } = &self.tally;
        let Tally { executed, terms, restores, faults, violations, .. } = &self.tally;
        write!(
            f,
            "seed {}: {}, {:.1} s, trace {trace:016x}, {acknowledged} acknowledged, {repeated} again, {unknown} unknown, \
             {not_committed} not committed, {expired} expired, {reads:?}, {reads_failed} reads failed, {followed} records and \
             {followed_states} states followed, {purged} purged, {executed} executed, {terms} leaders, {restores} snapshots \
             restored, {faults:?}",
            self.seed,
            self.model,
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
