//! Whole clusters under faults, many seeds.
#![cfg(madsim)]
#![allow(clippy::unwrap_used)]

use std::time::Instant;

use lovebird_simulation::run::run;

const SEED_VARIABLE: &str = "LOVEBIRD_SEED";

#[test]
fn one_seed() {
    let seed = std::env::var(SEED_VARIABLE).map_or(1, |seed| seed.parse().unwrap());
    let start = Instant::now();
    let outcome = run(seed);
    println!("{outcome} in {:?}", start.elapsed());
    assert!(outcome.tally.violations.is_empty(), "{outcome}");
}
