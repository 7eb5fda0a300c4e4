//! The command line.

use clap::{Parser, Subcommand};

use crate::limits::{EchoOptions, ProbeOptions};
use crate::systems::NodeOptions;

/// Measures a cluster of three nodes beside others, and prints Markdown.
#[derive(Clone, Debug, Parser)]
#[command(name = "cluster")]
pub(crate) struct Options {
    /// Tiny sizes: shows in seconds that everything runs and loses nothing.
    #[arg(long)]
    pub(crate) smoke: bool,

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
}
