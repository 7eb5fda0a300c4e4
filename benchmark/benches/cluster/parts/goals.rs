//! What was aimed at, as a ratio of two figures of the same run.

use lovebird_benchmark::{Goal, grouped, times};

/// That `ours` is at least `ratio` times `theirs`, in calls a second.
pub(super) fn at_least(figure: &str, whose: &str, ratio: f64, ours: f64, theirs: f64) -> Goal {
    Goal {
        figure: figure.to_owned(),
        goal: format!("at least {} of {whose}", times(ratio)),
        measured: format!("{} ({}/s to {}/s)", times(ours / theirs), grouped(ours), grouped(theirs)),
        met: ours >= ratio * theirs,
    }
}
