//! Consensus alone: three nodes in this process, with a log and a network that are memory, and commands that hold nothing.
//!
//! An entry holds one command here, where ours holds a batch of them: what it costs to agree on one entry is what shows.

mod log;
mod machine;
mod network;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use lovebird_benchmark::Latencies;
use openraft::alias::OneshotReceiverOf;
use openraft::impls::ProgressResponder;
use openraft::raft::ClientWriteResult;
use openraft::vote::leader_id_std::LeaderId;
use openraft::{Config, Raft, SnapshotPolicy};

use self::log::Log;
use self::machine::Machine;
use self::network::Network;
use super::link::START_MAX;
use super::period::Period;
use crate::system::Outcome;

openraft::declare_raft_types!(
    /// The least that consensus can run on.
    pub(super) Types:
        D = Nothing,
        R = (),
        NodeId = u64,
        Node = (),
        LeaderId = LeaderId<u64, u64>,
        AsyncRuntime = openraft_rt_tokio::TokioRuntime,
);

/// A command.
#[derive(Clone, Copy, Debug)]
pub(super) struct Nothing;

impl fmt::Display for Nothing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing")
    }
}

type Node = Raft<Types, Machine>;

/// The nodes, by their ids; the network finds them here when all are there.
type Nodes = Arc<OnceLock<Vec<Node>>>;

/// What came of it.
#[derive(Clone, Debug)]
pub(crate) struct Committed {
    /// Commands a second.
    pub(crate) rate: f64,
    /// From the proposal to the reply.
    pub(crate) latencies: Latencies,
}

/// Has a new cluster commit commands, with so many outstanding. It holds them all in memory until it ends.
pub(crate) async fn consensus(outstanding: usize, time: Duration) -> Outcome<Committed> {
    let nodes = start().await?;
    let leader = nodes.get().and_then(|nodes| nodes.first()).ok_or("there are no nodes")?.clone();
    let period = Period::of(time);
    // A task of its own: the thread that waits for the outcome is no worker of the runtime.
    let proposed = tokio::spawn(propose(leader, outstanding, period)).await?;
    for node in nodes.get().into_iter().flatten() {
        node.shutdown().await?;
    }
    let latencies = proposed?;
    Ok(Committed { rate: latencies.count() as f64 / time.as_secs_f64(), latencies })
}

/// Starts three nodes, of which the first leads.
async fn start() -> Outcome<Nodes> {
    let config = Config {
        heartbeat_interval: 100,
        election_timeout_min: 1_000,
        election_timeout_max: 2_000,
        snapshot_policy: SnapshotPolicy::Never,
        replication_lag_threshold: u64::MAX,
        max_payload_entries: 1_024,
        ..Config::default()
    };
    let config = Arc::new(config.validate()?);
    let nodes = Nodes::default();
    let mut started = Vec::new();
    for id in 0..3 {
        let network = Network(nodes.clone());
        started.push(Raft::new(id, config.clone(), network, Log::default(), Machine::default()).await?);
    }
    let first = started[0].clone();
    nodes.set(started).map_err(|_| "the nodes are there already")?;
    first.initialize(BTreeMap::from([(0, ()), (1, ()), (2, ())])).await?;
    let begun = Instant::now();
    // It is refused until a majority has answered the new leader.
    while let Err(error) = first.client_write(Nothing).await {
        if begun.elapsed() > START_MAX {
            return Err(error.into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(nodes)
}

/// Keeps so many commands under way from one task, as whoever batches proposals does.
async fn propose(leader: Node, outstanding: usize, period: Period) -> Outcome<Latencies> {
    type Waiting = OneshotReceiverOf<Types, ClientWriteResult<Types>>;
    let mut waiting: VecDeque<(Instant, Waiting)> = VecDeque::with_capacity(outstanding);
    let mut latencies = Latencies::new();
    loop {
        while waiting.len() < outstanding {
            let (responder, written) = ProgressResponder::complete_only();
            let begun = Instant::now();
            leader.client_write_ff(Nothing, Some(responder)).await?;
            waiting.push_back((begun, written));
        }
        let Some((_, oldest)) = waiting.front_mut() else { return Err("nothing is outstanding".into()) };
        let mut written = Some(oldest.await);
        // They come in order, and many at once.
        let now = Instant::now();
        while let Some(result) = written.take() {
            result??;
            if let Some((begun, _)) = waiting.pop_front()
                && period.counts(now)
            {
                latencies.record(now - begun);
            }
            written = waiting.front_mut().and_then(|(_, next)| next.now_or_never());
        }
        if period.is_over(now) {
            return Ok(latencies);
        }
    }
}
