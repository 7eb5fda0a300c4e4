//! The command line.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand, ValueEnum};
use lovebird_core::identity::GroupId;

const EXIT_CODES: &str = "Exit codes: 0 all is good; 1 the log ends in a write that was not acknowledged, or is under way; \
                          2 something is damaged or missing; 3 the directory could not be looked at.";

/// Looks at a node's data directory, and changes nothing in it.
///
/// It takes no lock and opens all files for reading only, so a node may be running.
#[derive(Debug, Parser)]
#[command(name = "lovebird-log", version, after_help = EXIT_CODES)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Lists the segments of the log and the snapshots.
    #[command(after_help = EXIT_CODES)]
    List(Where),
    /// Prints the records of the log, one a line, as far as the bytes verify.
    ///
    /// Records whose entries were cut off again are left out, unless operations are asked for; purged ones are printed as long
    /// as their segment is there.
    #[command(after_help = EXIT_CODES)]
    Dump(Dump),
    /// Reads everything and says whether a node would start from it, and what to do if not.
    #[command(after_help = EXIT_CODES)]
    Verify(Where),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Where {
    /// A node's data directory, or the directory of a log.
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Dump {
    #[command(flatten)]
    pub(crate) place: Where,
    /// Only what belongs to this group.
    #[arg(long, value_name = "GROUP")]
    pub(crate) group: Option<GroupId>,
    /// Only records from this log index on.
    #[arg(long, value_name = "INDEX")]
    from: Option<u64>,
    /// Only records up to this log index.
    #[arg(long, value_name = "INDEX")]
    to: Option<u64>,
    /// All operations in the order of the stream, each with its file and offset: also entries without records and those that
    /// were cut off again, votes, truncations, purges, commit points and checkpoints. A choice of log indexes concerns records
    /// alone.
    #[arg(long)]
    operations: bool,
    /// How payloads are shown.
    #[arg(long, value_enum, default_value_t = Payload::Hex)]
    pub(crate) payload: Payload,
}

/// How payloads are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Payload {
    /// Two hexadecimal digits a byte.
    Hex,
    /// As UTF-8, with what is none replaced and control characters escaped.
    Text,
    /// Not at all.
    None,
}

/// How answers are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    Json,
}

/// What of the stream is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// The records that were not cut off.
    Records,
    /// Everything.
    Operations,
}

impl Command {
    pub(crate) fn dir(&self) -> &Path {
        match self {
            Command::List(place) | Command::Verify(place) => &place.dir,
            Command::Dump(dump) => &dump.place.dir,
        }
    }
}

impl Where {
    pub(crate) fn format(&self) -> Format {
        if self.json { Format::Json } else { Format::Text }
    }
}

impl Dump {
    pub(crate) fn content(&self) -> Content {
        if self.operations { Content::Operations } else { Content::Records }
    }

    /// The log indexes that are asked for; none if all records are, also those that do not count.
    pub(crate) fn indexes(&self) -> Option<RangeInclusive<u64>> {
        let chosen = self.from.is_some() || self.to.is_some();
        chosen.then(|| self.from.unwrap_or(0)..=self.to.unwrap_or(u64::MAX))
    }
}
