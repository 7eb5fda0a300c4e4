//! `lovebird`, the operator's command line.
//!
//! It asks the nodes of a running cluster over gRPC, by [`lovebird::Operator`]: any node will do, since it finds the leader by itself. What
//! it prints has one form for people and one, `--json`, for programs: an object on a line, and further lines before it while something
//! takes long.
//!
//! # How a command passes through
//!
//! `args` says what can be asked. A module of `online` for each kind of command asks the cluster, and turns the answer into text and into
//! JSON; that is done by pure functions, and the rest is a thin driver around them. `output` prints.
//!
//! # What holds
//!
//! 1. Every command that has done something says what, and with which command that is seen.
//! 2. Every failure is a sentence that says what to do next, on the standard error, and the exit code is 1. Whoever uses the command line
//!    wrongly is told so by clap, with exit code 2.
//! 3. Whether something may be done is decided by the cluster, not here: somebody else may be changing it at the same time. The one
//!    exception is `remove` of a node that is no member, which the cluster takes for done already, and a person has likely mistyped.
//! 4. A file that is written has its name only when it is whole and on disk.
//!
//! What works on the directory of a node that does not run stands in `offline`: it shows what it found, and does nothing that is not
//! confirmed.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

// What is asked.
mod args;

// Who is asked, and what is answered.
mod online;

// What is done where no node runs.
mod offline;

// How it is said.
mod words;
mod output;
mod failure;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};
use failure::Failure;
use output::{Output, complain};

/// Does what the command line says.
pub fn main() -> ExitCode {
    let args = Args::parse();
    let format = args.reach.format();
    let done = match args.command {
        Command::Online(command) => online::run(&args.reach, command, Output::new(format)),
        Command::Offline(command) => offline::run(command, Output::new(format)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever has closed the pipe has seen enough.
        Err(Failure::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(failure) => {
            complain(&failure, format);
            ExitCode::FAILURE
        }
    }
}
