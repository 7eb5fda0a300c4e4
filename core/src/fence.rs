//! The fence: which entries count, and so which number each record gets.
//!
//! A leader begins with a *barrier*, a control entry that carries a [`Token`] which is never used twice. Everything that
//! it proposes from then on carries the token and a position: 1, 2, 3, … An entry **counts** if
//!
//! 1. the latest barrier before it in the log has its token,
//! 2. it stands in the same term as that barrier, and
//! 3. its position is the next one.
//!
//! What was lost, delayed or appended under another leadership fails one of the three, and with it everything behind it up
//! to the next barrier. Only records of entries that count get a log index or are applied, and only entries that count (and
//! barriers) move log time. Therefore log
//! indexes are consecutive from 1 and equal on all replicas, whatever consensus puts between; and (token, position) names
//! one proposal, so that whoever sees it count knows that exactly its predecessors stand between it and the barrier.
//!
//! [`count`] is the whole rule, and pure: the log engine calls it at each append, the replica at each apply, and they must
//! agree.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::entry::{EntryKind, Header};
use crate::planted::{self, Bug};

/// Names one stretch of one leadership. Never used twice.
///
/// `counter` is the number of starts of the data directory (upper 32 bits) and a count within this start (lower 32), so
/// that it does not repeat after a crash either.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Token {
    /// The leading node.
    pub node: u64,
    /// The life of its data directory.
    pub incarnation: u64,
    /// Counts within that life.
    pub counter: u64,
}

impl Token {
    /// Whether this is the token of no one, which blank and membership entries carry.
    pub fn is_none(&self) -> bool {
        *self == Token::default()
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{:x}.{:x}", self.node, self.incarnation, self.counter)
    }
}

/// Where a proposal stands in its leader's order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fence {
    /// The leadership.
    pub token: Token,
    /// 0 for the barrier itself, then 1, 2, 3, …
    pub position: u64,
}

/// What counting knows after an entry. It is a function of the log up to there and nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbering {
    /// The latest barrier's token; none before the first.
    pub token: Token,
    /// The term in which that barrier stands.
    pub term: u64,
    /// The position of the last entry that counted behind that barrier.
    pub position: u64,
    /// The log index of the last record that counted; 0 before the first.
    pub last_index: u64,
    /// Log time: nanoseconds since the Unix epoch as leaders stamped them; never goes back.
    pub time: u64,
}

/// Counts one more entry: the numbering after it and, if it holds records and they count, the log index of the first of them.
///
/// Blank and membership entries change nothing. A barrier starts a new stretch. Anything else counts, which is to be seen by the
/// position, or has no effect. Openings of sessions count like commands, but take no log index.
pub fn count(before: Numbering, header: &Header) -> (Numbering, Option<u64>) {
    match header.kind {
        EntryKind::Blank | EntryKind::Membership => (before, None),
        EntryKind::Barrier => {
            crate::sometimes!(before.position > 0, "a barrier begins the count anew");
            let after = Numbering {
                token: header.fence.token,
                term: header.term,
                position: 0,
                last_index: before.last_index,
                time: before.time.max(header.time),
            };
            (after, None)
        }
        EntryKind::Commands | EntryKind::Outcomes | EntryKind::Sessions => {
            let counts = !before.token.is_none()
                && (header.fence.token == before.token || planted::is(Bug::CountByTerm))
                && header.term == before.term
                && (header.fence.position == before.position + 1 || planted::is(Bug::CountByTerm));
            if !counts {
                crate::sometimes!("an entry does not count");
                return (before, None);
            }
            let records = if header.kind == EntryKind::Sessions { 0 } else { header.record_count };
            let after = Numbering {
                position: header.fence.position,
                last_index: before.last_index + u64::from(records),
                time: before.time.max(header.time),
                ..before
            };
            (after, (header.kind != EntryKind::Sessions).then_some(before.last_index + 1))
        }
    }
}
