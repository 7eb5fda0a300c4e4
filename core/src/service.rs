//! What a node runs and a client talks to: a state machine in one of the two models.
//!
//! A [`StateMachine`] is a service in the state machine model as it stands; [`Primary`] around it is the same service in the
//! primary-backup model. Nobody else implements [`Service`].

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::codec::Data;
use crate::entry::EntryKind;
use crate::machine::{Machine, erase, erase_primary};
use crate::primary_backup::{Primary, PrimaryBackup};
use crate::state_machine::{Snapshot, StateMachine};

/// What a log holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Model {
    /// What clients asked for; every replica carries it out.
    #[default]
    StateMachine,
    /// What a primary made of what clients asked for.
    PrimaryBackup,
}

impl Model {
    /// The kind of the entries in such a log that hold records.
    pub(crate) fn entry_kind(self) -> EntryKind {
        match self {
            Model::StateMachine => EntryKind::Commands,
            Model::PrimaryBackup => EntryKind::Outcomes,
        }
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Model::StateMachine => "state-machine",
            Model::PrimaryBackup => "primary-backup",
        })
    }
}

/// A service as clients see it; see the module.
pub trait Service: Send + 'static {
    /// What clients propose: a command, or a request to the primary.
    type Proposal: Data;
    /// What the log holds.
    type Command: Data;
    /// What a proposal is answered.
    type Reply: Data;
    /// A question about the state.
    type Query: Data;
    /// What it is answered.
    type Answer: Data;
    /// The captured state.
    type Snapshot: Snapshot;

    /// The model.
    const MODEL: Model;

    /// Hides the types.
    #[doc(hidden)]
    fn erase(self) -> Erased;
}

/// A service whose types are hidden.
pub struct Erased(pub(crate) Box<dyn Machine>);

impl fmt::Debug for Erased {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Erased").finish_non_exhaustive()
    }
}

impl<S: StateMachine> Service for S {
    type Proposal = S::Command;
    type Command = S::Command;
    type Reply = S::Reply;
    type Query = S::Query;
    type Answer = S::Answer;
    type Snapshot = S::Snapshot;

    const MODEL: Model = Model::StateMachine;

    fn erase(self) -> Erased {
        Erased(erase(self))
    }
}

impl<S: PrimaryBackup> Service for Primary<S> {
    type Proposal = S::Request;
    type Command = S::Command;
    type Reply = S::Reply;
    type Query = S::Query;
    type Answer = S::Answer;
    type Snapshot = S::Snapshot;

    const MODEL: Model = Model::PrimaryBackup;

    fn erase(self) -> Erased {
        Erased(erase_primary(self.0))
    }
}
