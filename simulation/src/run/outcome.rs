//! What a run came to.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::check::{Invariant, Tally};
use crate::story::Event;

/// How many violations of a run are printed: the first few tell the story.
const TOLD_MAX: usize = 10;

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The scenario.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// How much time passed in the simulated world.
    pub simulated: Duration,
    /// What was seen.
    pub tally: Tally,
    /// Everything that happened, if it was kept.
    pub story: Vec<Event>,
}

impl Outcome {
    /// The first promise that was found broken.
    pub fn broken(&self) -> Option<Invariant> {
        self.tally.violations.first().map(|violation| violation.invariant)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Outcome { scenario, seed, simulated, tally, .. } = self;
        let Tally { trace, acknowledged, repeated, unknown, not_committed, expired, .. } = tally;
        let Tally { reads, reads_failed, followed, followed_states, purged, .. } = tally;
        let Tally { executed, terms, restores, stops, faults, changes, violations, .. } = tally;
        let reads: u64 = reads.values().sum();
        write!(
            f,
            "seed {seed}: {scenario}, {:.1} s, trace {trace:016x}, {acknowledged} acknowledged, {repeated} again, {unknown} \
             unknown, {not_committed} not committed, {expired} expired, {reads} reads, {reads_failed} failed, {followed} \
             records and {followed_states} states followed, {purged} purged, {executed} executed, {terms} leaders, \
             {restores} restores, {stops} stops, {faults:?}, {changes:?}",
            simulated.as_secs_f64()
        )?;
        for violation in violations.iter().take(TOLD_MAX) {
            write!(f, "\n  VIOLATION {violation}")?;
        }
        if violations.len() > TOLD_MAX {
            write!(f, "\n  and {} more", violations.len() - TOLD_MAX)?;
        }
        Ok(())
    }
}
