//! What must hold throughout a run, and at its end. Whatever does not is a violation: a sentence that holds the values.
//!
//! The checker stands outside the simulated world: replicas, clients and the observer tell it what they see, at once and in
//! the one order in which things happen in a run. It only listens, so it moves nothing.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lovebird_core::runtime::Instant;

use crate::counter::{Add, State};

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
    /// Commands of which nobody knows.
    pub unknown: u64,
    /// Commands that were certainly not committed.
    pub not_committed: u64,
    /// Linearizable reads that were answered.
    pub reads: u64,
    /// Reads that were not.
    pub reads_failed: u64,
    /// Terms in which someone led.
    pub terms: u64,
    /// How often a replica took a snapshot's place, at start or from a leader.
    pub restores: u64,
    /// The highest log index applied anywhere.
    pub highest: u64,
}

struct Seen {
    tally: Tally,
    start: Option<Instant>,
    trace: DefaultHasher,
    /// The state's digest at each log index, as the first replica that came there had it.
    digests: BTreeMap<u64, u64>,
    /// Nodes that had another digest somewhere.
    diverged: BTreeSet<u64>,
    /// How far each life of each node has applied.
    lives: BTreeMap<(u64, u64), u64>,
    /// Who led in which term.
    leaders: BTreeMap<u64, u64>,
    acknowledged: BTreeMap<Name, (u64, u64)>,
    unknown: BTreeMap<Name, u64>,
    not_committed: BTreeSet<Name>,
    highest_acknowledged: u64,
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

    /// Equal log index, equal state.
    fn digest(&mut self, node: u64, index: u64, digest: u64) {
        let first = *self.digests.entry(index).or_insert(digest);
        // Whoever differs once differs from then on: that is one thing to tell.
        if first != digest && self.diverged.insert(node) {
            self.demand(false, || {
                format!("node {node} has another state at log index {index}: {digest:016x}, not {first:016x}")
            });
        }
        self.tally.highest = self.tally.highest.max(index);
    }
}

/// At rest.
impl Seen {
    /// Log indexes are consecutive and no command is there twice. Gives each command's log index and its variable after it.
    fn history(&mut self, node: u64, state: &State) -> BTreeMap<Name, (u64, u64)> {
        let mut found = BTreeMap::new();
        let mut values: BTreeMap<u64, u64> = BTreeMap::new();
        for (place, (index, add)) in state.history.iter().enumerate() {
            self.demand(*index == place as u64 + 1, || {
                format!("command {} of node {node} has log index {index}", place + 1)
            });
            let value = values.entry(add.client).or_default();
            *value += add.amount;
            let name = (add.client, add.number);
            let before = found.insert(name, (*index, *value));
            self.demand(before.is_none(), || {
                format!("node {node} applied command {name:?} at log index {index}, and before at {before:?}")
            });
        }
        found
    }

    /// What clients were told is what became of their commands.
    fn outcomes(&mut self, node: u64, found: &BTreeMap<Name, (u64, u64)>) {
        let mut sentences = Vec::new();
        for (name, told) in &self.acknowledged {
            let there = found.get(name);
            if there != Some(told) {
                sentences.push(format!(
                    "command {name:?} was acknowledged with (log index, value) {told:?}, node {node} has {there:?}"
                ));
            }
        }
        for (name, there) in found {
            if self.not_committed.contains(name) {
                sentences.push(format!(
                    "command {name:?} was said to be not committed, node {node} has it at {there:?}"
                ));
            } else if !self.acknowledged.contains_key(name) && !self.unknown.contains_key(name) {
                sentences
                    .push(format!("node {node} has command {name:?}, of which no client was told anything"));
            }
        }
        for sentence in sentences {
            self.demand(false, || sentence);
        }
    }

    /// Each variable lies between what was acknowledged and that plus what is unknown.
    fn values(&mut self, node: u64, state: &State) {
        for (client, value) in &state.values {
            let acknowledged = |add: &&Add| self.acknowledged.contains_key(&(add.client, add.number));
            let adds = state.history.iter().map(|(_, add)| add).filter(|add| add.client == *client);
            let least: u64 = adds.filter(acknowledged).map(|add| add.amount).sum();
            let unknown = self.unknown.iter().filter(|((of, _), _)| of == client);
            let most = least + unknown.map(|(_, amount)| amount).sum::<u64>();
            self.demand((least..=most).contains(value), || {
                format!(
                    "node {node} has {value} for client {client}; acknowledged are {least}, with unknown ones {most}"
                )
            });
        }
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
        Checker(Arc::new(Mutex::new(Seen {
            tally: Tally::default(),
            start: None,
            trace: DefaultHasher::new(),
            digests: BTreeMap::new(),
            diverged: BTreeSet::new(),
            lives: BTreeMap::new(),
            leaders: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            unknown: BTreeMap::new(),
            not_committed: BTreeSet::new(),
            highest_acknowledged: 0,
        })))
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

    /// A replica has applied the command with this log index.
    pub fn applied(&self, node: u64, life: u64, index: u64, digest: u64) {
        let mut seen = self.seen();
        seen.note(("applied", node, life, index, digest));
        let before = seen.lives.insert((node, life), index).unwrap_or(0);
        seen.demand(index == before + 1, || {
            format!("node {node} in life {life} applied log index {index} after {before}")
        });
        seen.digest(node, index, digest);
    }

    /// A replica's state was replaced by a snapshot's.
    pub fn restored(&self, node: u64, life: u64, index: u64, digest: u64) {
        let mut seen = self.seen();
        seen.note(("restored", node, life, index, digest));
        seen.tally.restores += 1;
        let before = seen.lives.insert((node, life), index).unwrap_or(0);
        seen.demand(index >= before, || {
            format!("node {node} in life {life} went back from log index {before} to a snapshot at {index}")
        });
        seen.digest(node, index, digest);
    }

    /// A node says that it leads in `term`.
    pub fn leads(&self, node: u64, term: u64) {
        let mut seen = self.seen();
        let first = match seen.leaders.get(&term) {
            Some(first) => *first,
            None => {
                seen.note(("leads", node, term));
                seen.leaders.insert(term, node);
                seen.tally.terms += 1;
                node
            }
        };
        seen.demand(first == node, || format!("nodes {first} and {node} both led in term {term}"));
    }

    /// The highest log index that anyone has been told is committed: what begins now must come after it.
    pub fn floor(&self) -> u64 {
        self.seen().highest_acknowledged
    }

    /// A command that was proposed when `floor` was the highest is committed at `index`.
    pub fn acknowledged(&self, add: Add, floor: u64, index: u64, value: u64) {
        let mut seen = self.seen();
        let name = (add.client, add.number);
        seen.note(("acknowledged", name, index, value));
        seen.demand(index > floor, || {
            format!("command {name:?} got log index {index} though {floor} had been acknowledged before")
        });
        seen.acknowledged.insert(name, (index, value));
        seen.highest_acknowledged = seen.highest_acknowledged.max(index);
        seen.tally.acknowledged += 1;
    }

    /// Nobody knows whether a command is committed.
    pub fn unknown(&self, add: Add) {
        let mut seen = self.seen();
        seen.note(("unknown", add.client, add.number));
        seen.unknown.insert((add.client, add.number), add.amount);
        seen.tally.unknown += 1;
    }

    /// A command is certainly not committed.
    pub fn not_committed(&self, add: Add) {
        let mut seen = self.seen();
        seen.note(("not committed", add.client, add.number));
        seen.not_committed.insert((add.client, add.number));
        seen.tally.not_committed += 1;
    }

    /// A linearizable read that began when `floor` was the highest, and its client's sum of acknowledged amounts `least`,
    /// was answered at `index`.
    pub fn read(&self, client: u64, floor: u64, least: u64, index: u64, value: u64) {
        let mut seen = self.seen();
        seen.note(("read", client, index, value));
        seen.tally.reads += 1;
        seen.demand(index >= floor, || {
            format!("client {client} read at log index {index} though {floor} had been acknowledged before")
        });
        seen.demand(value >= least, || {
            format!(
                "client {client} read {value} at log index {index}, and {least} had been acknowledged to it"
            )
        });
    }

    /// A read was not answered, which is no violation.
    pub fn read_failed(&self, client: u64) {
        let mut seen = self.seen();
        seen.note(("read failed", client));
        seen.tally.reads_failed += 1;
    }

    /// The state of a replica when everything has come to rest.
    pub fn settled(&self, node: u64, state: &State) {
        let mut seen = self.seen();
        seen.note(("settled", node, state.digest));
        seen.digest(node, state.index(), state.digest);
        let found = seen.history(node, state);
        seen.outcomes(node, &found);
        seen.values(node, state);
    }

    /// What was seen so far.
    pub fn tally(&self) -> Tally {
        let seen = self.seen();
        Tally { trace: seen.trace.finish(), ..seen.tally.clone() }
    }
}
