//! Opening a log of many entries, replaying it, and reading from the middle of it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use lovebird_benchmark::{Goal, Spread, Table, duration, grouped, mebibytes};
use serde_json::{Value, json};

use crate::child::{self, Measured, READ_ENTRIES};
use crate::part::Part;
use crate::scale::Scale;
use crate::store::Outcome;
use crate::stores::StoreKind;

/// Entries a batch of the log that is made to be opened: a busy leader's.
const BATCH: u64 = 256;

const OPEN_MAX: Duration = Duration::from_millis(100);
const OPENED_BYTES_MAX: f64 = 32e6;
const REPLAY_RATE_MIN: f64 = 10e6;
const READ_MAX: Duration = Duration::from_micros(10);

/// One store, opened again and again.
pub(crate) struct Runs {
    kind: StoreKind,
    measured: Vec<Measured>,
}

impl Runs {
    fn spread(&self, figure: impl Fn(&Measured) -> f64) -> Spread {
        Spread::of(&self.measured.iter().map(figure).collect::<Vec<_>>())
    }

    fn median(&self, figure: impl Fn(&Measured) -> Duration) -> Duration {
        Duration::from_secs_f64(self.spread(|one| figure(one).as_secs_f64()).median)
    }
}

/// Fills all stores, and has each opened and read by new processes, in turn.
pub(crate) fn measure(dir: &Path, scale: &Scale, smoke: bool) -> Outcome<Vec<Runs>> {
    let dir = dir.join("reopen");
    for kind in StoreKind::ALL {
        eprintln!("filling {} with {} entries …", kind.name(), scale.entries);
        let mut store = kind.open(&dir.join(kind.name()))?;
        for first in (1..=scale.entries).step_by(BATCH as usize) {
            store.prepare(first..(first + BATCH).min(scale.entries + 1));
            store.append()?;
        }
        store.settle()?;
    }
    let mut runs: Vec<Runs> =
        StoreKind::ALL.into_iter().map(|kind| Runs { kind, measured: Vec::new() }).collect();
    for round in 0..scale.openings {
        eprintln!("opening and reading, round {} of {} …", round + 1, scale.openings);
        for at in 0..runs.len() {
            let at = (at + round) % runs.len();
            let Runs { kind, measured } = &mut runs[at];
            measured.push(child::start(*kind, &dir.join(kind.name()), smoke)?);
        }
    }
    fs::remove_dir_all(&dir)?;
    Ok(runs)
}

/// The time to open, the memory that it takes, and how fast all entries are read one after the other.
pub(crate) fn opening(runs: &[Runs], scale: &Scale) -> Part {
    let entries = grouped(scale.entries as f64);
    let title = format!("open and replay: {entries} entries of 100 bytes, by a new process");
    let columns =
        ["store", "open", "min to max", "memory", "at the peak", "after replay", "replay, entries/s"];
    let mut table = Table::new(title, &columns);
    let seconds = Duration::from_secs_f64;
    for one in runs {
        let open = one.spread(|one| one.open.as_secs_f64());
        table.row([
            one.kind.name().to_owned(),
            duration(seconds(open.median)),
            format!("{} to {}", duration(seconds(open.min)), duration(seconds(open.max))),
            mebibytes(one.spread(|one| one.opened_bytes).median),
            mebibytes(one.spread(|one| one.peak_bytes).median),
            mebibytes(one.spread(|one| one.replayed_bytes).median),
            grouped(one.spread(|one| one.replay_rate).median),
        ]);
    }
    table.note("Every store was closed properly; all files are in the page cache.");
    table.note(
        "Memory is by how much the process has grown by opening, the peak by how much it had for a moment.",
    );
    let ours = &runs[0];
    let (open, memory) = (ours.median(|one| one.open), ours.spread(|one| one.opened_bytes).median);
    let replay = ours.spread(|one| one.replay_rate).median;
    let goals = vec![
        Goal {
            figure: format!("opening {entries} entries"),
            goal: format!("< {}", duration(OPEN_MAX)),
            measured: duration(open),
            met: open < OPEN_MAX,
        },
        Goal {
            figure: "replay".to_owned(),
            goal: format!("> {} entries/s", grouped(REPLAY_RATE_MIN)),
            measured: format!("{} entries/s", grouped(replay)),
            met: replay > REPLAY_RATE_MIN,
        },
        Goal {
            figure: "memory after opening".to_owned(),
            goal: format!("< {} MB", OPENED_BYTES_MAX / 1e6),
            measured: format!("{:.1} MB", memory / 1e6),
            met: memory < OPENED_BYTES_MAX,
        },
    ];
    let figure = |one: &Measured| {
        json!({
            "open_ms": one.open.as_secs_f64() * 1e3,
            "opened_bytes": one.opened_bytes,
            "peak_bytes": one.peak_bytes,
            "replayed_bytes": one.replayed_bytes,
            "replay_entries_per_second": one.replay_rate,
        })
    };
    Part { name: "open", tables: vec![table], goals, figures: json_of(runs, figure) }
}

/// How long it takes to read a few entries somewhere.
pub(crate) fn reading(runs: &[Runs]) -> Part {
    let title = format!("read: {READ_ENTRIES} entries at a random place");
    let mut table = Table::new(title, &["store", "median", "p99"]);
    for one in runs {
        let (p50, p99) = (one.median(|one| one.read_p50), one.median(|one| one.read_p99));
        table.row([one.kind.name().to_owned(), duration(p50), duration(p99)]);
    }
    table.note("From files that are in the page cache, by a process that has just opened them.");
    table.note("raft-log keeps all that it has replayed at opening, and redb what it has read, so these two read memory.");
    let ours = runs[0].median(|one| one.read_p50);
    let goals = vec![Goal {
        figure: format!("reading {READ_ENTRIES} entries, median"),
        goal: format!("< {}", duration(READ_MAX)),
        measured: duration(ours),
        met: ours < READ_MAX,
    }];
    let figure = |one: &Measured| json!({ "p50_us": one.read_p50.as_secs_f64() * 1e6, "p99_us": one.read_p99.as_secs_f64() * 1e6 });
    Part { name: "read", tables: vec![table], goals, figures: json_of(runs, figure) }
}

fn json_of(runs: &[Runs], figure: impl Fn(&Measured) -> Value) -> Value {
    let of = |one: &Runs| {
        let rounds: Vec<Value> = one.measured.iter().map(&figure).collect();
        json!({ "store": one.kind.name(), "rounds": rounds })
    };
    Value::Array(runs.iter().map(of).collect())
}
