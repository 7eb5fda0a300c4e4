//! What a part of the benchmark comes to.

use lovebird_benchmark::{Goal, Table};
use serde_json::Value;

/// Figures, for people and for programs.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) name: &'static str,
    pub(crate) tables: Vec<Table>,
    pub(crate) goals: Vec<Goal>,
    /// The same as in the tables, in full precision.
    pub(crate) figures: Value,
}
