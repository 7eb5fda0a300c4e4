//! Outcomes of many records at once: put together where they were proposed, taken apart on the way back.

use std::collections::VecDeque;

use crate::reply::split_replies;
use crate::transport::{Outcome, Part};

pub(crate) fn not_committed(reason: impl Into<String>) -> Outcome {
    Outcome::NotCommitted { reason: reason.into(), retry: true, leader: None }
}

pub(crate) fn unknown(reason: impl Into<String>) -> Outcome {
    Outcome::Unknown { reason: reason.into() }
}

/// One outcome of all these parts.
pub(crate) fn joined(mut parts: Vec<Part>) -> Outcome {
    if parts.len() == 1
        && let Some(part) = parts.pop()
    {
        return part.outcome;
    }
    Outcome::Parts(parts)
}

/// An outcome from which one piece after the other is taken.
#[derive(Debug)]
pub(crate) struct Pieces(VecDeque<Part>);

impl Pieces {
    /// The outcome of `count` records.
    pub(crate) fn new(outcome: Outcome, count: u32) -> Self {
        Pieces(match outcome {
            Outcome::Parts(parts) => parts.into(),
            outcome => VecDeque::from([Part { count, outcome }]),
        })
    }

    /// The outcome of the next `count` records, at least one.
    pub(crate) fn take(&mut self, count: u32) -> Outcome {
        // As a rule there is one part with one outcome, and its records are taken one by one.
        if let Some(part) = self.0.front_mut()
            && part.count > count
        {
            let rest = split(part, count);
            return std::mem::replace(part, rest).outcome;
        }
        let mut taken = Vec::new();
        let mut left = count;
        while left > 0 {
            let Some(mut part) = self.0.pop_front() else {
                taken.push(Part { count: left, outcome: unknown("the outcome did not arrive whole") });
                break;
            };
            if part.count > left {
                let rest = split(&mut part, left);
                self.0.push_front(rest);
            }
            left -= part.count;
            taken.push(part);
        }
        joined(taken)
    }
}

/// Leaves the first `count` records in `part`, and gives the rest.
fn split(part: &mut Part, count: u32) -> Part {
    let rest = part.count - count;
    part.count = count;
    let outcome = match &mut part.outcome {
        Outcome::Committed { first_index, replies } => match split_replies(replies, count) {
            Some(first) => {
                let later = Outcome::Committed {
                    first_index: *first_index + u64::from(count),
                    replies: std::mem::replace(replies, first),
                };
                return Part { count: rest, outcome: later };
            }
            None => unknown("the replies did not arrive whole"),
        },
        outcome => outcome.clone(),
    };
    part.outcome = outcome.clone();
    Part { count: rest, outcome }
}
