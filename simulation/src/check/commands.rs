//! What clients tell: what they sent, and what they were told of it.

use std::time::Duration;

use bytes::Bytes;
use lovebird_core::error::ProposeError;

use super::{Checker, Invariant, Seen};
use crate::story::{Stage, What};
use crate::watched::Name;

/// A line of a client to the cluster, and so the order in which it sends its commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Tells it from others.
    pub number: u64,
    /// Whether its session may expire in a run.
    pub lapses: bool,
}

/// In which way a command is proposed, and so what is promised of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// In the session of this line: once and in order, and told as soon as a leader can be found.
    Session(Line),
    /// Under a key: once, however often and through whomever it is proposed.
    Key {
        /// Whether keys may expire in a run.
        lapses: bool,
    },
    /// Without a session: at most once here, since nobody proposes it again.
    Alone,
}

/// How long a caller waited for what it was told, and how long it would have.
#[derive(Clone, Copy, Debug)]
pub struct Wait {
    /// How long it waited.
    pub waited: Duration,
    /// How long it was willing to.
    pub patience: Duration,
}

/// What a caller was told: log index and reply, or why not.
pub(crate) type Result = std::result::Result<(u64, Bytes), ProposeError>;

/// A command that a client has sent.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) way: Way,
    /// Everything that was sent has a place in one order.
    pub(super) place: u64,
    operation: u64,
    /// What anyone had been told of before it was sent.
    floor: u64,
    /// Log index and reply.
    pub(super) acknowledged: Option<(u64, Bytes)>,
    /// It may be in the log or not.
    pub(super) doubtful: bool,
    /// It was said to be certainly not there.
    pub(super) refused: bool,
    /// Its session has expired: how much had been sent when that was told.
    pub(super) expired: Option<u64>,
}

impl Seen {
    fn acknowledged(&mut self, name: Name, sent: &mut Sent, told: &(u64, Bytes)) {
        let index = told.0;
        if let Some(first) = &sent.acknowledged {
            self.tally.repeated += 1;
            if first != told {
                let sentence = format!(
                    "{name:?} was acknowledged with log index {index} and {}, and first with {} and {}",
                    (self.shown.reply)(&told.1),
                    first.0,
                    (self.shown.reply)(&first.1)
                );
                self.broken(Invariant::Once, Vec::new(), sentence);
            }
            return;
        }
        let floor = sent.floor;
        self.demand(index > floor, Invariant::Linearizable, || {
            format!("{name:?} got log index {index} though {floor} had been told of before it was sent")
        });
        sent.acknowledged = Some(told.clone());
        self.tally.acknowledged += 1;
        self.tell(index);
    }

    /// Who has a session, or a key, is told of nothing but success before its time is over: until then the client sends again.
    fn late(&mut self, name: Name, way: Way, wait: Wait, error: &ProposeError) {
        self.demand(way == Way::Alone || wait.waited >= wait.patience, Invariant::Patience, || {
            let Wait { waited, patience } = wait;
            format!(
                "the caller of {name:?} was told {error} after {waited:?}, and would have waited {patience:?}"
            )
        });
    }

    fn failed(&mut self, name: Name, sent: &mut Sent, wait: Wait, error: &ProposeError) -> Stage {
        let way = sent.way;
        match error {
            ProposeError::NotCommitted { .. } => {
                self.late(name, way, wait, error);
                self.tally.not_committed += 1;
                sent.refused = true;
                // Of a key that says nothing of other attempts. A single attempt knows by now what it did not know before.
                sent.doubtful &= matches!(way, Way::Key { .. });
                return Stage::Failed;
            }
            ProposeError::Unknown { .. } => {
                self.late(name, way, wait, error);
                lovebird_core::sometimes!("a caller is told that nobody knows");
                self.tally.unknown += 1;
                sent.doubtful = true;
            }
            ProposeError::Expired { .. } => {
                self.tally.expired += 1;
                sent.doubtful = true;
                sent.expired = Some(self.sendings);
                let lapses = match way {
                    Way::Session(line) => line.lapses,
                    Way::Key { lapses } => lapses,
                    Way::Alone => false,
                };
                self.demand(lapses, Invariant::Once, || {
                    format!("the session of {name:?} has expired, and had no time to")
                });
            }
            ProposeError::ReplyGone { .. } | ProposeError::Codec { .. } => {
                self.broken(Invariant::Once, Vec::new(), format!("a caller was told of {name:?}: {error}"));
            }
        }
        Stage::Unknown
    }

    /// An operation of a client begins.
    pub(super) fn operation(
        &mut self,
        client: u64,
        kind: &'static str,
        detail: impl FnOnce() -> String,
    ) -> u64 {
        self.operations += 1;
        let number = self.operations;
        let what = What::Operation { client, number, kind: kind.into(), stage: Stage::Begins };
        self.note(what, |_| detail());
        number
    }

    pub(super) fn operated(
        &mut self,
        client: u64,
        number: u64,
        stage: Stage,
        detail: impl FnOnce(&Seen) -> String,
    ) {
        self.note(What::Operation { client, number, kind: "".into(), stage }, detail);
    }
}

impl Checker {
    /// A new line.
    pub fn line(&self, lapses: bool) -> Line {
        let mut seen = self.seen();
        seen.lines += 1;
        Line { number: seen.lines, lapses }
    }

    /// A command is sent now; or once more, after it was said to be certainly not committed.
    pub fn sent(&self, name: Name, way: Way, detail: impl FnOnce() -> String) {
        let mut seen = self.seen();
        let kind = match way {
            Way::Session(_) => "propose",
            Way::Key { .. } => "propose under a key",
            Way::Alone => "propose without a session",
        };
        let operation = seen.operation(name.client, kind, detail);
        seen.sendings += 1;
        let sent = Sent {
            way,
            place: seen.sendings,
            operation,
            floor: seen.highest_told,
            acknowledged: None,
            doubtful: false,
            refused: false,
            expired: None,
        };
        seen.commands.insert(name, sent);
    }

    /// A caller was told what became of a command that was sent.
    pub(crate) fn told(&self, name: Name, wait: Wait, result: &Result) {
        let mut seen = self.seen();
        let Some(mut sent) = seen.commands.get(&name).cloned() else {
            let sentence = format!("a caller was told of {name:?}, which nobody has sent");
            return seen.broken(Invariant::RefusedIsGone, Vec::new(), sentence);
        };
        let stage = match result {
            Ok(told) => {
                seen.acknowledged(name, &mut sent, told);
                Stage::Succeeded(told.0)
            }
            Err(error) => seen.failed(name, &mut sent, wait, error),
        };
        seen.operated(name.client, sent.operation, stage, |seen| match result {
            Ok(told) => (seen.shown.reply)(&told.1),
            Err(error) => error.to_string(),
        });
        seen.commands.insert(name, sent);
    }

    /// A caller went away before it was told.
    pub fn dropped(&self, name: Name) {
        let mut seen = self.seen();
        seen.tally.unknown += 1;
        let Some(sent) = seen.commands.get_mut(&name) else { return };
        sent.doubtful = true;
        let operation = sent.operation;
        seen.operated(name.client, operation, Stage::Unknown, |_| "its caller went away".to_owned());
    }
}
