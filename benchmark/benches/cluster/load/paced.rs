//! An open loop: calls begin at a fixed pace, whether or not earlier ones are answered.
//!
//! Latency counts from the moment at which a call should have begun, so that a stall is felt by all calls that should have begun in it
//! (Tene, "How NOT to measure latency"). Calls come in bursts, each whole millisecond, since timers are no finer.

use std::time::{Duration, Instant};

use lovebird_benchmark::Latencies;

use super::caller::{Caller, Mix, Value};
use crate::system::{Client, Outcome};

/// How many calls may be under way; what should begin beyond that waits, and its latency counts.
const LANES: u64 = 4_096;

/// What is done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paced {
    /// Calls a second.
    pub(crate) rate: f64,
    pub(crate) mix: Mix,
    pub(crate) warm_up: Duration,
    pub(crate) time: Duration,
}

/// Runs an open loop over `client`, and checks that nothing is lost. `acknowledged` is as for a closed loop.
pub(crate) async fn paced<C: Client>(
    client: &C,
    load: Paced,
    acknowledged: &mut Vec<Value>,
) -> Outcome<Latencies> {
    acknowledged.resize(acknowledged.len().max(LANES as usize), Value(0));
    let begins = Instant::now() + Duration::from_millis(20);
    let mut lanes = Vec::with_capacity(LANES as usize);
    for lane in 0..LANES {
        let caller = Caller::new(client.clone(), lane as u32, load.mix, acknowledged[lane as usize]);
        lanes.push(tokio::spawn(call(caller, lane, begins, load)));
    }
    let mut all = Latencies::new();
    for (key, lane) in lanes.into_iter().enumerate() {
        let (caller, took) = lane.await??;
        took.into_iter().for_each(|took| all.record(took));
        acknowledged[key] = caller.check().await?;
    }
    Ok(all)
}

/// Makes every so many-th call, and gives how long those took that count.
async fn call<C: Client>(
    mut caller: Caller<C>,
    lane: u64,
    begins: Instant,
    load: Paced,
) -> Outcome<(Caller<C>, Vec<Duration>)> {
    let mut took = Vec::new();
    for turn in 0.. {
        let seconds = (turn * LANES + lane) as f64 / load.rate;
        let should = Duration::from_millis((seconds * 1e3) as u64);
        if should >= load.warm_up + load.time {
            break;
        }
        tokio::time::sleep_until((begins + should).into()).await;
        caller.call().await?;
        if should >= load.warm_up {
            took.push(begins.elapsed().saturating_sub(should));
        }
    }
    Ok((caller, took))
}
