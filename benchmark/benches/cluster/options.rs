//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use crate::limits::{EchoOptions, ProbeOptions};
use crate::scale::Scale;
use crate::system::is_named;
use crate::systems::NodeOptions;

/// What can be measured by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PartName {
    /// What the machine allows: disk, sockets, gRPC, consensus in memory.
    Limits,
    /// 100-byte writes by 1 to 4,096 callers who share one client.
    Writes,
    /// The same by clients with a connection each.
    Connections,
    /// Values of 16 and of 1,024 bytes.
    Payloads,
    /// Writes at a fixed pace, measured from when each should have begun.
    Paced,
    /// Reads of every freshness, at the leader and on all nodes, and mixed with writes.
    Reads,
    /// Batches of records to the log, and reading them back.
    Log,
    /// Writes while large snapshots are taken.
    Snapshots,
    /// The leader is killed under load.
    Failover,
    /// More than the cluster can take.
    Overload,
    /// Memory after many commands.
    Memory,
}

/// Measures a cluster of three nodes beside others and beside what the machine allows, and prints Markdown.
#[derive(Clone, Debug, Parser)]
#[command(name = "cluster")]
pub(crate) struct Options {
    /// Tiny sizes, and no systems of others: shows in seconds that everything runs and loses nothing.
    #[arg(long)]
    pub(crate) smoke: bool,

    /// Measures only these, separated by commas.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<PartName>,

    /// Measures only these systems, separated by commas, by the first word of their names.
    #[arg(long, value_delimiter = ',')]
    systems: Vec<String>,

    /// How many callers are there at once, separated by commas [default: 1,16,64,256,1024,4096].
    #[arg(long, value_delimiter = ',')]
    callers: Vec<usize>,

    /// In how many rounds everything is measured [default: 3, or 1 with --smoke].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,

    /// For how many seconds each is measured in a round [default: 2].
    #[arg(long)]
    seconds: Option<f64>,

    /// Writes all figures to this file, as JSON.
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,

    /// Draws the rates and latencies of writes into this file, as SVG.
    #[arg(long)]
    pub(crate) plot: Option<PathBuf>,

    /// Where the nodes keep their data, in a directory of its own [default: below the build's target directory].
    #[arg(long)]
    pub(crate) dir: Option<PathBuf>,

    /// Cargo says this to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,

    #[command(subcommand)]
    pub(crate) child: Option<Child>,
}

/// What this program is when it is started by itself.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Child {
    /// A node of ours.
    #[command(hide = true)]
    Node(NodeOptions),

    /// What only answers what it was sent.
    #[command(hide = true)]
    Echo(EchoOptions),

    /// A node of the probe.
    #[command(hide = true)]
    Probe(ProbeOptions),
}

impl Options {
    /// Reads the command line, or ends the process with what is wrong with it.
    pub(crate) fn read() -> Options {
        Options::parse()
    }

    pub(crate) fn wants(&self, part: PartName) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }

    /// Whether any part is wanted in which systems are measured beside each other.
    pub(crate) fn wants_beside(&self) -> bool {
        let beside = [
            PartName::Limits,
            PartName::Writes,
            PartName::Connections,
            PartName::Payloads,
            PartName::Paced,
            PartName::Reads,
        ];
        beside.into_iter().any(|part| self.wants(part))
    }

    pub(crate) fn wants_system(&self, name: &str) -> bool {
        self.systems.is_empty() || self.systems.iter().any(|wanted| is_named(name, wanted))
    }

    pub(crate) fn scale(&self) -> Scale {
        let mut scale = if self.smoke { Scale::smoke() } else { Scale::full() };
        if let Some(rounds) = self.rounds {
            scale.rounds = rounds as usize;
        }
        if let Some(seconds) = self.seconds {
            scale.slice = std::time::Duration::from_secs_f64(seconds);
        }
        if !self.callers.is_empty() {
            let all = [
                &mut scale.callers,
                &mut scale.connections,
                &mut scale.payload_callers,
                &mut scale.read_callers,
            ];
            for callers in all {
                callers.clone_from(&self.callers);
            }
        }
        scale
    }
}
