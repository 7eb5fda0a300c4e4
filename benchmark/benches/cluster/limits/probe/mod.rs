//! Our shape without consensus: what is left to be had if agreeing cost nothing.
//!
//! A leader and two followers that were named so from the start, each a process, with nothing for the case that one fails. What a
//! command goes through is what it goes through in ours:
//!
//! 1. Callers share a [`Handle`], which gathers their commands into one message on one stream ([`client`]).
//! 2. The leader's log thread gathers the messages that wait into a batch: one contiguous buffer with one CRC-32C. It sends
//!    the batch to both followers, writes it and syncs it ([`leader`]).
//! 3. The followers check it, write and sync the same bytes, and answer how far they are ([`follower`]).
//! 4. What two of three have synced is put into the leader's memory, and many replies go back in one message.
//!
//! Nobody waits for a timer. Whoever sends yields once, and takes what there is by then.

mod wire;
mod client;
mod leader;
mod follower;

use std::path::{Path, PathBuf};
use std::process::Command;

use tokio::sync::mpsc;

pub(crate) use self::client::Handle;
use super::link;
use super::ring::Ring;
use crate::process::{Process, free_ports};
use crate::system::{Facts, Outcome, Place, System};
use crate::systems::until_input_ends;

/// As long as one of our log's segments.
const FILE_BYTES: u64 = 64 << 20;

/// What ends a node: any of its threads and tasks may fail, and none is there to take over.
type Failures = mpsc::UnboundedSender<String>;

/// Three nodes, the leader first.
#[derive(Debug)]
pub(crate) struct Probe {
    nodes: Vec<Process>,
    leader: u16,
}

/// How a node is started.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ProbeOptions {
    #[arg(long)]
    port: u16,
    /// The log, which is created.
    #[arg(long)]
    file: PathBuf,
    /// The ports of the followers of the one that leads.
    #[arg(long = "follower")]
    followers: Vec<u16>,
}

impl Probe {
    /// Starts the nodes with their files below `dir`, and waits until the leader serves.
    pub(crate) async fn start(dir: &Path) -> Outcome<Probe> {
        let [leader, followers @ ..] = free_ports::<3>()?;
        let mut nodes = Vec::new();
        for port in [leader].iter().chain(&followers) {
            let name = format!("probe-{}", nodes.len());
            let mut command = Command::new(std::env::current_exe()?);
            command.arg("probe").arg("--port").arg(port.to_string());
            command.arg("--file").arg(dir.join(&name));
            for follower in followers.iter().filter(|_| *port == leader) {
                command.arg("--follower").arg(follower.to_string());
            }
            nodes.push(Process::start(&name, command, &dir.join(format!("{name}.log")))?);
        }
        let mut probe = Probe { nodes, leader };
        let connected = link::connect(leader).await;
        for node in &mut probe.nodes {
            node.check()?;
        }
        connected.map(|_| probe)
    }
}

impl System for Probe {
    type Client = Handle;

    fn facts(&self) -> Facts {
        Facts { name: "probe".to_owned(), acknowledges: "synced by two of three, no consensus" }
    }

    fn processes(&self) -> Vec<u32> {
        self.nodes.iter().map(Process::id).collect()
    }

    /// Always to the leader: nobody else has the values.
    async fn connect(&self, _: Place) -> Outcome<Handle> {
        Handle::connect(self.leader).await
    }
}

/// What a node's process does, until its standard input ends.
pub(crate) async fn run(options: ProbeOptions) -> Outcome<()> {
    let ring = Ring::create(&options.file, FILE_BYTES)?;
    let (failures, mut failed) = mpsc::unbounded_channel();
    let serve = async {
        if options.followers.is_empty() {
            follower::follow(options.port, ring, failures).await
        } else {
            leader::lead(options.port, ring, &options.followers, failures).await
        }
    };
    tokio::select! {
        served = serve => served,
        Some(failure) = failed.recv() => Err(failure.into()),
        ended = until_input_ends() => Ok(ended?),
    }
}
