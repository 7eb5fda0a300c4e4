//! The command line.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use lovebird::{MembershipVersion, NodeId};

use crate::output::Format;

const EXIT_CODES: &str = "Exit codes: 0 it is done; 1 it is not, and the reason is on the standard error; 2 the command line is wrong.";

/// Looks at a running Lovebird cluster, and changes its members.
///
/// It is told the addresses of some nodes, any of them, and finds the leader by itself. Every command may be given again: what is done
/// already is not done twice.
#[derive(Debug, Parser)]
#[command(name = "lovebird", version, after_help = EXIT_CODES)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) reach: Reach,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Who is asked, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct Reach {
    /// Where a node listens to its peers, HOST:PORT; may be given several times, and if one does not answer the next is asked.
    #[arg(long = "node", value_name = "ADDRESS", global = true, value_parser = address)]
    pub(crate) nodes: Vec<String>,
    /// Print JSON, an object a line. A line with `progress` says that it goes on.
    #[arg(long, global = true)]
    json: bool,
    /// For how long what may help to ask again is asked again.
    #[arg(long, value_name = "SECONDS", global = true, default_value_t = 30)]
    patience: u32,
}

impl Reach {
    pub(crate) fn format(&self) -> Format {
        if self.json { Format::Json } else { Format::Text }
    }

    pub(crate) fn patience(&self) -> Duration {
        Duration::from_secs(self.patience.into())
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Online(Online),
    #[command(flatten)]
    Offline(Offline),
}

/// What is done to the directory of a node that does not run.
#[derive(Debug, Subcommand)]
pub(crate) enum Offline {
    /// Goes on from the disks that are left when the majority is lost for good. Every node must be stopped.
    ///
    /// It shows what each disk has and what may be lost, and asks before it does anything. The node of the best one is then a cluster by
    /// itself, with a new id, so that the lost ones cannot come back into it.
    Rescue {
        /// The data directory of a survivor; give all there are.
        #[arg(long, value_name = "DIR", required = true)]
        data: Vec<PathBuf>,
        /// Only look.
        #[arg(long, conflicts_with = "confirm")]
        look: bool,
        /// The name of the cluster, to go on without being asked.
        #[arg(long, value_name = "NAME")]
        confirm: Option<String>,
    },
    /// Makes the data directory of a new cluster of one node from a file that `export` wrote.
    Import {
        /// The file.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The directory, which must not be there or be empty.
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
        /// The new cluster's name.
        #[arg(long, value_name = "NAME")]
        cluster: String,
        /// The node's id.
        #[arg(long, value_name = "ID")]
        id: NodeId,
        /// Where it will listen to its peers.
        #[arg(long, value_name = "ADDRESS", value_parser = address)]
        address: String,
        /// In which model the service runs, which is that of the cluster that was exported.
        #[arg(long, value_enum, default_value_t = ServiceModel::StateMachine)]
        model: ServiceModel,
    },
}

/// What a log holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ServiceModel {
    /// What clients ask for.
    StateMachine,
    /// What a primary made of it.
    PrimaryBackup,
}

/// What a running cluster is asked.
#[derive(Debug, Subcommand)]
pub(crate) enum Online {
    /// Shows what each of the given nodes says of itself, and what the leader says.
    Status,
    /// Lists the members, as their leader sees them: who votes, and how far each has come.
    Members,
    /// Makes a node that runs and waits (its --join) a member; it votes once it holds the log.
    Add {
        /// The node and where the others reach it.
        #[arg(value_name = "ID=ADDRESS")]
        place: Place,
        /// It stays a learner: it receives the log and answers reads, and has no vote.
        #[arg(long)]
        learner: bool,
        #[command(flatten)]
        expect: Expect,
    },
    /// Lets a learner vote, once it holds the log.
    Promote {
        /// The learner.
        #[arg(value_name = "ID")]
        node: NodeId,
        #[command(flatten)]
        expect: Expect,
    },
    /// Takes a node out of the cluster, whether it runs or not; if it leads it hands over first.
    Remove {
        /// The member.
        #[arg(value_name = "ID")]
        node: NodeId,
        #[command(flatten)]
        expect: Expect,
    },
    /// Puts one node in the place of another, in one step; both may be the same, with a new disk.
    Replace {
        /// The member that goes.
        #[arg(value_name = "OLD")]
        old: NodeId,
        /// The node that comes, and where the others reach it.
        #[arg(value_name = "ID=ADDRESS")]
        place: Place,
        #[command(flatten)]
        expect: Expect,
    },
    /// Tells the members that one of them is elsewhere from now on.
    Move {
        /// The member and where the others reach it.
        #[arg(value_name = "ID=ADDRESS")]
        place: Place,
        #[command(flatten)]
        expect: Expect,
    },
    /// Lets these members vote and no others, in one step; the other voters are no members any more.
    Voters {
        /// The members, with commas between them.
        #[arg(value_name = "ID,ID,…", value_delimiter = ',', required = true)]
        voters: Vec<NodeId>,
        #[command(flatten)]
        expect: Expect,
    },
    /// Has the leader hand over, without an error at any client.
    Transfer {
        /// Who shall lead; without it whoever is best.
        #[arg(value_name = "ID")]
        node: Option<NodeId>,
    },
    /// Has the first node that answers take a snapshot now.
    Snapshot,
    /// Writes the state of the first node that answers to a file: a snapshot, which it takes now.
    Export {
        /// The file. It has this name when it is whole and on disk, and is FILE.partial before.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Replace FILE if it is there.
        #[arg(long)]
        force: bool,
    },
}

/// On what a change is based.
#[derive(Debug, clap::Args)]
pub(crate) struct Expect {
    /// Do it only if this is the membership, as `lovebird members` shows it: nobody has changed anything since.
    #[arg(long = "expect", value_name = "VERSION")]
    pub(crate) version: Option<MembershipVersion>,
}

/// A node and its address: `4=127.0.0.1:7004`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) node: NodeId,
    pub(crate) address: String,
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Place, String> {
        let (id, at) = text
            .split_once('=')
            .ok_or("a node and its address are ID=HOST:PORT, such as 4=127.0.0.1:7004")?;
        let node = id.parse().map_err(|_| format!("a node's id is a number, and {id:?} is none"))?;
        Ok(Place { node, address: address(at)? })
    }
}

fn address(text: &str) -> Result<String, String> {
    match text.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => Ok(text.to_owned()),
        _ => Err(format!("an address is HOST:PORT, such as 127.0.0.1:7001, and {text:?} is none")),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_place_is_a_node_and_an_address() {
        let place = |node, address: &str| Ok(Place { node, address: address.to_owned() });
        assert_eq!("4=127.0.0.1:7004".parse(), place(4, "127.0.0.1:7004"));
        assert_eq!("5=node-5.example:7001".parse(), place(5, "node-5.example:7001"));
        assert_eq!("6=[::1]:7001".parse(), place(6, "[::1]:7001"));
        for text in ["", "4", "127.0.0.1:7004", "x=127.0.0.1:7004", "4=", "4=host", "4=:7001", "4=host:70000"]
        {
            assert!(text.parse::<Place>().is_err(), "{text:?} was read as a node and its address");
        }
    }

    #[test]
    fn options_may_stand_before_and_behind_the_command() {
        for line in ["lovebird --node a:1 --json members", "lovebird members --json --node a:1"] {
            let args = Args::try_parse_from(line.split(' ')).unwrap();
            assert_eq!((args.reach.nodes.as_slice(), args.reach.json), (["a:1".to_owned()].as_slice(), true));
        }
    }

    /// clap takes global options out of a command that has an argument of the same name in the code.
    #[test]
    fn every_command_takes_the_options_of_all() {
        let commands = [
            "status",
            "members",
            "add 4=d:4 --learner --expect 3.17",
            "promote 4 --expect 3.17",
            "remove 4 --expect 3.17",
            "replace 2 4=d:4 --expect 3.17",
            "move 4=d:4 --expect 3.17",
            "voters 1,2,3 --expect 3.17",
            "transfer",
            "transfer 2",
            "snapshot",
            "export file --force",
        ];
        for command in commands {
            let line = format!("lovebird {command} --node a:1 --node b:1 --json --patience 5");
            let args =
                Args::try_parse_from(line.split(' ')).unwrap_or_else(|error| panic!("{line}: {error}"));
            assert_eq!(args.reach.nodes, ["a:1", "b:1"], "{line}");
            assert_eq!(args.reach.patience(), Duration::from_secs(5), "{line}");
        }
    }
}
