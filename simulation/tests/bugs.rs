//! The checker of checkers: each of the bugs that can be planted in the product ([`Bug`]) must be found.
//!
//! `LOVEBIRD_BUGS=endless-lease,forget-seen cargo test … bugs -- --ignored --nocapture` tells of these bugs alone, of all without it;
//! `LOVEBIRD_BUG_SEEDS=1..500` says in which seeds they may show. A line a bug: in which seed it was found, by whom, and what was told.
#![cfg(madsim)]
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
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
const SEEDS: Range<u64> = 1..61;

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

fn chosen_seeds() -> Range<u64> {
    std::env::var(SEEDS_VARIABLE).map_or(SEEDS, |text| {
        let (first, behind) = text.split_once("..").unwrap();
        first.parse().unwrap()..behind.parse().unwrap()
    })
}

#[test]
#[ignore = "tells of all bugs, which takes minutes"]
fn tell_of_bugs() {
    note_panics();
    let (bugs, seeds) = (chosen_bugs(), chosen_seeds());
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let Some(bug) = bugs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    println!("{}", line(*bug, &seeds, find(*bug, seeds.clone()).as_ref()));
                }
            });
        }
    });
}
