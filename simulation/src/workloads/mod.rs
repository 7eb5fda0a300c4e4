//! Workloads that come with the simulator: small, and each with something of its own to get wrong.

mod arithmetic;
mod bank;
mod register;

pub use arithmetic::Arithmetic;
pub use bank::Bank;
pub use register::{Access, Register};

use crate::scenario::Scenario;

/// All of them, in each model that they have.
pub fn all() -> Vec<Scenario> {
    vec![
        Scenario::replicated::<Arithmetic>("arithmetic"),
        Scenario::primary_backup::<Arithmetic>("arithmetic-primary"),
        Scenario::replicated::<Bank>("bank"),
        Scenario::replicated::<Register>("register"),
    ]
}
