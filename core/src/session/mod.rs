//! Sessions: what makes it harmless to send a command again.
//!
//! A session is a client's identity in the log. Opening one is a control entry; the session's id is how many were opened until
//! then, so that an id is never given twice, and an id that is no longer known is known to have been one. From then on
//! each command carries the session and a sequence in it, 1, 2, 3, …, and the log holds it at most once.
//!
//! # Who decides, and on what
//!
//! `Sessions` is what decides whether a command may enter. It is a function of the entries that count and of nothing else: no
//! clock, no configuration, no order of a hash. Two copies of it are kept. The *applied* one (`SessionTable`) stands in each
//! replica and moves with what is applied; with it go the replies that may still be asked for. The *working* one stands in the
//! leader, was copied from the applied one in the very call that applied the leader's barrier, and moves with what is
//! proposed. Behind the fence what is proposed is exactly what will be applied ([`crate::fence`]), so the leader knows what the
//! applied copy will say when a command gets there, and never lets one in that would be refused.
//!
//! # The rules
//!
//! - An *ordered* session takes sequences one after the other: the next one enters, a later one is too early, an earlier one is a
//!   duplicate. So what a client sends is applied in the order in which it sends it, also across leaders.
//! - An *unordered* session takes each sequence once, in any order, as long as it is not below the lowest still awaited. It is for
//!   callers whose requests come over many connections.
//! - Each command tells the lowest sequence that its client may still ask for ([`Number::lowest`]). Replies below it are dropped,
//!   and a command below it is refused for ever.
//! - A session that no command has entered for the time it was opened with expires, by log time: at the first entry that
//!   counts and is stamped later. So does the one that has rested longest, when [`SESSIONS_MAX`] are there and one more is opened, or
//!   when all together have [`COMMANDS_MAX`] commands that may still be asked for.
//! - A session with a name is found again by that name. When it expires its name is remembered as gone, and opening it again is
//!   refused; the last [`GONE_NAMES_MAX`] such names are remembered.
//! - Replies of all sessions together take at most [`REPLY_BYTES_MAX`]: beyond that those of the sessions that have rested longest go
//!   first. A duplicate is then told its log index and that the reply is gone. It is never carried out again.
//!
//! All replicas must draw the same conclusions from the same log, so the limits are constants, and as much a part of the format as
//! the layout of an entry: a version that changes one needs a way to say from which entry on.

mod rules;
mod replies;
mod table;
#[cfg(all(test, not(madsim)))]
mod tests;

use serde::{Deserialize, Serialize};

use crate::record::Number;

pub(crate) use rules::{Admission, Sessions};
pub(crate) use table::{Kept, SessionTable};

/// How many sessions there may be at once.
pub const SESSIONS_MAX: usize = 1 << 16;

/// How many commands of all sessions together may still be asked for.
pub const COMMANDS_MAX: usize = 1 << 20;

/// How many names of expired sessions are remembered.
pub const GONE_NAMES_MAX: usize = 1 << 16;

/// How many bytes of replies are kept for duplicates, in all sessions of a group together.
pub const REPLY_BYTES_MAX: usize = 64 << 20;

/// The longest name of a session, in bytes.
pub const NAME_BYTES_MAX: usize = 256;

/// The longest time after which a session may expire: a year.
pub const PATIENCE_MS_MAX: u64 = 366 * 24 * 3600 * 1000;

/// In which order a session takes its commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Order {
    /// One after the other, without a gap.
    Ordered,
    /// Each once, in any order.
    Unordered,
}

/// What opens a session, or finds one again by its name. The payload of a record in a `Sessions` entry, in bincode 2.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// Its name; empty for none.
    pub name: String,
    /// After how long a rest it expires, in milliseconds of log time.
    pub patience_ms: u64,
    /// In which order it takes commands.
    pub order: Order,
}

impl Opening {
    /// Whether it may enter a log; if not, why.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.name.len() > NAME_BYTES_MAX {
            let bytes = self.name.len();
            return Err(format!(
                "a session's name has at most {NAME_BYTES_MAX} bytes, and this one has {bytes}"
            ));
        }
        if !(1..=PATIENCE_MS_MAX).contains(&self.patience_ms) {
            let given = self.patience_ms;
            return Err(format!(
                "a session expires after 1 to {PATIENCE_MS_MAX} milliseconds, not after {given}"
            ));
        }
        Ok(())
    }
}

/// What an opening came to. Encoded in bincode 2, the reply to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Opened {
    /// The session is open.
    Session(u64),
    /// A session of that name was open once and has expired.
    Gone,
}
