//! The command line, as one who uses it sees it.
#![cfg(madsim)]
#![allow(clippy::unwrap_used)]

use std::process::{Command, Output};

fn sim(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sim")).args(arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn seed_is_replayed_to_the_same_end_in_two_processes() {
    for seed in ["1", "2", "3"] {
        let output = sim(&["replay", seed]);
        let text = said(&output);
        assert!(output.status.success(), "{text}");
        assert!(text.contains("a second process came to the same"), "{text}");
    }
}

#[test]
fn what_is_asked_for_wrongly_is_told() {
    let output = sim(&["replay", "1", "--scenario", "nothing"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        said(&output).contains("there is no scenario \"nothing\"; there are arithmetic"),
        "{}",
        said(&output)
    );
    let output = sim(&["replay", "--plan", "/nowhere/plan.json"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("/nowhere/plan.json"), "{}", said(&output));
}

#[test]
fn trace_has_a_line_for_each_event() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.txt");
    let output = sim(&["replay", "4", "--trace", path.to_str().unwrap()]);
    assert!(output.status.success(), "{}", said(&output));
    let trace = std::fs::read_to_string(&path).unwrap();
    assert!(said(&output).contains(&format!("{} events are in", trace.lines().count())), "{}", said(&output));
    assert!(trace.contains("Applied"), "nothing was applied");
}

#[test]
fn seed_is_drawn_as_a_page() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("page.html");
    let output = sim(&["explain", "5", "--out", path.to_str().unwrap()]);
    assert!(output.status.success(), "{}", said(&output));
    let page = std::fs::read_to_string(&path).unwrap();
    assert!(page.contains("<canvas") && page.contains("under seed 5"), "{} bytes", page.len());
}

#[test]
fn damage_to_a_majority_ends_in_loud_stops_and_no_wrong_answers() {
    let output = sim(&["run", "--seeds", "20", "--from", "1", "--beyond", "--json"]);
    assert!(output.status.success(), "{}", said(&output));
    let sum: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(sum["tally"]["stops"].as_u64().unwrap() > 20, "{sum}");
}

/// A sweep in which nothing happens proves nothing: these say that faults strike, and that what is to be checked is done.
const MET: [&str; 18] = [
    "a call arrives twice",
    "the beginning of a stream arrives twice",
    "a connection is reset under a stream",
    "a stream of appends stands still, and is given up",
    "a log fails, and its node stops",
    "damage in the middle of the log is refused",
    "a node that has lost its disk is kept out",
    "a torn tail is cut at open",
    "a snapshot is installed from a leader",
    "a session expires",
    "a leader's clock is behind log time, which stands still",
    "several reads share a round",
    "a subscriber that is behind the log is sent the state",
    "a primary's working copy is made anew",
    "voters change by joint consensus",
    "a change of the members is passed on to the leader",
    "a node finds out that it was removed",
    "a leader hands over",
];

#[test]
fn usual_seeds_come_to_what_matters() {
    let output = sim(&["coverage", "--seeds", "80", "--from", "1"]);
    let text = said(&output);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("marks were reached in 80 runs"), "{text}");
    for mark in MET {
        let line =
            text.lines().find(|line| line.contains(mark)).unwrap_or_else(|| panic!("no mark {mark:?}"));
        assert!(!line.contains("NEVER"), "{line}");
    }
}

#[test]
fn usual_seeds_have_faults_of_every_kind_and_keep_clients_busy() {
    let output = sim(&["run", "--seeds", "60", "--from", "1", "--json"]);
    assert!(output.status.success(), "{}", said(&output));
    let sum: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let tally = &sum["tally"];
    for kind in [
        "kill",
        "kill of the leader",
        "power loss of one",
        "power loss of all",
        "crash in a disk operation",
        "restart",
        "revive",
        "pause",
        "cut",
        "isolate",
        "weather",
        "drift",
        "leap",
        "slow disk",
        "failing sync",
        "full disk",
        "flipped bit",
        "wiped disk",
        "newcomer",
        "new disk",
        "hand over",
    ] {
        assert!(tally["faults"][kind].as_u64().is_some_and(|count| count > 0), "no {kind}: {sum}");
    }
    for (what, least) in [
        ("acknowledged", 20_000),
        ("repeated", 1000),
        ("unknown", 100),
        ("not_committed", 10),
        ("expired", 10),
        ("followed", 20_000),
        ("followed_states", 10),
        ("purged", 5),
        ("executed", 1000),
        ("restores", 100),
        ("stops", 10),
    ] {
        assert!(tally[what].as_u64().unwrap() >= least, "{what} is too small: {sum}");
    }
    for change in ["add a voter", "add a learner", "promote", "remove", "replace", "hand over"] {
        let done = &tally["changes"][format!("{change}: done")];
        assert!(done.as_u64().is_some_and(|count| count >= 3), "{change} is hardly ever done: {sum}");
    }
    assert_eq!(tally["reads"].as_object().unwrap().len(), 7, "{sum}");
}

#[cfg(feature = "planted")]
mod planted {
    use super::*;

    /// A bug that shows at once: what matters here is what becomes of a seed that breaks a promise.
    const BUG: &str = "skip-behind-state";

    #[test]
    fn sweep_that_finds_something_fails_and_says_what_to_do() {
        let output = sim(&["run", "--seeds", "6", "--from", "1", "--bug", BUG]);
        let text = said(&output);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains("VIOLATION [subscriptions have no gaps]"), "{text}");
        assert!(text.contains("cargo sim shrink"), "{text}");
    }

    #[test]
    fn seed_that_breaks_a_promise_is_cut_down_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kept.json");
        let keep_in = folder.path().to_str().unwrap();
        let arguments =
            ["shrink", "1", "--bug", BUG, "--keep-in", keep_in, "--name", "kept", "--seconds", "30"];
        let output = sim(&arguments);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        let kept = lovebird_simulation::command::Kept::read(&path).unwrap();
        let before = lovebird_simulation::plan::Plan::of(1, &kept.plan.scenario);
        assert!(kept.plan.size() * 10 < before.size(), "{} of {}", kept.plan.size(), before.size());
        let plan = path.to_str().unwrap();
        let output = sim(&["replay", "--plan", plan, "--bug", BUG]);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        let output = sim(&["replay", "--plan", plan]);
        assert!(output.status.success(), "{}", said(&output));
        let output = sim(&["run", "--seeds", "1", "--from", "1", "--kept", keep_in]);
        assert!(output.status.success() && said(&output).contains("2 runs in"), "{}", said(&output));
    }

    #[test]
    fn bug_that_is_not_known_is_told() {
        let output = sim(&["bugs", "--only", "nothing"]);
        assert_eq!(output.status.code(), Some(2));
        assert!(said(&output).contains("there is no bug \"nothing\"; there are"), "{}", said(&output));
    }
}
