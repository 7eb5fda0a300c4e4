//! Writes at half and at four fifths of the peak, in an open loop.

use lovebird_benchmark::{Latencies, Spread, Table, duration, grouped};
use serde_json::{Value, json};

use crate::load::{Closed, Mix, Paced};
use crate::part::Part;
use crate::scale::Scale;
use crate::subject::{Clients, Subject};
use crate::system::Outcome;

/// What is offered, as a share of the peak.
const SHARES: [f64; 2] = [0.5, 0.8];

/// Writes of 100 bytes at a fixed pace.
pub(crate) async fn measure(subjects: &[Box<dyn Subject>], scale: &Scale) -> Outcome<Part> {
    let columns = ["system", "offered", "calls/s", "p50", "p99", "p99.9", "max"];
    let title =
        format!("writes: 100 bytes, at a fixed pace, callers share one client, {} rounds", scale.rounds);
    let mut table = Table::new(title, &columns);
    table.note("Latency counts from when a call should have begun.");
    let mut figures = Vec::new();
    for subject in subjects {
        let name = subject.facts().name;
        let (mut peaks, mut latencies) = (Vec::new(), vec![Latencies::new(); SHARES.len()]);
        let (warm_up, time) = (scale.warm_up, scale.slice);
        for round in 0..scale.rounds {
            eprintln!("at a fixed pace, round {}: {name}", round + 1);
            let peak = Closed { callers: scale.peak_callers, mix: Mix::writes(100), warm_up, time };
            let peak = subject.closed(Clients::Shared, peak).await?.rate;
            for (share, latencies) in SHARES.into_iter().zip(&mut latencies) {
                let load = Paced { rate: share * peak, mix: Mix::writes(100), warm_up, time };
                latencies.add(&subject.paced(load).await?);
            }
            peaks.push(peak);
        }
        let peak = Spread::of(&peaks).median;
        for (share, latencies) in SHARES.into_iter().zip(&latencies) {
            let latency = |percent| duration(latencies.percentile(percent));
            table.row([
                name.clone(),
                format!("{:.0} % of the peak", share * 100.0),
                grouped(share * peak),
                latency(50.0),
                latency(99.0),
                latency(99.9),
                duration(latencies.max()),
            ]);
            figures.push(json!({
                "system": name,
                "share": share,
                "rate": share * peak,
                "p50_s": latencies.percentile(50.0).as_secs_f64(),
                "p99_s": latencies.percentile(99.0).as_secs_f64(),
                "p99_9_s": latencies.percentile(99.9).as_secs_f64(),
                "max_s": latencies.max().as_secs_f64(),
            }));
        }
    }
    Ok(Part { name: "paced", tables: vec![table], goals: Vec::new(), figures: Value::Array(figures) })
}
