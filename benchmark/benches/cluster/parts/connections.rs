//! Writes by clients with a connection each.

use super::goals::at_least;
use super::writes::{figures, rate, rows, table};
use crate::load::Mix;
use crate::part::Part;
use crate::scale::Scale;
use crate::subject::{Clients, Subject};
use crate::system::Outcome;

/// Which others are compared, and how many times their rate ours should be.
const GOALS: [(&str, f64); 2] = [("etcd", 3.0), ("zookeeper", 1.5)];

/// Writes of 100 bytes by clients with a connection each.
pub(crate) async fn measure(subjects: &[Box<dyn Subject>], scale: &Scale) -> Outcome<Part> {
    let subjects: Vec<&dyn Subject> = subjects.iter().map(AsRef::as_ref).collect();
    let rows = rows(&subjects, Clients::Each, Mix::writes(100), &scale.connections, scale).await?;
    let mut goals = Vec::new();
    for (other, ratio) in GOALS {
        if let (Some(ours), Some(theirs)) = (rate(&rows, "lovebird", 256), rate(&rows, other, 256)) {
            goals.push(at_least("writes, 256 clients with a connection each", other, ratio, ours, theirs));
        }
    }
    let title = format!("writes: 100 bytes, a connection each, {} rounds", scale.rounds);
    Ok(Part { name: "connections", tables: vec![table(title, &rows)], goals, figures: figures(&rows) })
}
