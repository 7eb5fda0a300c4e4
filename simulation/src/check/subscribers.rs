//! What subscribers are given.

use lovebird_core::subscription::Logged;

use super::Checker;
use crate::counter::{Command, State, nanos};

impl Checker {
    /// A subscriber that has everything up to `before` was given a record.
    pub fn followed(&self, subscriber: u64, before: u64, logged: &Logged<Command>) {
        let mut seen = self.seen();
        let Logged { index, term, time, command, .. } = logged;
        let (index, given) = (*index, (*term, nanos(*time), *command));
        seen.note(("followed", subscriber, index));
        seen.tally.followed += 1;
        seen.demand(index == before + 1, || {
            format!("subscriber {subscriber} was given log index {index} after {before}")
        });
        let applied = seen.records.get(&index).copied();
        let applied = applied.map(|applied| (applied.moment.term, applied.moment.time, applied.command));
        seen.demand(applied == Some(given), || {
            format!(
                "subscriber {subscriber} was given {given:x?} at log index {index}, applied is {applied:x?}"
            )
        });
        seen.tell(index);
        seen.subscribers.insert(subscriber, index);
    }

    /// A subscriber was given the state at a log index. `least` is what it asked for, which must be part of that.
    pub fn followed_state(&self, subscriber: u64, least: u64, index: u64, state: &State) {
        let mut seen = self.seen();
        seen.note(("followed state", subscriber, index, state.digest));
        seen.tally.followed_states += 1;
        seen.demand(index == state.index(), || {
            format!(
                "subscriber {subscriber} was given a state of log index {} as that of {index}",
                state.index()
            )
        });
        seen.demand(index >= least, || {
            format!("subscriber {subscriber} asked for {least} and was given the state at {index}")
        });
        seen.known(&format!("subscriber {subscriber}"), state.index(), state.digest);
        seen.tell(index);
        seen.subscribers.insert(subscriber, index);
    }

    /// A subscriber that has everything up to `before` was told that the log begins with `first`.
    pub fn purged(&self, subscriber: u64, before: u64, first: u64) {
        let mut seen = self.seen();
        seen.note(("purged", subscriber, first));
        seen.tally.purged += 1;
        seen.demand(first > before + 1, || {
            format!(
                "subscriber {subscriber} has {before}, and was sent away from a log that begins with {first}"
            )
        });
    }

    /// Whether all subscribers have everything up to `index`.
    pub fn all_follow(&self, index: u64) -> bool {
        self.seen().subscribers.values().all(|has| *has == index)
    }

    /// A subscriber begins, and has nothing.
    pub fn subscribes(&self, subscriber: u64) {
        self.seen().subscribers.insert(subscriber, 0);
    }

    /// By now all subscribers have everything up to `index`.
    pub fn followed_to(&self, index: u64) {
        let mut seen = self.seen();
        let behind: Vec<_> = seen.subscribers.iter().filter(|(_, has)| **has != index).collect();
        let sentence = format!("the log ends at {index}, and these subscribers are not there: {behind:?}");
        let holds = behind.is_empty();
        seen.demand(holds, || sentence);
    }
}
