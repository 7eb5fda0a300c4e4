//! What clients read.

use bytes::Bytes;

use super::{Checker, Invariant};
use crate::story::Stage;

/// A read that is about to be asked.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Its kind, for counting.
    pub kind: &'static str,
    /// Who asks.
    pub client: u64,
    /// What, encoded.
    pub query: Bytes,
    /// It was promised to be answered from no earlier log index.
    pub least: u64,
    /// And what is broken if it is not.
    pub promise: Invariant,
}

/// What was answered. Whether it is what the history says at that log index is found out at the end.
#[derive(Clone, Debug)]
pub(crate) struct Answered {
    pub(crate) asked: Asked,
    pub(crate) index: u64,
    pub(crate) answer: Bytes,
}

impl Checker {
    /// A read begins. Gives its number.
    pub(crate) fn asks(&self, asked: &Asked) -> u64 {
        let mut seen = self.seen();
        let query = seen.shown.query;
        seen.operation(asked.client, asked.kind, || query(&asked.query))
    }

    /// A read was answered at a log index.
    pub(crate) fn read(&self, number: u64, asked: Asked, index: u64, answer: Bytes) {
        let mut seen = self.seen();
        let Asked { kind, client, least, promise, .. } = asked;
        seen.operated(client, number, Stage::Succeeded(index), |seen| (seen.shown.answer)(&answer));
        *seen.tally.reads.entry(kind.to_owned()).or_default() += 1;
        seen.demand(index >= least, promise, || {
            format!(
                "a read ({kind}) of client {client} was answered from log index {index}, not from {least} on"
            )
        });
        seen.tell(index);
        seen.answers.push(Answered { asked, index, answer });
    }

    /// A read was not answered, which is no violation.
    pub(crate) fn read_failed(&self, number: u64, asked: &Asked, error: &dyn std::fmt::Display) {
        let mut seen = self.seen();
        seen.operated(asked.client, number, Stage::Failed, |_| error.to_string());
        seen.tally.reads_failed += 1;
    }
}
