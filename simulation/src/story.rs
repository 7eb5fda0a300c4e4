//! What happened in a run, event by event, as data: what is hashed, compared between processes, and drawn.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When, by the true time of the simulated world, in nanoseconds since the start of the run.
    pub at_nanos: u64,
    /// What.
    pub what: What,
    /// In words what is too long to be part of every run's hash: a command, a reply, an error. Empty where there is nothing
    /// to say.
    pub detail: String,
}

/// What can happen. Nodes are named 1, 2, …, clients by numbers above 100.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum What {
    /// A fault was inflicted, or undone.
    Fault {
        /// Its kind.
        kind: Cow<'static, str>,
        /// Whom it struck.
        nodes: Vec<u64>,
    },
    /// A life of a node began or ended.
    Life {
        /// The node.
        node: u64,
        /// Its how-manieth life, from 1.
        life: u64,
        /// What became of it.
        turn: Turn,
    },
    /// A node is seen to have changed.
    Seen {
        /// The node.
        node: u64,
        /// `leader`, `candidate`, `follower` or `learner`.
        role: Cow<'static, str>,
        /// Its term.
        term: u64,
        /// The log index up to which it knows records to be committed.
        committed: u64,
        /// The log index up to which it has applied.
        applied: u64,
    },
    /// A message went over a link.
    Message {
        /// The sender.
        from: u64,
        /// The receiver.
        to: u64,
        /// Its kind, such as `append`, `append reply`, `vote`.
        kind: Cow<'static, str>,
        /// How many bytes.
        bytes: u64,
        /// When it arrives, in nanoseconds since the start of the run; never if it is lost.
        arrives_nanos: Option<u64>,
    },
    /// A disk was asked to sync.
    Sync {
        /// The node.
        node: u64,
        /// How long that takes, in nanoseconds.
        lasts_nanos: u64,
    },
    /// A replica applied the command at a log index.
    Applied {
        /// The node.
        node: u64,
        /// The life.
        life: u64,
        /// The log index.
        index: u64,
        /// The digest of the state behind it.
        digest: u64,
    },
    /// A primary executed a request.
    Executed {
        /// The node.
        node: u64,
        /// The life.
        life: u64,
        /// The term.
        term: u64,
    },
    /// A replica's state was replaced by that of a snapshot.
    Restored {
        /// The node.
        node: u64,
        /// The life.
        life: u64,
        /// The snapshot's log index.
        index: u64,
        /// Its digest.
        digest: u64,
    },
    /// A client began an operation, or was told something of it; both bear the same number.
    Operation {
        /// The client.
        client: u64,
        /// The operation's number within the run.
        number: u64,
        /// `propose`, `read linearizable`, ….
        kind: Cow<'static, str>,
        /// How far it is.
        stage: Stage,
    },
    /// A subscriber was given a record, or a state, or was sent away.
    Followed {
        /// The subscriber.
        subscriber: u64,
        /// `record`, `state` or `purged`.
        kind: Cow<'static, str>,
        /// The log index.
        index: u64,
    },
    /// A promise was broken.
    Violation {
        /// Which one: the name of the invariant.
        invariant: Cow<'static, str>,
        /// The nodes that it is about, if any.
        nodes: Vec<u64>,
    },
}

/// What becomes of a life of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Turn {
    /// Its process begins.
    Starts,
    /// It is open, and serves.
    Serves,
    /// It was killed, or lost power.
    Killed,
    /// It stopped by itself.
    Stopped,
    /// It refused to start.
    Refused,
}

/// How far an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Stage {
    /// It begins.
    Begins,
    /// It succeeded, at this log index.
    Succeeded(u64),
    /// It failed for certain.
    Failed,
    /// Nobody knows what became of it.
    Unknown,
}

/// A line of a trace: the time in seconds, what, and the detail.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Event { at_nanos, what, detail } = self;
        write!(f, "{:>4}.{:09} {what:x?}", at_nanos / 1_000_000_000, at_nanos % 1_000_000_000)?;
        if detail.is_empty() { Ok(()) } else { write!(f, " {detail}") }
    }
}
