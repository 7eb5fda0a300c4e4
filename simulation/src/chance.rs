//! Chance for schedules and workloads, apart from what the simulated nodes draw, so that a change of the code does not
//! move what a seed inflicts.

use std::time::Duration;

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

/// A generator whose stream is the same in every version (xoshiro256++ by Blackman and Vigna).
#[derive(Clone, Debug)]
pub(crate) struct Chance(Xoshiro256PlusPlus);

impl Chance {
    /// The stream for one `purpose` of a run; different purposes draw from different streams.
    pub(crate) fn new(seed: u64, purpose: u64) -> Self {
        Chance(Xoshiro256PlusPlus::seed_from_u64(seed ^ purpose.wrapping_mul(0x9E37_79B9_7F4A_7C15)))
    }

    pub(crate) fn any(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `bound`, which is small enough here for the remainder's bias to be no matter.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "no number is below 0");
        self.any() % bound
    }

    pub(crate) fn half(&mut self) -> bool {
        self.below(2) == 0
    }

    /// A time from `least` up to but excluding `most`, in milliseconds.
    pub(crate) fn millis(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(least + self.below(most - least))
    }

    pub(crate) fn one_of<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len() as u64) as usize]
    }
}
