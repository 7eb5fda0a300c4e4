//! What is measured in a process of its own: opening a store, and reading from one that has just been opened.
//!
//! Such a process has no memory of what was written, and its own memory has been used for nothing else.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lovebird_benchmark::{Chance, Latencies, peak_bytes, resident_bytes};
use serde_json::{Value, json};

use crate::check::check;
use crate::options::Options;
use crate::scale::Scale;
use crate::store::{Outcome, Store};
use crate::stores::StoreKind;

/// How many entries a read at a random place asks for: about what one message to a follower carries.
pub(crate) const READ_ENTRIES: u64 = 64;

/// What one process has measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    pub(crate) open: Duration,
    /// By how much opening made the process larger, in bytes; nothing is negative.
    pub(crate) opened_bytes: f64,
    /// … and how much larger it was for a moment meanwhile.
    pub(crate) peak_bytes: f64,
    /// … and reading all entries one after the other on top of it.
    pub(crate) replayed_bytes: f64,
    /// Entries a second, one after the other.
    pub(crate) replay_rate: f64,
    pub(crate) read_p50: Duration,
    pub(crate) read_p99: Duration,
}

/// Starts this program once more, to measure the store in `dir`, and waits for what it says.
pub(crate) fn start(kind: StoreKind, dir: &Path, smoke: bool) -> Outcome<Measured> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--child").arg(kind.name()).arg("--dir").arg(dir).stderr(Stdio::inherit());
    if smoke {
        command.arg("--smoke");
    }
    let output = command.output()?;
    if !output.status.success() {
        return Err(format!("the process that opened {} ended with {}", kind.name(), output.status).into());
    }
    let said: Value = serde_json::from_slice(&output.stdout)?;
    let figure = |name: &str| {
        said[name]
            .as_f64()
            .ok_or_else(|| format!("the process that opened {} did not say {name}", kind.name()))
    };
    Ok(Measured {
        open: Duration::from_secs_f64(figure("open_s")?),
        opened_bytes: figure("opened_bytes")?,
        peak_bytes: figure("peak_bytes")?,
        replayed_bytes: figure("replayed_bytes")?,
        replay_rate: figure("replay_rate")?,
        read_p50: Duration::from_secs_f64(figure("read_p50_s")?),
        read_p99: Duration::from_secs_f64(figure("read_p99_s")?),
    })
}

/// What the started process does. Its figures are its standard output.
pub(crate) fn run(kind: StoreKind, options: &Options) -> Outcome<()> {
    let dir = options.dir.as_deref().ok_or("--child needs --dir")?;
    let scale = options.scale();
    let before = resident_bytes()?;
    let begun = Instant::now();
    let store = kind.open(dir)?;
    let open = begun.elapsed();
    let (opened, peak) = (resident_bytes()?, peak_bytes()?);
    let latencies = read_at_random(kind, &*store, &scale)?;
    let replay_rate = replay(&*store)?;
    let replayed = resident_bytes()?;
    check(kind.name(), &*store, scale.entries)?;
    println!(
        "{}",
        json!({
            "open_s": open.as_secs_f64(),
            "opened_bytes": opened.saturating_sub(before),
            "peak_bytes": peak.saturating_sub(before),
            "replayed_bytes": replayed.saturating_sub(before),
            "replay_rate": replay_rate,
            "read_p50_s": latencies.percentile(50.0).as_secs_f64(),
            "read_p99_s": latencies.percentile(99.0).as_secs_f64(),
        })
    );
    Ok(())
}

/// Reads at random places of the first three quarters, which ours does not keep in its cache of the tail.
fn read_at_random(kind: StoreKind, store: &dyn Store, scale: &Scale) -> Outcome<Latencies> {
    let mut latencies = Latencies::new();
    let mut chance = Chance::new(1);
    for read in 0..scale.reads_before + scale.reads {
        let first = 1 + chance.below(scale.entries * 3 / 4 - READ_ENTRIES);
        let mut count = 0;
        let mut sum = 0_u64;
        let begun = Instant::now();
        store.read(first..first + READ_ENTRIES, &mut |number, payload| {
            count += 1;
            sum += number + u64::from(payload[0]);
        })?;
        let took = begun.elapsed();
        std::hint::black_box(sum);
        if count != READ_ENTRIES {
            return Err(format!("{} has {count} of the entries from {first} on", kind.name()).into());
        }
        if read >= scale.reads_before {
            latencies.record(took);
        }
    }
    Ok(latencies)
}

fn replay(store: &dyn Store) -> Outcome<f64> {
    let (mut count, mut sum) = (0_u64, 0_u64);
    let begun = Instant::now();
    store.read(1..u64::MAX, &mut |_, payload| {
        count += 1;
        sum += u64::from(payload[0]);
    })?;
    let took = begun.elapsed();
    std::hint::black_box(sum);
    Ok(count as f64 / took.as_secs_f64())
}
