//! `run`: many seeds.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::apart::{How, Report, cores, many};
use super::kept::Kept;
use super::{Failure, Verdict, drawn, named};
use crate::check::Tally;
use crate::plan::Plan;
use crate::run::Outcome;
use crate::scenario::Scenario;

/// Which seeds, and how.
#[derive(Args, Clone, Debug)]
pub(super) struct Options {
    /// How many seeds.
    #[arg(long, default_value_t = 200)]
    pub(super) seeds: u64,
    /// The first of them. Without it, some large number that nobody is likely to have tried.
    #[arg(long)]
    pub(super) from: Option<u64>,
    /// The scenario, if not the one that each seed chooses.
    #[arg(long)]
    pub(super) scenario: Option<String>,
    /// Damages a majority of the disks: nothing need serve then, and no answer may be wrong.
    #[arg(long)]
    pub(super) beyond: bool,
    /// How many runs at a time; by default one a core.
    #[arg(long)]
    pub(super) jobs: Option<usize>,
    /// Runs the plans that are kept in this folder, too, before all seeds.
    #[arg(long)]
    pub(super) kept: Option<PathBuf>,
    /// Goes on when promises were found broken, instead of ending after the runs that are under way.
    #[arg(long)]
    pub(super) keep_going: bool,
    #[command(flatten)]
    pub(super) how: How,
    /// Prints the sum as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

/// What many runs came to.
#[derive(Default)]
pub(super) struct Sum {
    pub(super) runs: u64,
    pub(super) simulated: Duration,
    /// Of the processor, of all runs together.
    pub(super) busy: Duration,
    pub(super) tally: Tally,
    pub(super) broken: Vec<Outcome>,
    /// How often each mark was reached, by file and words, and in how many runs.
    pub(super) points: BTreeMap<(String, String), (u64, u64)>,
}

impl Sum {
    fn add(&mut self, report: Report) {
        let Report { outcome, took, points } = report;
        self.runs += 1;
        self.simulated += outcome.simulated;
        self.busy += took;
        self.tally.add(&outcome.tally);
        for (file, what, reached) in points {
            let (times, runs) = self.points.entry((file, what)).or_default();
            *times += reached;
            *runs += u64::from(reached > 0);
        }
        if outcome.broken().is_some() {
            self.broken.push(outcome);
        }
    }
}

pub(super) fn run(scenarios: &[Scenario], options: &Options) -> Result<Verdict, Failure> {
    let begun = Instant::now();
    let sum = sweep(scenarios, options)?;
    let took = begun.elapsed();
    if options.json {
        println!("{}", summary(&sum, took));
    } else {
        print(&sum, took);
    }
    Ok(Verdict::of(sum.broken.is_empty()))
}

/// Runs what the options say.
pub(super) fn sweep(scenarios: &[Scenario], options: &Options) -> Result<Sum, Failure> {
    let from = options.from.unwrap_or_else(fresh);
    named(scenarios, options.scenario.as_deref(), from)?;
    let kept = options.kept.as_ref().map_or(Ok(Vec::new()), |folder| Kept::all(folder))?;
    let bar = bar(kept.len() as u64 + options.seeds);
    let mut plans =
        kept.into_iter().map(|(_, kept)| kept.plan).chain((from..from + options.seeds).filter_map(|seed| {
            Some(drawn(seed, named(scenarios, options.scenario.as_deref(), seed).ok()?, options.beyond))
        }));
    let stop = std::sync::atomic::AtomicBool::new(false);
    let (mut sum, begun) = (Sum::default(), Instant::now());
    let next = || if stop.load(std::sync::atomic::Ordering::Relaxed) { None } else { plans.next() };
    let tell = |_: Plan, report: Report| {
        if report.outcome.broken().is_some() {
            bar.suspend(|| println!("{}", report.outcome));
            stop.store(!options.keep_going, std::sync::atomic::Ordering::Relaxed);
        }
        sum.add(report);
        bar.inc(1);
        let hourly = sum.runs as f64 / begun.elapsed().as_secs_f64() * 3600.0;
        let simulated = sum.simulated.as_secs_f64() / 3600.0;
        bar.set_message(format!(
            "{hourly:.0} seeds an hour, {simulated:.1} h simulated, {} broken",
            sum.broken.len()
        ));
    };
    many(options.jobs.unwrap_or_else(cores), &options.how, next, tell)?;
    bar.finish_and_clear();
    Ok(sum)
}

/// Where nobody has looked yet, most likely. A number of few digits is easier to tell a colleague.
fn fresh() -> u64 {
    RandomState::new().build_hasher().finish() % 100_000_000
}

fn bar(length: u64) -> ProgressBar {
    let bar = ProgressBar::new(length);
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} in {elapsed}, {eta} left: {msg}");
    // The template is a constant; if it were wrong, the usual bar would do.
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar
}

fn print(sum: &Sum, took: Duration) {
    let Tally { acknowledged, repeated, unknown, not_committed, expired, .. } = &sum.tally;
    let Tally { reads, followed, followed_states, restores, terms, stops, faults, changes, .. } = &sum.tally;
    let (simulated, busy) = (sum.simulated.as_secs_f64(), sum.busy.as_secs_f64());
    println!(
        "{} runs in {:.1} s: {:.0} seeds an hour; {:.2} h simulated, {:.0} simulated seconds a second of one core",
        sum.runs,
        took.as_secs_f64(),
        sum.runs as f64 / took.as_secs_f64() * 3600.0,
        simulated / 3600.0,
        simulated / busy.max(0.001)
    );
    println!(
        "{acknowledged} commands acknowledged, {repeated} again, {unknown} unknown, {not_committed} not committed, {expired} expired; \
         {} reads; {followed} records and {followed_states} states followed; {restores} snapshots restored; {terms} leaders; \
         {stops} stops of nodes whose disks failed, or that were removed",
        reads.values().sum::<u64>()
    );
    let faults: Vec<String> = faults.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
    println!("faults: {}", faults.join(", "));
    let changes: Vec<String> = changes.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
    println!("changes of the members: {}", changes.join(", "));
    match sum.broken.first() {
        None => println!("every promise was kept"),
        Some(first) => {
            let (seed, scenario) = (first.seed, &first.scenario);
            println!(
                "{} runs broke a promise, seed {seed} first: `cargo sim explain {seed} --scenario {scenario}` draws it, \
                      `cargo sim shrink {seed} --scenario {scenario}` cuts it down",
                sum.broken.len()
            );
        }
    }
}

fn summary(sum: &Sum, took: Duration) -> serde_json::Value {
    serde_json::json!({
        "runs": sum.runs,
        "took_s": took.as_secs_f64(),
        "simulated_s": sum.simulated.as_secs_f64(),
        "simulated_s_per_core_s": sum.simulated.as_secs_f64() / sum.busy.as_secs_f64().max(0.001),
        "broken": sum.broken.iter().map(|outcome| outcome.seed).collect::<Vec<_>>(),
        "tally": sum.tally,
    })
}
