//! `shrink`: the least that still breaks the same promise.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::ProgressBar;

use super::apart::{How, Until, apart, cores, many};
use super::kept::Kept;
use super::reduce::reduce;
use super::{Failure, Verdict, Which};
use crate::check::{Invariant, Violation};
use crate::plan::Plan;
use crate::scenario::Scenario;

#[derive(Args, Clone, Debug)]
pub(super) struct Options {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    how: How,
    /// In this folder it is kept.
    #[arg(long, default_value = "simulation/tests/kept")]
    keep_in: PathBuf,
    /// Under this name; by default the scenario and the seed.
    #[arg(long)]
    name: Option<String>,
    /// Ends after so many seconds with what it has.
    #[arg(long, default_value_t = 300)]
    seconds: u64,
    /// With how many seeds each smaller plan is tried: a change of the plan moves what the seed decides, too.
    #[arg(long, default_value_t = 3)]
    tries: u64,
}

/// Looks for plans that break a promise.
pub(crate) struct Hunt {
    pub(crate) invariant: Invariant,
    pub(crate) how: How,
    pub(crate) tries: u64,
    pub(crate) deadline: Instant,
    /// How many runs were made.
    pub(crate) runs: u64,
}

impl Hunt {
    /// The first of these, with some seed, that breaks the promise.
    pub(crate) fn first(&mut self, plans: Vec<Plan>) -> Result<Option<(usize, Plan)>, Failure> {
        if Instant::now() >= self.deadline {
            return Ok(None);
        }
        let tries = self.tries;
        let offered = plans.into_iter().enumerate().flat_map(|(place, plan)| {
            (0..tries).map(move |salt| (place, Plan { seed: plan.seed.wrapping_add(salt), ..plan.clone() }))
        });
        let mut offered = offered.collect::<Vec<_>>().into_iter();
        let (found, places) = (std::sync::Mutex::new(None), std::sync::Mutex::new(Vec::new()));
        let next = || {
            if found.lock().is_ok_and(|found| found.is_some()) {
                return None;
            }
            let (place, plan) = offered.next()?;
            places.lock().ok()?.push((place, plan.clone()));
            Some(plan)
        };
        let tell = |plan: Plan, report: super::apart::Report| {
            self.runs += 1;
            if breaks(&report.outcome.tally.violations, self.invariant)
                && let (Ok(mut found), Ok(places)) = (found.lock(), places.lock())
            {
                let place = places.iter().find(|(_, offered)| *offered == plan).map(|(place, _)| *place);
                *found = place.map(|place| (place, plan));
            }
        };
        many(cores(), &self.how, next, tell)?;
        Ok(found.into_inner().unwrap_or_default())
    }
}

fn breaks(violations: &[Violation], invariant: Invariant) -> bool {
    violations.iter().any(|violation| violation.invariant == invariant)
}

/// Reduces a plan that breaks a promise. Gives what is left, and how many runs that took.
pub(crate) fn least(
    plan: &Plan,
    broken: &Violation,
    how: &How,
    tries: u64,
    time: Duration,
) -> Result<(Plan, u64), Failure> {
    let how = How { until: Some(Until::BrokenIs(broken.invariant)), ..how.clone() };
    let deadline = Instant::now() + time;
    let mut hunt = Hunt { invariant: broken.invariant, how, tries, deadline, runs: 0 };
    let bar = ProgressBar::new_spinner();
    let at_ms = broken.at_nanos / 1_000_000;
    let reduced = reduce(plan.clone(), at_ms, cores(), &mut |plans: Vec<Plan>| {
        let found = hunt.first(plans)?;
        if let Some((_, plan)) = &found {
            bar.set_message(format!("{} runs: {}", hunt.runs, size(plan)));
        }
        bar.tick();
        Ok::<_, Failure>(found)
    })?;
    bar.finish_and_clear();
    Ok((reduced, hunt.runs))
}

pub(crate) fn size(plan: &Plan) -> String {
    format!(
        "{} nodes, {} faults, {} operations of {} clients, {} subscribers, {:.1} s",
        plan.nodes,
        plan.steps.len(),
        plan.operations(),
        plan.clients.len(),
        plan.subscribers.len(),
        plan.length_ms as f64 / 1000.0
    )
}

pub(super) fn shrink(scenarios: &[Scenario], options: &Options) -> Result<Verdict, Failure> {
    let plan = options.which.plan(scenarios)?;
    let outcome = apart(&plan, &options.how)?.outcome;
    let Some(broken) = outcome.tally.violations.first() else {
        println!("{outcome}\nthis run keeps every promise: there is nothing to shrink");
        return Ok(Verdict::Kept);
    };
    println!("{broken}\nwith {}", size(&plan));
    let (reduced, runs) =
        least(&plan, broken, &options.how, options.tries, Duration::from_secs(options.seconds))?;
    let outcome = apart(&reduced, &options.how)?.outcome;
    let violations = &outcome.tally.violations;
    let left = violations.iter().find(|violation| violation.invariant == broken.invariant).unwrap_or(broken);
    println!("{left}\nwith {}, after {runs} runs", size(&reduced));
    let name = options.name.clone().unwrap_or_else(|| format!("{}-{}", plan.scenario, plan.seed));
    let path = options.keep_in.join(format!("{name}.json"));
    let story = left.sentence.clone();
    Kept { story, invariant: broken.invariant, plan: reduced }.write(&path)?;
    println!("{} keeps it: say there in a line what it was, and commit it once it passes", path.display());
    Ok(Verdict::Broken)
}
