//! `kill -9` of a random node every second, for a minute, in both models, under clients that try again until they know.
//!
//! At the end the number of effects is the number of acknowledged commands; every answer is what the log says for its index; the
//! history is linearizable, as a checker finds that knows nothing of log indexes; and all replicas are equal. Fewer seconds, or more:
//! `LOVEBIRD_KILL_SECONDS`.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub, dead_code)]

mod harness;
#[path = "exactly_once/history.rs"]
mod history;
#[path = "../examples/arithmetic/primary.rs"]
mod primary;
#[path = "../examples/arithmetic/service.rs"]
mod service;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use harness::{Cluster, Http, until};
use history::{History, Op, What};
use lovebird::{Client, ClientOptions, Primary, ProposeError, Service};
use service::{Arithmetic, Command, Operator};

/// Few, so that clients meet on them.
const VARIABLES: [&str; 2] = ["x", "y"];

/// Clients over HTTP, each with a name of its own, one command at a time.
const KEYED: u64 = 5;

/// Commands that the client of the library has under way at once.
const PIPELINED: u64 = 8;

const REQUEST: Duration = Duration::from_secs(2);

/// What all clients share.
struct Shared {
    stop: AtomicBool,
    begin: Instant,
    /// The highest log index that anyone has been told of.
    told: AtomicU64,
}

impl Shared {
    fn now(&self) -> i64 {
        self.begin.elapsed().as_nanos() as i64
    }
}

/// A small generator, seeded by the client.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
        (self.0 >> 33) % sides
    }
}

/// Tries one node after the other until one gives a definite answer.
fn insist(nodes: &[Http], dice: &mut Dice, mut ask: impl FnMut(&Http) -> Option<(u64, i64)>) -> (u64, i64) {
    let begun = Instant::now();
    let mut at = dice.roll(nodes.len() as u64) as usize;
    loop {
        if let Some(answer) = ask(&nodes[at]) {
            return answer;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "no node has answered for a minute");
        at = (at + 1) % nodes.len();
        thread::sleep(Duration::from_millis(5));
    }
}

/// (index, value) of a 200; nothing where it is worth trying again.
fn definite(reply: Result<harness::Reply, harness::NoReply>) -> Option<(u64, i64)> {
    match reply {
        Ok(reply) if reply.status == 200 => Some(reply.ok()),
        Ok(reply) => {
            assert_eq!(reply.status, 503, "{reply:?}");
            None
        }
        Err(_) => None,
    }
}

fn keyed_client(number: u64, nodes: &[Http], shared: &Shared) -> Vec<Op> {
    let mut dice = Dice(number + 1);
    let (mut ops, mut sent, mut seen) = (Vec::new(), 0, 0);
    while !shared.stop.load(Ordering::SeqCst) {
        let variable = dice.roll(VARIABLES.len() as u64) as usize;
        let name = VARIABLES[variable];
        let told = shared.told.load(Ordering::SeqCst);
        let call = shared.now();
        let (what, (index, value)) = match dice.roll(8) {
            0 => {
                let read = format!("/variables/{name}?read=linearizable&timeout_ms=2000");
                (What::Linearizable, insist(nodes, &mut dice, |node| definite(node.get(&read))))
            }
            1 => {
                let read = format!("/variables/{name}?read=lease&timeout_ms=2000");
                (What::Linearizable, insist(nodes, &mut dice, |node| definite(node.get(&read))))
            }
            2 => {
                let read = format!("/variables/{name}?at-least={seen}&timeout_ms=2000");
                (What::AtLeast(seen), insist(nodes, &mut dice, |node| definite(node.get(&read))))
            }
            3 => {
                let read = format!("/variables/{name}?read=stale");
                (What::AtLeast(0), insist(nodes, &mut dice, |node| definite(node.get(&read))))
            }
            _ => {
                sent += 1;
                let (key, statement) = (format!("client-{number}/{sent}"), format!("{name}+=1"));
                let ask = |node: &Http| definite(node.keyed(&key, &statement, REQUEST));
                (What::Add, insist(nodes, &mut dice, ask))
            }
        };
        if what != What::AtLeast(0) {
            seen = seen.max(index);
        }
        shared.told.fetch_max(index, Ordering::SeqCst);
        ops.push(Op { client: number as u32, what, variable, index, value, told, call, back: shared.now() });
    }
    ops
}

/// A client of the library with many commands under way; each attempt goes on until its outcome is known.
async fn pipelined_client<S>(addresses: Vec<String>, shared: Arc<Shared>) -> Vec<Op>
where
    S: Service<Proposal = Command, Reply = Result<i64, String>>,
{
    let options = ClientOptions { timeout: REQUEST, ..ClientOptions::default() };
    let transport = lovebird_transport::GrpcTransport::new();
    let client = Client::<S>::over_with(&transport, addresses, options);
    let callers = (0..PIPELINED).map(|number| {
        let (client, shared) = (client.clone(), shared.clone());
        tokio::spawn(async move {
            let (mut dice, mut ops) = (Dice(1000 + number), Vec::new());
            while !shared.stop.load(Ordering::SeqCst) {
                let variable = dice.roll(VARIABLES.len() as u64) as usize;
                let told = shared.told.load(Ordering::SeqCst);
                let call = shared.now();
                let name = VARIABLES[variable].to_owned();
                let command = Command { name, operator: Operator::Add, operand: 1 };
                let mut attempt = client.attempt(command).unwrap();
                let committed = loop {
                    match attempt.outcome().await {
                        Err(ProposeError::Unknown { .. } | ProposeError::NotCommitted { .. }) => {}
                        outcome => break outcome.unwrap(),
                    }
                };
                let (index, value) = (committed.index, committed.reply.unwrap());
                shared.told.fetch_max(index, Ordering::SeqCst);
                let (client, what) = (1000 + number as u32, What::Add);
                ops.push(Op { client, what, variable, index, value, told, call, back: shared.now() });
            }
            ops
        })
    });
    let mut ops = Vec::new();
    for caller in callers.collect::<Vec<_>>() {
        ops.extend(caller.await.unwrap());
    }
    ops
}

/// The whole log, as node 1 tells it.
fn read_log(cluster: &Cluster, last: u64) -> Vec<String> {
    let mut texts = Vec::new();
    while (texts.len() as u64) < last {
        let path = format!("/log?from={}&limit=5000", texts.len() + 1);
        let reply = cluster.http(1).get(&path).unwrap();
        assert_eq!(reply.status, 200, "{reply:?}");
        for record in reply.body.as_array().unwrap() {
            assert_eq!(record["index"].as_u64().unwrap(), texts.len() as u64 + 1);
            texts.push(record["text"].as_str().unwrap().to_owned());
        }
    }
    texts
}

fn seconds() -> u64 {
    std::env::var("LOVEBIRD_KILL_SECONDS").ok().map_or(60, |text| text.parse().unwrap())
}

fn story<S>(mode: &str)
where
    S: Service<Proposal = Command, Reply = Result<i64, String>>,
{
    // Snapshots are taken and restored on the way; the log is kept, to be compared in the end.
    let flags =
        ["--mode", mode, "--snapshot-records", "2000", "--keep-records", "10000000", "--election-ms", "250"];
    let mut cluster = Cluster::start(3, &flags);
    let shared =
        Arc::new(Shared { stop: AtomicBool::new(false), begin: Instant::now(), told: AtomicU64::new(0) });
    let addresses: Vec<String> = cluster.nodes.iter().map(|node| node.raft.clone()).collect();
    let keyed: Vec<_> = (0..KEYED)
        .map(|number| {
            let nodes: Vec<Http> = cluster.ids().iter().map(|id| cluster.http(*id).clone()).collect();
            let shared = shared.clone();
            thread::spawn(move || keyed_client(number, &nodes, &shared))
        })
        .collect();
    let of_library = shared.clone();
    let pipelined = thread::spawn(move || {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(pipelined_client::<S>(addresses, of_library))
    });
    let mut dice = Dice(42);
    for second in 1..=seconds() {
        // Seconds on the clock, not a condition: this is what the story is about.
        let next = shared.begin + Duration::from_secs(second);
        thread::sleep(next.saturating_duration_since(Instant::now()));
        let id = dice.roll(3) + 1;
        cluster.node(id).kill();
        cluster.node(id).start();
    }
    until("a command is acknowledged after the last kill", || {
        let told = shared.told.load(Ordering::SeqCst);
        thread::sleep(Duration::from_millis(200));
        (shared.told.load(Ordering::SeqCst) > told).then_some(())
    });
    shared.stop.store(true, Ordering::SeqCst);
    let mut ops = pipelined.join().unwrap();
    for client in keyed {
        ops.extend(client.join().unwrap());
    }
    let variables: Vec<String> = VARIABLES.map(str::to_owned).to_vec();
    let (applied, values) = cluster.agree(&variables);
    let texts = read_log(&cluster, applied);
    judge(&ops, &texts, &values);
}

/// Holds what clients were told against the log, and against one another.
fn judge(ops: &[Op], texts: &[String], values: &[i64]) {
    let adds: Vec<&Op> = ops.iter().filter(|op| op.what == What::Add).collect();
    let indexes: BTreeSet<u64> = adds.iter().map(|op| op.index).collect();
    assert_eq!(indexes.len(), adds.len(), "two commands were told the same log index");
    assert_eq!(
        texts.len(),
        adds.len(),
        "the log holds as many commands as were acknowledged, no more and no fewer"
    );
    for (variable, value) in values.iter().enumerate() {
        let acknowledged = adds.iter().filter(|op| op.variable == variable).count();
        assert_eq!(
            *value, acknowledged as i64,
            "{} counts each acknowledged command once",
            VARIABLES[variable]
        );
    }
    let history = History::replay(texts, &VARIABLES);
    for op in ops {
        history.agrees_with(op);
    }
    history::is_linearizable(ops);
    let reads = ops.len() - adds.len();
    println!("measured: {} commands acknowledged, {reads} reads, all in their places", adds.len());
}

#[test]
fn in_the_state_machine_model() {
    story::<Arithmetic>("state-machine");
}

#[test]
fn in_the_primary_backup_model() {
    story::<Primary<Arithmetic>>("primary-backup");
}
