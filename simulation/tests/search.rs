//! What clients saw in whole runs, decided once more without the order of the log: by search, as it would have to be for a system
//! that tells no log indexes. Both ways must come to the same.
#![cfg(madsim)]
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use lovebird_simulation::check::Keep;
use lovebird_simulation::linearizable::{Model, Operation, STEPS_MAX, Verdict, check};
use lovebird_simulation::plan::Plan;
use lovebird_simulation::scenario::Scenario;
use lovebird_simulation::story::{Event, Stage, What};
use lovebird_simulation::workloads::Register;

/// One of the registers of the workload.
struct Registers;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Input {
    Write(u64, u64),
    CompareAndSet(u64, u64, u64),
    Read(u64),
}

impl Input {
    /// As it is shown in a story: an access, or the number of the register that a query asks for.
    fn parse(text: &str) -> Input {
        let numbers: Vec<u64> =
            text.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect();
        match (text.split('(').next().unwrap(), numbers[..].as_ref()) {
            ("Write", [register, value]) => Input::Write(*register, *value),
            ("CompareAndSet", [register, due, value]) => Input::CompareAndSet(*register, *due, *value),
            (_, [register]) => Input::Read(*register),
            other => panic!("{other:?} is no operation on a register"),
        }
    }
}

impl Model for Registers {
    type State = u64;
    type Input = Input;
    /// What the register held before.
    type Output = u64;
    type Part = u64;

    fn part(&self, input: &Input) -> u64 {
        let (Input::Write(register, _) | Input::CompareAndSet(register, ..) | Input::Read(register)) = input;
        *register
    }

    fn initial(&self, _register: &u64) -> u64 {
        0
    }

    fn step(&self, held: &u64, input: &Input, output: Option<&u64>) -> Option<u64> {
        if output.is_some_and(|output| output != held) {
            return None;
        }
        Some(match input {
            Input::Write(_, value) => *value,
            Input::CompareAndSet(_, due, value) if held == due => *value,
            Input::CompareAndSet(..) | Input::Read(_) => *held,
        })
    }

    fn only_looks(&self, input: &Input, _output: Option<&u64>) -> bool {
        matches!(input, Input::Read(_))
    }
}

/// What clients asked and were told. Reads that may be answered from the past are left out, and so is what certainly failed.
fn history(story: &[Event]) -> Vec<Operation<Input, u64>> {
    let mut operations = BTreeMap::new();
    let mut failed = BTreeMap::new();
    for Event { at_nanos, what, detail } in story {
        let What::Operation { client, number, kind, stage } = what else { continue };
        match stage {
            Stage::Begins if kind.starts_with("propose") || kind.ends_with("linearizable") => {
                let input = Input::parse(detail);
                let operation = Operation { client: *client, called: *at_nanos, input, returned: None };
                operations.insert(*number, operation);
            }
            Stage::Succeeded(_) => {
                if let Some(operation) = operations.get_mut(number) {
                    operation.returned.get_or_insert((*at_nanos, detail.parse().unwrap()));
                }
            }
            // Who asks again may be told otherwise later.
            Stage::Failed => drop(failed.entry(*number).or_insert(true)),
            Stage::Unknown => drop(failed.insert(*number, false)),
            Stage::Begins => {}
        }
    }
    let is_gone = |number: &u64| failed.get(number).copied().unwrap_or(false);
    operations
        .into_iter()
        .filter(|(number, operation)| operation.returned.is_some() || !is_gone(number))
        .map(|(_, operation)| operation)
        .collect()
}

fn story(seed: u64) -> Vec<Event> {
    let scenario = Scenario::replicated::<Register>("register");
    let outcome = scenario.plan(Plan::of(seed, scenario.name())).keep(Keep::Story).run();
    assert!(outcome.broken().is_none(), "{outcome}");
    outcome.story
}

#[test]
fn search_finds_an_order_for_what_clients_saw() {
    let mut all = 0;
    for seed in 1..=8 {
        let history = history(&story(seed));
        let told = history.iter().filter(|operation| operation.returned.is_some()).count();
        all += told;
        match check(&Registers, &history, STEPS_MAX) {
            Verdict::Linearizable(_) => {}
            Verdict::Not(why) => panic!("seed {seed}: {}", why.sentence(&history)),
            Verdict::GaveUp(why) => panic!("seed {seed} is too hard: {}", why.sentence(&history)),
        }
    }
    assert!(all > 1600, "only {all} operations were answered");
}

#[test]
fn search_finds_none_when_one_answer_is_another() {
    let mut history = history(&story(1));
    let reads = history.iter().filter(|operation| matches!(operation.input, Input::Read(_))).count();
    let mut middle = history
        .iter_mut()
        .filter(|operation| matches!(operation.input, Input::Read(_)) && operation.returned.is_some());
    // No register ever holds this.
    middle.nth(reads / 2).unwrap().returned.as_mut().unwrap().1 = 77;
    assert!(matches!(check(&Registers, &history, STEPS_MAX), Verdict::Not(_)));
}
