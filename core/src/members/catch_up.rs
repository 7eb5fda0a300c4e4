//! When a learner holds enough of the log to vote.
//!
//! In rounds (Ongaro's thesis, section 4.2.1): each one is over when the learner holds what the leader held as it began, and
//! the one that took no longer than an election timeout was the last: from there on the learner keeps up, and as a voter makes
//! nobody wait. A learner that never keeps up never becomes a voter; whoever waits sees why.

use std::time::Duration;

/// What is seen of a learner at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Since the waiting began.
    pub(crate) at: Duration,
    /// The entry that the learner is known to hold; none before it holds any.
    pub(crate) matched: Option<u64>,
    /// The last entry of the leader.
    pub(crate) last: Option<u64>,
}

/// Follows a learner until it keeps up.
#[derive(Debug)]
pub(crate) struct Rounds {
    /// How long the last round may take.
    longest: Duration,
    begun: Option<(Duration, Option<u64>)>,
}

impl Rounds {
    pub(crate) fn new(longest: Duration) -> Self {
        Rounds { longest, begun: None }
    }

    /// Whether the learner keeps up by now.
    pub(crate) fn see(&mut self, seen: Seen) -> bool {
        let (since, target) = *self.begun.get_or_insert((seen.at, seen.last));
        if seen.matched < target {
            return false;
        }
        if seen.at.saturating_sub(since) <= self.longest && seen.matched.is_some() {
            return true;
        }
        self.begun = Some((seen.at, seen.last));
        false
    }
}

/// How long it takes at this pace to come from `done` to `whole`, if `before` was done `elapsed` ago.
pub(crate) fn remaining(before: u64, done: u64, whole: u64, elapsed: Duration) -> Option<Duration> {
    let (gained, left) = (done.checked_sub(before)?, whole.saturating_sub(done));
    (gained > 0).then(|| elapsed.mul_f64(left as f64 / gained as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ELECTION: Duration = Duration::from_millis(500);

    fn seen(at_ms: u64, matched: u64, last: u64) -> Seen {
        Seen { at: Duration::from_millis(at_ms), matched: Some(matched), last: Some(last) }
    }

    #[test]
    fn learner_that_holds_all_is_ready_at_once() {
        assert!(Rounds::new(ELECTION).see(seen(0, 7, 7)));
        let mut empty = Rounds::new(ELECTION);
        assert!(!empty.see(Seen { at: Duration::ZERO, matched: None, last: Some(0) }));
        assert!(empty.see(seen(100, 0, 0)));
    }

    #[test]
    fn learner_that_is_far_behind_has_to_keep_up_for_a_round() {
        let mut rounds = Rounds::new(ELECTION);
        assert!(!rounds.see(seen(0, 1, 1000)));
        assert!(!rounds.see(seen(3000, 999, 2000)));
        // It holds what was there at the beginning; but that took long, and much has come since.
        assert!(!rounds.see(seen(4000, 1000, 3000)));
        assert!(!rounds.see(seen(4400, 2900, 3100)));
        assert!(rounds.see(seen(4450, 3000, 3100)));
    }

    #[test]
    fn learner_that_falls_ever_further_behind_is_never_ready() {
        let mut rounds = Rounds::new(ELECTION);
        assert!((0..100).all(|second| !rounds.see(seen(second * 1000, second * 10, 100 + second * 20))));
    }

    #[test]
    fn estimate_needs_progress() {
        assert_eq!(remaining(0, 50, 100, ELECTION), Some(ELECTION));
        assert_eq!(remaining(0, 100, 100, ELECTION), Some(Duration::ZERO));
        assert_eq!(remaining(50, 50, 100, ELECTION), None);
        assert_eq!(remaining(50, 0, 100, ELECTION), None);
    }
}
