//! The log by itself: one producer who appends batches of records, and a subscriber who reads them back; and what a node holds in memory
//! after many of them.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use lovebird::Event;
use lovebird_benchmark::{Goal, Spread, Table, duration, grouped, mebibytes};
use serde_json::json;
use tokio::task::JoinSet;

use crate::load::Value;
use crate::part::Part;
use crate::process::Usage;
use crate::scale::Scale;
use crate::service::{Put, Values};
use crate::system::{Outcome, System};
use crate::systems::{Lovebird, Settings};

/// Records of a batch.
const BATCH: u64 = 1_000;

/// How many batches the producer has under way.
const UNDER_WAY: usize = 8;

/// Records a second that the producer should reach, and each reader.
const APPEND_GOAL: f64 = 1_000_000.0;
const READ_GOAL: f64 = 2_000_000.0;

/// How many keys the state has.
const KEYS: u64 = 4_096;

type Client = lovebird::Client<Values>;

/// The record with this log index: a value of 100 bytes.
fn record(index: u64) -> Put {
    let key = (index % KEYS) as u32;
    Put { key, value: Value(index).bytes(key, 100) }
}

/// Appends records in batches, and gives how many a second were acknowledged. `client` has no session.
async fn append(client: &Client, first: u64, records: u64) -> Outcome<f64> {
    let batches: Vec<Arc<Vec<Put>>> = (first..first + records)
        .step_by(BATCH as usize)
        .map(|from| Arc::new((from..(from + BATCH).min(first + records)).map(record).collect()))
        .collect();
    let begun = Instant::now();
    let mut under_way: JoinSet<Outcome<()>> = JoinSet::new();
    for batch in batches {
        if under_way.len() >= UNDER_WAY
            && let Some(done) = under_way.join_next().await
        {
            done??;
        }
        let client = client.clone();
        under_way.spawn(async move {
            for outcome in client.propose_all(&batch).await? {
                outcome?;
            }
            Ok(())
        });
    }
    while let Some(done) = under_way.join_next().await {
        done??;
    }
    Ok(records as f64 / begun.elapsed().as_secs_f64())
}

/// Follows the log from its first record until there were `records`, checks each, and gives how many a second came.
async fn read_back(client: &Client, records: u64) -> Outcome<f64> {
    let begun = Instant::now();
    let mut subscription = client.subscribe(1);
    let mut seen = vec![false; usize::try_from(records)?];
    for index in 1..=records {
        let logged = match subscription.next().await? {
            Event::Record(logged) => logged,
            Event::State { index, .. } => {
                return Err(format!("the state as of {index} came in place of a record").into());
            }
        };
        if logged.index != index {
            return Err(format!("record {} came in place of {index}", logged.index).into());
        }
        // Batches may have changed places, records may not be lost.
        let place = usize::try_from(Value::read(logged.command.key, &logged.command.value)?.0 - 1)?;
        match seen.get_mut(place) {
            Some(seen) if !*seen => *seen = true,
            _ => return Err(format!("record {index} is none that was appended, or came twice").into()),
        }
    }
    Ok(records as f64 / begun.elapsed().as_secs_f64())
}

/// Appending, and reading back.
pub(crate) async fn measure(dir: &Path, scale: &Scale) -> Outcome<Part> {
    let settings = Settings { snapshots_by_hand: true, ..Settings::default() };
    let (mut appended, mut read) = (Vec::new(), Vec::new());
    for round in 0..scale.rounds {
        eprintln!("the log, round {}", round + 1);
        let dir = dir.join(round.to_string());
        let system = Lovebird::start(&dir, settings).await?;
        let client = system.client().await?.without_session();
        append(&client, 1, BATCH).await?;
        appended.push(append(&client, BATCH + 1, scale.log_records - BATCH).await?);
        read.push(read_back(&client, scale.log_records).await?);
        drop(system);
        std::fs::remove_dir_all(&dir)?;
    }
    let title = format!(
        "the log: records of 100 bytes, {} times {}",
        scale.rounds,
        grouped(scale.log_records as f64)
    );
    let mut table = Table::new(title, &["what", "records/s", "min to max"]);
    let mut goals = Vec::new();
    let what = [
        ("one producer, batches of 1,000", &appended, APPEND_GOAL, "log append, one producer"),
        ("one subscriber reads and decodes them", &read, READ_GOAL, "subscription, one reader"),
    ];
    for (what, rates, goal, figure) in what {
        let Spread { median, min, max } = Spread::of(rates);
        table.row([what.to_owned(), grouped(median), format!("{} to {}", grouped(min), grouped(max))]);
        goals.push(Goal {
            figure: figure.to_owned(),
            goal: format!("{} records/s", grouped(goal)),
            measured: format!("{} records/s", grouped(median)),
            met: median >= goal,
        });
    }
    table.note(format!(
        "The producer has {UNDER_WAY} batches under way, each one entry of the log, synced by two of three."
    ));
    let figures = json!({ "append": Spread::of(&appended).median, "read": Spread::of(&read).median });
    Ok(Part { name: "log", tables: vec![table], goals, figures })
}

/// What the nodes hold in memory after more and more commands on a state that does not grow.
pub(crate) async fn memory(dir: &Path, scale: &Scale) -> Outcome<Part> {
    let system = Lovebird::start(dir, Settings::default()).await?;
    let client = system.client().await?.without_session();
    let title =
        "memory of a node after so many commands, on 4,096 values of 100 bytes, snapshots as by default";
    let mut table = Table::new(title, &["commands", "largest node", "smallest node", "took"]);
    let (mut done, mut figures, mut largest) = (0, Vec::new(), 0);
    for &commands in &scale.memory_commands {
        eprintln!("memory, up to {} commands", grouped(commands as f64));
        let begun = Instant::now();
        while done < commands {
            // No more at once than the load itself holds with ease.
            let some = (commands - done).min(100 * BATCH);
            append(&client, done + 1, some).await?;
            done += some;
        }
        let took = begun.elapsed();
        // Followers are a moment behind.
        tokio::time::sleep(Duration::from_secs(1).min(scale.slice)).await;
        let mut resident = Vec::new();
        for process in system.processes() {
            resident.push(Usage::of(&[process])?.resident_bytes);
        }
        let (most, least) = (resident.iter().max().copied(), resident.iter().min().copied());
        largest = most.unwrap_or_default();
        table.row([
            grouped(commands as f64),
            mebibytes(largest as f64),
            mebibytes(least.unwrap_or_default() as f64),
            duration(took),
        ]);
        figures.push(json!({ "commands": commands, "largest_bytes": largest }));
    }
    let first: Bytes =
        client.query(1, lovebird::Read::Linearizable).await?.answer.ok_or("a value is lost")?;
    Value::read(1, &first)?;
    let goal = Goal {
        figure: format!("memory of a node after {} commands", grouped(done as f64)),
        goal: "bounded, and stated".to_owned(),
        measured: mebibytes(largest as f64),
        met: true,
    };
    Ok(Part { name: "memory", tables: vec![table], goals: vec![goal], figures: figures.into() })
}
