//! What replicas tell: what they applied, executed and restored, and that they lead.

use super::{Checker, Seen};
use crate::counter::{Applied, Replica};

impl Seen {
    /// Equal log index, equal command, context and state.
    fn compare(&mut self, node: u64, applied: Applied) {
        let index = applied.moment.index;
        match self.records.get(&index).copied() {
            None => self.first(node, applied),
            // Whoever differs once differs from then on: that is one thing to tell.
            Some(first) if first != applied && self.diverged.insert(node) => self.demand(false, || {
                format!("node {node} applied {applied:x?} at log index {index}, another one {first:x?}")
            }),
            Some(_) => {}
        }
    }

    /// Terms and log time never go back from one log index to the next.
    fn first(&mut self, node: u64, applied: Applied) {
        let moment = applied.moment;
        if let Some(before) = self.records.get(&(moment.index - 1)).map(|record| record.moment) {
            self.demand(before.term <= moment.term && before.time <= moment.time, || {
                format!(
                    "node {node} applied at {moment:?} what follows on {before:?}: term or time goes back"
                )
            });
        }
        self.records.insert(moment.index, applied);
        self.tally.highest = self.tally.highest.max(moment.index);
    }

    /// A state is one that some replica came to by applying.
    pub(super) fn known(&mut self, whose: &str, index: u64, digest: u64) {
        let first = match index {
            0 => Some(0),
            _ => self.records.get(&index).map(|record| record.digest),
        };
        self.demand(first == Some(digest), || {
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
                self.note(("leads", node, term));
                self.leaders.insert(term, node);
                self.tally.terms += 1;
                node
            }
        };
        self.demand(first == node, || format!("nodes {first} and {node} both led in term {term}"));
    }
}

impl Checker {
    /// A replica has applied a command.
    pub fn applied(&self, replica: Replica, applied: Applied) {
        let mut seen = self.seen();
        let Replica { node, life, .. } = replica;
        let index = applied.moment.index;
        seen.note(("applied", node, life, index, applied.digest));
        let before = seen.lives.insert((node, life), index).unwrap_or(0);
        seen.demand(index == before + 1, || {
            format!("node {node} in life {life} applied log index {index} after {before}")
        });
        seen.compare(node, applied);
    }

    /// A primary has executed a request. It need not be proposed, or may be lost; but only a leader executes anything.
    pub fn executed(&self, replica: Replica, term: u64) {
        let mut seen = self.seen();
        seen.note(("executed", replica.node, replica.life, term));
        seen.tally.executed += 1;
        seen.leader(replica.node, term);
    }

    /// A replica's state was replaced by a snapshot's.
    pub fn restored(&self, replica: Replica, index: u64, digest: u64) {
        let mut seen = self.seen();
        let Replica { node, life, .. } = replica;
        seen.note(("restored", node, life, index, digest));
        seen.tally.restores += 1;
        let before = seen.lives.insert((node, life), index).unwrap_or(0);
        seen.demand(index >= before, || {
            format!("node {node} in life {life} went back from log index {before} to a snapshot at {index}")
        });
        seen.known(&format!("a snapshot at node {node}"), index, digest);
    }

    /// A node says that it leads in `term`.
    pub fn leads(&self, node: u64, term: u64) {
        self.seen().leader(node, term);
    }
}
