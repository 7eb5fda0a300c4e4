//! One figure, measured in several rounds.

/// The median of what was measured, and how far the rounds were from it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The middle one; of two in the middle, their mean.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    /// The spread of one figure a round.
    ///
    /// # Panics
    /// If there are none.
    pub fn of(figures: &[f64]) -> Self {
        assert!(!figures.is_empty(), "a figure was measured in no round at all");
        let mut sorted = figures.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (lower, upper) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
        Spread { median: f64::midpoint(lower, upper), min: sorted[0], max: sorted[sorted.len() - 1] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(Spread::of(&[3.0, 1.0, 10.0]), Spread { median: 3.0, min: 1.0, max: 10.0 });
        assert_eq!(Spread::of(&[4.0, 1.0, 10.0, 3.0]).median, 3.5);
    }
}
