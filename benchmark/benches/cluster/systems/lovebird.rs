//! Ours: three nodes as processes, and its own client.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use std::{fs, io};

use bytes::Bytes;
use lovebird::{NodeBuilder, Read, Role};
use tokio::io::AsyncReadExt;

use crate::process::{Process, free_ports};
use crate::service::{Put, Values};
use crate::system::{Client, Facts, Fresh, Outcome, Place, System};

/// How long forming a cluster may take.
const START_MAX: Duration = Duration::from_secs(20);

/// Three nodes.
#[derive(Debug)]
pub(crate) struct Lovebird {
    nodes: Vec<Process>,
    addresses: Vec<String>,
}

/// How a node is started.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct NodeOptions {
    #[arg(long)]
    id: u64,
    #[arg(long)]
    data: PathBuf,
    #[arg(long = "member")]
    members: Vec<String>,
    /// How much of the state is ballast, in MiB.
    #[arg(long, default_value_t = 0)]
    ballast_mib: usize,
    /// Snapshots are taken when they are asked for, and never else.
    #[arg(long)]
    snapshots_by_hand: bool,
}

/// What may differ between clusters.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Settings {
    /// How much of the state is ballast, in MiB.
    pub(crate) ballast_mib: usize,
    /// Whether snapshots are taken when they are asked for, and never else.
    pub(crate) snapshots_by_hand: bool,
}

impl Lovebird {
    /// Starts the nodes below `dir`, and waits until one leads.
    pub(crate) async fn start(dir: &Path, settings: Settings) -> Outcome<Lovebird> {
        fs::create_dir_all(dir)?;
        let addresses = free_ports::<3>()?.map(|port| format!("127.0.0.1:{port}")).to_vec();
        let mut nodes = Vec::new();
        for id in 1..=addresses.len() {
            let mut command = Command::new(std::env::current_exe()?);
            command.arg("node").arg("--id").arg(id.to_string());
            command.arg("--data").arg(dir.join(format!("lovebird-{id}")));
            command.arg("--ballast-mib").arg(settings.ballast_mib.to_string());
            if settings.snapshots_by_hand {
                command.arg("--snapshots-by-hand");
            }
            for address in &addresses {
                command.arg("--member").arg(address);
            }
            let log = dir.join(format!("lovebird-{id}.log"));
            nodes.push(Process::start(&format!("node {id}"), command, &log)?);
        }
        let mut started = Lovebird { nodes, addresses };
        let begun = Instant::now();
        while started.leader().await.is_none() {
            for node in &mut started.nodes {
                node.check()?;
            }
            if begun.elapsed() > START_MAX {
                return Err("no node of ours leads".into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(started)
    }

    /// The place of the node that leads, as it says itself.
    pub(crate) async fn leader(&self) -> Option<usize> {
        let statuses = lovebird::operate(self.addresses.clone()).statuses().await;
        statuses
            .iter()
            .position(|(_, status)| status.as_ref().is_ok_and(|status| status.role == Role::Leader))
    }

    /// A client with a connection of its own, to the node that leads.
    pub(crate) async fn client(&self) -> Outcome<lovebird::Client<Values>> {
        Ok(self.connect(Place::Leader).await?.0)
    }

    /// Where the nodes are reached.
    pub(crate) fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// Kills the node with this place.
    pub(crate) fn kill(&mut self, place: usize) -> Outcome<()> {
        self.nodes[place].kill()
    }
}

impl System for Lovebird {
    type Client = Handle;

    fn facts(&self) -> Facts {
        Facts { name: "lovebird".to_owned(), acknowledges: "synced by two of three" }
    }

    fn processes(&self) -> Vec<u32> {
        self.nodes.iter().map(Process::id).collect()
    }

    async fn connect(&self, place: Place) -> Outcome<Handle> {
        let leader = async { self.leader().await.ok_or_else(|| "no node of ours leads".into()) };
        let first = place.among(self.addresses.len(), leader).await?;
        // The others behind it, for when it dies.
        let mut addresses = self.addresses.clone();
        addresses.rotate_left(first);
        Ok(Handle(lovebird::connect(addresses).monotonic()))
    }
}

/// Our client.
#[derive(Clone, Debug)]
pub(crate) struct Handle(lovebird::Client<Values>);

impl Client for Handle {
    async fn write(&self, key: u32, value: Bytes) -> Outcome<()> {
        self.0.propose(Put { key, value }).await?;
        Ok(())
    }

    async fn read(&self, key: u32, fresh: Fresh) -> Outcome<Option<Bytes>> {
        let read = match fresh {
            Fresh::Linearizable => Read::Linearizable,
            Fresh::Lease => Read::Lease,
            Fresh::OwnWrites => Read::AtLeast(self.0.seen()),
        };
        Ok(self.0.query(key, read).await?.answer)
    }
}

/// What a node's process does, until its standard input ends.
pub(crate) async fn run(options: NodeOptions) -> Outcome<()> {
    let ballast = (0..options.ballast_mib).map(|piece| {
        let mut bytes = vec![0; 1 << 20];
        lovebird_benchmark::Chance::new(piece as u64).fill(&mut bytes);
        Bytes::from(bytes)
    });
    let own = usize::try_from(options.id - 1)?;
    let mut builder = NodeBuilder::new(Values::new(ballast.collect()))
        .cluster("benchmark")
        .id(options.id)
        .listen(options.members[own].clone())
        .data_dir(options.data);
    for (place, address) in options.members.iter().enumerate() {
        builder = builder.member(place as u64 + 1, address.clone());
    }
    if options.snapshots_by_hand {
        builder = builder.snapshot_every(u64::MAX, u64::MAX);
    }
    let node = builder.start().await?;
    tokio::select! {
        stopped = node.stopped() => Err(format!("the node stopped: {stopped}").into()),
        ended = until_input_ends() => Ok(ended?),
    }
}

/// Whoever started this process holds its standard input open.
pub(crate) async fn until_input_ends() -> io::Result<()> {
    let mut rest = Vec::new();
    tokio::io::stdin().read_to_end(&mut rest).await?;
    Ok(())
}
