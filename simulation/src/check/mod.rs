//! What must hold throughout a run, and at its end. Whatever does not is a violation: a sentence that holds the values.
//!
//! The checker stands outside the simulated world: replicas, clients, subscribers and the observer tell it what they see, at
//! once and in the one order in which things happen in a run. It only listens, so it moves nothing.

mod replicas;
mod commands;
mod reads;
mod subscribers;
mod rest;

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lovebird_core::runtime::Instant;

use crate::counter::Applied;

pub use commands::{Line, Wait, Way};
pub use reads::Asked;

/// A command's name: its client and its number.
type Name = (u64, u64);

/// How many violations are kept; a run that breaks everything need not say so for ever.
const KEPT_MAX: usize = 1000;

/// Listens to one run. Clones are the same.
#[derive(Clone)]
pub struct Checker(Arc<Mutex<Seen>>);

/// What was seen, to be summed up.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// The hash of everything that happened, and when.
    pub trace: u64,
    /// How many things happened.
    pub events: u64,
    /// What did not hold.
    pub violations: Vec<String>,
    /// How often which fault was inflicted.
    pub faults: BTreeMap<&'static str, u64>,
    /// Commands that were acknowledged.
    pub acknowledged: u64,
    /// Commands that were acknowledged once more, to a caller who had asked again.
    pub repeated: u64,
    /// Commands of which nobody knows.
    pub unknown: u64,
    /// Commands that were certainly not committed.
    pub not_committed: u64,
    /// Commands whose session had expired.
    pub expired: u64,
    /// Reads that were answered, by kind.
    pub reads: BTreeMap<&'static str, u64>,
    /// Reads that were not.
    pub reads_failed: u64,
    /// Records that subscribers were given.
    pub followed: u64,
    /// How often a subscriber was given the state, since records were gone.
    pub followed_states: u64,
    /// How often a subscriber was told that records were gone.
    pub purged: u64,
    /// Requests that a primary executed, whatever became of them.
    pub executed: u64,
    /// Terms in which someone led.
    pub terms: u64,
    /// How often a replica took a snapshot's place, at start or from a leader.
    pub restores: u64,
    /// The highest log index applied anywhere.
    pub highest: u64,
}

#[derive(Default)]
struct Seen {
    tally: Tally,
    start: Option<Instant>,
    trace: DefaultHasher,
    /// The command at each log index, as the first replica that came there applied it.
    records: BTreeMap<u64, Applied>,
    /// Nodes that had another state somewhere.
    diverged: BTreeSet<u64>,
    /// How far each life of each node has applied.
    lives: BTreeMap<(u64, u64), u64>,
    /// Who led in which term.
    leaders: BTreeMap<u64, u64>,
    /// What clients sent, and what they were told of it.
    commands: BTreeMap<Name, commands::Sent>,
    /// How often something was sent.
    places: u64,
    /// How many lines there are.
    lines: u64,
    /// The highest log index that anyone outside was told of.
    highest_told: u64,
    answers: Vec<reads::Answered>,
    /// The log index of the last record that each subscriber has.
    subscribers: BTreeMap<u64, u64>,
}

impl Seen {
    fn note(&mut self, event: impl Hash) {
        let since = self.start.map_or(Duration::ZERO, |start| start.until(Instant::now()));
        (since.as_nanos() as u64, event).hash(&mut self.trace);
        self.tally.events += 1;
    }

    fn demand(&mut self, holds: bool, sentence: impl FnOnce() -> String) {
        if !holds && self.tally.violations.len() < KEPT_MAX {
            self.tally.violations.push(sentence());
        }
    }

    fn demand_all(&mut self, broken: Vec<String>) {
        for sentence in broken {
            self.demand(false, || sentence);
        }
    }

    /// Somebody outside has been told of the record `index`: what begins from now on comes after it.
    fn tell(&mut self, index: u64) {
        self.highest_told = self.highest_told.max(index);
    }
}

impl Default for Checker {
    fn default() -> Self {
        Self::new()
    }
}

impl Checker {
    /// A checker that has seen nothing yet.
    pub fn new() -> Self {
        Checker(Arc::default())
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // A panic ends the run, but what was seen before is still told.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The run begins now.
    pub fn start(&self) {
        self.seen().start = Some(Instant::now());
    }

    /// Something does not hold that the caller has found out.
    pub fn violation(&self, sentence: String) {
        self.seen().demand(false, || sentence);
    }

    /// A fault is inflicted.
    pub fn fault(&self, kind: &'static str) {
        let mut seen = self.seen();
        seen.note(("fault", kind));
        *seen.tally.faults.entry(kind).or_default() += 1;
    }

    /// The highest log index that anyone outside has been told of.
    pub fn highest_told(&self) -> u64 {
        self.seen().highest_told
    }

    /// What was seen so far.
    pub fn tally(&self) -> Tally {
        let seen = self.seen();
        Tally { trace: seen.trace.finish(), ..seen.tally.clone() }
    }
}
