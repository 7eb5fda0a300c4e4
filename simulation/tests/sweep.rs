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

use lovebird_simulation::run::{Outcome, Run, run};
use lovebird_simulation::schedule::{Fault, Schedule};
use tracing_subscriber::EnvFilter;

const SEED_VARIABLE: &str = "LOVEBIRD_SEED";
const SEEDS_VARIABLE: &str = "LOVEBIRD_SEEDS";
const SEEDS: Range<u64> = 1..25;

/// Runs in other threads at a time: these are all the cores that the tests count on.
const AT_A_TIME: u64 = 2;

/// Runs seeds, two at a time, until `enough` says so.
fn runs(
    seeds: Range<u64>,
    make: impl Fn(u64) -> Run + Sync,
    enough: impl Fn(&Outcome) -> bool + Sync,
) -> Vec<Outcome> {
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
                    let outcome = make(seed).run();
                    if enough(&outcome) {
                        next.store(seeds.end, Ordering::SeqCst);
                    }
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
    let outcomes = runs(seeds, Run::of, |_| false);
    let mut simulated = Duration::ZERO;
    let (mut acknowledged, mut unknown, mut reads, mut restores) = (0, 0, 0, 0);
    let (mut repeated, mut expired, mut followed, mut followed_states, mut purged, mut executed) =
        (0, 0, 0, 0, 0, 0);
    let mut faults = std::collections::BTreeMap::new();
    for outcome in &outcomes {
        println!("{outcome}");
        simulated += outcome.simulated;
        acknowledged += outcome.tally.acknowledged;
        unknown += outcome.tally.unknown;
        reads += outcome.tally.reads.values().sum::<u64>();
        restores += outcome.tally.restores;
        repeated += outcome.tally.repeated;
        expired += outcome.tally.expired;
        followed += outcome.tally.followed;
        followed_states += outcome.tally.followed_states;
        purged += outcome.tally.purged;
        executed += outcome.tally.executed;
        for (kind, count) in &outcome.tally.faults {
            *faults.entry(*kind).or_insert(0) += count;
        }
    }
    println!(
        "{} runs of {:.0} simulated seconds took {:?}: {acknowledged} commands acknowledged, {repeated} again, \
         {unknown} unknown, {expired} expired, {executed} executed, {reads} reads, {followed} records and {followed_states} states \
         followed, {purged} purged, {restores} snapshots restored; {faults:?}",
        outcomes.len(),
        simulated.as_secs_f64(),
        start.elapsed()
    );
    let broken: Vec<&Outcome> =
        outcomes.iter().filter(|outcome| !outcome.tally.violations.is_empty()).collect();
    assert!(broken.is_empty(), "{} seeds broke a promise, seed {} first", broken.len(), broken[0].seed);
    // A sweep in which nothing happens proves nothing.
    assert!(acknowledged > 100 * outcomes.len() as u64, "only {acknowledged} commands were acknowledged");
    for kind in ["kill", "power loss of one", "power loss of all", "restart", "cut", "drift"] {
        assert!(faults.contains_key(kind), "no run had a {kind}");
    }
    assert!(restores > 0, "no replica ever took a snapshot's place");
    assert!(repeated > 0, "nobody was ever told the first reply again");
    assert!(executed > 0, "no run had a primary");
    assert!(followed_states > 0 && purged > 0, "no subscriber ever fell behind the log");
    assert!(expired > 0, "no session ever expired under a command");
}

/// One run of the seed that the environment names, or of 1. Another test starts it in processes of its own.
#[test]
fn one_seed() {
    let seed = std::env::var(SEED_VARIABLE).map_or(1, |seed| seed.parse().unwrap());
    if std::env::var("RUST_LOG").is_ok() {
        let filter = EnvFilter::from_default_env();
        tracing_subscriber::fmt().with_env_filter(filter).without_time().with_writer(io::stderr).init();
    }
    let outcome = run(seed);
    println!("{outcome}");
    assert!(outcome.tally.violations.is_empty(), "{outcome}");
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
fn schedules_leave_something_out_and_heal_what_they_cut() {
    assert!((1..100).any(|seed| Schedule::of(seed).steps.is_empty()), "every run has faults");
    for seed in 1..100 {
        let Schedule { steps, .. } = Schedule::of(seed);
        assert!(steps.is_sorted_by_key(|step| step.at), "seed {seed}");
        let healed = |fault: &Fault| match fault {
            Fault::Cut { from, to } => {
                steps.iter().any(|step| step.fault == Fault::Heal { from: *from, to: *to })
            }
            _ => true,
        };
        assert!(steps.iter().all(|step| healed(&step.fault)), "seed {seed}");
    }
}

/// Every change here moves what each known seed inflicts, and the seeds that are named anywhere mean nothing any more.
#[test]
fn schedule_of_a_seed_stays_what_it_is() {
    let told: Vec<String> = [1, 2, 3]
        .map(|seed| {
            let Schedule { model, nodes, length, steps, .. } = Schedule::of(seed);
            format!("{model}, {nodes} nodes, {length:?}, {} steps, last {:?}", steps.len(), steps.last())
        })
        .into();
    assert_eq!(
        told,
        [
            "primary-backup, 3 nodes, 17.474s, 127 steps, last Some(Step { at: 19.197s, fault: Restart { node: 1 } })",
            "state-machine, 3 nodes, 15.927s, 18 steps, last Some(Step { at: 17.63s, fault: Restart { node: 3 } })",
            "state-machine, 3 nodes, 19.518s, 122 steps, last Some(Step { at: 19.518s, fault: Restart { node: 2 } })",
        ]
    );
}
