//! What is asked of a cluster.

use serde::{Deserialize, Serialize};

/// A client: one line to the cluster, and another, shared by callers who do not wait for one another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// Its address, in one number space with the nodes.
    pub address: u64,
    /// When it comes, in milliseconds since the start of the run.
    pub from_ms: u64,
    /// How long it waits for one command, in milliseconds.
    pub patience_ms: u64,
    /// Its session expires when it rests for a while, and it does.
    pub lapses: bool,
    /// What each of its callers does, one thing after the other.
    pub callers: Vec<Vec<Op>>,
}

/// One thing that a caller does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Op {
    /// How long it rests before, in milliseconds.
    pub pause_ms: u64,
    /// From this come the command or the query, and what else there is to choose.
    pub chance: u64,
    /// What it does.
    pub act: Act,
}

/// What a caller does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Act {
    /// Proposes a command in the client's session.
    Propose,
    /// The same through a handle that never goes back.
    ProposeMonotonic,
    /// Proposes a command and asks for it until it is told what it came to.
    Insist,
    /// Proposes a command, and goes away before it is told.
    WalkAway {
        /// After so many milliseconds.
        after_ms: u64,
    },
    /// Proposes a command in no session.
    Alone,
    /// Proposes a command under a key: through one line or the other, through both at once, and again though it is settled.
    Keyed,
    /// Proposes several commands, none of which waits for the one before it.
    Burst {
        /// How many.
        commands: u64,
    },
    /// Proposes commands through a handle that was never used before, and so in a session that is opened for them.
    Newcomer {
        /// How many, one after the other.
        commands: u64,
    },
    /// Asks something.
    Read(Reading),
    /// Asks several things that must see everything that anyone had been told of, a millisecond apart, without waiting for one
    /// another.
    ReadBurst {
        /// How many.
        reads: u64,
    },
}

/// The ways to read, each with a promise of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Reading {
    /// Sees everything that anyone had been told of before it.
    Linearizable,
    /// The same, while clocks run at almost the same rate.
    Lease,
    /// Sees the log index that is asked for: so many behind the highest that anyone had been told of.
    AtLeast(u64),
    /// Sees what another handle of the client had seen.
    HandedOn,
    /// Sees anything that once was.
    Stale,
    /// Through a handle that never goes back.
    Monotonic,
    /// Both of that.
    MonotonicLinearizable,
}

impl Reading {
    /// What it is called.
    pub fn kind(self) -> &'static str {
        match self {
            Reading::Linearizable => "linearizable",
            Reading::Lease => "lease",
            Reading::AtLeast(_) => "at least",
            Reading::HandedOn => "handed on",
            Reading::Stale => "stale",
            Reading::Monotonic => "monotonic",
            Reading::MonotonicLinearizable => "monotonic linearizable",
        }
    }
}

/// Someone who follows the log, and crashes now and then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscriber {
    /// Its address, in one number space with the nodes.
    pub address: u64,
    /// The only node that it knows; all of them, if there is none.
    pub bound: Option<u64>,
    /// From this come its crashes, and how it goes on.
    pub chance: u64,
}
