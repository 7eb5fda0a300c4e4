//! The checker of checkers: the bugs that can be planted in the product ([`Bug`]) must be found.
//!
//! `LOVEBIRD_BUGS=endless-lease,forget-seen cargo test … tell_of_bugs -- --ignored --nocapture` tells of these bugs, or without
//! it of all: in which seed each was found, by whom, and what was told first. `LOVEBIRD_BUG_SEEDS=1..500` says in which seeds they
//! may show.
//!
//! What is found by an assertion is found only because that stands in the code; the rest is what the simulator sees by itself.
#![cfg(madsim)]
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::panic::{self, PanicHookInfo};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, Once, mpsc};
use std::thread;
use std::time::Duration;

use lovebird_core::planted::Bug;
use lovebird_simulation::run::Run;

const BUGS_VARIABLE: &str = "LOVEBIRD_BUGS";
const SEEDS_VARIABLE: &str = "LOVEBIRD_BUG_SEEDS";

/// Within which seeds a bug must be found.
const SEEDS: Range<u64> = 1..101;

/// The same for those that show only where several rare things meet.
const SEEDS_OF_RARE: Range<u64> = 1..201;

/// A vote that is lost must be asked for once more in its term, by another; a log must conflict exactly where it is gone on from; a
/// leader must lose its lease and get it back; one must write, and another read, while a follower that is behind asks its leader.
const RARE: &[Bug] =
    &[Bug::VoteBeforeSync, Bug::SkipConsistencyCheck, Bug::CountByTerm, Bug::JoinRunningRound];

/// What does not show yet, and what it would need.
const NOT_YET: &[(Bug, &str)] = &[
    (Bug::CutDamagedMiddle, "bits that flip in what was synced"),
    (Bug::TakeTornFrame, "syncs that take time: there is never more than a sector that is not synced"),
    (Bug::AcceptBeforeDurable, "syncs that take time"),
    (Bug::KeepContradiction, "crashes between two steps of installing a snapshot, so syncs that take time"),
    (Bug::AdmitAnyLife, "nodes that lose their disks, or changes of membership: nobody has a second life"),
    (
        Bug::RefuseDiscarded,
        "clients that wait longer than it takes a leader that is cut off to need a snapshot",
    ),
    (
        Bug::UnconfirmedVerdict,
        "sessions that are opened while a leader that is cut off still thinks that it leads",
    ),
];

/// Far longer than a run takes. A bug may have simulated time stand still, which nothing simulated can notice.
const PATIENCE: Duration = Duration::from_secs(30);

/// Bugs looked for at a time: these are all the cores that the tests count on.
const AT_A_TIME: usize = 2;

/// How much of a violation is printed.
const TOLD_CHARS_MAX: usize = 230;

/// What the panics in runs said, and where they happened.
static PANICS: Mutex<BTreeMap<String, String>> = Mutex::new(BTreeMap::new());

/// Who found a bug, and what was told first.
#[derive(Clone, Debug)]
struct Finding {
    seed: u64,
    by: String,
    told: String,
}

/// Notes where runs panic, so that it is known whose assertion that was.
fn note_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info: &PanicHookInfo<'_>| {
            let is_run = thread::current().name().is_some_and(|name| name.starts_with("seed "));
            match (info.payload_as_str(), info.location()) {
                (Some(text), Some(place)) if is_run => {
                    // What comes before in the path is where the registry is kept.
                    let file =
                        place.file().rsplit_once("/registry/src/").map_or(place.file(), |(_, file)| {
                            file.split_once('/').map_or(file, |(_, file)| file)
                        });
                    let place = format!("{file}:{}", place.line());
                    PANICS.lock().unwrap().entry(text.to_owned()).or_insert(place);
                }
                _ => before(info),
            }
        }));
    });
}

/// Runs one seed with a bug. What it tells first, if anything.
fn look(bug: Bug, seed: u64) -> Option<Finding> {
    let (tell, outcome) = mpsc::channel();
    thread::spawn(move || {
        // An error says that patience has ended, which has then been told.
        let _ = tell.send(Run::of(seed).with_bug(bug).run());
    });
    let Ok(outcome) = outcome.recv_timeout(PATIENCE) else {
        let told = format!("the run did not end within {PATIENCE:?}");
        return Some(Finding { seed, by: "patience".to_owned(), told });
    };
    let told = outcome.tally.violations.into_iter().next()?;
    let panics = PANICS.lock().unwrap();
    let panicked = panics.iter().find(|(text, _)| !text.is_empty() && told.contains(*text));
    let by = panicked.map_or("the checker".to_owned(), |(_, place)| format!("assertion at {place}"));
    drop(panics);
    Some(Finding { seed, by, told })
}

fn find(bug: Bug, seeds: Range<u64>) -> Option<Finding> {
    seeds.into_iter().find_map(|seed| look(bug, seed))
}

fn line(bug: Bug, seeds: &Range<u64>, finding: Option<&Finding>) -> String {
    let name = bug.name();
    match finding {
        None => format!("{name:28} NOT FOUND in {} seeds", seeds.end - seeds.start),
        Some(Finding { seed, by, told }) => {
            let told: String = told.replace('\n', " ").chars().take(TOLD_CHARS_MAX).collect();
            format!("{name:28} seed {seed:3}, {by}: {told}")
        }
    }
}

fn chosen_bugs() -> Vec<Bug> {
    let Ok(names) = std::env::var(BUGS_VARIABLE) else { return Bug::ALL.to_vec() };
    let named = |name: &str| {
        let bug = Bug::ALL.iter().find(|bug| bug.name() == name);
        *bug.unwrap_or_else(|| panic!("there is no bug {name}"))
    };
    names.split(',').map(named).collect()
}

/// Looks for bugs, two at a time, and prints what becomes of each. Gives those that were not found.
fn look_for(bugs: &[Bug], seeds: impl Fn(Bug) -> Range<u64> + Sync) -> Vec<Bug> {
    note_panics();
    let next = AtomicUsize::new(0);
    let missed = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let Some(bug) = bugs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let seeds = seeds(*bug);
                    let finding = find(*bug, seeds.clone());
                    println!("{}", line(*bug, &seeds, finding.as_ref()));
                    if finding.is_none() {
                        missed.lock().unwrap().push(*bug);
                    }
                }
            });
        }
    });
    missed.into_inner().unwrap()
}

fn usual_seeds(bug: Bug) -> Range<u64> {
    if RARE.contains(&bug) { SEEDS_OF_RARE } else { SEEDS }
}

#[test]
fn bugs_are_found() {
    let is_due = |bug: &Bug| NOT_YET.iter().all(|(other, _)| other != bug);
    let mut due: Vec<Bug> = Bug::ALL.iter().copied().filter(is_due).collect();
    // What takes longest is begun first.
    due.sort_by_key(|bug| !RARE.contains(bug));
    let missed = look_for(&due, usual_seeds);
    assert!(missed.is_empty(), "these bugs were not found: {missed:?}");
}

#[test]
#[ignore = "for whoever wants to know; what must be found is in the test above"]
fn tell_of_bugs() {
    let seeds = std::env::var(SEEDS_VARIABLE).ok().map(|text| {
        let (first, behind) = text.split_once("..").unwrap();
        first.parse().unwrap()..behind.parse().unwrap()
    });
    for bug in look_for(&chosen_bugs(), |bug| seeds.clone().unwrap_or_else(|| usual_seeds(bug))) {
        if let Some((_, needs)) = NOT_YET.iter().find(|(other, _)| *other == bug) {
            println!("{:28} would need {needs}", bug.name());
        }
    }
}

#[test]
fn names_of_bugs_differ() {
    let names: BTreeSet<&str> = Bug::ALL.iter().map(|bug| bug.name()).collect();
    assert_eq!(names.len(), Bug::ALL.len());
}
