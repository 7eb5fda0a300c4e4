//! What subscribers are given.

use bytes::Bytes;

use super::{Checker, Invariant};
use crate::story::What;

/// A record as a subscriber has it.
pub(crate) struct Given {
    pub(crate) index: u64,
    pub(crate) term: u64,
    /// In nanoseconds since the Unix epoch.
    pub(crate) time: u64,
    /// With its tag, encoded.
    pub(crate) command: Bytes,
}

impl Checker {
    /// A subscriber that has everything up to `before` was given a record.
    pub(crate) fn followed(&self, subscriber: u64, before: u64, given: &Given) {
        let mut seen = self.seen();
        let Given { index, term, time, command } = given;
        let index = *index;
        seen.note(What::Followed { subscriber, kind: "record".into(), index }, |_| String::new());
        seen.tally.followed += 1;
        seen.demand(index == before + 1, Invariant::Subscription, || {
            format!("subscriber {subscriber} was given log index {index} after {before}")
        });
        let same = seen.records.get(&index).is_some_and(|applied| {
            applied.moment.term == *term && applied.moment.time == *time && applied.command == *command
        });
        if !same {
            let applied = seen.records.get(&index).map(|applied| seen.described(applied));
            let sentence = format!(
                "subscriber {subscriber} was given {} of term {term} and time {time} at log index {index}, applied is {applied:?}",
                (seen.shown.command)(command)
            );
            seen.broken(Invariant::Subscription, Vec::new(), sentence);
        }
        seen.tell(index);
        seen.subscribers.insert(subscriber, index);
    }

    /// A subscriber was given the state at a log index, which says of itself that it is of log index `own`. `least` is what it
    /// asked for, which must be part of that.
    pub(crate) fn followed_state(&self, subscriber: u64, least: u64, index: u64, own: u64, digest: u64) {
        let mut seen = self.seen();
        seen.note(What::Followed { subscriber, kind: "state".into(), index }, |_| String::new());
        seen.tally.followed_states += 1;
        seen.demand(index == own, Invariant::Subscription, || {
            format!("subscriber {subscriber} was given a state of log index {own} as that of {index}")
        });
        seen.demand(index >= least, Invariant::Subscription, || {
            format!("subscriber {subscriber} asked for {least} and was given the state at {index}")
        });
        seen.known(&format!("subscriber {subscriber}"), own, digest);
        seen.tell(index);
        seen.subscribers.insert(subscriber, index);
    }

    /// A subscriber that has everything up to `before` was told that the log begins with `first`.
    pub fn purged(&self, subscriber: u64, before: u64, first: u64) {
        let mut seen = self.seen();
        seen.note(What::Followed { subscriber, kind: "purged".into(), index: first }, |_| String::new());
        seen.tally.purged += 1;
        seen.demand(first > before + 1, Invariant::Subscription, || {
            format!(
                "subscriber {subscriber} has {before}, and was sent away from a log that begins with {first}"
            )
        });
    }

    /// Whether all these subscribers have everything up to `index`.
    pub fn all_follow(&self, index: u64, except: &[u64]) -> bool {
        self.seen().subscribers.iter().all(|(id, has)| *has == index || except.contains(id))
    }

    /// A subscriber begins, and has nothing.
    pub fn subscribes(&self, subscriber: u64) {
        self.seen().subscribers.insert(subscriber, 0);
    }

    /// By now all these subscribers have everything up to `index`.
    pub fn followed_to(&self, index: u64, except: &[u64]) {
        let mut seen = self.seen();
        let behind: Vec<_> =
            seen.subscribers.iter().filter(|(id, has)| **has != index && !except.contains(id)).collect();
        let sentence = format!("the log ends at {index}, and these subscribers are not there: {behind:?}");
        let holds = behind.is_empty();
        seen.demand(holds, Invariant::Liveness, || sentence);
    }
}
