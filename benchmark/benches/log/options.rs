//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::scale::Scale;
use crate::stores::StoreKind;

/// What can be measured by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PartName {
    /// Batches of 1 to 4096 entries, each synced.
    Append,
    /// A million entries: the time to open and to replay, and the memory it takes.
    Open,
    /// 64 entries at a random place.
    Read,
    /// Appending while a snapshot is written.
    Snapshot,
}

/// Measures Lovebird's log beside raft-log, fjall and redb, and prints Markdown.
#[derive(Clone, Debug, Parser)]
#[command(name = "log")]
pub(crate) struct Options {
    /// Tiny sizes: shows in seconds that everything runs and loses nothing.
    #[arg(long)]
    pub(crate) smoke: bool,

    /// Measures only these, separated by commas.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<PartName>,

    /// In how many rounds appending is measured [default: 7, or 2 with --smoke].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,

    /// Writes all figures to this file, as JSON.
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,

    /// Where the stores are kept meanwhile, in a directory of their own [default: below the build's target directory].
    #[arg(long)]
    pub(crate) dir: Option<PathBuf>,

    /// Cargo says this to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,

    /// In a process of its own: opens this store in `--dir` and measures it.
    #[arg(long, hide = true, value_enum)]
    pub(crate) child: Option<StoreKind>,
}

impl Options {
    /// Reads the command line, or ends the process with what is wrong with it.
    pub(crate) fn read() -> Options {
        Options::parse()
    }

    pub(crate) fn wants(&self, part: PartName) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }

    pub(crate) fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.smoke { 2 } else { 7 }) as usize
    }

    pub(crate) fn scale(&self) -> Scale {
        if self.smoke { Scale::SMOKE } else { Scale::FULL }
    }
}
