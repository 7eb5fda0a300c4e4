//! The command line of a simulator: run seeds, replay one, shrink it, explain it, and see what was never reached.
//!
//! A program that tests services of its own hands its scenarios to [`main`] and has all of it.

mod apart;
mod sweep;
mod coverage;
mod replay;
mod kept;
mod shrink;
mod reduce;
#[cfg(feature = "planted")]
mod bugs;
mod measure;

pub use kept::Kept;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::plan::Plan;
use crate::scenario::{Scenario, chosen};

/// What can go wrong with a command itself, as a sentence.
type Failure = Box<dyn std::error::Error>;

/// Whole clusters in virtual time, under faults, decided by a seed.
#[derive(Parser)]
#[command(name = "sim", version)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run many seeds, each in a process of its own, and tell which break a promise.
    Run(sweep::Options),
    /// Run one seed again, twice, and tell what happened; where the two runs differ, tell the first event that does.
    Replay(replay::Options),
    /// Cut a failing seed down to the least that still breaks the same promise, and keep it as a regression test.
    Shrink(shrink::Options),
    /// Draw one seed as a page to look at with a browser.
    Explain(replay::Picture),
    /// Run many seeds and tell which marks in the code were never reached.
    Coverage(coverage::Options),
    /// Tell how fast the simulator is: five nodes under faults, and so many commands a second.
    Speed(measure::Options),
    /// Plant each bug in the product's own code, and tell in how many seeds it was found: the checker of checkers.
    #[cfg(feature = "planted")]
    Bugs(bugs::Options),
    /// Make one run and write its report to the standard output: what the other commands start.
    #[command(hide = true)]
    Apart,
}

/// Which run is meant.
#[derive(Args, Clone, Debug)]
struct Which {
    /// The seed.
    #[arg(required_unless_present = "plan")]
    seed: Option<u64>,
    /// The scenario, if not the one that the seed chooses.
    #[arg(long)]
    scenario: Option<String>,
    /// With damage to a majority of the disks: nothing need serve then, and no answer may be wrong.
    #[arg(long)]
    beyond: bool,
    /// A kept plan, in place of a seed.
    #[arg(long, conflicts_with_all = ["seed", "scenario", "beyond"])]
    plan: Option<PathBuf>,
}

impl Which {
    fn plan(&self, scenarios: &[Scenario]) -> Result<Plan, Failure> {
        match (&self.plan, self.seed) {
            (Some(path), _) => Ok(kept::Kept::read(path)?.plan),
            (None, Some(seed)) => {
                Ok(drawn(seed, named(scenarios, self.scenario.as_deref(), seed)?, self.beyond))
            }
            (None, None) => Err("name a seed, or a plan by --plan".into()),
        }
    }
}

/// The plan of a seed.
fn drawn(seed: u64, scenario: &Scenario, beyond: bool) -> Plan {
    let plan = Plan::of(seed, scenario.name());
    if beyond { plan.beyond() } else { plan }
}

/// The scenario of this name, or the one that the seed chooses.
fn named<'a>(scenarios: &'a [Scenario], name: Option<&str>, seed: u64) -> Result<&'a Scenario, Failure> {
    let Some(name) = name else { return Ok(chosen(scenarios, seed)) };
    scenarios.iter().find(|scenario| scenario.name() == name).ok_or_else(|| {
        let known: Vec<&str> = scenarios.iter().map(Scenario::name).collect();
        format!("there is no scenario {name:?}; there are {}", known.join(", ")).into()
    })
}

/// Does what the command line says, on these scenarios. Fails if a promise was found broken, and if the command could not be
/// carried out.
///
/// # Panics
/// If there are no scenarios.
pub fn main(scenarios: &[Scenario]) -> ExitCode {
    assert!(!scenarios.is_empty(), "there is nothing to run: give at least one scenario");
    let done = match Line::parse().command {
        Command::Run(options) => sweep::run(scenarios, &options),
        Command::Replay(options) => replay::replay(scenarios, &options),
        Command::Shrink(options) => shrink::shrink(scenarios, &options),
        Command::Explain(options) => replay::explain(scenarios, &options),
        Command::Coverage(options) => coverage::coverage(scenarios, &options),
        Command::Speed(options) => measure::speed(scenarios, &options),
        #[cfg(feature = "planted")]
        Command::Bugs(options) => bugs::bugs(scenarios, &options),
        Command::Apart => apart::make(scenarios),
    };
    match done {
        Ok(Verdict::Kept) => ExitCode::SUCCESS,
        Ok(Verdict::Broken) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

/// Whether every promise was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Kept,
    Broken,
}

impl Verdict {
    fn of(is_kept: bool) -> Verdict {
        if is_kept { Verdict::Kept } else { Verdict::Broken }
    }
}
