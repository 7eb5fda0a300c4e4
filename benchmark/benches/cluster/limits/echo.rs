//! A process that answers what it was sent, over TCP and over gRPC.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread;

use futures_util::StreamExt;

use super::link;
use crate::process::{Process, free_ports};
use crate::system::Outcome;
use crate::systems::until_input_ends;

/// It runs.
#[derive(Debug)]
pub(crate) struct Echo {
    process: Process,
    pub(super) tcp: u16,
    pub(super) grpc: u16,
}

/// How it is started.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct EchoOptions {
    /// The port that echoes bytes.
    #[arg(long)]
    tcp: u16,
    /// The port that echoes messages.
    #[arg(long)]
    grpc: u16,
}

impl Echo {
    /// Starts it. What it says goes to a file below `dir`.
    pub(crate) fn start(dir: &Path) -> Outcome<Echo> {
        let [tcp, grpc] = free_ports()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("echo").arg("--tcp").arg(tcp.to_string()).arg("--grpc").arg(grpc.to_string());
        Ok(Echo { process: Process::start("the echo", command, &dir.join("echo.log"))?, tcp, grpc })
    }

    /// Its process.
    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }
}

/// What the process does, until its standard input ends.
pub(crate) async fn run(options: EchoOptions) -> Outcome<()> {
    let listener = TcpListener::bind(("127.0.0.1", options.tcp))?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // One that fails is the other side's to report.
            thread::spawn(move || echo(stream));
        }
    });
    tokio::select! {
        served = link::serve(options.grpc, StreamExt::boxed) => served,
        ended = until_input_ends() => Ok(ended?),
    }
}

/// One thread for one connection: nothing is quicker for a single one.
fn echo(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut bytes = [0; 4 << 10];
    loop {
        let read = stream.read(&mut bytes)?;
        if read == 0 {
            return Ok(());
        }
        stream.write_all(&bytes[..read])?;
    }
}
