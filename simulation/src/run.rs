//! One run: a cluster, clients and a plan, from the first start to the last comparison.

mod outcome;
mod probe;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::select;
#[cfg(feature = "planted")]
use lovebird_core::planted::{self, Bug};
use lovebird_core::runtime::{self, Instant, Simulation};
use lovebird_core::transport::Role;
use lovebird_transport::Fate;
use madsim::time::TimeHandle;

use crate::check::{Checker, Invariant, Keep};
use crate::clients::Clients;
use crate::cluster::Cluster;
use crate::links::Links;
use crate::plan::{Fault, Plan, Survives};
use crate::scenario::Scenario;
use crate::story::What;
use crate::subscriber::Subscribers;
use crate::watched::{Shown, Subject};
use crate::workload::Workload;
use probe::Probe;

pub use outcome::Outcome;

/// How often nodes are looked at.
const GLANCE: Duration = Duration::from_millis(50);

/// A run to be made.
#[derive(Clone)]
pub struct Run {
    /// What happens in it.
    pub plan: Plan,
    scenario: Scenario,
    keep: Keep,
    until: Until,
    #[cfg(feature = "planted")]
    bug: Option<Bug>,
}

/// When a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// When all that is planned has happened and everything was compared.
    End,
    /// As soon as this promise is broken, or any, if none is named.
    Broken(Option<Invariant>),
}

impl Run {
    /// A run of which a tally is kept.
    pub(crate) fn new(plan: Plan, scenario: Scenario) -> Run {
        Run {
            plan,
            scenario,
            keep: Keep::Tally,
            until: Until::End,
            #[cfg(feature = "planted")]
            bug: None,
        }
    }

    /// Keeps more of it, or less.
    pub fn keep(self, keep: Keep) -> Run {
        Run { keep, ..self }
    }

    /// Ends it earlier. What it leaves behind is then not let go before the process ends.
    pub(crate) fn until(self, until: Until) -> Run {
        Run { until, ..self }
    }

    /// Has the product's code do wrong in this way.
    #[cfg(feature = "planted")]
    pub fn with_bug(self, bug: Option<Bug>) -> Run {
        Run { bug, ..self }
    }

    /// Makes the run, on a thread of its own, since madsim seeds the order of hash tables a thread. A panic anywhere in it
    /// is told as a violation.
    ///
    /// # Panics
    /// If the system gives no thread.
    pub fn run(self) -> Outcome {
        let scenario = self.scenario.clone();
        scenario.make(self)
    }

    pub(crate) fn run_subject<S: Subject>(self) -> Outcome {
        #[cfg(feature = "planted")]
        let bug = self.bug;
        let Run { plan, scenario, keep, until, .. } = self;
        let born = S::Load::digest(&S::Load::machine());
        let checker = Checker::new(Shown::of::<S::Load>(), born, keep);
        let watching = checker.clone();
        let (seed, planned) = (plan.seed, plan.clone());
        let thread = std::thread::Builder::new().name(format!("seed {seed}"));
        let simulated = thread
            .spawn(move || {
                #[cfg(feature = "planted")]
                let _planted = planted::plant(bug);
                let simulation = Simulation::new(seed);
                simulation.block_on(async move {
                    let start = Instant::now();
                    let broken = broken(watching.clone(), until);
                    select(pin!(go::<S>(planned, watching)), pin!(broken)).await;
                    start.until(Instant::now())
                })
            })
            .map(std::thread::JoinHandle::join);
        let simulated = match simulated {
            Ok(Ok(simulated)) => simulated,
            Ok(Err(panic)) => {
                let text = panic.downcast_ref::<String>().cloned();
                let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                checker.panicked(text.unwrap_or_default());
                Duration::ZERO
            }
            Err(error) => panic!("the system gives no thread for a run: {error}"),
        };
        let (tally, story) = (checker.tally(), checker.story());
        Outcome { scenario: scenario.name().to_owned(), seed, simulated, tally, story }
    }
}

async fn go<S: Subject>(plan: Plan, checker: Checker) {
    checker.start();
    let cluster = Cluster::<S>::start(&plan, checker.clone());
    let network = cluster.network();
    if checker.keeps_story() {
        observe_links(cluster.links(), &checker);
        cluster.observe_syncs();
    }
    let clients = Clients::start::<S>(&plan, &network, &checker);
    let subscribers = Subscribers::start::<S>(&plan, &network, &checker);
    let observer = runtime::spawn(observe(cluster.clone(), checker.clone()));
    let (start, length) = (Instant::now(), Duration::from_millis(plan.length_ms));
    for step in &plan.steps {
        sleep_until(start, Duration::from_millis(step.at_ms).min(length)).await;
        cluster.inflict(&step.fault);
    }
    sleep_until(start, length).await;
    let mut probe = Probe::new(&plan, cluster.clone(), checker.clone());
    cluster.heal();
    probe.serves("the faults had healed").await;
    clients.stop().await;
    // Once more everybody loses what was not synced: what has been acknowledged must come from the disks.
    cluster.inflict(&Fault::PowerLoss { nodes: cluster.ids(), survives: Survives::Nothing });
    cluster.heal();
    subscribers.hurry();
    probe.serves("all had lost power").await;
    probe.settle().await;
    subscribers.end();
    observer.abort();
    cluster.end();
}

/// Resolves as soon as a promise is broken for which nobody goes on.
async fn broken(checker: Checker, until: Until) {
    let Until::Broken(invariant) = until else { return std::future::pending().await };
    while !checker.is_broken(invariant) {
        runtime::sleep(GLANCE).await;
    }
}

async fn sleep_until(start: Instant, at: Duration) {
    let left = Instant::now().until(start + at);
    if !left.is_zero() {
        runtime::sleep(left).await;
    }
}

/// Has every message be told.
fn observe_links(links: &Links, checker: &Checker) {
    let checker = checker.clone();
    let begun = TimeHandle::current().elapsed();
    links.observe(move |passing| {
        let arrives_nanos = match passing.fate {
            Fate::Arrives { at, .. } => Some(at.saturating_sub(begun).as_nanos() as u64),
            Fate::Lost | Fate::Reset => None,
        };
        checker.happens(|| What::Message {
            from: passing.from,
            to: passing.to,
            kind: passing.kind.into(),
            bytes: passing.bytes as u64,
            arrives_nanos,
        });
    });
}

/// Looks at all nodes now and then.
async fn observe<S: Subject>(cluster: Arc<Cluster<S>>, checker: Checker) {
    let mut known = std::collections::BTreeMap::new();
    loop {
        for (node, replica) in cluster.replicas() {
            let status = replica.node.status();
            cluster.saw(node, status.term);
            if status.role == Role::Leader {
                checker.leads(node, status.term);
            }
            if status.applied > status.committed || status.snapshot > status.applied {
                checker
                    .violation(Invariant::AppliedInOrder, format!("node {node} says of itself {status:?}"));
            }
            let now = (status.role, status.term, status.committed, status.applied);
            if known.insert(node, now) != Some(now) {
                checker.happens(|| What::Seen {
                    node,
                    role: format!("{:?}", status.role).to_lowercase().into(),
                    term: status.term,
                    committed: status.committed,
                    applied: status.applied,
                });
            }
        }
        runtime::sleep(GLANCE).await;
    }
}
