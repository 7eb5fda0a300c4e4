//! Making a plan less while something still holds of it: greedy removal by halves ("delta debugging", Zeller and Hildebrandt
//! 2002), first of what is large.

use std::ops::Range;

use crate::plan::{Fault, Plan};

/// Something of which a plan has many, and what is left when some are gone.
struct Part {
    count: fn(&Plan) -> usize,
    without: fn(&Plan, Range<usize>) -> Plan,
}

/// In the order in which they are tried: what makes runs short comes first.
const PARTS: [Part; 5] = [
    Part {
        count: |plan| plan.clients.len(),
        without: |plan, range| {
            let mut plan = plan.clone();
            plan.clients.drain(range);
            plan
        },
    },
    Part {
        count: |plan| plan.subscribers.len(),
        without: |plan, range| {
            let mut plan = plan.clone();
            plan.subscribers.drain(range);
            plan
        },
    },
    Part { count: callers, without: without_callers },
    Part {
        count: |plan| plan.steps.len(),
        without: |plan, range| {
            let mut plan = plan.clone();
            plan.steps.drain(range);
            plan
        },
    },
    Part { count: Plan::operations, without: without_operations },
];

fn callers(plan: &Plan) -> usize {
    plan.clients.iter().map(|client| client.callers.len()).sum()
}

fn without_callers(plan: &Plan, range: Range<usize>) -> Plan {
    let mut plan = plan.clone();
    let mut place = 0;
    for client in &mut plan.clients {
        client.callers.retain(|_| {
            place += 1;
            !range.contains(&(place - 1))
        });
    }
    plan
}

/// What comes behind what is gone keeps its time.
fn without_operations(plan: &Plan, range: Range<usize>) -> Plan {
    let mut plan = plan.clone();
    let mut place = 0;
    for ops in plan.clients.iter_mut().flat_map(|client| &mut client.callers) {
        let mut waited = 0;
        ops.retain_mut(|op| {
            place += 1;
            if range.contains(&(place - 1)) {
                waited += op.pause_ms;
                return false;
            }
            op.pause_ms += std::mem::take(&mut waited);
            true
        });
    }
    plan
}

/// Without what would be inflicted after the end.
fn until(plan: &Plan, length_ms: u64) -> Plan {
    let mut plan = Plan { length_ms, ..plan.clone() };
    plan.steps.retain(|step| step.at_ms < length_ms);
    plan
}

/// With three nodes in place of five.
fn smaller(plan: &Plan) -> Plan {
    let mut plan = Plan { nodes: 3, ..plan.clone() };
    plan.steps.retain_mut(|step| match &mut step.fault {
        Fault::PowerLoss { nodes, .. } => {
            nodes.retain(|node| *node <= 3);
            !nodes.is_empty()
        }
        Fault::Cut { from, to } | Fault::Heal { from, to } => {
            ![from, to].iter().any(|at| matches!(**at, 4 | 5))
        }
        fault => fault.node().is_none_or(|node| node <= 3),
    });
    for subscriber in &mut plan.subscribers {
        subscriber.bound = subscriber.bound.map(|node| node.min(3));
    }
    plan
}

/// Reduces a plan for as long as `holds` finds one of the offered ones for which it still holds: it gives that one's place, and the
/// plan itself, which may differ in its seed. `at_ms` is when the promise was found broken.
///
/// # Errors
/// Those of `holds`.
pub(super) fn reduce<E>(
    plan: Plan,
    at_ms: u64,
    window: usize,
    holds: &mut dyn FnMut(Vec<Plan>) -> Result<Option<(usize, Plan)>, E>,
) -> Result<Plan, E> {
    let mut plan = shorten(plan, at_ms, holds)?;
    if plan.nodes > 3
        && let Some((_, smaller)) = holds(vec![smaller(&plan)])?
    {
        plan = smaller;
    }
    loop {
        let before = (plan.size(), plan.length_ms);
        for part in &PARTS {
            plan = thin_out(plan, part, window, holds)?;
        }
        let length_ms = plan.length_ms;
        plan = shorten(plan, length_ms, holds)?;
        if (plan.size(), plan.length_ms) == before {
            return Ok(plan);
        }
    }
}

/// Ends the run earlier.
fn shorten<E>(
    mut plan: Plan,
    at_ms: u64,
    holds: &mut dyn FnMut(Vec<Plan>) -> Result<Option<(usize, Plan)>, E>,
) -> Result<Plan, E> {
    if at_ms + 100 < plan.length_ms
        && let Some((_, shorter)) = holds(vec![until(&plan, at_ms + 100)])?
    {
        plan = shorter;
    }
    for parts in [2, 4, 8] {
        while plan.length_ms > 500 {
            let shorter = until(&plan, plan.length_ms - plan.length_ms / parts);
            let Some((_, shorter)) = holds(vec![shorter])? else { break };
            plan = shorter;
        }
    }
    Ok(plan)
}

/// Takes parts away, in halves, quarters, and so on down to single ones.
fn thin_out<E>(
    mut plan: Plan,
    part: &Part,
    window: usize,
    holds: &mut dyn FnMut(Vec<Plan>) -> Result<Option<(usize, Plan)>, E>,
) -> Result<Plan, E> {
    let mut chunk = (part.count)(&plan);
    while chunk > 0 {
        let mut from = 0;
        loop {
            let count = (part.count)(&plan);
            let starts: Vec<usize> =
                (0..window).map(|k| from + k * chunk).filter(|start| *start < count).collect();
            if starts.is_empty() {
                break;
            }
            let offered =
                starts.iter().map(|start| (part.without)(&plan, *start..(start + chunk).min(count)));
            match holds(offered.collect())? {
                Some((place, reduced)) => (plan, from) = (reduced, starts[place]),
                None => from += window * chunk,
            }
        }
        chunk /= 2;
    }
    Ok(plan)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::plan::Who;

    /// The least plan that still kills node 2, with one operation.
    #[test]
    fn what_is_not_needed_goes() {
        let mut plan = Plan::of(1, "arithmetic");
        plan.steps.push(crate::plan::Step { at_ms: 900, fault: Fault::Kill { who: Who::Node(2) } });
        plan.steps.sort_by_key(|step| step.at_ms);
        let mut tried = 0;
        let reduced = reduce(plan, 1000, 4, &mut |plans: Vec<Plan>| {
            tried += plans.len();
            let found = plans.into_iter().enumerate().find(|(_, plan)| {
                plan.operations() > 0
                    && plan.steps.iter().any(|step| step.fault == Fault::Kill { who: Who::Node(2) })
            });
            Ok::<_, ()>(found)
        })
        .unwrap();
        assert_eq!((reduced.steps.len(), reduced.operations(), reduced.subscribers.len()), (1, 1, 0));
        assert!(reduced.length_ms <= 1100, "{}", reduced.length_ms);
        assert!(tried < 400, "{tried} plans were tried");
    }

    #[test]
    fn what_is_left_keeps_its_time() {
        let plan = Plan::of(3, "arithmetic");
        let at = |plan: &Plan| plan.clients[0].callers[0].iter().take(6).map(|op| op.pause_ms).sum::<u64>();
        let mut less = without_operations(&plan, 1..4);
        less.clients[0].callers[0].truncate(3);
        assert_eq!(at(&less), at(&plan));
    }
}
