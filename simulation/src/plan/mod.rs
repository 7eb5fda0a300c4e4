//! All that a run is made of: data, drawn from a seed, so that it can be read, cut down and kept.
//!
//! A plan says what is inflicted and what clients do, and when. What it leaves open, the order of tasks, the delay of each
//! message, what nodes draw, comes from its seed while it runs.

mod draw;
mod faults;
mod members;
mod work;

use serde::{Deserialize, Serialize};

pub use faults::{Direction, Fault, Survives, Who};
pub use members::Request;
pub use work::{Act, Client, Op, Reading, Subscriber};

/// All that happens to a cluster in one run, and all that it is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Decides what the plan leaves open.
    pub seed: u64,
    /// The name of the scenario: what the nodes run.
    pub scenario: String,
    /// How many nodes the cluster begins with: 1, 2, ….
    pub nodes: u64,
    /// When the faults end and everything is healed, in milliseconds of simulated time.
    pub length_ms: u64,
    /// More is damaged than the promises allow for: the cluster may refuse to serve, for good, and must still give no wrong answer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub beyond: bool,
    /// In the order of their times.
    pub steps: Vec<Step>,
    /// Who proposes and asks.
    pub clients: Vec<Client>,
    /// Who follows the log.
    pub subscribers: Vec<Subscriber>,
}

/// A fault and its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// When, in milliseconds since the start of the run.
    pub at_ms: u64,
    /// What.
    pub fault: Fault,
}

impl Plan {
    /// The addresses of everyone who is no node.
    pub fn outsiders(&self) -> Vec<u64> {
        let clients = self.clients.iter().map(|client| client.address);
        clients.chain(self.subscribers.iter().map(|subscriber| subscriber.address)).collect()
    }

    /// Whether any clock ever runs at a wrong rate.
    pub fn has_drift(&self) -> bool {
        self.steps.iter().any(|step| matches!(step.fault, Fault::Drift { .. }))
    }

    /// Whether any wall clock ever leaps, and log time with it.
    pub fn has_leap(&self) -> bool {
        self.steps.iter().any(|step| matches!(step.fault, Fault::Leap { .. }))
    }

    /// How many operations clients are to begin.
    pub fn operations(&self) -> usize {
        self.clients.iter().flat_map(|client| &client.callers).map(Vec::len).sum()
    }

    /// How much there is of it: what shrinking makes less.
    pub fn size(&self) -> usize {
        self.steps.len() + self.operations() + self.subscribers.len()
    }
}
