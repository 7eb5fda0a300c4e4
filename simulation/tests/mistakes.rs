//! The mistakes that the template shows are found, and the service without them is not accused.
#![cfg(madsim)]
#![allow(clippy::unwrap_used)]

#[path = "../examples/template/mistakes.rs"]
mod mistakes;
#[path = "../examples/template/stock.rs"]
mod stock;

#[path = "../examples/template/workload.rs"]
mod workload;

use lovebird_simulation::chance::Chance;
use lovebird_simulation::check::Invariant;
use lovebird_simulation::scenario::Scenario;
use lovebird_simulation::workload::Workload;

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

/// The shop, with something demanded of it that does not hold for long.
struct Demanding;

impl Workload for Demanding {
    type Machine = stock::Stock;
    type Proposal = stock::Order;

    fn machine() -> stock::Stock {
        stock::Stock::default()
    }

    fn next(client: u64, chance: &mut Chance) -> stock::Order {
        workload::Shop::next(client, chance)
    }

    fn query(client: u64, chance: &mut Chance) -> u64 {
        workload::Shop::query(client, chance)
    }

    fn check(stock: &stock::Stock) -> Result<(), String> {
        if stock.delivered() < 100 { Ok(()) } else { Err(format!("{} is too much", stock.delivered())) }
    }
}

#[test]
fn what_the_workload_demands_is_asked_after_each_command_and_told_with_its_log_index() {
    let outcome = Scenario::replicated::<Demanding>("demanding").seed(1).run();
    let violations = &outcome.tally.violations;
    assert!(violations.iter().all(|broken| broken.invariant == Invariant::Users), "{outcome}");
    let first = &violations.first().unwrap_or_else(|| panic!("nothing was told: {outcome}")).sentence;
    assert!(first.contains("at log index ") && first.contains("is too much"), "{first}");
    // The first command with which it does not hold.
    let delivered: u64 =
        first.split(": ").nth(1).and_then(|text| text.split(' ').next()?.parse().ok()).unwrap();
    assert!((100..120).contains(&delivered), "{first}");
}

#[test]
fn service_without_mistakes_is_not_accused() {
    for seed in 1..=SEEDS {
        let outcome = Scenario::replicated::<workload::Shop>("stock").seed(seed).run();
        assert!(outcome.broken().is_none(), "{outcome}");
    }
}
