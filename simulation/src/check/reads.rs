//! What clients read.

use super::Checker;

/// A read that is about to be asked.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// Its kind, for counting.
    pub kind: &'static str,
    /// Whose variable is read.
    pub client: u64,
    /// It was promised to be answered from no earlier log index.
    pub least: u64,
}

/// What was answered. Whether it is what the history says at that log index is found out at the end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answered {
    pub(super) asked: Asked,
    pub(super) index: u64,
    pub(super) value: u64,
}

impl Checker {
    /// A read was answered at a log index.
    pub fn read(&self, asked: Asked, index: u64, value: u64) {
        let mut seen = self.seen();
        let Asked { kind, client, least } = asked;
        seen.note(("read", kind, client, index, value));
        *seen.tally.reads.entry(kind).or_default() += 1;
        seen.demand(index >= least, || {
            format!(
                "a read ({kind}) of client {client} was answered from log index {index}, not from {least} on"
            )
        });
        seen.tell(index);
        seen.answers.push(Answered { asked, index, value });
    }

    /// A read was not answered, which is no violation.
    pub fn read_failed(&self, asked: Asked) {
        let mut seen = self.seen();
        seen.note(("read failed", asked.kind, asked.client));
        seen.tally.reads_failed += 1;
    }
}
