//! What simulated runs have found, each told by the schedule that brings it about.
#![cfg(madsim)]
#![allow(clippy::unwrap_used)]

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use lovebird_simulation::plan::{Direction, Fault, Plan, Request, Step, Survives, Who};
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

/// What one fault does to a cluster that nothing else happens to: none of them may be a mere word in a plan.
#[test]
fn every_fault_strikes() {
    let calm = told(Vec::new(), 8000).tally;
    // At the end of every run all lose power once.
    assert!(calm.terms == 2 && calm.stops == 0 && calm.expired == 0, "{calm:?}");
    let struck = |faults: &[Fault]| {
        let steps = faults.iter().cloned().map(|fault| step(1500, fault));
        told(steps.chain([step(6500, Fault::Revive)]).collect(), 8000).tally
    };
    let leader = Who::Leader;
    let everyone = |fault: fn(u64) -> Fault| (1..=3).map(fault).collect::<Vec<_>>();

    let failing = struck(&[Fault::SyncFails { who: leader, nth: 1 }]);
    assert!(failing.stops == 1 && failing.terms > calm.terms, "{failing:?}");
    assert!(struck(&[Fault::Full { node: 2 }]).stops > 0);
    assert!(struck(&[Fault::Wipe { node: 2 }]).stops > 0);
    // A sector of the log is lost.
    assert!(struck(&[Fault::FlipBit { node: 2, choice: 0 }]).stops > 0);
    for fault in [
        Fault::Kill { who: leader },
        Fault::CrashInDisk { who: leader, operation: 3, survives: Survives::Subset(7) },
        Fault::Pause { who: leader, for_ms: 1500 },
        Fault::Isolate { who: leader, direction: Direction::Both },
        Fault::Isolate { who: leader, direction: Direction::Outwards },
        Fault::PowerLoss { nodes: vec![1, 2, 3], survives: Survives::Nothing },
    ] {
        let tally = struck(std::slice::from_ref(&fault));
        assert!(tally.terms > calm.terms, "{fault:?}: {tally:?}");
    }
    assert!(struck(&everyone(|node| Fault::Leap { node, ahead_ms: 86_400_000 })).expired > 0);
    let slow = struck(&everyone(|node| Fault::SlowDisk { node, sync_ms: 300 }));
    assert!(slow.acknowledged < calm.acknowledged * 2 / 3, "{slow:?} beside {calm:?}");
    let stormy = struck(&[Fault::Weather {
        lost_per_mille: 100,
        doubled_per_mille: 100,
        reset_per_mille: 100,
        slow_ms: 50,
    }]);
    assert!(stormy.acknowledged < calm.acknowledged * 2 / 3, "{stormy:?} beside {calm:?}");
    // Half as fast: what is to be seen of it is that nobody else's lease or timeout is the same any more, and no more.
    struck(&everyone(|node| Fault::Drift { node, ppm: 100_000 * node as i32 - 200_000 }));
}

/// Each request does what it says where nothing is in its way, and a lost disk costs nothing but the time that it takes.
#[test]
fn members_change() {
    let ask = |request| Fault::Ask { request, patience_ms: 3000 };
    let outcome = told(
        vec![
            step(1000, Fault::Join { node: 4 }),
            step(1200, ask(Request::AddLearner { node: 4 })),
            step(2000, ask(Request::Promote { node: 4 })),
            step(2800, Fault::Join { node: 5 }),
            step(3000, ask(Request::Replace { old: Who::Node(1), node: 5 })),
            step(4500, ask(Request::HandOver { to: None })),
            step(5000, Fault::Renew { node: 2 }),
            // Refused to be inflicted: node 2 has not got its place back.
            step(5100, Fault::Renew { node: 3 }),
            step(5200, Fault::Restart { node: 2 }),
            step(8000, ask(Request::Remove { who: Who::Leader })),
            // Three are left.
            step(9500, ask(Request::Remove { who: Who::Leader })),
        ],
        10_500,
    );
    let changes = &outcome.tally.changes;
    for done in ["add a learner", "promote", "replace", "hand over", "remove the leader"] {
        assert_eq!(changes.get(&format!("{done}: done")), Some(&1), "{done}: {outcome}");
    }
    assert_eq!(changes.len(), 5, "{outcome}");
    assert!(outcome.tally.restores > 2, "{outcome}");
}

/// What whole seeds have found, which no smaller plan shows: a scenario, a seed, and what it was.
const SEEDS: [(&str, u64, &str); 4] = [
    ("arithmetic-primary", 106_523, "a follower was sent what follows behind entries that had been purged"),
    ("register", 35, "a leader that is no member as yet was asked to change the members, at no address"),
    (
        "arithmetic-primary",
        5156,
        "a node with a new disk waited for ever for the answer of one that had died",
    ),
    (
        "register",
        13_920_792,
        "a node with a new disk took itself for removed, since the membership that had made it a learner was dropped",
    ),
];

#[test]
fn seeds_that_broke_a_promise_keep_it() {
    for (name, seed, story) in SEEDS {
        let scenarios = all();
        let scenario = scenarios.iter().find(|scenario| scenario.name() == name).unwrap();
        let outcome = scenario.seed(seed).run();
        assert!(outcome.broken().is_none(), "{story}: {outcome}");
    }
}
