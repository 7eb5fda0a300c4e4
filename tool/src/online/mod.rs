//! What a running cluster is asked.

mod status;
mod members;
mod change;
mod transfer;
mod snapshot;
mod export;
mod file;

use clap::CommandFactory;
use clap::error::ErrorKind;
use lovebird::{Operator, OperatorError, Status};
use lovebird_transport::GrpcTransport;
use tokio::runtime::Builder;

use crate::args::{Args, Online, Reach};
use crate::failure::Failure;
use crate::output::{Answer, Output};

/// The cluster of the nodes that were named.
pub(crate) struct Cluster {
    transport: GrpcTransport,
    operator: Operator,
    nodes: Vec<String>,
}

impl Cluster {
    /// What the leader says.
    async fn leader(&self) -> Result<Status, OperatorError> {
        self.operator.leader(&self.transport).await
    }

    /// Each node by itself, for what one of them is to do.
    fn each(&self) -> impl Iterator<Item = (&String, Operator)> {
        self.nodes.iter().map(|node| (node, Operator::over(&self.transport, [node.clone()])))
    }

    /// The command line that shows something of this cluster.
    fn line(&self, command: &str) -> String {
        line(command, &self.nodes)
    }

    fn failure(&self, task: impl Into<String>, error: OperatorError, command: &str) -> Failure {
        Failure::Cluster { task: task.into(), error, look: self.line(command) }
    }
}

/// The command line that asks `nodes`.
fn line(command: &str, nodes: &[String]) -> String {
    let nodes: String = nodes.iter().map(|node| format!(" --node {node}")).collect();
    format!("lovebird {command}{nodes}")
}

/// Asks, and prints the answer.
pub(crate) fn run(reach: &Reach, command: Online, mut output: Output) -> Result<(), Failure> {
    if reach.nodes.is_empty() {
        let missing = "no node is named that could be asked: name one or more with --node HOST:PORT";
        Args::command().error(ErrorKind::MissingRequiredArgument, missing).exit();
    }
    // One thread is enough for one operator; files are written on it as well.
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|error| Failure::File(format!("the runtime cannot be started: {error}")))?;
    runtime.block_on(async {
        let transport = GrpcTransport::new();
        let operator =
            Operator::over(&transport, reach.nodes.iter().cloned()).with_patience(reach.patience());
        let cluster = Cluster { transport, operator, nodes: reach.nodes.clone() };
        let answer = ask(&cluster, command, &mut output).await?;
        output.answer(&answer)
    })
}

async fn ask(cluster: &Cluster, command: Online, output: &mut Output) -> Result<Answer, Failure> {
    match command {
        Online::Status => status::run(cluster, output).await,
        Online::Members => members::run(cluster).await,
        Online::Transfer { node } => transfer::run(cluster, node).await,
        Online::Snapshot => snapshot::run(cluster).await,
        Online::Export { file, force } => {
            let existing = if force { file::Existing::Replace } else { file::Existing::Refuse };
            export::run(cluster, &file, existing, output).await
        }
        change => {
            let (change, expected) = change::asked(change);
            change::run(cluster, change, expected, output).await
        }
    }
}
