//! Chance for plans and workloads, apart from what the simulated nodes draw, so that a change of the code does not move what a
//! seed inflicts.

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

/// A generator whose stream is the same in every version (xoshiro256++ by Blackman and Vigna).
#[derive(Clone, Debug)]
pub struct Chance(Xoshiro256PlusPlus);

impl Chance {
    /// The stream for one `purpose` of a seed; different purposes draw from different streams.
    pub fn new(seed: u64, purpose: u64) -> Self {
        Chance(Xoshiro256PlusPlus::seed_from_u64(seed ^ purpose.wrapping_mul(0x9E37_79B9_7F4A_7C15)))
    }

    /// Any number, all alike.
    pub fn any(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `bound`, all alike as long as `bound` is far below 2⁶⁴: then the remainder's bias is no matter.
    ///
    /// # Panics
    /// If `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "no number is below 0");
        self.any() % bound
    }

    /// A number from `least` up to but excluding `most`.
    ///
    /// # Panics
    /// If there is none.
    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        assert!(least < most, "no number from {least} on is below {most}");
        least + self.below(most - least)
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// True half of the time.
    pub fn half(&mut self) -> bool {
        self.once_in(2)
    }

    /// One of these, all alike.
    ///
    /// # Panics
    /// If there are none.
    pub fn one_of<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len() as u64) as usize]
    }
}
