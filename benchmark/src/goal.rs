//! What was aimed at, beside what came out.

use crate::Table;

/// One figure that has a goal.
#[derive(Clone, Debug)]
pub struct Goal {
    /// What is measured.
    pub figure: String,
    /// What it should be.
    pub goal: String,
    /// What it was.
    pub measured: String,
    /// Whether that is good enough.
    pub met: bool,
}

/// The table of all goals. A missed one says so, for those who skim.
pub fn goals(goals: &[Goal]) -> Table {
    let mut table = Table::new("goals", &["figure", "goal", "measured"]);
    for Goal { figure, goal, measured, met } in goals {
        let measured = if *met { measured.clone() } else { format!("**{measured}** (missed)") };
        table.row([figure.clone(), goal.clone(), measured]);
    }
    table
}
