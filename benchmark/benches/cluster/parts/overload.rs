//! Four times as much as the cluster can take: what is too much is refused at once, and nothing grows.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lovebird::ProposeError;
use lovebird_benchmark::{Goal, Latencies, Table, duration, grouped, mebibytes};
use serde_json::json;
use tokio::sync::Mutex;

use crate::load::{Closed, Mix, Value};
use crate::part::Part;
use crate::process::Usage;
use crate::scale::Scale;
use crate::service::Put;
use crate::subject::{Clients, Running, Subject};
use crate::system::{Outcome, System};
use crate::systems::{Lovebird, Settings};

/// How many times the peak is offered.
const TIMES: f64 = 4.0;

/// How many clients, with a connection each, offer it.
const CLIENTS: usize = 4;

/// A refusal should not take longer than this, in the median.
const REFUSED_MAX: Duration = Duration::from_millis(50);

/// What became of what was offered.
#[derive(Default)]
struct Seen {
    offered: AtomicU64,
    acknowledged: AtomicU64,
    unknown: AtomicU64,
    refused: Mutex<Latencies>,
    answered: Mutex<Latencies>,
}

/// Offers too much for a while.
pub(crate) async fn measure(dir: &Path, scale: &Scale) -> Outcome<Part> {
    let system = Lovebird::start(dir, Settings::default()).await?;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(system.client().await?.without_session().with_timeout(Duration::from_secs(2)));
    }
    let processes = system.processes();
    let subject = Running::new(system, dir);
    let (warm_up, time) = (scale.warm_up, scale.slice);
    let peak = Closed { callers: scale.peak_callers, mix: Mix::writes(100), warm_up, time };
    let peak = subject.closed(Clients::Shared, peak).await?.rate;
    let before = Usage::of(&processes)?.resident_bytes;
    let seen = Arc::new(Seen::default());
    let begun = Instant::now();
    let mut largest = before;
    let mut ticks = tokio::time::interval(Duration::from_millis(1));
    let mut calls = Vec::new();
    while begun.elapsed() < time * 2 {
        ticks.tick().await;
        let due = (begun.elapsed().as_secs_f64() * peak * TIMES) as u64;
        while seen.offered.load(Ordering::Relaxed) < due {
            let number = seen.offered.fetch_add(1, Ordering::Relaxed);
            let client = clients[number as usize % CLIENTS].clone();
            let seen = seen.clone();
            calls.push(tokio::spawn(async move {
                let begun = Instant::now();
                let value = Value(number).bytes(1, 100);
                match client.propose(Put { key: 1, value }).await {
                    Ok(_) => {
                        seen.acknowledged.fetch_add(1, Ordering::Relaxed);
                        seen.answered.lock().await.record(begun.elapsed());
                    }
                    Err(ProposeError::NotCommitted { .. }) => {
                        seen.refused.lock().await.record(begun.elapsed())
                    }
                    Err(_) => {
                        seen.unknown.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }));
        }
        largest = largest.max(Usage::of(&processes)?.resident_bytes);
    }
    let took = begun.elapsed().as_secs_f64();
    for call in calls {
        call.await?;
    }
    // And the cluster serves as before.
    let after = Closed { callers: scale.peak_callers, mix: Mix::writes(100), warm_up, time };
    let after = subject.closed(Clients::Shared, after).await?.rate;
    Ok(told(&seen, took, [peak, after], [before, largest]).await)
}

async fn told(seen: &Seen, took: f64, [peak, after]: [f64; 2], [before, largest]: [u64; 2]) -> Part {
    let count = |of: &AtomicU64| of.load(Ordering::Relaxed) as f64;
    let (offered, acknowledged) = (count(&seen.offered), count(&seen.acknowledged));
    let (refused, answered) = (seen.refused.lock().await.clone(), seen.answered.lock().await.clone());
    let title = format!("overload: {} clients offer {TIMES} times the peak of {}/s", CLIENTS, grouped(peak));
    let mut table = Table::new(title, &["what", "a second", "share", "p50", "p99"]);
    let mut row = |what: &str, number: f64, latencies: Option<&Latencies>| {
        let latency =
            |percent| latencies.map_or("".to_owned(), |latencies| duration(latencies.percentile(percent)));
        let share = format!("{:.0} %", number / offered * 100.0);
        table.row([what.to_owned(), grouped(number / took), share, latency(50.0), latency(99.0)]);
    };
    row("offered", offered, None);
    row("acknowledged", acknowledged, Some(&answered));
    row("refused, certainly not committed", refused.count() as f64, Some(&refused));
    row("outcome unknown", count(&seen.unknown), None);
    table.note(format!(
        "All three nodes together held {} before and at most {} meanwhile; behind it the peak was {}/s again.",
        mebibytes(before as f64),
        mebibytes(largest as f64),
        grouped(after)
    ));
    let p50 = refused.percentile(50.0);
    let goal = Goal {
        figure: format!("overload by {TIMES} times the peak"),
        goal: format!("what is too much is refused within {} (p50)", duration(REFUSED_MAX)),
        measured: format!("{} (p50), {} (p99)", duration(p50), duration(refused.percentile(99.0))),
        met: p50 <= REFUSED_MAX,
    };
    let figures = json!({
        "peak": peak,
        "peak_after": after,
        "offered": offered / took,
        "acknowledged": acknowledged / took,
        "refused": refused.count() as f64 / took,
        "unknown": count(&seen.unknown) / took,
        "refused_p50_s": p50.as_secs_f64(),
        "refused_p99_s": refused.percentile(99.0).as_secs_f64(),
        "acknowledged_p99_s": answered.percentile(99.0).as_secs_f64(),
        "resident_before_bytes": before,
        "resident_largest_bytes": largest,
    });
    Part { name: "overload", tables: vec![table], goals: vec![goal], figures }
}
