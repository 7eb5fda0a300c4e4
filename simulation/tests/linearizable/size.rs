//! Histories as long as a run's.

use std::time::Instant;

use lovebird_simulation::linearizable::models::{Counter, CounterInput};
use lovebird_simulation::linearizable::{Operation, STEPS_MAX, Verdict, check};

use crate::{contradiction, linearizable};

const OPERATIONS: u64 = 5_000;

/// `clients` add up to `amount_max` and read without pause; every fiftieth operation is an addition that is never answered,
/// and every other one of those took effect.
fn history(clients: u64, amount_max: u64) -> Vec<Operation<CounterInput, i64>> {
    let mut value = 0;
    let mut history = Vec::new();
    for number in 0..OPERATIONS {
        // Taking effect in the order of their numbers, each a while after its call and before its return.
        let (called, returned) = (number * 10, number * 10 + 10 * clients - 5);
        let amount = 1 + (number % amount_max) as i64;
        let input = if number % 4 == 0 { CounterInput::Read } else { CounterInput::Add(amount) };
        let unknown = number % 50 == 7;
        if let CounterInput::Add(amount) = input
            && !(unknown && number % 100 == 7)
        {
            value += amount;
        }
        let returned = (!unknown).then_some((returned, value));
        history.push(Operation { client: number % clients, called, input, returned });
    }
    history
}

/// Where an answer is made wrong, in the middle of much else.
const WRONG: usize = 4_000;

fn with_a_wrong_answer(mut history: Vec<Operation<CounterInput, i64>>) -> Vec<Operation<CounterInput, i64>> {
    if let Some((_, value)) = &mut history[WRONG].returned {
        *value -= 1_000;
    }
    history
}

#[test]
fn thousands_of_operations() {
    for (clients, amount_max) in [(1, 1), (1, 50), (3, 50), (10, 50), (30, 50)] {
        let history = history(clients, amount_max);
        let begun = Instant::now();
        let order = linearizable(&Counter::default(), &history);
        let took = begun.elapsed();
        assert!(order.len() as u64 >= OPERATIONS - OPERATIONS / 50);
        println!("measured: {OPERATIONS} operations of {clients} clients, in {took:?}");
    }
}

#[test]
fn a_wrong_answer_among_thousands() {
    for clients in [1, 3] {
        let history = with_a_wrong_answer(history(clients, 1));
        let begun = Instant::now();
        assert_eq!(contradiction(&Counter::default(), &history).misfits, [WRONG]);
        println!(
            "measured: {OPERATIONS} operations of {clients} clients and a wrong answer, in {:?}",
            begun.elapsed()
        );
    }
}

/// A hundred unanswered additions of many amounts can be made to sum up to anything in too many ways.
#[test]
fn a_wrong_answer_is_suspected_where_it_cannot_be_proved() {
    let history = with_a_wrong_answer(history(3, 50));
    match check(&Counter::default(), &history, 100_000) {
        Verdict::GaveUp(suspicion) => assert_eq!(suspicion.misfits, [WRONG]),
        verdict => panic!("there is far more to search: {verdict:?}"),
    }
}

/// The search does not use the stack.
#[test]
fn a_hundred_thousand_operations() {
    let history: Vec<Operation<CounterInput, i64>> = (0..100_000)
        .map(|number| {
            let returned = Some((number * 10 + 15, number as i64 + 1));
            Operation { client: number % 2, called: number * 10, input: CounterInput::Add(1), returned }
        })
        .collect();
    assert!(matches!(check(&Counter::default(), &history, STEPS_MAX), Verdict::Linearizable(_)));
}
