//! What clients tell: what they sent, and what they were told of it.

use std::time::Duration;

use lovebird_core::client::Committed;
use lovebird_core::error::ProposeError;

use super::{Checker, Seen};
use crate::counter::Add;

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
    Key,
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

/// A command that a client has sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) way: Way,
    /// Everything that was sent has a place in one order.
    pub(super) place: u64,
    /// What anyone had been told of before it was sent.
    floor: u64,
    /// Log index and reply.
    pub(super) acknowledged: Option<(u64, u64)>,
    /// It may be in the log or not.
    pub(super) doubtful: bool,
    /// It was said to be certainly not there.
    pub(super) refused: bool,
    /// Its session has expired: how much had been sent when that was told.
    pub(super) expired: Option<u64>,
}

impl Seen {
    fn acknowledged(&mut self, add: Add, sent: &mut Sent, told: (u64, u64)) {
        let (index, _) = told;
        if let Some(first) = sent.acknowledged {
            self.tally.repeated += 1;
            return self.demand(first == told, || {
                format!("{add:?} was acknowledged with (log index, reply) {told:?}, and first with {first:?}")
            });
        }
        let floor = sent.floor;
        self.demand(index > floor, || {
            format!("{add:?} got log index {index} though {floor} had been told of before it was sent")
        });
        sent.acknowledged = Some(told);
        self.tally.acknowledged += 1;
        self.tell(index);
    }

    /// Who has a session, or a key, is told of nothing but success before its time is over: until then the client sends again.
    fn late(&mut self, add: Add, way: Way, wait: Wait, result: &Result<Committed<u64>, ProposeError>) {
        self.demand(way == Way::Alone || wait.waited >= wait.patience, || {
            let Wait { waited, patience } = wait;
            format!("the caller of {add:?} was told {result:?} after {waited:?}, and would have waited {patience:?}")
        });
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
    pub fn sent(&self, add: Add, way: Way) {
        let mut seen = self.seen();
        seen.note(("sent", add));
        seen.places += 1;
        let sent = Sent {
            way,
            place: seen.places,
            floor: seen.highest_told,
            acknowledged: None,
            doubtful: false,
            refused: false,
            expired: None,
        };
        seen.commands.insert((add.client, add.number), sent);
    }

    /// A caller was told what became of a command that was sent.
    pub fn told(&self, add: Add, wait: Wait, result: &Result<Committed<u64>, ProposeError>) {
        let mut seen = self.seen();
        let name = (add.client, add.number);
        seen.note(("told", name, result.as_ref().map_err(ToString::to_string).map(|c| (c.index, c.reply))));
        let Some(mut sent) = seen.commands.get(&name).copied() else {
            return seen.demand(false, || format!("a caller was told of {add:?}, which nobody has sent"));
        };
        let way = sent.way;
        match result {
            Ok(committed) => seen.acknowledged(add, &mut sent, (committed.index, committed.reply)),
            Err(ProposeError::NotCommitted { .. }) => {
                seen.late(add, way, wait, result);
                seen.tally.not_committed += 1;
                sent.refused = true;
                // Of a key that says nothing of other attempts. A single attempt knows by now what it did not know before.
                sent.doubtful &= way == Way::Key;
            }
            Err(ProposeError::Unknown { .. }) => {
                seen.late(add, way, wait, result);
                seen.tally.unknown += 1;
                sent.doubtful = true;
            }
            Err(ProposeError::Expired { .. }) => {
                seen.tally.expired += 1;
                sent.doubtful = true;
                sent.expired = Some(seen.places);
                let lapses = matches!(way, Way::Session(line) if line.lapses);
                seen.demand(lapses, || format!("the session of {add:?} has expired, and had no time to"));
            }
            Err(error @ (ProposeError::ReplyGone { .. } | ProposeError::Codec { .. })) => {
                seen.demand(false, || format!("a caller was told of {add:?}: {error}"));
            }
        }
        seen.commands.insert(name, sent);
    }

    /// A caller went away before it was told.
    pub fn dropped(&self, add: Add) {
        let mut seen = self.seen();
        seen.note(("dropped", add));
        seen.tally.unknown += 1;
        if let Some(sent) = seen.commands.get_mut(&(add.client, add.number)) {
            sent.doubtful = true;
        }
    }
}
