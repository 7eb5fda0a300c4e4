//! Reads: how fresh, of whom, and mixed with writes.

use lovebird_benchmark::Goal;
use serde_json::{Map, Value};

use super::goals::at_least;
use super::writes::{Row, figures, rows, table};
use crate::load::Mix;
use crate::part::Part;
use crate::scale::Scale;
use crate::subject::{Clients, Subject};
use crate::system::{Fresh, Outcome};

/// How many times etcd's linearizable reads ours should be.
const GOAL_TO_ETCD: f64 = 20.0;

/// One way to read.
struct Way {
    name: &'static str,
    title: &'static str,
    clients: Clients,
    mix: Mix,
    /// Whether the systems beside ours have something of the kind.
    beside: bool,
}

fn ways() -> Vec<Way> {
    let way = |name, title, clients, mix, beside| Way { name, title, clients, mix, beside };
    vec![
        way(
            "linearizable",
            "linearizable, asked of the leader",
            Clients::Shared,
            Mix::reads(Fresh::Linearizable),
            true,
        ),
        way(
            "linearizable_spread",
            "linearizable, spread over three nodes",
            Clients::Spread,
            Mix::reads(Fresh::Linearizable),
            true,
        ),
        way("lease", "by lease, asked of the leader", Clients::Shared, Mix::reads(Fresh::Lease), false),
        way(
            "lease_spread",
            "by lease, spread over three nodes",
            Clients::Spread,
            Mix::reads(Fresh::Lease),
            false,
        ),
        way(
            "own_writes_spread",
            "not from before the caller's own writes, spread over three nodes",
            Clients::Spread,
            Mix::reads(Fresh::OwnWrites),
            false,
        ),
        way(
            "mixed",
            "nine linearizable reads to a write, asked of the leader",
            Clients::Shared,
            Mix { reads: 90, ..Mix::reads(Fresh::Linearizable) },
            true,
        ),
    ]
}

/// Reads in every way.
pub(crate) async fn measure(subjects: &[Box<dyn Subject>], scale: &Scale) -> Outcome<Part> {
    let (mut tables, mut all) = (Vec::new(), Map::new());
    let mut found: Vec<(&str, Vec<Row>)> = Vec::new();
    for way in ways() {
        let ours = |subject: &&dyn Subject| way.beside || subject.facts().is("lovebird");
        let subjects: Vec<&dyn Subject> = subjects.iter().map(AsRef::as_ref).filter(ours).collect();
        let rows = rows(&subjects, way.clients, way.mix, &scale.read_callers, scale).await?;
        tables.push(table(format!("reads: {}, {} rounds", way.title, scale.rounds), &rows));
        all.insert(way.name.to_owned(), figures(&rows));
        found.push((way.name, rows));
    }
    Ok(Part { name: "reads", tables, goals: goals(&found), figures: Value::Object(all) })
}

fn goals(found: &[(&str, Vec<Row>)]) -> Vec<Goal> {
    let rate = |way: &str, system: &str| {
        let (_, rows) = found.iter().find(|(name, _)| *name == way)?;
        let row = rows.iter().find(|row| row.is_of(system) && row.callers == 256)?;
        Some(row.rate().median)
    };
    let mut goals = Vec::new();
    if let (Some(ours), Some(etcd)) = (rate("linearizable", "lovebird"), rate("linearizable", "etcd")) {
        let figure = "linearizable reads, 256 callers share a client";
        goals.push(at_least(figure, "etcd", GOAL_TO_ETCD, ours, etcd));
    }
    if let (Some(spread), Some(one)) =
        (rate("linearizable_spread", "lovebird"), rate("linearizable", "lovebird"))
    {
        goals.push(at_least("linearizable reads, spread over three nodes", "on one", 1.0, spread, one));
    }
    goals
}
