//! A replicated arithmetic service: variables that start at zero, changed and read over HTTP, the same on every node.
//!
//! `cargo run --release --example arithmetic` launches three nodes on this machine; with `node …` behind it the same program
//! is one of them. To write a service of your own, begin with `service.rs`: it is the state machine, and all that
//! replication needs to know. The rest is what any server has:
//!
//! a request (`http.rs`) → a statement (`parse.rs`) → a command → agreement, disks and peers (the library) → `service.rs`, on
//! every node → the reply, to the one who asked.
//!
//! With `--mode primary-backup` one node executes each statement (`primary.rs`), and the log holds what came out.

#![forbid(unsafe_code)]
// The modules read as they would in a library, where `pub` is what other crates see.
#![allow(unreachable_pub, missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod http;
mod launch;
mod log;
mod node;
mod parse;
mod peer;
mod primary;
mod service;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

/// A replicated arithmetic service. Without a command: three nodes on this machine.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    mode: Option<Mode>,
    #[command(flatten)]
    launch: launch::Options,
}

#[derive(Subcommand)]
enum Mode {
    /// Runs one node.
    Node(node::Options),
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // Only what should trouble an operator, unless RUST_LOG asks for more. Peers that are away for a while are none of it.
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("off,lovebird=error"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let outcome = match arguments.mode {
        None => launch::run(arguments.launch).await,
        Some(Mode::Node(options)) => node::run(options).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("arithmetic: {error}");
            ExitCode::FAILURE
        }
    }
}
