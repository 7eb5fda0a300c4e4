//! A closed loop: so many callers, each of whom waits for its answer and calls again.

use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lovebird_benchmark::Latencies;

use super::caller::{Caller, Mix, Value};
use crate::process::{Usage, device_written_bytes};
use crate::system::{Client, Outcome};

/// Callers share so many histograms, so that they seldom wait for one another.
const HISTOGRAMS: usize = 4;

const WARMING_UP: u8 = 0;
const COUNTING: u8 = 1;
const OVER: u8 = 2;

/// What is done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Closed {
    pub(crate) callers: usize,
    pub(crate) mix: Mix,
    /// Not counted: connections open, leaders are found, code and caches are warm.
    pub(crate) warm_up: Duration,
    pub(crate) time: Duration,
}

/// What came of it.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    /// Calls a second.
    pub(crate) rate: f64,
    pub(crate) latencies: Latencies,
    /// Of the nodes, meanwhile.
    pub(crate) nodes: Usage,
    /// Of this process, which makes the load.
    pub(crate) client: Usage,
    /// Written meanwhile to the device that the nodes write to, by whomever.
    pub(crate) written_bytes: Option<u64>,
}

impl Measured {
    /// What one call used of something that all used.
    pub(crate) fn a_call(&self, used: f64) -> f64 {
        used / (self.latencies.count().max(1) as f64)
    }
}

/// Runs a closed loop over `clients`, which the callers share evenly. `acknowledged` has, by key, the last write that was
/// acknowledged so far, and is brought up to date.
pub(crate) async fn closed<C: Client>(
    clients: &[C],
    processes: &[u32],
    dir: &Path,
    load: Closed,
    acknowledged: &mut Vec<Value>,
) -> Outcome<Measured> {
    let phase = Arc::new(AtomicU8::new(WARMING_UP));
    let latencies: Arc<[Mutex<Latencies>; HISTOGRAMS]> = Arc::default();
    acknowledged.resize(acknowledged.len().max(load.callers), Value(0));
    let mut calling = Vec::with_capacity(load.callers);
    for number in 0..load.callers {
        let client = clients[number % clients.len()].clone();
        let caller = Caller::new(client, number as u32, load.mix, acknowledged[number]);
        calling.push(tokio::spawn(call(caller, phase.clone(), latencies.clone(), number % HISTOGRAMS)));
    }
    tokio::time::sleep(load.warm_up).await;
    let own = [std::process::id()];
    let (nodes, client) = (Usage::of(processes)?, Usage::of(&own)?);
    let before = device_written_bytes(dir);
    let begun = Instant::now();
    phase.store(COUNTING, Ordering::Relaxed);
    tokio::time::sleep(load.time).await;
    phase.store(OVER, Ordering::Relaxed);
    let took = begun.elapsed();
    let written_bytes =
        device_written_bytes(dir).zip(before).map(|(after, before)| after.saturating_sub(before));
    let (nodes, client) = (Usage::of(processes)?.since(&nodes), Usage::of(&own)?.since(&client));
    let mut callers = Vec::with_capacity(load.callers);
    for caller in calling {
        callers.push(caller.await??);
    }
    let checks: Vec<_> = callers.into_iter().map(|caller| tokio::spawn(caller.check())).collect();
    for (key, check) in checks.into_iter().enumerate() {
        acknowledged[key] = check.await??;
    }
    let mut all = Latencies::new();
    for some in &*latencies {
        all.add(&some.lock().unwrap_or_else(PoisonError::into_inner));
    }
    let rate = all.count() as f64 / took.as_secs_f64();
    Ok(Measured { rate, latencies: all, nodes, client, written_bytes })
}

/// Calls until the time is over.
async fn call<C: Client>(
    mut caller: Caller<C>,
    phase: Arc<AtomicU8>,
    latencies: Arc<[Mutex<Latencies>; HISTOGRAMS]>,
    histogram: usize,
) -> Outcome<Caller<C>> {
    loop {
        let begun = Instant::now();
        caller.call().await?;
        let took = begun.elapsed();
        match phase.load(Ordering::Relaxed) {
            COUNTING => {
                latencies[histogram].lock().unwrap_or_else(PoisonError::into_inner).record(took);
            }
            OVER => return Ok(caller),
            _ => {}
        }
    }
}
