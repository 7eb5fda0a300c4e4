//! Writes in a closed loop: how many a second, how long each takes, and what it costs.

use std::time::Duration;

use lovebird_benchmark::{Goal, Latencies, Spread, Table, duration, grouped, times};
use serde_json::{Value, json};

use super::goals::at_least;
use super::limits::Limits;
use crate::load::{Closed, Mix};
use crate::part::Part;
use crate::scale::Scale;
use crate::subject::{Clients, Subject};
use crate::system::{Outcome, is_named};

/// At how many callers others are compared, and how many times their rate ours should be.
const GOALS: [(usize, &str, f64); 4] =
    [(64, "redis", 1.0), (256, "probe", 0.6), (1_024, "probe", 0.6), (4_096, "probe", 0.6)];

/// How many times as long as the least that it can take a single write may take.
const ALONE_GOAL: f64 = 1.5;

/// What came of one system at one number of callers, over all rounds.
pub(crate) struct Row {
    pub(crate) system: String,
    pub(crate) callers: usize,
    pub(crate) rates: Vec<f64>,
    pub(crate) latencies: Latencies,
    /// µs of CPU a call: of the nodes, of the client.
    cpu: Vec<[f64; 2]>,
    written_bytes: Vec<f64>,
}

impl Row {
    pub(crate) fn rate(&self) -> Spread {
        Spread::of(&self.rates)
    }

    /// Whether it is of the system with this name, whatever its version.
    pub(crate) fn is_of(&self, system: &str) -> bool {
        is_named(&self.system, system)
    }

    fn figures(&self) -> Value {
        let Spread { median, min, max } = self.rate();
        let [nodes, client] = self.cpu();
        let latency = |percent| self.latencies.percentile(percent).as_secs_f64();
        json!({
            "system": self.system,
            "callers": self.callers,
            "rate": median,
            "rate_min": min,
            "rate_max": max,
            "p50_s": latency(50.0),
            "p99_s": latency(99.0),
            "p99_9_s": latency(99.9),
            "max_s": self.latencies.max().as_secs_f64(),
            "nodes_cpu_us": nodes,
            "client_cpu_us": client,
            "written_bytes": self.written(),
        })
    }

    fn cpu(&self) -> [f64; 2] {
        [0, 1].map(|of| Spread::of(&self.cpu.iter().map(|cpu| cpu[of]).collect::<Vec<_>>()).median)
    }

    /// Bytes written to the device a call, if the system says.
    fn written(&self) -> Option<f64> {
        (!self.written_bytes.is_empty()).then(|| Spread::of(&self.written_bytes).median)
    }
}

/// Measures all systems with all numbers of callers, round by round.
pub(crate) async fn rows(
    subjects: &[&dyn Subject],
    clients: Clients,
    mix: Mix,
    callers: &[usize],
    scale: &Scale,
) -> Outcome<Vec<Row>> {
    let mut rows = Vec::new();
    for &callers in callers {
        let mut of_these: Vec<Row> = subjects
            .iter()
            .map(|subject| Row {
                system: subject.facts().name,
                callers,
                rates: Vec::new(),
                latencies: Latencies::new(),
                cpu: Vec::new(),
                written_bytes: Vec::new(),
            })
            .collect();
        for round in 0..scale.rounds {
            for turn in 0..subjects.len() {
                let at = (round + turn) % subjects.len();
                eprintln!("{callers} callers, round {}: {}", round + 1, of_these[at].system);
                let load = Closed { callers, mix, warm_up: scale.warm_up, time: scale.slice };
                let measured = subjects[at].closed(clients, load).await?;
                let row = &mut of_these[at];
                row.rates.push(measured.rate);
                row.latencies.add(&measured.latencies);
                let cpu = [measured.nodes, measured.client].map(|usage| usage.cpu.as_secs_f64() * 1e6);
                row.cpu.push(cpu.map(|used| measured.a_call(used)));
                row.written_bytes.extend(measured.written_bytes.map(|bytes| measured.a_call(bytes as f64)));
            }
        }
        rows.append(&mut of_these);
    }
    Ok(rows)
}

/// The rows as a table.
pub(crate) fn table(title: String, rows: &[Row]) -> Table {
    let columns = [
        "callers",
        "system",
        "calls/s",
        "min to max",
        "p50",
        "p99",
        "p99.9",
        "max",
        "CPU: nodes, µs",
        "client, µs",
        "bytes to disk",
    ];
    let mut table = Table::new(title, &columns);
    for row in rows {
        let Spread { median, min, max } = row.rate();
        let [nodes, client] = row.cpu();
        let latency = |percent| duration(row.latencies.percentile(percent));
        table.row([
            grouped(row.callers as f64),
            row.system.clone(),
            grouped(median),
            format!("{} to {}", grouped(min), grouped(max)),
            latency(50.0),
            latency(99.0),
            latency(99.9),
            duration(row.latencies.max()),
            format!("{nodes:.1}"),
            format!("{client:.1}"),
            row.written().map_or_else(String::new, grouped),
        ]);
    }
    table
}

/// The rows for programs.
pub(crate) fn figures(rows: &[Row]) -> Value {
    Value::Array(rows.iter().map(Row::figures).collect())
}

/// The median rate of a system at a number of callers, if it was measured.
pub(crate) fn rate(rows: &[Row], system: &str, callers: usize) -> Option<f64> {
    let row = rows.iter().find(|row| row.is_of(system) && row.callers == callers)?;
    Some(row.rate().median)
}

/// Writes of 100 bytes by callers who share a client.
pub(crate) async fn measure(
    subjects: &[Box<dyn Subject>],
    scale: &Scale,
    limits: &Limits,
) -> Outcome<(Part, Vec<Row>)> {
    let subjects: Vec<&dyn Subject> = subjects.iter().map(AsRef::as_ref).collect();
    let rows = rows(&subjects, Clients::Shared, Mix::writes(100), &scale.callers, scale).await?;
    let mut goals: Vec<Goal> = rows
        .iter()
        .filter(|row| row.is_of("lovebird") && row.callers == 1)
        .map(|row| alone(row.latencies.percentile(50.0), limits))
        .collect();
    for (callers, other, ratio) in GOALS {
        if let (Some(ours), Some(theirs)) = (rate(&rows, "lovebird", callers), rate(&rows, other, callers)) {
            let figure = format!("writes, {} callers share a client", grouped(callers as f64));
            goals.push(at_least(&figure, other, ratio, ours, theirs));
        }
    }
    let title = format!("writes: 100 bytes, callers share one client, {} rounds", scale.rounds);
    let part = Part { name: "writes", tables: vec![table(title, &rows)], goals, figures: figures(&rows) };
    Ok((part, rows))
}

/// That a single caller waits for little more than what it cannot but wait for.
fn alone(p50: Duration, limits: &Limits) -> Goal {
    let least = limits.sync_beside + limits.round_trip * 2;
    let ratio = p50.as_secs_f64() / least.as_secs_f64();
    Goal {
        figure: "writes, 1 caller, p50".to_owned(),
        goal: format!("at most {} of a sync beside two others and two round trips", times(ALONE_GOAL)),
        measured: format!("{} ({} to {})", times(ratio), duration(p50), duration(least)),
        met: ratio <= ALONE_GOAL,
    }
}
