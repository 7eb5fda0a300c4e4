//! How long an append takes that is durable.

use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use lovebird_benchmark::{Chance, Latencies};

use super::period::Period;
use super::ring::Ring;
use crate::system::Outcome;

/// What is appended at a time: a page.
const APPEND_BYTES: usize = 4 << 10;

/// Larger than what some seconds of appends write, and quick to create.
const FILE_BYTES: u64 = 16 << 20;

/// Appends 4 KiB and syncs, again and again, to a file of its own below `dir` for each of so many `writers`. The three nodes of a
/// cluster on one machine are three writers at one disk.
pub(crate) fn appends(dir: &Path, writers: usize, time: Duration) -> Outcome<Latencies> {
    let rings: Result<Vec<Ring>, io::Error> =
        (0..writers).map(|writer| Ring::create(&dir.join(format!("appends-{writer}")), FILE_BYTES)).collect();
    let rings = rings?;
    let period = Period::of(time);
    let mut all = Latencies::new();
    thread::scope(|scope| {
        let writing: Vec<_> =
            rings.into_iter().map(|ring| scope.spawn(move || write(ring, period))).collect();
        for writer in writing {
            all.add(&writer.join().map_err(|_| "a writer panicked")??);
        }
        Ok(all)
    })
}

fn write(mut ring: Ring, period: Period) -> io::Result<Latencies> {
    let mut bytes = vec![0; APPEND_BYTES];
    Chance::new(0).fill(&mut bytes);
    let mut latencies = Latencies::new();
    loop {
        let begun = Instant::now();
        ring.append(&bytes)?;
        ring.sync()?;
        let now = Instant::now();
        if period.counts(now) {
            latencies.record(now - begun);
        } else if period.is_over(now) {
            return Ok(latencies);
        }
    }
}
