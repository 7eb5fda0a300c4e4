//! Points in a node's time.

use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::time::Duration;

use super::node;

/// A point in time by the clock of one node; it never goes back. Meaningless on other nodes and outside the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant {
    nanos: u64,
}

impl Instant {
    /// Where every node's clock begins. Ten years above zero, because consensus subtracts its timeouts from now.
    pub(super) const START: Instant = Instant { nanos: 10 * 365 * 24 * 3600 * 1_000_000_000 };

    /// Now, by the clock of the node whose task asks.
    pub fn now() -> Self {
        node::current().now()
    }

    /// How long it is until `later`; zero if that is past.
    pub fn until(self, later: Instant) -> Duration {
        Duration::from_nanos(later.nanos.saturating_sub(self.nanos))
    }

    pub(super) fn from_nanos(nanos: u64) -> Self {
        Instant { nanos }
    }

    pub(super) fn nanos(self) -> u64 {
        self.nanos
    }
}

fn nanos_of(duration: Duration) -> u64 {
    // What does not fit, 584 years, is as good as for ever.
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Add<Duration> for Instant {
    type Output = Instant;

    fn add(self, duration: Duration) -> Instant {
        // A deadline too far to be expressed is as good as one in thirty years, and leaves room for arithmetic.
        const FAR: u64 = 1_000_000_000 * 1_000_000_000;
        Instant { nanos: self.nanos.saturating_add(nanos_of(duration).min(FAR)) }
    }
}

impl Sub<Duration> for Instant {
    type Output = Instant;

    fn sub(self, duration: Duration) -> Instant {
        let nanos = self.nanos.checked_sub(nanos_of(duration));
        Instant { nanos: nanos.unwrap_or_else(|| panic!("{duration:?} before {self:?} there was no time")) }
    }
}

impl Sub<Instant> for Instant {
    type Output = Duration;

    fn sub(self, earlier: Instant) -> Duration {
        earlier.until(self)
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl SubAssign<Duration> for Instant {
    fn sub_assign(&mut self, duration: Duration) {
        *self = *self - duration;
    }
}

impl openraft_rt::Instant for Instant {
    fn now() -> Self {
        Instant::now()
    }
}
