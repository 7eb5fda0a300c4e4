//! Appending: one producer who waits for each batch to be durable before it makes the next.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use lovebird_benchmark::{Goal, Latencies, Spread, Table, duration, grouped, times};
use serde_json::{Value, json};

use crate::check::check;
use crate::part::Part;
use crate::scale::Scale;
use crate::store::{Outcome, Store};
use crate::stores::StoreKind;

/// The batches that have goals: entries a batch, and how many times as many entries as the best of the others.
const GOALS: [(u64, f64); 3] = [(1, 1.0), (256, 1.5), (4096, 1.5)];

/// How much of a slice is run before the first, uncounted: files, caches and buffers then have their size.
const WARMUP_SHARE: u32 = 5;

/// One store, and what was measured of it.
struct Run {
    kind: StoreKind,
    dir: PathBuf,
    store: Box<dyn Store>,
    /// The number of the next entry.
    next: u64,
    /// Entries a second, by round.
    rates: Vec<f64>,
    /// Of batches, in all rounds.
    latencies: Latencies,
}

impl Run {
    fn open(kind: StoreKind, dir: &Path) -> Outcome<Run> {
        let dir = dir.join(kind.name());
        let store = kind.open(&dir)?;
        Ok(Run { kind, dir, store, next: 1, rates: Vec::new(), latencies: Latencies::new() })
    }

    /// Appends batches for `slice`. Gives entries a second of the time that appending took.
    fn slice(&mut self, batch: u64, slice: Duration, entries_max: u64) -> Outcome<f64> {
        let (mut entries, mut spent) = (0, Duration::ZERO);
        while spent < slice && entries < entries_max {
            self.store.prepare(self.next..self.next + batch);
            let begun = Instant::now();
            self.store.append()?;
            let took = begun.elapsed();
            self.latencies.record(took);
            spent += took;
            entries += batch;
            self.next += batch;
        }
        Ok(entries as f64 / spent.as_secs_f64())
    }

    fn settle(&mut self, pause: Duration) -> Outcome<()> {
        self.store.settle()?;
        thread::sleep(pause);
        Ok(())
    }

    /// Opens the store anew, reads back what it has acknowledged, and removes it.
    fn finish(self) -> Outcome<Measured> {
        let Run { kind, dir, store, next, rates, latencies } = self;
        drop(store);
        check(kind.name(), &*kind.open(&dir)?, next - 1)?;
        fs::remove_dir_all(&dir)?;
        Ok(Measured { kind, rates, latencies })
    }
}

/// What one store came to at one size of batches.
struct Measured {
    kind: StoreKind,
    rates: Vec<f64>,
    latencies: Latencies,
}

/// Measures all stores at all sizes of batches.
pub(crate) fn measure(dir: &Path, scale: &Scale, rounds: usize) -> Outcome<Part> {
    let title = format!("append: entries of 100 bytes, one sync a batch, {rounds} rounds");
    let columns = ["batch", "store", "entries/s", "min to max", "p50 of a batch", "p99", "ours to it"];
    let mut table = Table::new(title, &columns);
    let mut summary =
        Table::new("append: ours to the best of the others", &["batch", "median", "min to max"]);
    let (mut goals, mut figures) = (Vec::new(), Vec::new());
    for batch in scale.batches {
        eprintln!("appending batches of {batch} in {rounds} rounds …");
        let measured = measure_batch(dir, scale, rounds, batch)?;
        let ours = &measured[0].rates;
        for one in &measured {
            table.row(row(batch, one, ours));
        }
        let best = Spread::of(&ratios(ours, |round| {
            measured[1..].iter().map(|other| other.rates[round]).fold(f64::MIN, f64::max)
        }));
        summary.row([
            batch.to_string(),
            times(best.median),
            format!("{} to {}", times(best.min), times(best.max)),
        ]);
        if let Some((_, goal)) = GOALS.iter().find(|(of, _)| *of == batch) {
            goals.push(Goal {
                figure: format!("append, batches of {batch}: ours to the best of the others"),
                goal: format!("≥ {}", times(*goal)),
                measured: times(best.median),
                met: best.median >= *goal,
            });
        }
        let stores: Vec<Value> = measured.iter().map(json_of).collect();
        figures.push(json!({ "batch": batch, "stores": stores, "ours_to_best": best.median }));
    }
    table
        .note("Entries a second are those of the median round; a ratio is the median of the rounds' ratios.");
    Ok(Part { name: "append", tables: vec![table, summary], goals, figures: json!(figures) })
}

fn measure_batch(dir: &Path, scale: &Scale, rounds: usize, batch: u64) -> Outcome<Vec<Measured>> {
    let dir = dir.join(format!("append-{batch}"));
    let mut runs = Vec::new();
    for kind in StoreKind::ALL {
        let mut run = Run::open(kind, &dir)?;
        run.slice(batch, scale.slice / WARMUP_SHARE, scale.slice_entries_max / u64::from(WARMUP_SHARE))?;
        run.latencies = Latencies::new();
        run.settle(scale.pause)?;
        runs.push(run);
    }
    for round in 0..rounds {
        for at in 0..runs.len() {
            let at = (at + round) % runs.len();
            let run = &mut runs[at];
            let rate = run.slice(batch, scale.slice, scale.slice_entries_max)?;
            run.rates.push(rate);
            run.settle(scale.pause)?;
        }
    }
    let measured = runs.into_iter().map(Run::finish).collect::<Outcome<Vec<_>>>()?;
    fs::remove_dir_all(&dir)?;
    Ok(measured)
}

/// Ours to another's, round by round.
fn ratios(ours: &[f64], other: impl Fn(usize) -> f64) -> Vec<f64> {
    ours.iter().enumerate().map(|(round, ours)| ours / other(round)).collect()
}

fn row(batch: u64, one: &Measured, ours: &[f64]) -> [String; 7] {
    let Spread { median, min, max } = Spread::of(&one.rates);
    let ratio = Spread::of(&ratios(ours, |round| one.rates[round])).median;
    [
        batch.to_string(),
        one.kind.name().to_owned(),
        grouped(median),
        format!("{} to {}", grouped(min), grouped(max)),
        duration(one.latencies.percentile(50.0)),
        duration(one.latencies.percentile(99.0)),
        if one.kind == StoreKind::Lovebird { "–".to_owned() } else { times(ratio) },
    ]
}

fn json_of(one: &Measured) -> Value {
    json!({
        "store": one.kind.name(),
        "entries_per_second": one.rates,
        "batches": one.latencies.count(),
        "p50_us": one.latencies.percentile(50.0).as_secs_f64() * 1e6,
        "p99_us": one.latencies.percentile(99.0).as_secs_f64() * 1e6,
    })
}
