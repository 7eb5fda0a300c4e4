//! What simulated runs have found, each told by the schedule that brings it about.
#![cfg(madsim)]
#![allow(clippy::unwrap_used)]

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use lovebird_simulation::plan::{Fault, Plan, Step, Who};
use lovebird_simulation::run::Outcome;
use lovebird_simulation::scenario::Scenario;
use lovebird_simulation::workloads::{Arithmetic, all};

/// Far longer than any of these runs takes. In one that goes on for ever without simulated time passing, nothing simulated
/// can notice that.
const PATIENCE: Duration = Duration::from_secs(120);

const fn step(at_ms: u64, fault: Fault) -> Step {
    Step { at_ms, fault }
}

/// The run of seed 1 with three nodes and these faults.
fn told(steps: Vec<Step>, length_ms: u64) -> Outcome {
    let scenario = Scenario::replicated::<Arithmetic>("arithmetic");
    let run = scenario.plan(Plan { nodes: 3, steps, length_ms, ..Plan::of(1, scenario.name()) });
    let (tell, outcome) = mpsc::channel();
    thread::spawn(move || {
        // An error says that patience has ended, which the test has then told.
        let _ = tell.send(run.run());
    });
    let outcome =
        outcome.recv_timeout(PATIENCE).expect("simulated time stands still: something goes in circles");
    assert!(outcome.broken().is_none(), "{outcome}");
    outcome
}

/// openraft waits between attempts only where it is asked for a request, and a stream that cannot be opened asks for none:
/// the leader tried again at once, for as long as the follower was down.
#[test]
fn leader_does_not_go_in_circles_while_a_follower_is_down() {
    for node in 1..=3 {
        let steps =
            vec![step(1000, Fault::Kill { who: Who::Node(node) }), step(6000, Fault::Restart { node })];
        let outcome = told(steps, 8000);
        assert!(outcome.tally.acknowledged > 200, "{outcome}");
    }
}

/// What whole seeds have found, which no smaller plan shows: a scenario, a seed, and what it was.
const SEEDS: [(&str, u64, &str); 1] =
    [("arithmetic-primary", 106_523, "a follower was sent what follows behind entries that had been purged")];

#[test]
fn seeds_that_broke_a_promise_keep_it() {
    for (name, seed, story) in SEEDS {
        let scenarios = all();
        let scenario = scenarios.iter().find(|scenario| scenario.name() == name).unwrap();
        let outcome = scenario.seed(seed).run();
        assert!(outcome.broken().is_none(), "{story}: {outcome}");
    }
}
