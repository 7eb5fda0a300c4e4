//! A whole cluster, measured beside others and beside what the machine allows.
#![forbid(unsafe_code)]

mod options;

// What is measured.
mod process;
mod service;
mod system;
mod systems;
mod limits;

// How.
mod load;

use std::process::ExitCode;
use std::time::Duration;

use load::{Closed, Mix, closed};
use options::{Child, Options};
use system::{Outcome, Place, System};

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::read();
    let outcome = match options.child {
        Some(Child::Node(node)) => systems::run_node(node).await,
        Some(Child::Echo(echo)) => limits::run_echo(echo).await,
        Some(Child::Probe(probe)) => limits::run_probe(probe).await,
        None => run(&options).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the benchmark of the cluster failed: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(_: &Options) -> Outcome<()> {
    let dir =
        tempfile::Builder::new().prefix("cluster-benchmark-").tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let system = systems::Lovebird::start(dir.path(), 0).await?;
    let clients = vec![system.connect(Place::Leader).await?];
    let mut acknowledged = Vec::new();
    for callers in [1, 16, 64, 256, 1024, 4096] {
        let load = Closed {
            callers,
            mix: Mix::writes(100),
            warm_up: Duration::from_millis(500),
            time: Duration::from_secs(3),
        };
        let measured = closed(&clients, &system.processes(), load, &mut acknowledged).await?;
        println!(
            "{callers:5}  {:8.0}/s  p50 {:?} p99 {:?}  nodes {:.1} us  client {:.1} us  {:.0} bytes",
            measured.rate,
            measured.latencies.percentile(50.0),
            measured.latencies.percentile(99.0),
            measured.a_call(measured.nodes.cpu.as_secs_f64() * 1e6),
            measured.a_call(measured.client.cpu.as_secs_f64() * 1e6),
            measured.a_call(measured.nodes.written_bytes as f64),
        );
    }
    Ok(())
}
