//! Whole clusters under faults, many seeds.
#![cfg(madsim)]
#![allow(clippy::unwrap_used)]

use std::time::Instant;

use lovebird_simulation::run::run;

const SEED_VARIABLE: &str = "LOVEBIRD_SEED";

#[test]
fn one_seed() {
    let seed = std::env::var(SEED_VARIABLE).map_or(1, |seed| seed.parse().unwrap());
    tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::from_default_env()).without_time().with_writer(std::io::stderr).init();
    let start = Instant::now();
    let outcome = run(seed);
    println!("{outcome} in {:?}", start.elapsed());
    assert!(outcome.tally.violations.is_empty(), "{outcome}");
}
