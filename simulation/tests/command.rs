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
