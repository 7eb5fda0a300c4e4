//! The mistakes that the template shows are found, and the service without them is not accused.
#![cfg(madsim)]
#![allow(clippy::unwrap_used)]

#[path = "../examples/template/mistakes.rs"]
mod mistakes;
#[path = "../examples/template/stock.rs"]
mod stock;

#[path = "../examples/template/workload.rs"]
mod workload;

use lovebird_simulation::check::Invariant;
use lovebird_simulation::scenario::Scenario;

/// Within so many seeds each must be found.
const SEEDS: u64 = 10;

fn must_be_found(scenario: &Scenario, words: &str) {
    let mut told = Vec::new();
    for seed in 1..=SEEDS {
        let outcome = scenario.seed(seed).run();
        let violations = &outcome.tally.violations;
        if violations
            .iter()
            .any(|broken| broken.invariant == Invariant::EqualStates && broken.sentence.contains(words))
        {
            return;
        }
        told.push(outcome);
    }
    panic!("{SEEDS} seeds did not find that {words:?}; they found {told:#?}");
}

#[test]
fn order_of_a_hash_table_is_found() {
    must_be_found(&Scenario::replicated::<mistakes::HashOrder>("hash-order"), "diverge at log index");
}

#[test]
fn clock_of_the_replica_is_found() {
    must_be_found(&Scenario::replicated::<mistakes::OwnClock>("own-clock"), "diverge at log index");
}

#[test]
fn snapshot_that_forgets_a_part_is_found() {
    must_be_found(&Scenario::replicated::<mistakes::Forgetful>("forgetful"), "diverge at log index");
}

#[test]
fn service_without_mistakes_is_not_accused() {
    for seed in 1..=SEEDS {
        let outcome = Scenario::replicated::<workload::Shop>("stock").seed(seed).run();
        assert!(outcome.broken().is_none(), "{outcome}");
    }
}
