//! The promises, by name.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A promise that a run can find broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Invariant {
    /// At most one leader a term, and nobody else executes anything as a primary.
    OneLeader,
    /// What a node has promised to others, its term and its vote, survives a crash.
    VoteIsKept,
    /// Where two logs hold the same entry, they hold the same bytes; and what was applied.
    LogsMatch,
    /// Log indexes are consecutive from 1; terms and log time never go back.
    Consecutive,
    /// Each replica applies each log index once, in order, and never goes back within a life.
    AppliedInOrder,
    /// Equal log index, equal command, context, reply and state; also after a restore, and in a replay by a machine of its own.
    EqualStates,
    /// What was acknowledged is in the log where it was said to be, with the reply that was given.
    AcknowledgedIsKept,
    /// What was said not to be committed, or to have expired, is not carried out later; and nobody's command appears.
    RefusedIsGone,
    /// A command is carried out once, and each retry gets the first reply.
    Once,
    /// What one session carries stands in the order in which it was sent.
    SessionOrder,
    /// What anyone was told before an operation began lies before it; answers are those of the history at their log index.
    Linearizable,
    /// A read that carries a log index sees it, and what one handle reads never goes back.
    ReadsNeverGoBack,
    /// Subscribers get every record once, in order, as it was applied.
    Subscription,
    /// A primary's command meets exactly the state and the context on which it was executed.
    Fence,
    /// Who has a session or a key is told nothing but success before its time is over.
    Patience,
    /// After everything has healed the cluster serves within a bound, and its replicas and subscribers come to the end of the log.
    Liveness,
    /// No node stops by itself or refuses to start, unless its disk was made to fail, its data damaged, or itself removed.
    Steadfast,
    /// Changes of the members that were said to be done are; and when everything has healed none is half-way, and the members
    /// are there.
    Members,
    /// What the workload itself demands of its state.
    Users,
    /// No part of the run panics.
    NoPanic,
}

impl Invariant {
    /// All of them.
    pub const ALL: [Invariant; 20] = [
        Invariant::OneLeader,
        Invariant::VoteIsKept,
        Invariant::LogsMatch,
        Invariant::Consecutive,
        Invariant::AppliedInOrder,
        Invariant::EqualStates,
        Invariant::AcknowledgedIsKept,
        Invariant::RefusedIsGone,
        Invariant::Once,
        Invariant::SessionOrder,
        Invariant::Linearizable,
        Invariant::ReadsNeverGoBack,
        Invariant::Subscription,
        Invariant::Fence,
        Invariant::Patience,
        Invariant::Liveness,
        Invariant::Steadfast,
        Invariant::Members,
        Invariant::Users,
        Invariant::NoPanic,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Invariant::OneLeader => "one leader a term",
            Invariant::VoteIsKept => "a vote is kept",
            Invariant::LogsMatch => "logs match",
            Invariant::Consecutive => "log indexes are consecutive",
            Invariant::AppliedInOrder => "applied in order, once",
            Invariant::EqualStates => "equal log index, equal state",
            Invariant::AcknowledgedIsKept => "what was acknowledged is kept",
            Invariant::RefusedIsGone => "what was refused is gone",
            Invariant::Once => "each command once",
            Invariant::SessionOrder => "a session's order",
            Invariant::Linearizable => "linearizable",
            Invariant::ReadsNeverGoBack => "reads never go back",
            Invariant::Subscription => "subscriptions have no gaps",
            Invariant::Fence => "a primary's command meets its state",
            Invariant::Patience => "nothing but success in time",
            Invariant::Liveness => "serves when healed",
            Invariant::Steadfast => "no node stops by itself",
            Invariant::Members => "the members are as agreed",
            Invariant::Users => "the workload's own invariant",
            Invariant::NoPanic => "no panic",
        }
    }
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// How, with the values in it.
    pub sentence: String,
    /// When it was noticed, in nanoseconds since the start of the run.
    pub at_nanos: u64,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Violation { invariant, sentence, at_nanos } = self;
        write!(f, "[{invariant}] at {:.3} s: {sentence}", *at_nanos as f64 / 1e9)
    }
}
