//! One run in a process of its own: nothing that an earlier run left behind can move it, and one that goes in circles or brings
//! its process down is told like any other.

use std::io::{Read, Write};
use std::process::{self, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use clap::Args;
use lovebird_core::sometimes;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use super::{Failure, Verdict};
use crate::check::{Invariant, Keep, Tally, Violation};
use crate::plan::Plan;
use crate::run::{self, Outcome, Run};
use crate::scenario::Scenario;

/// Far longer than any run takes: in one that goes on for ever without simulated time passing, nothing simulated notices.
const PATIENCE: Duration = Duration::from_secs(180);

/// How a run is made.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct How {
    /// Keep every event.
    #[arg(skip)]
    pub(crate) story: bool,
    /// End as soon as a promise is broken.
    #[arg(skip)]
    pub(crate) until: Option<Until>,
    /// The bug that is planted in the product's code.
    #[arg(long)]
    pub(crate) bug: Option<String>,
}

/// What a process is asked for.
#[derive(Serialize, Deserialize)]
struct Order {
    plan: Plan,
    story: bool,
    until: Option<Until>,
    bug: Option<String>,
}

/// At which broken promise a run may end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Until {
    /// Any.
    Broken,
    /// This one.
    BrokenIs(Invariant),
}

/// What a process tells of its run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) outcome: Outcome,
    /// How much of the processor's time it took.
    pub(crate) took: Duration,
    /// Every mark in the code, and how often it was reached.
    pub(crate) points: Vec<(String, String, u64)>,
}

/// Makes the run that the standard input orders.
pub(super) fn make(scenarios: &[Scenario]) -> Result<Verdict, Failure> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    let Order { plan, story, until, bug } = serde_json::from_str(&text)?;
    let scenario = super::named(scenarios, Some(&plan.scenario), plan.seed)?.clone();
    let until = match until {
        None => run::Until::End,
        Some(Until::Broken) => run::Until::Broken(None),
        Some(Until::BrokenIs(invariant)) => run::Until::Broken(Some(invariant)),
    };
    let run = scenario.plan(plan.clone()).keep(if story { Keep::Story } else { Keep::Tally }).until(until);
    let run = with_bug(run, bug.as_deref())?;
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        // An error says that patience has ended, which has then been told.
        let _ = tell.send(run.run());
    });
    let outcome = told.recv_timeout(PATIENCE).unwrap_or_else(|_| {
        let sentence = format!(
            "after {PATIENCE:?} of real time the run had not come to its end: something goes in circles"
        );
        failed(&plan, Invariant::Liveness, sentence)
    });
    let took = processor_time();
    let points = sometimes::points().into_iter();
    let points = points.map(|point| (point.file().to_owned(), point.what().to_owned(), point.reached()));
    let report = Report { outcome, took, points: points.collect() };
    let mut out = std::io::stdout().lock();
    out.write_all(&serde_json::to_vec(&report)?)?;
    out.flush()?;
    Ok(Verdict::Kept)
}

#[cfg(feature = "planted")]
fn with_bug(run: Run, name: Option<&str>) -> Result<Run, Failure> {
    Ok(run.with_bug(name.map(super::bugs::named).transpose()?))
}

#[cfg(not(feature = "planted"))]
fn with_bug(run: Run, name: Option<&str>) -> Result<Run, Failure> {
    match name {
        None => Ok(run),
        Some(name) => Err(format!("{name:?} cannot be planted: build with the feature `planted`").into()),
    }
}

fn failed(plan: &Plan, invariant: Invariant, sentence: String) -> Outcome {
    let violations = vec![Violation { invariant, sentence, at_nanos: 0 }];
    Outcome {
        scenario: plan.scenario.clone(),
        seed: plan.seed,
        simulated: Duration::ZERO,
        tally: Tally { violations, ..Tally::default() },
        story: Vec::new(),
    }
}

/// Has a process of this very program make a run.
///
/// # Errors
/// If no process can be started, or what it says cannot be read.
pub(crate) fn apart(plan: &Plan, how: &How) -> Result<Report, Failure> {
    let mut command = process::Command::new(std::env::current_exe()?);
    command.arg("apart").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // What RUST_LOG asks for goes to the standard error, which nobody reads here to its end before the run has ended.
    command.env_remove("RUST_LOG");
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        let How { story, until, bug } = how.clone();
        stdin.write_all(&serde_json::to_vec(&Order { plan: plan.clone(), story, until, bug })?)?;
    }
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(serde_json::from_slice(&output.stdout)?);
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let sentence = format!("the process ended with {}, having said {said:?}", output.status);
    let outcome = failed(plan, Invariant::NoPanic, sentence);
    Ok(Report { outcome, took: Duration::ZERO, points: Vec::new() })
}

/// What this process has taken of the processor so far: the same whoever else is at work on this machine.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// How many runs are made at a time, if nobody says otherwise: one a core.
pub(crate) fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Makes runs, several at a time. `plan` gives the next one, or none when it is enough; `tell` is called with each report, in no
/// certain order.
///
/// # Errors
/// Those of [`apart`], the first of them; no more runs are begun then.
pub(crate) fn many(
    jobs: usize,
    how: &How,
    plan: impl FnMut() -> Option<Plan> + Send,
    tell: impl FnMut(Plan, Report) + Send,
) -> Result<(), Failure> {
    let plan = std::sync::Mutex::new(plan);
    let tell = std::sync::Mutex::new(tell);
    let next = || plan.lock().ok().and_then(|mut plan| plan());
    thread::scope(|scope| {
        let work = || {
            while let Some(plan) = next() {
                let report = apart(&plan, how).map_err(|error| error.to_string())?;
                if let Ok(mut tell) = tell.lock() {
                    tell(plan, report);
                }
            }
            Ok::<(), String>(())
        };
        let workers: Vec<_> = (0..jobs.max(1)).map(|_| scope.spawn(work)).collect();
        let ended = workers.into_iter().map(|worker| worker.join());
        let failed =
            ended.filter_map(|ended| ended.unwrap_or_else(|_| Err("a worker panicked".to_owned())).err());
        failed.map(Failure::from).last().map_or(Ok(()), Err)
    })
}
