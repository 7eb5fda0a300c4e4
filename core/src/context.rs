//! What a state machine is told beside its command, the same on every replica and in every replay.

use std::time::{Duration, SystemTime};

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

use crate::identity::ClusterId;
use crate::planted::{self, Bug};
use crate::runtime;

/// Where in the log a command stands. With it a state machine needs no clock and no randomness of its own.
#[derive(Clone, Debug)]
pub struct Context {
    index: u64,
    term: u64,
    time: Duration,
    origin: ClusterId,
}

impl Context {
    /// The context of the record `index` in a cluster that began as `origin` ([`crate::identity::Identity::origin`]), committed in
    /// `term`, with log time `time` since the Unix epoch.
    pub fn new(origin: ClusterId, index: u64, term: u64, time: Duration) -> Self {
        let time =
            if planted::is(Bug::LocalTime) { Duration::from_nanos(runtime::unix_time()) } else { time };
        Context { index, term, time, origin }
    }

    /// The command's log index: 1 for the first command ever, then 2, 3, …
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The term of the leader that proposed it.
    pub fn term(&self) -> u64 {
        self.term
    }

    /// Log time: the clock of that leader when it made the batch, held so that it never goes back.
    pub fn time(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.time
    }

    /// A generator that is seeded by the cluster, as it began, and the log index alone.
    ///
    /// Each call starts it anew.
    pub fn random(&self) -> Random {
        Random(Xoshiro256PlusPlus::seed_from_u64(
            self.origin.0 ^ self.index.wrapping_mul(0x9E37_79B9_7F4A_7C15),
        ))
    }
}

/// Numbers that are random to users and equal on every replica (xoshiro256++ by Blackman and Vigna). Not for secrets.
#[derive(Clone, Debug)]
pub struct Random(Xoshiro256PlusPlus);

impl Random {
    /// Any `u64`, all alike.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `bound`, all alike.
    ///
    /// # Panics
    /// If `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "no number is below 0");
        // Lemire, "Fast random integer generation in an interval" (2019), with rejection.
        let threshold = bound.wrapping_neg() % bound;
        loop {
            let product = u128::from(self.next_u64()) * u128::from(bound);
            if product as u64 >= threshold {
                return (product >> 64) as u64;
            }
        }
    }
}
