//! Writes of other sizes.

use serde_json::{Map, Value};

use super::writes::{figures, rows, table};
use crate::load::Mix;
use crate::part::Part;
use crate::scale::Scale;
use crate::subject::{Clients, Subject};
use crate::system::Outcome;

/// Writes of 16 and of 1,024 bytes by callers who share a client.
pub(crate) async fn measure(subjects: &[Box<dyn Subject>], scale: &Scale) -> Outcome<Part> {
    let subjects: Vec<&dyn Subject> = subjects.iter().map(AsRef::as_ref).collect();
    let (mut tables, mut all) = (Vec::new(), Map::new());
    for bytes in [16, 1_024] {
        let rows =
            rows(&subjects, Clients::Shared, Mix::writes(bytes), &scale.payload_callers, scale).await?;
        let title = format!("writes: {bytes} bytes, callers share one client, {} rounds", scale.rounds);
        tables.push(table(title, &rows));
        all.insert(bytes.to_string(), figures(&rows));
    }
    Ok(Part { name: "payloads", tables, goals: Vec::new(), figures: Value::Object(all) })
}
