//! Writes while large snapshots are taken.

use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use lovebird_benchmark::{Goal, Latencies, Spread, Table, duration, grouped, times};
use serde_json::json;

use crate::load::{Closed, Mix};
use crate::part::Part;
use crate::scale::Scale;
use crate::subject::{Clients, Running, Subject};
use crate::system::Outcome;
use crate::systems::{Lovebird, Settings};

/// By how much the p99 of writes may grow.
const GOAL: f64 = 3.0;

/// Writes with and without snapshots, which all three nodes take at once, on one disk.
pub(crate) async fn measure(dir: &Path, scale: &Scale) -> Outcome<Part> {
    let settings = Settings { ballast_mib: scale.ballast_mib, snapshots_by_hand: true };
    let system = Lovebird::start(dir, settings).await?;
    let addresses = system.addresses().to_vec();
    let subject = Running::new(system, dir);
    let time = scale.slice * 2;
    let load =
        Closed { callers: scale.snapshot_callers, mix: Mix::writes(100), warm_up: scale.warm_up, time };
    let (mut with, mut without) = ((Latencies::new(), Vec::new()), (Latencies::new(), Vec::new()));
    let mut took = Vec::new();
    for round in 0..scale.rounds {
        eprintln!("snapshots, round {}", round + 1);
        let measured = subject.closed(Clients::Shared, load).await?;
        without.0.add(&measured.latencies);
        without.1.push(measured.rate);
        let taking = tokio::spawn(take(addresses.clone(), load.warm_up + load.time));
        let measured = subject.closed(Clients::Shared, load).await?;
        with.0.add(&measured.latencies);
        with.1.push(measured.rate);
        took.append(&mut taking.await??);
    }
    let title = format!(
        "writes: 100 bytes, {} callers share one client, while all three nodes take snapshots of {} MiB, one after the other",
        grouped(load.callers as f64),
        scale.ballast_mib
    );
    let mut table = Table::new(title, &["meanwhile", "calls/s", "p50", "p99", "p99.9", "max"]);
    for (meanwhile, (latencies, rates)) in [("no snapshot", &without), ("snapshots", &with)] {
        let latency = |percent| duration(latencies.percentile(percent));
        table.row([
            meanwhile.to_owned(),
            grouped(Spread::of(rates).median),
            latency(50.0),
            latency(99.0),
            latency(99.9),
            duration(latencies.max()),
        ]);
    }
    let each = Spread::of(&took.iter().map(Duration::as_secs_f64).collect::<Vec<_>>());
    table.note(format!(
        "{} times three snapshots were taken, which took {} each time (median).",
        took.len(),
        duration(Duration::from_secs_f64(each.median))
    ));
    let p99 = |of: &(Latencies, Vec<f64>)| of.0.percentile(99.0);
    let ratio = p99(&with).as_secs_f64() / p99(&without).as_secs_f64();
    let goal = Goal {
        figure: format!("p99 of writes during snapshots of {} MiB", scale.ballast_mib),
        goal: format!("at most {} that without", times(GOAL)),
        measured: format!("{} ({} to {})", times(ratio), duration(p99(&with)), duration(p99(&without))),
        met: ratio <= GOAL,
    };
    let figures = json!({
        "p99_without_s": p99(&without).as_secs_f64(),
        "p99_with_s": p99(&with).as_secs_f64(),
        "rate_without": Spread::of(&without.1).median,
        "rate_with": Spread::of(&with.1).median,
        "snapshot_s": each.median,
    });
    Ok(Part { name: "snapshots", tables: vec![table], goals: vec![goal], figures })
}

/// Has all nodes take snapshots at once, again and again for so long, and tells how long each time took.
async fn take(addresses: Vec<String>, time: Duration) -> Outcome<Vec<Duration>> {
    let begun = Instant::now();
    let mut took = Vec::new();
    while begun.elapsed() < time {
        let this = Instant::now();
        let nodes: Vec<_> = addresses.iter().map(|address| lovebird::operate([address.clone()])).collect();
        try_join_all(nodes.iter().map(lovebird::Operator::take_snapshot)).await?;
        took.push(this.elapsed());
    }
    Ok(took)
}
