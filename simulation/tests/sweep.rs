//! Whole clusters under faults, many seeds.
//!
//! `LOVEBIRD_SEED=17 cargo test … one_seed -- --nocapture` runs one seed again, and says with `RUST_LOG` what happened in it;
//! `LOVEBIRD_SEEDS=1000..2000 … many_seeds` runs others than the usual ones.
#![cfg(madsim)]
#![allow(clippy::unwrap_used)]

use std::io;
use std::ops::Range;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lovebird_simulation::check::Tally;
use lovebird_simulation::plan::{Fault, Plan};
use lovebird_simulation::run::Outcome;
use lovebird_simulation::scenario::chosen;
use lovebird_simulation::workloads::all;
use tracing_subscriber::EnvFilter;

const SEED_VARIABLE: &str = "LOVEBIRD_SEED";
const SEEDS_VARIABLE: &str = "LOVEBIRD_SEEDS";
const SEEDS: Range<u64> = 1..25;

/// Runs in other threads at a time: these are all the cores that the tests count on.
const AT_A_TIME: u64 = 2;

/// Runs seeds, two at a time.
fn runs(seeds: Range<u64>) -> Vec<Outcome> {
    let next = AtomicU64::new(seeds.start);
    let outcomes = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= seeds.end {
                        return;
                    }
                    let outcome = chosen(&all(), seed).seed(seed).run();
                    outcomes.lock().unwrap().push(outcome);
                }
            });
        }
    });
    let mut outcomes = outcomes.into_inner().unwrap();
    outcomes.sort_by_key(|outcome| outcome.seed);
    outcomes
}

#[test]
fn many_seeds_keep_every_promise() {
    let seeds = std::env::var(SEEDS_VARIABLE).map_or(SEEDS, |text| {
        let (first, behind) = text.split_once("..").unwrap();
        first.parse().unwrap()..behind.parse().unwrap()
    });
    let start = Instant::now();
    let outcomes = runs(seeds);
    let mut total = Tally::default();
    let mut simulated = Duration::ZERO;
    for outcome in &outcomes {
        println!("{outcome}");
        simulated += outcome.simulated;
        total.add(&Tally { violations: Vec::new(), ..outcome.tally.clone() });
    }
    println!(
        "{} runs of {:.0} simulated seconds took {:?}: {total:?}",
        outcomes.len(),
        simulated.as_secs_f64(),
        start.elapsed()
    );
    let broken: Vec<&Outcome> = outcomes.iter().filter(|outcome| outcome.broken().is_some()).collect();
    assert!(broken.is_empty(), "{} seeds broke a promise, seed {} first", broken.len(), broken[0].seed);
}

/// One run of the seed that the environment names, or of 1. Another test starts it in processes of its own.
#[test]
fn one_seed() {
    let seed = std::env::var(SEED_VARIABLE).map_or(1, |seed| seed.parse().unwrap());
    if std::env::var("RUST_LOG").is_ok() {
        let filter = EnvFilter::from_default_env();
        tracing_subscriber::fmt().with_env_filter(filter).without_time().with_writer(io::stderr).init();
    }
    let outcome = chosen(&all(), seed).seed(seed).run();
    println!("{outcome}");
    assert!(outcome.broken().is_none(), "{outcome}");
}

/// The line that tells of a seed's run, made in a process that does nothing else.
fn told_by_a_fresh_process(seed: u64) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "one_seed", "--nocapture"])
        .env(SEED_VARIABLE, seed.to_string())
        .env_remove("RUST_LOG")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find(|line| line.starts_with("seed ") || line.contains(": seed "));
    line.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr))).to_owned()
}

#[test]
fn same_seed_tells_the_same_story_in_fresh_processes() {
    for seed in [1, 2] {
        assert_eq!(told_by_a_fresh_process(seed), told_by_a_fresh_process(seed));
    }
    assert_ne!(
        told_by_a_fresh_process(1).split("trace").nth(1),
        told_by_a_fresh_process(2).split("trace").nth(1)
    );
}

#[test]
fn plans_leave_something_out_and_heal_what_they_cut() {
    assert!((1..100).any(|seed| Plan::of(seed, "").steps.len() < 5), "every run has many faults");
    for seed in 1..100 {
        let Plan { steps, .. } = Plan::of(seed, "");
        assert!(steps.is_sorted_by_key(|step| step.at_ms), "seed {seed}");
        let healed = |fault: &Fault| match fault {
            Fault::Cut { from, to } => {
                steps.iter().any(|step| step.fault == Fault::Heal { from: *from, to: *to })
            }
            _ => true,
        };
        assert!(steps.iter().all(|step| healed(&step.fault)), "seed {seed}");
    }
}
