//! The checker of histories, held against the literature, against another checker, and against what that one ships.
#![cfg(not(madsim))]
#![allow(clippy::unwrap_used, missing_docs)]

mod literature;
mod unknown;
mod random;
mod labelled;
mod size;

use std::fmt::Debug;

use lovebird_simulation::linearizable::{
    Contradiction, History, Model, Operation, STEPS_MAX, Verdict, check, replay,
};

/// An operation that returned.
fn told<I, O>(client: u64, called: u64, returned: u64, input: I, output: O) -> Operation<I, O> {
    Operation { client, called, input, returned: Some((returned, output)) }
}

/// An operation of which nobody knows what became.
fn unknown<I, O>(client: u64, called: u64, input: I) -> Operation<I, O> {
    Operation { client, called, input, returned: None }
}

/// The order that explains it, which is looked at as well.
fn linearizable<M: Model>(model: &M, history: &History<M>) -> Vec<usize>
where
    M::State: Debug,
{
    match check(model, history, STEPS_MAX) {
        Verdict::Linearizable(order) => {
            replay(model, history, &order).unwrap();
            order
        }
        verdict => panic!("it is linearizable, and not {verdict:?}"),
    }
}

fn contradiction<M: Model>(model: &M, history: &History<M>) -> Contradiction<M::State>
where
    M::State: Debug,
{
    match check(model, history, STEPS_MAX) {
        Verdict::Not(contradiction) => contradiction,
        verdict => panic!("it is not linearizable, which is not {verdict:?}"),
    }
}
