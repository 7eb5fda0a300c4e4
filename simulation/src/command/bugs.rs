//! `bugs`: the checker of checkers. Each bug that can be planted in the product's code must be found, within a stated number of
//! seeds.

use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use clap::Args;
use indicatif::ProgressBar;
use lovebird_core::planted::Bug;

use super::apart::{How, Until, apart, cores};
use super::shrink::{least, size};
use super::{Failure, Verdict};
use crate::check::{Invariant, Violation};
use crate::plan::Plan;
use crate::scenario::{Scenario, chosen};

/// Samples begin so many seeds apart.
const APART: u64 = 10_000;

/// What cannot show yet, and what that would need.
const NOT_YET: &[(Bug, &str)] = &[
    (
        Bug::KeepContradiction,
        "a crash between the naming of an installed snapshot and the cut of an end of the log that contradicts it",
    ),
    (
        Bug::RefuseDiscarded,
        "a caller that still waits at a leader that was cut off for so long that it is sent a snapshot",
    ),
    (
        Bug::UnconfirmedVerdict,
        "a session opened elsewhere while a leader that is cut off still thinks that it leads, and used there",
    ),
    (
        Bug::SimpleMajority,
        "a partition between those who go and those who come in the moment in which one node replaces another",
    ),
];

/// What shows only where several rare things meet. `bugs.md` says in how many seeds each was found.
const RARE: &[Bug] = &[
    Bug::CutDamagedMiddle,
    Bug::TakeTornFrame,
    Bug::KeepCutEntry,
    Bug::JoinRunningRound,
    Bug::SkipConsistencyCheck,
    Bug::AcceptBeforeDurable,
    Bug::WaitForever,
    Bug::ForgetLostEnd,
    Bug::SendBehindGap,
];

#[derive(Args, Clone, Debug)]
pub(super) struct Options {
    /// Only these, by name.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Leaves out those that show only where several rare things meet.
    #[arg(long)]
    quick: bool,
    /// Within how many seeds each must be found.
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// How often each is looked for, each time among other seeds.
    #[arg(long, default_value_t = 1)]
    samples: u64,
    /// Cuts down the plan that found it first.
    #[arg(long)]
    shrink: bool,
    /// For how many seconds each plan is cut down at most.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Writes the table to this file, too.
    #[arg(long)]
    markdown: Option<PathBuf>,
}

/// The bug of this name.
pub(super) fn named(name: &str) -> Result<Bug, Failure> {
    let bug = Bug::ALL.iter().find(|bug| bug.name() == name);
    bug.copied().ok_or_else(|| {
        let known: Vec<&str> = Bug::ALL.iter().map(|bug| bug.name()).collect();
        format!("there is no bug {name:?}; there are {}", known.join(", ")).into()
    })
}

/// What a search came to.
struct Search {
    bug: Bug,
    /// How many seeds it took, and what was found; nothing if it was not found.
    found: Option<(u64, Plan, Violation)>,
}

fn how(bug: Bug) -> How {
    How { until: Some(Until::Broken), bug: Some(bug.name().to_owned()), ..How::default() }
}

fn search(scenarios: &[Scenario], bug: Bug, sample: u64, seeds: u64) -> Result<Search, Failure> {
    for tried in 1..=seeds {
        let seed = sample * APART + tried;
        let plan = Plan::of(seed, chosen(scenarios, seed).name());
        let report = apart(&plan, &how(bug))?;
        if let Some(violation) = report.outcome.tally.violations.into_iter().next() {
            return Ok(Search { bug, found: Some((tried, plan, violation)) });
        }
    }
    Ok(Search { bug, found: None })
}

/// Searches for all of them, as many at a time as there are cores.
fn search_all(scenarios: &[Scenario], bugs: &[Bug], options: &Options) -> Result<Vec<Search>, Failure> {
    let jobs: Vec<(Bug, u64)> =
        (0..options.samples).flat_map(|sample| bugs.iter().map(move |bug| (*bug, sample))).collect();
    let (next, bar) = (AtomicUsize::new(0), ProgressBar::new(jobs.len() as u64));
    let searches = Mutex::new(Vec::new());
    thread::scope(|scope| {
        let work = || {
            while let Some((bug, sample)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                let search =
                    search(scenarios, *bug, *sample, options.seeds).map_err(|error| error.to_string())?;
                bar.suspend(|| println!("{}", told(&search, options.seeds)));
                bar.inc(1);
                if let Ok(mut searches) = searches.lock() {
                    searches.push(search);
                }
            }
            Ok::<(), String>(())
        };
        let workers: Vec<_> = (0..cores()).map(|_| scope.spawn(work)).collect();
        let ended = workers.into_iter().map(|worker| worker.join());
        ended
            .map(|ended| ended.unwrap_or_else(|_| Err("a worker panicked".to_owned())))
            .collect::<Result<Vec<()>, _>>()
    })?;
    bar.finish_and_clear();
    Ok(searches.into_inner().unwrap_or_default())
}

fn told(search: &Search, seeds: u64) -> String {
    let name = search.bug.name();
    match &search.found {
        None => format!("{name:28} NOT FOUND in {seeds} seeds"),
        Some((tried, _, violation)) => {
            let said: String = violation.sentence.replace('\n', " ").chars().take(160).collect();
            format!("{name:28} {tried:4} seeds [{}] {said}", violation.invariant)
        }
    }
}

pub(super) fn bugs(scenarios: &[Scenario], options: &Options) -> Result<Verdict, Failure> {
    let chosen = options.only.iter().map(|name| named(name)).collect::<Result<Vec<Bug>, _>>()?;
    let mut bugs = if chosen.is_empty() { Bug::ALL.to_vec() } else { chosen };
    if options.quick {
        bugs.retain(|bug| !RARE.contains(bug) && NOT_YET.iter().all(|(other, _)| other != bug));
    }
    let searches = search_all(scenarios, &bugs, options)?;
    let mut table = format!(
        "Each bug was looked for {} time(s), among {} seeds each time, by `cargo sim bugs`.\n\n\
         | bug | found | median seeds | most | first promise found broken | cut down to |\n|---|---|---|---|---|---|\n",
        options.samples, options.seeds
    );
    let mut missed = Vec::new();
    for bug in bugs {
        let of_bug: Vec<&Search> = searches.iter().filter(|search| search.bug == bug).collect();
        let needs = NOT_YET.iter().find(|(other, _)| *other == bug).map(|(_, needs)| *needs);
        if needs.is_none() && of_bug.iter().any(|search| search.found.is_none()) {
            missed.push(bug.name());
        }
        writeln!(table, "{}", row(bug, &of_bug, needs, options)?)?;
    }
    println!("\n{table}");
    if let Some(path) = &options.markdown {
        std::fs::write(path, &table)?;
    }
    if !missed.is_empty() {
        println!("not found within {} seeds: {}", options.seeds, missed.join(", "));
    }
    Ok(Verdict::of(missed.is_empty()))
}

fn row(bug: Bug, searches: &[&Search], needs: Option<&str>, options: &Options) -> Result<String, Failure> {
    let mut tried: Vec<u64> =
        searches.iter().filter_map(|search| search.found.as_ref()).map(|(tried, ..)| *tried).collect();
    tried.sort_unstable();
    let found = searches.iter().filter_map(|search| search.found.as_ref()).min_by_key(|(tried, ..)| *tried);
    let Some((_, plan, violation)) = found else {
        let why = needs.map_or("—".to_owned(), |needs| format!("needs {needs}"));
        return Ok(format!("| {} | 0 of {} | — | — | {why} | — |", bug.name(), searches.len()));
    };
    let cut = if options.shrink && violation.invariant != Invariant::NoPanic {
        let (plan, _) = least(plan, violation, &how(bug), 2, Duration::from_secs(options.seconds))?;
        size(&plan)
    } else {
        "—".to_owned()
    };
    Ok(format!(
        "| {} | {} of {} | {} | {} | {} | {cut} |",
        bug.name(),
        tried.len(),
        searches.len(),
        tried[tried.len() / 2],
        tried[tried.len() - 1],
        violation.invariant
    ))
}
