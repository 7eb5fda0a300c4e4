//! A whole cluster, measured beside others and beside what the machine allows.
//!
//! ```sh
//! cargo bench -p lovebird-benchmark --bench cluster
//! cargo bench -p lovebird-benchmark --bench cluster --features peers
//! cargo bench -p lovebird-benchmark --bench cluster -- --smoke
//! cargo bench -p lovebird-benchmark --bench cluster -- --only writes --callers 256 --seconds 10
//! ```
#![forbid(unsafe_code)]

mod options;
mod scale;

// What is measured.
mod process;
mod service;
mod system;
mod systems;
mod subject;
mod limits;

// How.
mod load;
mod parts;

// What comes out.
mod part;
mod plot;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use lovebird_benchmark::{Table, cores, file_system, goals, load as machine_load};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use load::{Closed, Mix};
use options::{Child, Options, PartName};
use part::Part;
use scale::Scale;
use subject::{Clients, Running, Subject};
use system::Outcome;
use systems::Settings;

/// The load, and each node of ours, are processes with a runtime each, of so many threads that all four share the cores: more of them
/// than cores cost a switch at every hand-over.
fn worker_threads() -> usize {
    (cores() / 4).max(1)
}

fn main() -> ExitCode {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    match runtime.worker_threads(worker_threads()).enable_all().build() {
        Ok(runtime) => runtime.block_on(begin()),
        Err(error) => {
            eprintln!("the runtime cannot be started: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn begin() -> ExitCode {
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

async fn run(options: &Options) -> Outcome<()> {
    let dir = directory(options.dir.as_deref())?;
    let scale = options.scale();
    let mut told = Told::begin(dir.path(), options.smoke)?;
    let subjects = subjects(dir.path(), options).await?;
    told.systems(&subjects)?;
    for subject in &subjects {
        eprintln!("warming up: {}", subject.facts().name);
        let (warm_up, time) = (scale.first_warm_up, Duration::ZERO);
        let load = Closed { callers: scale.peak_callers, mix: Mix::writes(100), warm_up, time };
        subject.closed(Clients::Shared, load).await?;
    }
    beside(&subjects, options, &scale, dir.path(), &mut told).await?;
    // What follows is about ours alone, and the others' heartbeats would be in its way.
    drop(subjects);
    if options.wants(PartName::Snapshots) {
        told.tell(parts::snapshots::measure(&dir.path().join("snapshots"), &scale).await?)?;
    }
    if options.wants(PartName::Failover) {
        told.tell(parts::failover::measure(&dir.path().join("failover"), &scale).await?)?;
    }
    if options.wants(PartName::Log) {
        told.tell(parts::log::measure(&dir.path().join("log"), &scale).await?)?;
    }
    if options.wants(PartName::Overload) {
        told.tell(parts::overload::measure(&dir.path().join("overload"), &scale).await?)?;
    }
    if options.wants(PartName::Memory) {
        told.tell(parts::log::memory(&dir.path().join("memory"), &scale).await?)?;
    }
    told.end(options)?;
    // Closed here, so that a directory that cannot be removed is told of.
    dir.close()?;
    Ok(())
}

/// Starts all systems that are wanted and, of others' systems, installed.
async fn subjects(dir: &Path, options: &Options) -> Outcome<Vec<Box<dyn Subject>>> {
    let mut subjects: Vec<Box<dyn Subject>> = Vec::new();
    if !options.wants_beside() {
        return Ok(subjects);
    }
    if options.wants_system("lovebird") {
        let system = systems::Lovebird::start(&dir.join("beside"), Settings::default()).await?;
        subjects.push(Box::new(Running::new(system, dir)));
    }
    if options.wants_system("probe") {
        let probe = dir.join("probe");
        fs::create_dir(&probe)?;
        subjects.push(Box::new(Running::new(limits::Probe::start(&probe).await?, dir)));
    }
    #[cfg(feature = "peers")]
    for kind in systems::PeerKind::ALL {
        if options.smoke || !options.wants_system(kind.name()) {
            continue;
        }
        if !kind.installed() {
            eprintln!("{} is not installed, and is left out", kind.name());
            continue;
        }
        eprintln!("starting {}", kind.name());
        let own = dir.join(kind.name());
        fs::create_dir(&own)?;
        subjects.push(kind.start(&own).await?);
    }
    Ok(subjects)
}

/// The parts in which systems are measured beside each other.
async fn beside(
    subjects: &[Box<dyn Subject>],
    options: &Options,
    scale: &Scale,
    dir: &Path,
    told: &mut Told,
) -> Outcome<()> {
    // Taken while the others are there as well, whose heartbeats are a part of what is measured from here on.
    let limits = match options.wants(PartName::Limits) || options.wants(PartName::Writes) {
        true => Some(parts::limits::measure(dir, scale).await?),
        false => None,
    };
    if let Some((part, _)) = &limits
        && options.wants(PartName::Limits)
    {
        told.tell(part.clone())?;
    }
    // Before there were many large writes, after which etcd reads at half the rate.
    if options.wants(PartName::Reads) {
        told.tell(parts::reads::measure(subjects, scale).await?)?;
    }
    if let (true, Some((_, limits))) = (options.wants(PartName::Writes), &limits) {
        let (part, rows) = parts::writes::measure(subjects, scale, limits).await?;
        told.tell(part)?;
        if let Some(file) = &options.plot {
            plot::draw(file, &rows)?;
        }
    }
    if options.wants(PartName::Connections) {
        told.tell(parts::connections::measure(subjects, scale).await?)?;
    }
    if options.wants(PartName::Payloads) {
        told.tell(parts::payloads::measure(subjects, scale).await?)?;
    }
    if options.wants(PartName::Paced) {
        told.tell(parts::paced::measure(subjects, scale).await?)?;
    }
    Ok(())
}

/// What was told so far, and what is told in the end.
struct Told {
    met: Vec<lovebird_benchmark::Goal>,
    figures: Map<String, Value>,
}

impl Told {
    fn begin(dir: &Path, smoke: bool) -> Outcome<Told> {
        let (cores, file_system, load) = (cores(), file_system(dir)?, machine_load());
        print(&format!("## The cluster\n\nMeasured on {cores} cores, on {file_system}.\n"))?;
        if smoke {
            print("A smoke run: sizes are tiny, and the figures mean nothing.\n")?;
        }
        let mut figures = Map::new();
        figures.insert("cores".to_owned(), json!(cores));
        figures.insert("file_system".to_owned(), json!(file_system));
        figures.insert("load".to_owned(), json!(load));
        figures.insert("smoke".to_owned(), json!(smoke));
        Ok(Told { met: Vec::new(), figures })
    }

    fn systems(&self, subjects: &[Box<dyn Subject>]) -> Outcome<()> {
        if subjects.is_empty() {
            return Ok(());
        }
        let mut table =
            Table::new("systems", &["system", "copies, and what is durable when a write is acknowledged"]);
        for facts in subjects.iter().map(|subject| subject.facts()) {
            table.row([facts.name, facts.acknowledges.to_owned()]);
        }
        print(&table.to_string())
    }

    fn tell(&mut self, part: Part) -> Outcome<()> {
        for table in &part.tables {
            print(&table.to_string())?;
        }
        self.met.extend(part.goals);
        self.figures.insert(part.name.to_owned(), part.figures);
        Ok(())
    }

    fn end(self, options: &Options) -> Outcome<()> {
        if !self.met.is_empty() {
            print(&goals(&self.met).to_string())?;
        }
        if let Some(file) = &options.json {
            fs::write(file, format!("{:#}\n", Value::Object(self.figures)))?;
        }
        Ok(())
    }
}

/// A directory that vanishes with the run. By default where the build puts its own files: the system's directory for
/// temporary ones may be in memory, where a sync costs nothing.
fn directory(chosen: Option<&Path>) -> Outcome<TempDir> {
    let parent = chosen.unwrap_or(Path::new(env!("CARGO_TARGET_TMPDIR")));
    fs::create_dir_all(parent)?;
    // In full, since the processes that are started may be elsewhere.
    let parent = fs::canonicalize(parent)?;
    Ok(tempfile::Builder::new().prefix("cluster-benchmark-").tempdir_in(parent)?)
}

/// Prints a piece of Markdown at once, so that a run that fails later has told what it knew.
fn print(text: &str) -> Outcome<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")?;
    Ok(out.flush()?)
}
