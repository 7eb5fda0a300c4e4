//! What the machine allows.

use std::path::Path;
use std::time::Duration;

use lovebird_benchmark::{Latencies, Table, duration, grouped};
use serde_json::{Value, json};

use crate::limits::{Echo, appends, consensus, round_trips, streamed, unary};
use crate::part::Part;
use crate::scale::Scale;
use crate::system::Outcome;

/// With how many callers the calls are measured.
const CALLERS: [usize; 2] = [1, 64];

/// What other parts set their figures beside: medians.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// An append of 4 KiB and its sync, beside two others.
    pub(crate) sync_beside: Duration,
    /// A round trip by TCP.
    pub(crate) round_trip: Duration,
}

/// Rows of the table, and the same for programs.
struct Found {
    table: Table,
    figures: Vec<Value>,
}

impl Found {
    fn add(&mut self, what: &str, rate: f64, latencies: &Latencies, cpu: Option<[Duration; 2]>) {
        let latency = |percent| duration(latencies.percentile(percent));
        let used = cpu.map_or_else(|| ["".to_owned(), "".to_owned()], |cpu| cpu.map(duration));
        let [server, client] = used;
        self.table.row([what.to_owned(), grouped(rate), latency(50.0), latency(99.0), server, client]);
        self.figures.push(json!({
            "what": what,
            "rate": rate,
            "p50_s": latencies.percentile(50.0).as_secs_f64(),
            "p99_s": latencies.percentile(99.0).as_secs_f64(),
        }));
    }
}

/// Measures disk, sockets, gRPC, and consensus in memory.
pub(crate) async fn measure(dir: &Path, scale: &Scale) -> Outcome<(Part, Limits)> {
    let time = scale.slice;
    let columns = ["what", "a second", "p50", "p99", "CPU: server", "client"];
    let table = Table::new("limits: what the machine allows", &columns);
    let mut found = Found { table, figures: Vec::new() };
    let mut sync_beside = Duration::ZERO;
    for writers in [1, 3] {
        eprintln!("limits: {writers} writers");
        let dir = dir.to_owned();
        let latencies = tokio::task::spawn_blocking(move || appends(&dir, writers, time)).await??;
        let rate = latencies.count() as f64 / time.as_secs_f64();
        let what = match writers {
            1 => "append of 4 KiB and fdatasync".to_owned(),
            _ => format!("the same by {writers} at once"),
        };
        found.add(&what, rate, &latencies, None);
        sync_beside = latencies.percentile(50.0);
    }
    eprintln!("limits: sockets and gRPC");
    let echo_dir = dir.join("echo");
    std::fs::create_dir_all(&echo_dir)?;
    let (echo, trips) = tokio::task::spawn_blocking(move || -> Outcome<_> {
        let echo = Echo::start(&echo_dir)?;
        let trips = round_trips(&echo, time)?;
        Ok((echo, trips))
    })
    .await??;
    found.add("TCP echo", trips.count() as f64 / time.as_secs_f64(), &trips, None);
    for callers in CALLERS {
        let calls = unary(&echo, callers, time).await?;
        let cpu = Some([calls.server_cpu, calls.client_cpu]);
        found.add(&format!("gRPC unary echo, {callers} callers"), calls.rate, &calls.latencies, cpu);
    }
    for callers in CALLERS {
        let calls = streamed(&echo, callers, time).await?;
        let cpu = Some([calls.server_cpu, calls.client_cpu]);
        let what = format!("gRPC stream echo, {callers} messages under way");
        found.add(&what, calls.rate, &calls.latencies, cpu);
    }
    drop(echo);
    for &callers in &scale.consensus_callers {
        eprintln!("limits: consensus in memory, {callers} callers");
        let committed = consensus(callers, time).await?;
        let what = format!("openraft in memory, {callers} empty commands under way");
        found.add(&what, committed.rate, &committed.latencies, None);
    }
    found.table.note(
        "CPU is of one call. openraft: three nodes in one process, no disk, no network, an entry a command.",
    );
    let figures = Value::Array(found.figures);
    let part = Part { name: "limits", tables: vec![found.table], goals: Vec::new(), figures };
    Ok((part, Limits { sync_beside, round_trip: trips.percentile(50.0) }))
}
