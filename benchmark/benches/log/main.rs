//! The log, measured beside others: appending, opening, replaying, reading, and what a snapshot does to it meanwhile.
//!
//! ```sh
//! cargo bench -p lovebird-benchmark --bench log
//! cargo bench -p lovebird-benchmark --bench log -- --smoke
//! cargo bench -p lovebird-benchmark --bench log -- --only append --rounds 11 --dir /mnt/disk
//! ```
//!
//! All stores (`stores`) keep the same payloads under the same consecutive numbers and acknowledge a batch only when it is on
//! disk; how each does so is said where it is opened. What was acknowledged is read back and compared (`check`), from a store
//! that was opened anew; anything missing or changed ends the run with a failure.
//!
//! What is measured in a process of its own (`child`) is measured by this same program, which it starts again.
//!
//! # What this does not measure
//!
//! Several producers, larger payloads, deletion, and recovery after a crash: all stores are closed properly before they are
//! opened again. Closing does not empty the page cache, so no figure depends on how fast the disk reads.
#![forbid(unsafe_code)]

mod options;
mod scale;

// What is measured.
mod payload;
mod store;
mod stores;
mod check;

// How.
mod append;
mod child;
mod reopen;
mod snapshot;

// What comes out.
mod part;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use lovebird_benchmark::{cores, file_system, goals, load};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use options::{Options, PartName};
use part::Part;
use store::Outcome;

/// The load from which on a machine is not quiet.
const BUSY: f64 = 0.5;

fn main() -> ExitCode {
    let options = Options::read();
    let outcome = match options.child {
        Some(store) => child::run(store, &options),
        None => run(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the benchmark of the log failed: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Outcome<()> {
    let dir = directory(options.dir.as_deref())?;
    let (cores, file_system) = (cores(), file_system(dir.path())?);
    print(&format!("## The log\n\nMeasured on {cores} cores, on {file_system}.\n"))?;
    // A waiting thread that has to wait for a core as well is what is measured then, and not a store.
    let load = load();
    if let Some(load) = load.filter(|load| *load > BUSY) {
        print(&format!(
            "Others were using this machine when the run began (a load of {load:.1}): take it again.\n"
        ))?;
    }
    if options.smoke {
        print("A smoke run: sizes are tiny, and the figures mean nothing.\n")?;
    }
    let mut met = Vec::new();
    let mut figures = Map::new();
    figures.insert("cores".to_owned(), json!(cores));
    figures.insert("file_system".to_owned(), json!(file_system));
    figures.insert("load".to_owned(), json!(load));
    figures.insert("smoke".to_owned(), json!(options.smoke));
    let mut tell = |part: Part| -> Outcome<()> {
        for table in &part.tables {
            print(&table.to_string())?;
        }
        met.extend(part.goals);
        figures.insert(part.name.to_owned(), part.figures);
        Ok(())
    };
    let scale = options.scale();
    if options.wants(PartName::Append) {
        tell(append::measure(dir.path(), &scale, options.rounds())?)?;
    }
    if options.wants(PartName::Open) || options.wants(PartName::Read) {
        let runs = reopen::measure(dir.path(), &scale, options.smoke)?;
        if options.wants(PartName::Open) {
            tell(reopen::opening(&runs, &scale))?;
        }
        if options.wants(PartName::Read) {
            tell(reopen::reading(&runs))?;
        }
    }
    if options.wants(PartName::Snapshot) {
        tell(snapshot::measure(dir.path(), &scale)?)?;
    }
    print(&goals(&met).to_string())?;
    if let Some(file) = &options.json {
        fs::write(file, format!("{:#}\n", Value::Object(figures)))?;
    }
    // Closed here, so that a directory that cannot be removed is told of.
    dir.close()?;
    Ok(())
}

/// A directory that vanishes with the run. By default where the build puts its own files: the system's directory for
/// temporary ones may be in memory, where a sync costs nothing.
fn directory(chosen: Option<&Path>) -> Outcome<TempDir> {
    let parent = chosen.unwrap_or(Path::new(env!("CARGO_TARGET_TMPDIR")));
    fs::create_dir_all(parent)?;
    // In full, since the processes that are started may be elsewhere.
    let parent = fs::canonicalize(parent)?;
    Ok(tempfile::Builder::new().prefix("log-benchmark-").tempdir_in(parent)?)
}

/// Prints a piece of Markdown at once, so that a run that fails later has told what it knew.
fn print(text: &str) -> Outcome<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")?;
    Ok(out.flush()?)
}
