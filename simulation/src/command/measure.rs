//! `speed`: how fast the simulator is.

use std::time::Instant;

use clap::Args;

use super::apart::{How, Report, many};
use super::{Failure, Verdict, named};
use crate::plan::Plan;
use crate::scenario::Scenario;

#[derive(Args, Clone, Debug)]
pub(super) struct Options {
    /// How many runs, one after the other.
    #[arg(long, default_value_t = 10)]
    seeds: u64,
    /// How many commands a second the one client proposes.
    #[arg(long, default_value_t = 20)]
    rate: u64,
    /// The scenario.
    #[arg(long)]
    scenario: Option<String>,
}

pub(super) fn speed(scenarios: &[Scenario], options: &Options) -> Result<Verdict, Failure> {
    let name = named(scenarios, options.scenario.as_deref(), 0)?.name();
    let mut seeds = 1..=options.seeds;
    let (mut simulated, mut busy, mut broken, mut acknowledged) = (0.0, 0.0, 0, 0);
    let begun = Instant::now();
    let tell = |_: Plan, report: Report| {
        simulated += report.outcome.simulated.as_secs_f64();
        busy += report.took.as_secs_f64();
        acknowledged += report.outcome.tally.acknowledged;
        if report.outcome.broken().is_some() {
            println!("{}", report.outcome);
            broken += 1;
        }
    };
    many(1, &How::default(), || seeds.next().map(|seed| Plan::measured(seed, name, options.rate)), tell)?;
    println!(
        "{} runs of {name} with five nodes, faults and {} commands a second: {:.0} simulated seconds a second of one core ({acknowledged} \
         commands acknowledged in {simulated:.0} simulated seconds, {busy:.1} s of runs, {:.1} s in all)",
        options.seeds,
        options.rate,
        simulated / busy,
        begun.elapsed().as_secs_f64()
    );
    Ok(Verdict::of(broken == 0))
}
