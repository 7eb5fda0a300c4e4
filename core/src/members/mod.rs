//! How the members of a running group change, and how leadership is handed over.
//!
//! # What a change is
//!
//! An operator asks any node for a [`Change`](crate::transport::Change); the node that leads carries it out, one at a time:
//!
//! 1. It asks the node at the address who it is. What becomes a member is that *life* of the node, its
//!    [`RaftId`](crate::identity::RaftId), admitted by the log: a life that has lost its disk never comes back.
//! 2. From the present membership and the change it computes the [`goal`]; [`goal::next`] says, one membership after the
//!    other, how to get there. It is a pure function.
//! 3. Whoever comes is a learner first. It becomes a voter only when it holds the log ([`catch_up`]), so that a change never
//!    makes the group wait for a node that has everything still before it.
//! 4. Voters change by joint consensus (Ongaro's thesis, section 4.3), also where one node only comes or goes: in between a
//!    majority of both sets is needed. Each step is a compare-and-set on the membership before it.
//!
//! # Invariants
//!
//! 1. Two memberships that follow one another share a set of voters, or have the same one; so any two of their majorities meet.
//! 2. A change is asked for again without harm: what is there already is not done twice. So whoever asks may ask until it is told.
//! 3. There is one change at a time. A second one is refused, and told which is under way.
//! 4. A group does not stay between two sets. If the leader of a change dies, the next one finishes it by itself
//!    ([`steward`]), and always forwards: the new set was agreed on by a majority of both.
//! 5. A set of voters is not agreed on if too few of them are there to go on: that would stop the group.
//! 6. A leader does not lead the change that removes it. It hands over first ([`hand_over`]).
//!
//! # Addresses
//!
//! They are apart from ids: the log says where each member is, and a node's own command line may say otherwise. [`crate::peers`]
//! tries both.
//!
//! # A node that was removed
//!
//! It is no longer sent anything, not even that. When it has heard no leader for a while it asks the members it knows, and stops if
//! one of them has applied a later membership without it ([`steward`]).

pub(crate) mod goal;
pub(crate) mod catch_up;
pub(crate) mod changer;
pub(crate) mod hand_over;
pub(crate) mod steward;
pub(crate) mod enlist;

/// Why something was not done, and whether asking again may help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// A sentence.
    pub(crate) reason: String,
    /// Another node leads, or will soon.
    pub(crate) retry: bool,
}

impl Refusal {
    /// Asking again gives the same answer.
    pub(crate) fn for_good(reason: impl Into<String>) -> Self {
        Refusal { reason: reason.into(), retry: false }
    }

    /// Asking again may help.
    pub(crate) fn for_now(reason: impl Into<String>) -> Self {
        Refusal { reason: reason.into(), retry: true }
    }
}
