//! Plans drawn from seeds, and plans that are kept.
#![cfg(madsim)]
#![allow(clippy::unwrap_used)]

use std::path::Path;

use lovebird_simulation::command::Kept;
use lovebird_simulation::plan::{Fault, Plan};
use lovebird_simulation::scenario::{Scenario, chosen};
use lovebird_simulation::workload::mix;
use lovebird_simulation::workloads::all;

fn digest(plan: &Plan) -> u64 {
    serde_json::to_vec(plan).unwrap().into_iter().fold(0, |digest, byte| mix(digest, byte.into()))
}

#[test]
fn plans_leave_something_out_and_heal_what_they_cut() {
    assert!((1..100).any(|seed| Plan::of(seed, "").steps.len() < 10), "every run has many faults");
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

#[test]
fn only_a_minority_is_ever_damaged() {
    for seed in 1..300 {
        let plan = Plan::of(seed, "");
        let mut damaged: Vec<u64> = plan
            .steps
            .iter()
            .filter_map(|step| match step.fault {
                Fault::FlipBit { node, .. } | Fault::Wipe { node } => Some(node),
                _ => None,
            })
            .collect();
        damaged.sort_unstable();
        damaged.dedup();
        assert!(2 * damaged.len() < plan.nodes as usize, "seed {seed} damages {damaged:?} of {}", plan.nodes);
    }
}

#[test]
fn members_change_in_half_of_the_plans_and_nothing_is_damaged_there() {
    let plans: Vec<Plan> = (1..=300).map(|seed| Plan::of(seed, "")).filter(Plan::has_changes).collect();
    assert!((120..180).contains(&plans.len()), "{} of 300 plans have changes", plans.len());
    for plan in plans {
        let damaged = |fault: &Fault| matches!(fault, Fault::FlipBit { .. } | Fault::Wipe { .. });
        assert!(!plan.steps.iter().any(|step| damaged(&step.fault)), "seed {}", plan.seed);
        assert!(!plan.beyond().has_changes());
    }
}

/// Every change here moves what each known seed inflicts, and the seeds that are named anywhere mean nothing any more. Kept plans
/// do not care.
#[test]
fn plan_of_a_seed_stays_what_it_is() {
    let told: Vec<String> = [1, 2, 3]
        .map(|seed| {
            let scenarios = all();
            let plan = Plan::of(seed, chosen(&scenarios, seed).name());
            let Plan { scenario, nodes, length_ms, steps, .. } = &plan;
            let (faults, operations) = (steps.len(), plan.operations());
            format!(
                "{scenario}, {nodes} nodes, {length_ms} ms, {faults} faults, {operations} operations, {:016x}",
                digest(&plan)
            )
        })
        .into();
    assert_eq!(told, FROZEN);
}

/// Frozen anew when the members began to change. Plans in which they do not are what they were, but for that.
const FROZEN: [&str; 3] = [
    "arithmetic-primary, 3 nodes, 17474 ms, 290 faults, 1806 operations, faa5132621a1c91d",
    "register, 3 nodes, 15927 ms, 220 faults, 1885 operations, 572e83cd68beb4ef",
    "register, 3 nodes, 19518 ms, 211 faults, 2502 operations, c80531aa93eb45b9",
];

#[test]
fn plan_is_the_same_when_it_was_written_and_read() {
    let plan = Plan::of(7, "bank");
    let read: Plan = serde_json::from_str(&serde_json::to_string_pretty(&plan).unwrap()).unwrap();
    assert_eq!(plan, read);
}

/// Each of these broke a promise once.
#[test]
fn kept_plans_keep_every_promise() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kept");
    let scenarios = all();
    for (path, kept) in Kept::all(&folder).unwrap() {
        let named = |scenario: &&Scenario| scenario.name() == kept.plan.scenario;
        let scenario = scenarios.iter().find(named).unwrap_or_else(|| panic!("{}", path.display()));
        let outcome = scenario.plan(kept.plan.clone()).run();
        assert!(outcome.broken().is_none(), "{}: {}\n{outcome}", path.display(), kept.story);
    }
}
