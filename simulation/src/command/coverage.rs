//! `coverage`: what was never reached.

use clap::Args;

use super::sweep::{self, sweep};
use super::{Failure, Verdict};
use crate::scenario::Scenario;

#[derive(Args, Clone, Debug)]
#[group(skip)]
pub(super) struct Options {
    #[command(flatten)]
    sweep: sweep::Options,
    /// Fails if a mark was never reached.
    #[arg(long)]
    deny: bool,
}

pub(super) fn coverage(scenarios: &[Scenario], options: &Options) -> Result<Verdict, Failure> {
    let sum = sweep(scenarios, &options.sweep)?;
    let mut points: Vec<_> = sum.points.iter().collect();
    points.sort_by_key(|((file, what), (_, runs))| (*runs, file, what));
    println!("{:>6} {:>10}  what is marked", "runs", "times");
    for ((file, what), (times, runs)) in &points {
        let note = if *runs == 0 { "  NEVER" } else { "" };
        println!("{runs:>6} {times:>10}  {what} ({file}){note}");
    }
    let never = points.iter().filter(|(_, (_, runs))| *runs == 0).count();
    println!("{} of {} marks were reached in {} runs", points.len() - never, points.len(), sum.runs);
    Ok(Verdict::of(sum.broken.is_empty() && !(options.deny && never > 0)))
}
