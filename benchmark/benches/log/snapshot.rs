//! Appending while another thread writes a snapshot to the same disk.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use lovebird_benchmark::{Chance, Goal, Latencies, Spread, Table, duration, mebibytes};
use lovebird_core::fence::Numbering;
use lovebird_core::identity::{ClusterId, GroupId, Membership};
use lovebird_core::snapshot_store::{SnapshotMeta, SnapshotStore};
use lovebird_storage::{RealDisk, SnapshotDirectory, SnapshotOptions};
use serde_json::{Value, json};

use crate::check::check;
use crate::part::Part;
use crate::scale::Scale;
use crate::store::{Outcome, Store};
use crate::stores::StoreKind;

/// Entries a batch.
const BATCH: u64 = 16;

const P99_MAX: Duration = Duration::from_millis(15);

const GROUP: GroupId = 0;

/// What is written again and again until a snapshot is full. Making all of it anew would measure the making.
const CONTENT_BYTES: usize = 16 << 20;

/// How much a state machine writes at a time.
const PIECE_BYTES: usize = 64 << 10;

/// A producer that never pauses.
struct Producer {
    store: Box<dyn Store>,
    next: u64,
}

impl Producer {
    /// Appends until `enough`, which is asked after every batch.
    fn append_until(&mut self, latencies: &mut Latencies, mut enough: impl FnMut() -> bool) -> Outcome<()> {
        loop {
            self.store.prepare(self.next..self.next + BATCH);
            let begun = Instant::now();
            self.store.append()?;
            latencies.record(begun.elapsed());
            self.next += BATCH;
            if enough() {
                return Ok(());
            }
        }
    }
}

/// Measures the latencies of appending, idle and meanwhile in turn.
pub(crate) fn measure(dir: &Path, scale: &Scale) -> Outcome<Part> {
    let dir = dir.join("snapshot");
    let log = dir.join("log");
    let kind = StoreKind::Lovebird;
    let mut producer = Producer { store: kind.open(&log)?, next: 1 };
    let snapshots = open_snapshots(&dir)?;
    let mut content = vec![0; CONTENT_BYTES];
    Chance::new(2).fill(&mut content);
    let (mut idle, mut meanwhile, mut rates) = (Latencies::new(), Latencies::new(), Vec::new());
    for number in 1..=scale.snapshots {
        eprintln!("appending, then also writing snapshot {number} of {} …", scale.snapshots);
        let begun = Instant::now();
        producer.append_until(&mut idle, || begun.elapsed() >= scale.idle)?;
        let rate = thread::scope(|scope| -> Outcome<f64> {
            let writing = scope.spawn(|| write(&*snapshots, number as u64, &content, scale.snapshot_bytes));
            producer.append_until(&mut meanwhile, || writing.is_finished())?;
            writing.join().unwrap_or_else(|_| Err("the thread that writes the snapshot panicked".into()))
        })?;
        rates.push(rate);
    }
    let Producer { store, next } = producer;
    drop(store);
    check(kind.name(), &*kind.open(&log)?, next - 1)?;
    drop(snapshots);
    fs::remove_dir_all(&dir)?;
    Ok(part(scale, &idle, &meanwhile, &rates))
}

/// The one place that knows how a directory of snapshots is opened.
fn open_snapshots(dir: &Path) -> Outcome<Arc<dyn SnapshotStore>> {
    Ok(SnapshotDirectory::open(
        Arc::new(RealDisk),
        &dir.join("snapshots"),
        GROUP,
        SnapshotOptions::default(),
    )?)
}

/// Writes one snapshot, durable when this returns. Gives bytes a second.
fn write(snapshots: &dyn SnapshotStore, number: u64, content: &[u8], bytes: u64) -> Outcome<f64> {
    let meta = SnapshotMeta {
        cluster: ClusterId(1),
        group: GROUP,
        last: (1, number),
        numbering: Numbering::default(),
        membership_at: None,
        membership: Membership::default(),
        sessions_bytes: 0,
    };
    let begun = Instant::now();
    let mut writer = snapshots.create(&meta)?;
    let mut left = bytes;
    for piece in content.chunks(PIECE_BYTES).cycle() {
        if left == 0 {
            break;
        }
        let piece = &piece[..piece.len().min(left as usize)];
        writer.write_all(piece)?;
        left -= piece.len() as u64;
    }
    writer.finish()?;
    Ok(bytes as f64 / begun.elapsed().as_secs_f64())
}

fn part(scale: &Scale, idle: &Latencies, meanwhile: &Latencies, rates: &[f64]) -> Part {
    let size = mebibytes(scale.snapshot_bytes as f64);
    let title =
        format!("snapshot: appending batches of {BATCH} while {size} are written, {} times", rates.len());
    let mut table = Table::new(title, &["append", "batches", "p50", "p99", "max"]);
    for (name, latencies) in [("idle", idle), ("meanwhile", meanwhile)] {
        table.row([
            name.to_owned(),
            latencies.count().to_string(),
            duration(latencies.percentile(50.0)),
            duration(latencies.percentile(99.0)),
            duration(latencies.max()),
        ]);
    }
    let Spread { median, min, max } = Spread::of(rates);
    table.note(format!(
        "The snapshot was written at {}/s ({} to {}).",
        mebibytes(median),
        mebibytes(min),
        mebibytes(max)
    ));
    let p99 = meanwhile.percentile(99.0);
    let goals = vec![Goal {
        figure: "append while a snapshot is written, p99".to_owned(),
        goal: format!("< {}", duration(P99_MAX)),
        measured: duration(p99),
        met: p99 < P99_MAX,
    }];
    let figures = json!({
        "idle": json_of(idle),
        "meanwhile": json_of(meanwhile),
        "snapshot_bytes_per_second": rates,
    });
    Part { name: "snapshot", tables: vec![table], goals, figures }
}

fn json_of(latencies: &Latencies) -> Value {
    let micros = |duration: Duration| duration.as_secs_f64() * 1e6;
    json!({
        "batches": latencies.count(),
        "p50_us": micros(latencies.percentile(50.0)),
        "p99_us": micros(latencies.percentile(99.0)),
        "max_us": micros(latencies.max()),
    })
}
