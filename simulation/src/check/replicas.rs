//! What replicas tell: what they applied, executed and restored, and that they lead.

use super::{Checker, Invariant, Seen};
use crate::story::What;
use crate::watched::{Applied, Met, Name, Replica};

impl Seen {
    /// Equal log index, equal command, context, reply and state. Says whether this replica is the first to have come there.
    fn compare(&mut self, node: u64, applied: Applied) -> bool {
        let index = applied.moment.index;
        let Some(first) = self.records.get(&index) else {
            self.first(node, applied);
            return true;
        };
        // Whoever differs once differs from then on: that is one thing to tell.
        if !first.is_same(&applied) && !self.diverged.contains(&node) {
            let sentence = format!(
                "the replicas diverge at log index {index}: node {node} applied {}, another one {}",
                self.described(&applied),
                self.described(first)
            );
            self.diverged.insert(node);
            self.broken(Invariant::EqualStates, vec![node], sentence);
        }
        false
    }

    pub(super) fn described(&self, applied: &Applied) -> String {
        format!(
            "{} at {:x?}, which replied {} and left the state {:016x}",
            (self.shown.command)(&applied.command),
            applied.moment,
            (self.shown.reply)(&applied.reply),
            applied.digest
        )
    }

    /// Terms and log time never go back from one log index to the next, and no command is there twice.
    fn first(&mut self, node: u64, applied: Applied) {
        let moment = applied.moment;
        if let Some(before) = self.records.get(&(moment.index - 1)).map(|record| record.moment) {
            self.demand(
                before.term <= moment.term && before.time <= moment.time,
                Invariant::Consecutive,
                || {
                    format!(
                        "node {node} applied at {moment:?} what follows on {before:?}: term or time goes back"
                    )
                },
            );
        }
        if let Some(before) = self.places.insert(applied.name, moment.index) {
            let name = applied.name;
            self.broken(
                Invariant::Once,
                vec![node],
                format!("{name:?} has log index {before}, and {} too", moment.index),
            );
        }
        self.records.insert(moment.index, applied);
        self.tally.highest = self.tally.highest.max(moment.index);
    }

    /// A state is one that some replica came to by applying.
    pub(super) fn known(&mut self, whose: &str, index: u64, digest: u64) {
        let first = match index {
            0 => Some(self.born),
            _ => self.records.get(&index).map(|record| record.digest),
        };
        self.demand(first == Some(digest), Invariant::EqualStates, || {
            format!(
                "{whose} has the state {digest:016x} at log index {index}, replicas applied to {first:x?}"
            )
        });
    }

    /// At most one leader a term.
    fn leader(&mut self, node: u64, term: u64) {
        let first = match self.leaders.get(&term) {
            Some(first) => *first,
            None => {
                self.leaders.insert(term, node);
                self.tally.terms += 1;
                node
            }
        };
        if first != node {
            let sentence = format!("nodes {first} and {node} both led in term {term}");
            self.broken(Invariant::OneLeader, vec![first, node], sentence);
        }
    }
}

impl Checker {
    /// A replica has applied a command. Says whether it is the first that did.
    pub fn applied(&self, replica: Replica, applied: Applied) -> bool {
        let mut seen = self.seen();
        let Replica { node, life, .. } = replica;
        let index = applied.moment.index;
        seen.note(What::Applied { node, life, index, digest: applied.digest }, |seen| {
            (seen.shown.command)(&applied.command)
        });
        let before = seen.lives.insert((node, life), index).unwrap_or(0);
        seen.demand(index == before + 1, Invariant::AppliedInOrder, || {
            format!("node {node} in life {life} applied log index {index} after {before}")
        });
        seen.compare(node, applied)
    }

    /// A primary has executed a request. It need not be proposed, or may be lost; but only a leader executes anything.
    pub fn executed(&self, replica: Replica, term: u64) {
        let mut seen = self.seen();
        let Replica { node, life, .. } = replica;
        seen.note(What::Executed { node, life, term }, |_| String::new());
        seen.tally.executed += 1;
        seen.leader(node, term);
    }

    /// A command is what the model has it to be.
    pub(crate) fn in_model(&self, node: u64, holds: bool, name: Name) {
        self.seen().demand(holds, Invariant::LogsMatch, || {
            format!("node {node} was given {name:?} in the form of the other model")
        });
    }

    /// A primary's command is about to be applied on `found`, and was computed on `met`.
    pub(crate) fn met(&self, node: u64, name: Name, met: Met, found: Met) {
        self.seen().demand(met == found, Invariant::Fence, || {
            format!(
                "the outcome of {name:?} was computed on {met:x?}, and at node {node} it meets {found:x?}"
            )
        });
    }

    /// A replica's state was replaced by a snapshot's: `captured` is the digest of the state of which it was taken, `digest`
    /// that of what came of it.
    pub fn restored(&self, replica: Replica, index: u64, captured: u64, digest: u64) {
        let mut seen = self.seen();
        let Replica { node, life, .. } = replica;
        seen.note(What::Restored { node, life, index, digest }, |_| String::new());
        seen.tally.restores += 1;
        let before = seen.lives.insert((node, life), index).unwrap_or(0);
        seen.demand(index >= before, Invariant::AppliedInOrder, || {
            format!("node {node} in life {life} went back from log index {before} to a snapshot at {index}")
        });
        seen.known(&format!("the snapshot that node {node} was given"), index, captured);
        if captured != digest {
            let sentence = format!(
                "node {node} restored the snapshot of log index {index}, and its state is {digest:016x}, not \
                 {captured:016x}: the snapshot does not hold the whole state, or restoring leaves some of the old one, or \
                 the digest depends on the order of a hash table"
            );
            seen.broken(Invariant::EqualStates, vec![node], sentence);
        }
    }

    /// A node says that it leads in `term`.
    pub fn leads(&self, node: u64, term: u64) {
        self.seen().leader(node, term);
    }
}
