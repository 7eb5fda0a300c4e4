//! `lovebird-log`: looks at a node's data directory, and changes nothing in it.
//!
//! - `list` says what is there: segments and snapshots.
//! - `dump` prints the records, one a line, and with `--operations` everything else that the log holds.
//! - `verify` reads all of it and says whether a node would start from it, and what to do if not.
//!
//! It may be used while a node has the directory locked, after a crash, and on a file system that cannot be written: it takes no
//! lock and opens all files for reading only ([`ReadOnlyDisk`]). What the bytes are worth is not decided here, but by
//! [`lovebird_storage::log::inspect`] and [`lovebird_storage::snapshot::inspect`]; this only finds the place and prints.
//!
//! What was asked for goes to the standard output, what is wrong to the standard error, as sentences. The exit code says the
//! worst that was found; see [`outcome`].
#![forbid(unsafe_code)]

// What is asked.
mod args;
mod place;

// What is answered.
mod list;
mod dump;
mod cuts;
mod verify;

// How it is said.
mod value;
mod time;
mod output;
mod outcome;

use std::process::ExitCode;

use clap::Parser;
use lovebird_storage::ReadOnlyDisk;

use args::{Args, Command};
use outcome::{Failure, Outcome};
use output::{Output, complain};
use place::Place;

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(answer) => {
            // Also how clap gives its help, which is no error. Where that cannot be printed, nothing can.
            let _ = answer.print();
            return if answer.use_stderr() { Outcome::Unseen } else { Outcome::Good }.into();
        }
    };
    match run(args.command) {
        Ok(outcome) => outcome.into(),
        // Whoever has closed the pipe has seen enough.
        Err(Failure::Output(e)) if e.kind() == std::io::ErrorKind::BrokenPipe => Outcome::Good.into(),
        Err(failure) => {
            complain(&failure.to_string());
            Outcome::Unseen.into()
        }
    }
}

fn run(command: Command) -> Result<Outcome, Failure> {
    let disk = ReadOnlyDisk;
    let place = Place::find(&disk, command.dir())?;
    let mut out = Output::new();
    match &command {
        Command::List(options) => list::run(&disk, &place, options.format(), &mut out),
        Command::Dump(options) => dump::run(&disk, &place, options, &mut out),
        Command::Verify(options) => verify::run(&disk, &place, options.format(), &mut out),
    }
}
