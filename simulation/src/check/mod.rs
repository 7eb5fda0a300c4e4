//! What must hold throughout a run, and at its end. Whatever does not is a [`Violation`]: an invariant, and a sentence with the
//! values in it.
//!
//! The checker stands outside the simulated world: replicas, clients, subscribers and the observer tell it what they see, at
//! once and in the one order in which things happen in a run. It only listens, so it moves nothing. It knows nothing of the
//! user's types, either: commands, replies and answers are bytes to it, which it can show.

mod invariant;
mod replicas;
mod commands;
mod reads;
mod subscribers;
mod members;
mod rest;
mod replay;
#[cfg(test)]
mod tests;

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use madsim::time::TimeHandle;
use serde::{Deserialize, Serialize};

use crate::story::{Event, Turn, What};
use crate::watched::{Applied, Name, Shown};

pub(crate) use commands::Result as Told;
pub use commands::{Line, Wait, Way};
pub use invariant::{Invariant, Violation};
pub use reads::Asked;
pub(crate) use replay::replay;
pub(crate) use subscribers::Given;

/// How many violations are kept; a run that breaks everything need not say so for ever.
const KEPT_MAX: usize = 1000;

/// Listens to one run. Clones are the same.
#[derive(Clone)]
pub struct Checker(Arc<Mutex<Seen>>);

/// What was seen, to be summed up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// The hash of everything that happened, and when.
    pub trace: u64,
    /// How many things happened.
    pub events: u64,
    /// What did not hold.
    pub violations: Vec<Violation>,
    /// How often which fault was inflicted.
    pub faults: BTreeMap<String, u64>,
    /// What operators have asked for, and how often it came to what.
    pub changes: BTreeMap<String, u64>,
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
    pub reads: BTreeMap<String, u64>,
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
    /// How often a node stopped or refused to start, its disk having failed, its data been damaged, or itself removed.
    pub stops: u64,
}

impl Tally {
    /// Adds what another run came to. The sum has no trace.
    pub fn add(&mut self, other: &Tally) {
        self.trace = 0;
        self.violations.extend(other.violations.iter().cloned());
        for (kind, count) in &other.faults {
            *self.faults.entry(kind.clone()).or_default() += count;
        }
        for (kind, count) in &other.changes {
            *self.changes.entry(kind.clone()).or_default() += count;
        }
        for (kind, count) in &other.reads {
            *self.reads.entry(kind.clone()).or_default() += count;
        }
        self.events += other.events;
        self.acknowledged += other.acknowledged;
        self.repeated += other.repeated;
        self.unknown += other.unknown;
        self.not_committed += other.not_committed;
        self.expired += other.expired;
        self.reads_failed += other.reads_failed;
        self.followed += other.followed;
        self.followed_states += other.followed_states;
        self.purged += other.purged;
        self.executed += other.executed;
        self.terms += other.terms;
        self.restores += other.restores;
        self.highest = self.highest.max(other.highest);
        self.stops += other.stops;
    }
}

struct Seen {
    tally: Tally,
    /// In true time: the clocks of nodes drift.
    start: Option<Duration>,
    trace: DefaultHasher,
    /// All that happened, if it is kept.
    story: Option<Vec<Event>>,
    shown: Shown,
    /// The digest of a machine as it is born.
    born: u64,
    /// The command at each log index, as the first replica that came there applied it.
    records: BTreeMap<u64, Applied>,
    /// Where each command is.
    places: BTreeMap<Name, u64>,
    /// Nodes that had another state somewhere.
    diverged: BTreeSet<u64>,
    /// How far each life of each node has applied.
    lives: BTreeMap<(u64, u64), u64>,
    /// Who led in which term.
    leaders: BTreeMap<u64, u64>,
    /// What clients sent, and what they were told of it.
    commands: BTreeMap<Name, commands::Sent>,
    /// How often something was sent.
    sendings: u64,
    /// How many lines there are, and how many operations there were.
    lines: u64,
    operations: u64,
    /// The highest log index that anyone outside was told of.
    highest_told: u64,
    answers: Vec<reads::Answered>,
    /// Changes of the members that were said to be done.
    done: Vec<members::Done>,
    /// The log index of the last record that each subscriber has.
    subscribers: BTreeMap<u64, u64>,
}

impl Seen {
    fn now_nanos(&self) -> u64 {
        self.start.map_or(0, |start| (TimeHandle::current().elapsed() - start).as_nanos() as u64)
    }

    fn note(&mut self, what: What, detail: impl FnOnce(&Seen) -> String) {
        let at_nanos = self.now_nanos();
        (at_nanos, &what).hash(&mut self.trace);
        self.tally.events += 1;
        if self.story.is_some() {
            let detail = detail(self);
            self.story.get_or_insert_default().push(Event { at_nanos, what, detail });
        }
    }

    fn demand(&mut self, holds: bool, invariant: Invariant, sentence: impl FnOnce() -> String) {
        if !holds {
            self.broken(invariant, Vec::new(), sentence());
        }
    }

    fn broken(&mut self, invariant: Invariant, nodes: Vec<u64>, sentence: String) {
        if self.tally.violations.len() < KEPT_MAX {
            let at_nanos = self.now_nanos();
            let what = What::Violation { invariant: invariant.name().into(), nodes };
            self.note(what, |_| sentence.clone());
            self.tally.violations.push(Violation { invariant, sentence, at_nanos });
        }
    }

    fn demand_all(&mut self, broken: Vec<(Invariant, String)>) {
        for (invariant, sentence) in broken {
            self.broken(invariant, Vec::new(), sentence);
        }
    }

    /// Somebody outside has been told of the record `index`: what begins from now on comes after it.
    fn tell(&mut self, index: u64) {
        self.highest_told = self.highest_told.max(index);
    }
}

impl Checker {
    /// A checker that has seen nothing yet. `keep` says whether all that happens is to be kept.
    pub(crate) fn new(shown: Shown, born: u64, keep: Keep) -> Self {
        Checker(Arc::new(Mutex::new(Seen {
            tally: Tally::default(),
            start: None,
            trace: DefaultHasher::new(),
            story: (keep == Keep::Story).then(Vec::new),
            shown,
            born,
            records: BTreeMap::new(),
            places: BTreeMap::new(),
            diverged: BTreeSet::new(),
            lives: BTreeMap::new(),
            leaders: BTreeMap::new(),
            commands: BTreeMap::new(),
            sendings: 0,
            lines: 0,
            operations: 0,
            highest_told: 0,
            answers: Vec::new(),
            done: Vec::new(),
            subscribers: BTreeMap::new(),
        })))
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // A panic ends the run, but what was seen before is still told.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The run begins now.
    pub fn start(&self) {
        self.seen().start = Some(TimeHandle::current().elapsed());
    }

    /// Something does not hold that the caller has found out.
    pub fn violation(&self, invariant: Invariant, sentence: String) {
        self.seen().broken(invariant, Vec::new(), sentence);
    }

    /// The workload's own invariant does not hold at a log index.
    pub(crate) fn users(&self, node: u64, index: u64, sentence: &str) {
        let sentence = format!("at log index {index} on node {node}: {sentence}");
        self.seen().broken(Invariant::Users, vec![node], sentence);
    }

    /// Whether this promise is broken; or any, if none is named.
    pub(crate) fn is_broken(&self, invariant: Option<Invariant>) -> bool {
        let seen = self.seen();
        seen.tally
            .violations
            .iter()
            .any(|broken| invariant.is_none_or(|invariant| broken.invariant == invariant))
    }

    /// A fault is inflicted on these.
    pub fn fault(&self, kind: &'static str, nodes: Vec<u64>, detail: impl FnOnce() -> String) {
        let mut seen = self.seen();
        seen.note(What::Fault { kind: kind.into(), nodes }, |_| detail());
        *seen.tally.faults.entry(kind.to_owned()).or_default() += 1;
    }

    /// A life of a node takes a turn.
    pub fn life(&self, node: u64, life: u64, turn: Turn, detail: impl FnOnce() -> String) {
        let mut seen = self.seen();
        seen.note(What::Life { node, life, turn }, |_| detail());
        if matches!(turn, Turn::Stopped | Turn::Refused) {
            seen.tally.stops += 1;
        }
    }

    /// Whether every event is kept.
    pub fn keeps_story(&self) -> bool {
        self.seen().story.is_some()
    }

    /// Something happened that only the story is told of.
    pub fn happens(&self, what: impl FnOnce() -> What) {
        let mut seen = self.seen();
        if seen.story.is_some() {
            let (at_nanos, what) = (seen.now_nanos(), what());
            seen.story.get_or_insert_default().push(Event { at_nanos, what, detail: String::new() });
        }
    }

    /// The run panicked, outside of the simulated world's time.
    pub(crate) fn panicked(&self, text: String) {
        let mut seen = self.seen();
        let at_nanos = seen.story.as_ref().and_then(|story| story.last()).map_or(0, |event| event.at_nanos);
        let (invariant, sentence) = (Invariant::NoPanic, format!("the run panicked: {text}"));
        seen.tally.violations.push(Violation { invariant, sentence: sentence.clone(), at_nanos });
        let what = What::Violation { invariant: invariant.name().into(), nodes: Vec::new() };
        if let Some(story) = &mut seen.story {
            story.push(Event { at_nanos, what, detail: sentence });
        }
    }

    /// The time since the start of the run.
    pub fn now_nanos(&self) -> u64 {
        self.seen().now_nanos()
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

    /// All that happened, if it was kept.
    pub fn story(&self) -> Vec<Event> {
        self.seen().story.take().unwrap_or_default()
    }
}

/// What is kept of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Counts and a hash.
    Tally,
    /// Every single event, too.
    Story,
}
