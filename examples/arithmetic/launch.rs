//! The whole cluster on one machine: three nodes as three processes, each this same program again.
//!
//! The launcher holds a pipe to each node's standard input and never writes to it. Closing it asks the node to end; and if
//! the launcher is killed the kernel closes it, so no node is left behind.

use std::error::Error;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use clap::Args;
use lovebird::Read;
use tokio::process::{ChildStdin, Command};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};

use crate::node::{Mode, asked_to_end};
use crate::service::Arithmetic;

/// Three is the least that survives the loss of one.
const NODES: u16 = 3;

/// How long a node may take to end before it is killed.
const END_MAX: Duration = Duration::from_secs(10);

#[derive(Args)]
pub struct Options {
    /// The directory that holds the nodes' directories 1, 2 and 3.
    #[arg(long, value_name = "DIR", default_value = "data")]
    data: PathBuf,
    /// The first of three ports that listen to users.
    #[arg(long, value_name = "PORT", default_value_t = 8001, value_parser = clap::value_parser!(u16).range(1..=65533))]
    http_port: u16,
    /// The first of three ports on which the nodes listen to one another.
    #[arg(long, value_name = "PORT", default_value_t = 7001, value_parser = clap::value_parser!(u16).range(1..=65533))]
    raft_port: u16,
    /// What the log holds, the same for as long as the data lives.
    #[arg(long, value_enum, default_value_t = Mode::StateMachine)]
    mode: Mode,
    /// Begin with empty directories; what is deleted must be nodes'.
    #[arg(long)]
    fresh: bool,
}

impl Options {
    fn directory(&self, id: u16) -> PathBuf {
        self.data.join(id.to_string())
    }

    fn http(&self, id: u16) -> String {
        format!("127.0.0.1:{}", self.http_port + id - 1)
    }

    fn raft(&self, id: u16) -> String {
        format!("127.0.0.1:{}", self.raft_port + id - 1)
    }

    /// The command line of the node `id`, as a user could type it.
    fn node_arguments(&self, id: u16) -> Vec<String> {
        let directory = self.directory(id).display().to_string();
        let mut arguments: Vec<String> = [
            "node",
            "--id",
            &id.to_string(),
            "--data",
            &directory,
            "--http",
            &self.http(id),
            "--raft",
            &self.raft(id),
        ]
        .map(str::to_owned)
        .to_vec();
        for peer in 1..=NODES {
            arguments.extend(["--peer".to_owned(), format!("{peer}={}", self.raft(peer))]);
        }
        if self.mode == Mode::PrimaryBackup {
            arguments.extend(["--mode", "primary-backup"].map(str::to_owned));
        }
        arguments
    }
}

/// The nodes' processes.
struct Nodes {
    /// For those who want to kill one.
    process_ids: Vec<u32>,
    /// Held open, each, for as long as its node shall run.
    pipes: Vec<ChildStdin>,
    /// One task a process, which ends when the process does; dropping it kills the process.
    ends: JoinSet<(u16, io::Result<ExitStatus>)>,
}

/// Runs three nodes until asked to end, or until all have ended by themselves.
pub async fn run(options: Options) -> Result<(), Box<dyn Error>> {
    let asked = asked_to_end(false)?;
    tokio::pin!(asked);
    check_ports(&options)?;
    if options.fresh {
        remove_data(&options)?;
    }
    let program = std::env::current_exe()?;
    let mut nodes = Nodes { process_ids: Vec::new(), pipes: Vec::new(), ends: JoinSet::new() };
    println!("Starting three nodes, and waiting for one to lead …");
    for id in 1..=NODES {
        nodes.start(&program, &options, id)?;
    }
    let early = tokio::select! {
        () = answered(&options) => None,
        () = &mut asked => return nodes.end().await,
        ended = nodes.ends.join_next() => ended,
    };
    if let Some(ended) = early {
        let text = describe(ended?);
        nodes.end().await?;
        return Err(format!("{text} before the cluster could answer; its reason stands above").into());
    }
    welcome(&program, &options, &nodes.process_ids);
    loop {
        tokio::select! {
            () = &mut asked => return nodes.end().await,
            ended = nodes.ends.join_next() => match ended {
                Some(ended) => println!("{}; {} still run.", describe(ended?), nodes.ends.len()),
                None => return Err("all three nodes have ended".into()),
            },
        }
    }
}

impl Nodes {
    fn start(&mut self, program: &Path, options: &Options, id: u16) -> Result<(), Box<dyn Error>> {
        let mut child = Command::new(program)
            .args(options.node_arguments(id))
            .arg("--until-stdin-ends")
            .stdin(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("cannot run {} as node {id}: {error}", program.display()))?;
        self.process_ids.extend(child.id());
        // Taken out, because waiting for a child would close it.
        self.pipes.extend(child.stdin.take());
        self.ends.spawn(async move { (id, child.wait().await) });
        Ok(())
    }

    /// Closes the pipes, which asks the nodes to end, and waits for each; kills those that do not follow.
    async fn end(mut self) -> Result<(), Box<dyn Error>> {
        self.pipes.clear();
        let all = async {
            while let Some(ended) = self.ends.join_next().await {
                let (id, status) = ended?;
                if !status.as_ref().is_ok_and(ExitStatus::success) {
                    eprintln!("arithmetic: {}", describe((id, status)));
                }
            }
            Ok::<(), JoinError>(())
        };
        match timeout(END_MAX, all).await {
            Ok(ended) => Ok(ended?),
            Err(_) => {
                self.ends.shutdown().await;
                Err(format!(
                    "not all nodes ended within {END_MAX:?}; the rest were killed, and nothing is lost"
                )
                .into())
            }
        }
    }
}

fn describe((id, status): (u16, io::Result<ExitStatus>)) -> String {
    match status {
        Ok(status) => format!("node {id} has ended ({status})"),
        Err(error) => format!("node {id} cannot be waited for ({error})"),
    }
}

/// Says beforehand, and by name, which port is not free: three nodes that fail one by one would bury it.
fn check_ports(options: &Options) -> Result<(), Box<dyn Error>> {
    for id in 1..=NODES {
        for (address, flag) in [(options.http(id), "--http-port"), (options.raft(id), "--raft-port")] {
            TcpListener::bind(&address).map_err(|error| {
                format!("cannot listen on {address}: {error}; free it, or choose other ports with {flag}")
            })?;
        }
    }
    Ok(())
}

fn remove_data(options: &Options) -> Result<(), Box<dyn Error>> {
    for id in 1..=NODES {
        let directory = options.directory(id);
        if directory.try_exists()? {
            lovebird::remove_data(&directory)
                .map_err(|error| format!("--fresh cannot delete {}: {error}", directory.display()))?;
        }
    }
    Ok(())
}

/// Resolves when the cluster answers a read that needs a leader and a majority.
async fn answered(options: &Options) {
    let addresses: Vec<String> = (1..=NODES).map(|id| options.raft(id)).collect();
    let client = lovebird::connect::<Arithmetic>(addresses).with_timeout(Duration::from_secs(1));
    while client.query("x".to_owned(), Read::Linearizable).await.is_err() {
        // Nodes that do not listen yet refuse at once.
        sleep(Duration::from_millis(20)).await;
    }
}

fn welcome(program: &Path, options: &Options, process_ids: &[u32]) {
    let first = options.http(1);
    println!("Three nodes, one log. The data is under {}; Ctrl-C ends all three.\n", options.data.display());
    for (id, process_id) in (1..=NODES).zip(process_ids) {
        println!(
            "  node {id}: http://{}, to its peers {}, process {process_id}",
            options.http(id),
            options.raft(id)
        );
    }
    println!("\nLines to try, on any of them:\n");
    println!("  curl -d 'x+=5' http://{first}/");
    println!("  curl -d 'x?' http://{}/", options.http(2));
    println!("  curl http://{}/variables/x", options.http(NODES));
    println!("  curl -d 'x/=0' http://{first}/");
    println!("  curl http://{first}/status");
    println!(
        "\nKill one (kill -9 …) and go on with the others; a node is started again, here the first, with\n"
    );
    println!("  {} {}\n", program.display(), options.node_arguments(1).join(" "));
}
