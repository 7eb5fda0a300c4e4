//! All inputs that the fuzzer's targets keep, run through the same functions without a fuzzer: what was found once stays
//! found, and the targets still agree with the engine.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub)]

use std::path::{Path, PathBuf};

#[path = "../fuzz/targets/mod.rs"]
mod targets;

fn inputs(target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let files = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

fn pass(target: &str) {
    let (_, run) = targets::ALL.iter().find(|(name, _)| *name == target).unwrap();
    let inputs = inputs(target);
    assert!(!inputs.is_empty(), "{target} has no inputs");
    for input in inputs {
        println!("{}", input.display());
        run(&std::fs::read(&input).unwrap());
    }
}

#[test]
fn entries_that_were_kept_are_still_judged_rightly() {
    pass("entry");
}

#[test]
fn operations_that_were_kept_are_still_judged_rightly() {
    pass("operation");
}

#[test]
fn footers_that_were_kept_are_still_judged_rightly() {
    pass("footer");
}

#[test]
fn segments_that_were_kept_are_still_judged_rightly() {
    pass("recover");
}

#[test]
fn damaged_logs_that_were_kept_are_still_opened_or_refused_rightly() {
    pass("open");
}

#[test]
fn snapshots_that_were_kept_are_still_judged_rightly() {
    pass("snapshot");
}
