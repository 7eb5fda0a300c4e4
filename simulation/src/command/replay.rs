//! `replay` and `explain`: one run, looked at.

use std::path::PathBuf;

use clap::Args;

use super::apart::{How, apart};
use super::shrink::size;
use super::{Failure, Verdict, Which};
use crate::check::Tally;
use crate::explain::{Heading, page};
use crate::plan::Plan;
use crate::run::Outcome;
use crate::scenario::Scenario;
use crate::story::Event;

#[derive(Args, Clone, Debug)]
pub(super) struct Options {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    how: How,
    /// Writes every event to this file, a line each.
    #[arg(long)]
    trace: Option<PathBuf>,
    /// Prints the plan: what is inflicted and what clients do, as JSON.
    #[arg(long)]
    show_plan: bool,
}

#[derive(Args, Clone, Debug)]
pub(super) struct Picture {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    how: How,
    /// The page; by default `seed-N.html` in this folder.
    #[arg(long)]
    out: Option<PathBuf>,
}

pub(super) fn replay(scenarios: &[Scenario], options: &Options) -> Result<Verdict, Failure> {
    let plan = options.which.plan(scenarios)?;
    if options.show_plan {
        println!("{}", serde_json::to_string_pretty(&plan)?);
    }
    let how = How { story: true, ..options.how.clone() };
    let (first, second) = (apart(&plan, &how)?.outcome, apart(&plan, &how)?.outcome);
    println!("{first}");
    if let Some(path) = &options.trace {
        let lines: String = first.story.iter().map(|event| format!("{event}\n")).collect();
        std::fs::write(path, lines)?;
        println!("{} events are in {}", first.story.len(), path.display());
    }
    let same = first.tally.trace == second.tally.trace;
    if same {
        println!("a second process came to the same {} events", first.tally.events);
    } else {
        println!("{}", difference(&first.story, &second.story));
    }
    Ok(Verdict::of(same && first.broken().is_none()))
}

/// The first event of two runs that is not the same.
fn difference(first: &[Event], second: &[Event]) -> String {
    let place = first.iter().zip(second).position(|(one, other)| one != other);
    let place = place.unwrap_or_else(|| first.len().min(second.len()));
    let told = |events: &[Event]| events.get(place).map_or("nothing more".to_owned(), ToString::to_string);
    format!(
        "NOT THE SAME: two processes differ from event {place} on:\n  {}\n  {}\nafter\n  {}",
        told(first),
        told(second),
        place.checked_sub(1).map_or("nothing".to_owned(), |before| first[before].to_string())
    )
}

/// What stands above the picture.
fn heading(plan: &Plan, outcome: &Outcome) -> Heading {
    let Tally { acknowledged, unknown, not_committed, terms, restores, trace, .. } = &outcome.tally;
    let fact = |name: &str, value: String| (name.to_owned(), value);
    Heading {
        title: format!("{} under seed {}", outcome.scenario, outcome.seed),
        facts: vec![
            fact("plan", size(plan)),
            fact("simulated", format!("{:.1} s", outcome.simulated.as_secs_f64())),
            fact(
                "commands",
                format!("{acknowledged} acknowledged, {unknown} unknown, {not_committed} not committed"),
            ),
            fact("leaderships", terms.to_string()),
            fact("snapshots restored", restores.to_string()),
            fact("trace", format!("{trace:016x}")),
        ],
    }
}

pub(super) fn explain(scenarios: &[Scenario], options: &Picture) -> Result<Verdict, Failure> {
    let plan = options.which.plan(scenarios)?;
    let outcome = apart(&plan, &How { story: true, ..options.how.clone() })?.outcome;
    println!("{outcome}");
    let path = options.out.clone().unwrap_or_else(|| format!("seed-{}.html", plan.seed).into());
    std::fs::write(&path, page(&heading(&plan, &outcome), &outcome.story))?;
    println!("open {} with a browser", path.display());
    Ok(Verdict::of(outcome.broken().is_none()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::story::What;

    fn event(at_nanos: u64) -> Event {
        let what = What::Sync { node: 1, lasts_nanos: at_nanos };
        Event { at_nanos, what, detail: String::new() }
    }

    #[test]
    fn first_event_that_differs_is_told_with_the_one_before_it() {
        let first: Vec<Event> = (1..5).map(event).collect();
        let second = vec![event(1), event(2), event(9), event(4)];
        let told = difference(&first, &second);
        assert!(told.contains("from event 2 on"), "{told}");
        assert!(told.contains("lasts_nanos: 3") && told.contains("lasts_nanos: 9"), "{told}");
        assert!(told.ends_with(&event(2).to_string()), "{told}");
    }

    #[test]
    fn story_that_ends_earlier_is_told() {
        let first: Vec<Event> = (1..3).map(event).collect();
        let told = difference(&first, &first[..1]);
        assert!(told.contains("from event 1 on") && told.contains("nothing more"), "{told}");
        assert!(difference(&[], &first).ends_with("nothing"));
    }
}
