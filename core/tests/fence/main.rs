//! The fence under everything that may happen to three nodes: an explicit-state model around the real
//! [`count`](lovebird_core::fence::count), searched breadth-first to a bound and then by random walks far beyond it.
//!
//! In each state, every log is read as a replica reads it, and must keep what the fence promises: numbers without a gap, no
//! (token, position) and no command counted twice, and each command that counts meets the very state and term on which it
//! was computed. Planted errors must be found, or the search proves nothing.
#![allow(clippy::unwrap_used)]

mod model;

use std::collections::hash_map::DefaultHasher;
use std::collections::{HashMap, VecDeque};
use std::hash::{Hash, Hasher};

use lovebird_core::entry::{Entry, EntryKind};
use lovebird_core::fence::{Fence, Numbering, Token, count};
use model::{Bounds, State, Step, Variant};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

/// A broken promise and how it came about.
#[derive(Debug)]
struct Violation {
    what: String,
    trail: Vec<Step>,
}

/// What a search saw.
#[derive(Debug, Default)]
struct Seen {
    states: usize,
    commands_counted_max: usize,
}

const NARROW: Bounds = Bounds { terms: 2, log: 5, tokens: 2, commands: 2, pending: 2, crashes: 1 };
const WIDE: Bounds = Bounds { terms: 5, log: 14, tokens: 5, commands: 5, pending: 3, crashes: 2 };

fn hash(state: &State) -> u64 {
    let mut hasher = DefaultHasher::new();
    state.hash(&mut hasher);
    hasher.finish()
}

/// All states in order of their distance from the beginning, until `states_max` have been left.
fn search(bounds: &Bounds, variant: Variant, states_max: usize) -> Result<Seen, Violation> {
    let start = State::default();
    let mut came_by: HashMap<u64, (u64, Step)> = HashMap::new();
    let mut ahead = VecDeque::from([start.clone()]);
    let origin = hash(&start);
    let mut seen = Seen::default();
    while let Some(state) = ahead.pop_front() {
        if seen.states == states_max {
            break;
        }
        seen.states += 1;
        let from = hash(&state);
        for step in state.steps(bounds) {
            let next = state.take(step, variant);
            let key = hash(&next);
            if key == origin || came_by.contains_key(&key) {
                continue;
            }
            came_by.insert(key, (from, step));
            if let Err(what) = next.check(variant) {
                let mut trail = Vec::new();
                let mut at = key;
                while let Some((before, step)) = came_by.get(&at) {
                    trail.push(*step);
                    at = *before;
                }
                trail.reverse();
                return Err(Violation { what, trail });
            }
            seen.commands_counted_max = seen.commands_counted_max.max(next.commands_counted());
            ahead.push_back(next);
        }
    }
    Ok(seen)
}

/// `walks` walks at random, each from the beginning.
fn walk(bounds: &Bounds, variant: Variant, walks: u64) -> Result<Seen, Violation> {
    let mut seen = Seen::default();
    for seed in 0..walks {
        let mut chance = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut state = State::default();
        let mut trail = Vec::new();
        for _ in 0..120 {
            let mut steps = state.steps(bounds);
            if chance.next_u64() % 8 > 0 && steps.iter().any(|step| !step.is_setback()) {
                steps.retain(|step| !step.is_setback());
            }
            if steps.is_empty() {
                break;
            }
            let step = steps[(chance.next_u64() % steps.len() as u64) as usize];
            trail.push(step);
            state = state.take(step, variant);
            seen.states += 1;
            if let Err(what) = state.check(variant) {
                return Err(Violation { what, trail });
            }
        }
        seen.commands_counted_max = seen.commands_counted_max.max(state.commands_counted());
    }
    Ok(seen)
}

#[test]
fn every_state_near_the_beginning_keeps_the_promises() {
    let seen = search(&NARROW, Variant::True, 80_000).unwrap();
    assert!(seen.commands_counted_max >= 1, "no command ever counted: {seen:?}");
}

#[test]
fn long_walks_through_failures_keep_the_promises() {
    let seen = walk(&WIDE, Variant::True, 3000).unwrap();
    assert!(seen.commands_counted_max >= 4, "hardly a command ever counted: {seen:?}");
}

/// Leaders whose clocks differ take turns: log time stands still where a clock is behind, and never goes back.
#[test]
fn log_time_never_goes_back_whatever_the_clocks_of_leaders_say() {
    let mut numbering = Numbering::default();
    let header = |kind, leader: u64, term, position, time| {
        let token = Token { node: leader, incarnation: leader, counter: term };
        let mut header = Entry::new(kind, bytes::Bytes::new()).header;
        (header.term, header.time, header.record_count) = (term, time, 1);
        header.fence = Fence { token, position };
        header
    };
    let steps = [
        (header(EntryKind::Barrier, 1, 1, 0, 100), 100),
        (header(EntryKind::Commands, 1, 1, 1, 120), 120),
        // The next leader's clock is behind.
        (header(EntryKind::Barrier, 2, 2, 0, 50), 120),
        (header(EntryKind::Commands, 2, 2, 1, 60), 120),
        (header(EntryKind::Sessions, 2, 2, 2, 119), 120),
        (header(EntryKind::Outcomes, 2, 2, 3, 130), 130),
        // What does not count moves nothing, and consensus' own entries have no time.
        (header(EntryKind::Commands, 2, 2, 9, 500), 130),
        (header(EntryKind::Blank, 2, 3, 0, 0), 130),
        (header(EntryKind::Barrier, 1, 3, 0, 90), 130),
    ];
    for (header, time) in steps {
        (numbering, _) = count(numbering, &header);
        assert_eq!(numbering.time, time, "after {header:?}");
    }
}

/// The planted error is found by walks, and for the reason that it is there to break.
fn is_caught(variant: Variant, reason: &str) {
    let violation = walk(&WIDE, variant, 20_000).unwrap_err();
    let Violation { what, trail } = violation;
    assert!(what.contains(reason), "{variant:?} was caught, but for: {what}\n{trail:?}");
}

#[test]
fn unchecked_token_is_caught() {
    is_caught(Variant::TokenUnchecked, "meets");
}

#[test]
fn unchecked_position_is_caught() {
    is_caught(Variant::PositionUnchecked, "meets");
}

#[test]
fn unchecked_term_is_caught() {
    is_caught(Variant::TermUnchecked, "in term");
}

#[test]
fn position_given_twice_is_caught() {
    is_caught(Variant::PositionReused, "meets");
}
