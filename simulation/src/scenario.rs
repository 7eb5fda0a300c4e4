//! What a run runs: a workload in one of the two models, by name.

use std::fmt;
use std::sync::Arc;

use lovebird_core::primary_backup::PrimaryBackup;

use crate::chance::Chance;
use crate::plan::Plan;
use crate::run::{Outcome, Run};
use crate::watched::{BackedUp, Replicated};
use crate::workload::{CommandOf, Workload};

/// A workload in one of the two models, with a name by which command lines and kept plans find it.
#[derive(Clone)]
pub struct Scenario {
    name: String,
    run: Arc<dyn Fn(Run) -> Outcome + Send + Sync>,
}

impl Scenario {
    /// A service in the state machine model.
    pub fn replicated<W: Workload<Proposal = CommandOf<W>>>(name: &str) -> Scenario {
        Scenario { name: name.to_owned(), run: Arc::new(Run::run_subject::<Replicated<W>>) }
    }

    /// A service in the primary-backup model.
    pub fn primary_backup<W>(name: &str) -> Scenario
    where
        W: Workload<Machine: PrimaryBackup<Request = <W as Workload>::Proposal>>,
    {
        Scenario { name: name.to_owned(), run: Arc::new(Run::run_subject::<BackedUp<W>>) }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The run of a seed.
    pub fn seed(&self, seed: u64) -> Run {
        self.plan(Plan::of(seed, &self.name))
    }

    /// The run of a plan.
    pub fn plan(&self, plan: Plan) -> Run {
        Run::new(plan, self.clone())
    }

    pub(crate) fn make(&self, run: Run) -> Outcome {
        (self.run)(run)
    }
}

/// The scenario that a seed is run with where nobody says otherwise.
///
/// # Panics
/// If there is none to choose from.
pub fn chosen(scenarios: &[Scenario], seed: u64) -> &Scenario {
    Chance::new(seed, 6).one_of(scenarios)
}

impl fmt::Debug for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Scenario").field(&self.name).finish()
    }
}
