//! The leader is killed under load: how long until writes flow again.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lovebird::Options;
use lovebird_benchmark::{Goal, Spread, Table, duration};
use serde_json::json;

use crate::load::Value;
use crate::part::Part;
use crate::scale::Scale;
use crate::system::{Client, Fresh, Outcome, Place, System};
use crate::systems::{Lovebird, Settings};

/// How many election timeouts writes may stand still.
const GOAL: u32 = 2;

/// How many callers write.
const CALLERS: u32 = 64;

/// What one kill came to.
struct Killed {
    /// From the kill to the first write after it that was also begun after it.
    flows_again: Duration,
    /// The longest time between two acknowledged writes.
    worst_gap: Duration,
    /// How many writes were told that their outcome is unknown, or that they failed.
    failed: u64,
}

/// Kills the leader of a new cluster, as often as there are trials.
pub(crate) async fn measure(dir: &Path, scale: &Scale) -> Outcome<Part> {
    let mut trials = Vec::new();
    for trial in 1..=scale.kills {
        eprintln!("the leader is killed, trial {trial}");
        trials.push(kill(&dir.join(trial.to_string()), scale).await?);
    }
    let election = Options::default().election;
    let mut table = Table::new(
        format!("the leader is killed under the writes of {CALLERS} callers, {} times", trials.len()),
        &["what", "median", "min", "max"],
    );
    let spread = |of: fn(&Killed) -> Duration| {
        Spread::of(&trials.iter().map(|trial| of(trial).as_secs_f64()).collect::<Vec<_>>())
    };
    let (flows, gap) = (spread(|trial| trial.flows_again), spread(|trial| trial.worst_gap));
    for (what, Spread { median, min, max }) in
        [("until a new write is acknowledged", flows), ("worst gap", gap)]
    {
        let cell = |seconds| duration(Duration::from_secs_f64(seconds));
        table.row([what.to_owned(), cell(median), cell(min), cell(max)]);
    }
    let failed: u64 = trials.iter().map(|trial| trial.failed).sum();
    table.note(format!(
        "{failed} writes failed. The election timeout is {}; what a client sends is sent again by itself.",
        duration(election)
    ));
    let limit = election * GOAL;
    let goal = Goal {
        figure: "leader killed, until writes flow again".to_owned(),
        goal: format!("within {GOAL} election timeouts, {}", duration(limit)),
        measured: format!(
            "{} (median), {} (worst)",
            duration(Duration::from_secs_f64(flows.median)),
            duration(Duration::from_secs_f64(flows.max))
        ),
        met: flows.max <= limit.as_secs_f64(),
    };
    let figures = json!({
        "flows_again_s": { "median": flows.median, "min": flows.min, "max": flows.max },
        "worst_gap_s": { "median": gap.median, "min": gap.min, "max": gap.max },
        "failed": failed,
    });
    Ok(Part { name: "failover", tables: vec![table], goals: vec![goal], figures })
}

/// When writes were acknowledged.
struct Seen {
    begun: Instant,
    /// The last one, and the longest time between two.
    last_and_gap: Mutex<(Duration, Duration)>,
    /// When the first was acknowledged that was begun behind `from`, in nanoseconds since `begun`; `u64::MAX` before.
    first_behind: AtomicU64,
    from: AtomicU64,
    over: AtomicBool,
    failed: AtomicU64,
}

impl Seen {
    fn acknowledged(&self, sent: Duration) {
        let now = self.begun.elapsed();
        let mut seen = self.last_and_gap.lock().unwrap_or_else(PoisonError::into_inner);
        seen.1 = seen.1.max(now - seen.0);
        seen.0 = now;
        if sent.as_nanos() as u64 >= self.from.load(Ordering::SeqCst) {
            self.first_behind.fetch_min(now.as_nanos() as u64, Ordering::SeqCst);
        }
    }
}

async fn kill(dir: &Path, scale: &Scale) -> Outcome<Killed> {
    let mut system = Lovebird::start(dir, Settings::default()).await?;
    let client = system.connect(Place::Leader).await?;
    let seen = Arc::new(Seen {
        begun: Instant::now(),
        last_and_gap: Mutex::default(),
        first_behind: AtomicU64::new(u64::MAX),
        from: AtomicU64::new(u64::MAX),
        over: AtomicBool::new(false),
        failed: AtomicU64::new(0),
    });
    let callers: Vec<_> =
        (0..CALLERS).map(|key| tokio::spawn(write(client.clone(), key, seen.clone()))).collect();
    tokio::time::sleep(scale.slice).await;
    let leader = system.leader().await.ok_or("no node of ours leads")?;
    // What was before, such as opening connections, does not count.
    seen.last_and_gap.lock().unwrap_or_else(PoisonError::into_inner).1 = Duration::ZERO;
    system.kill(leader)?;
    let killed = seen.begun.elapsed();
    seen.from.store(killed.as_nanos() as u64, Ordering::SeqCst);
    tokio::time::sleep(scale.slice + Duration::from_secs(3)).await;
    seen.over.store(true, Ordering::SeqCst);
    for caller in callers {
        let (key, last) = caller.await??;
        let found = client.read(key, Fresh::Linearizable).await?.ok_or("a value is lost")?;
        if Value::read(key, &found)?.0 < last {
            return Err(format!("write {last} of key {key} was acknowledged and is lost").into());
        }
    }
    let first = seen.first_behind.load(Ordering::SeqCst);
    if first == u64::MAX {
        return Err("writes did not flow again after the leader was killed".into());
    }
    Ok(Killed {
        flows_again: Duration::from_nanos(first) - killed,
        worst_gap: seen.last_and_gap.lock().unwrap_or_else(PoisonError::into_inner).1,
        failed: seen.failed.load(Ordering::SeqCst),
    })
}

/// Writes until it is over. Gives its key, and the last write that was acknowledged.
async fn write<C: Client>(client: C, key: u32, seen: Arc<Seen>) -> Outcome<(u32, u64)> {
    let (mut last, mut next) = (0, 0);
    while !seen.over.load(Ordering::SeqCst) {
        next += 1;
        let sent = seen.begun.elapsed();
        match client.write(key, Value(next).bytes(key, 100)).await {
            Ok(()) => {
                last = next;
                seen.acknowledged(sent);
            }
            Err(_) => {
                seen.failed.fetch_add(1, Ordering::SeqCst);
            }
        }
    }
    Ok((key, last))
}
