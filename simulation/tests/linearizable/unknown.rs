//! Operations of which nobody knows what became.

use lovebird_simulation::linearizable::models::{
    Counter, CounterInput, Register, RegisterInput, RegisterOutput,
};
use lovebird_simulation::linearizable::{Operation, STEPS_MAX, Verdict, check};

use crate::{contradiction, linearizable, told, unknown};

const REGISTER: Register<u64> = Register { initial: 0 };

type Op = Operation<RegisterInput<u64>, RegisterOutput<u64>>;

fn read(called: u64, value: u64) -> Op {
    told(9, called, called + 5, RegisterInput::Read, RegisterOutput::Value(value))
}

#[test]
fn a_write_that_took_effect() {
    let history = [unknown(1, 0, RegisterInput::Write(1)), read(10, 1)];
    assert_eq!(linearizable(&REGISTER, &history), [0, 1]);
}

#[test]
fn a_write_that_never_did() {
    let history = [unknown(1, 0, RegisterInput::Write(1)), read(10, 0), read(1000, 0)];
    assert_eq!(linearizable(&REGISTER, &history), [1, 2]);
}

#[test]
fn a_write_that_took_effect_long_after() {
    let history = [unknown(1, 0, RegisterInput::Write(1)), read(10, 0), read(1000, 1)];
    assert_eq!(linearizable(&REGISTER, &history), [1, 0, 2]);
}

#[test]
fn a_write_does_not_take_effect_before_it_was_called() {
    let history = [read(10, 1), unknown(1, 100, RegisterInput::Write(1))];
    assert_eq!(contradiction(&REGISTER, &history).misfits, [0]);
}

#[test]
fn a_write_takes_effect_once() {
    let over = told(2, 30, 40, RegisterInput::Write(2), RegisterOutput::Written);
    let history = [unknown(1, 0, RegisterInput::Write(1)), read(10, 1), over, read(50, 1)];
    let contradiction = contradiction(&REGISTER, &history);
    assert_eq!((contradiction.prefix.as_slice(), contradiction.culprit()), ([0, 1, 2].as_slice(), Some(3)));
}

#[test]
fn two_equal_writes_take_effect_twice() {
    let over = told(2, 30, 40, RegisterInput::Write(2), RegisterOutput::Written);
    let write = || unknown(1, 0, RegisterInput::Write(1));
    let history = [write(), write(), read(10, 1), over.clone(), read(50, 1)];
    assert_eq!(linearizable(&REGISTER, &history), [0, 2, 3, 1, 4]);
}

/// Each of these may or may not have counted, which is 2^200 possibilities; but they are all alike.
#[test]
fn hundreds_of_additions_that_are_alike() {
    let add = |called| unknown(1, called, CounterInput::Add(1));
    let mut history: Vec<Operation<CounterInput, i64>> = (0..200).map(add).collect();
    history.push(told(2, 1000, 1001, CounterInput::Read, 77));
    history.push(told(2, 1002, 1003, CounterInput::Read, 200));
    let order = linearizable(&Counter::default(), &history);
    assert_eq!(order.len(), 202);
    history.push(told(2, 1004, 1005, CounterInput::Read, 201));
    assert_eq!(contradiction(&Counter::default(), &history).misfits, [202]);
}

/// 5 is 1 + 4 or 2 + 3, and only what comes later tells which: neither way of coming to a state stands for the other.
#[test]
fn the_same_sum_out_of_different_additions() {
    let add = |amount| unknown(1, 0, CounterInput::Add(amount));
    let read = |called, value| told(2, called, called + 5, CounterInput::Read, value);
    for (seen_last, never) in [(6, 3), (7, 2)] {
        let history = [add(1), add(2), add(3), add(4), read(10, 5), read(20, seen_last)];
        let order = linearizable(&Counter::default(), &history);
        assert!(order.len() == 5 && !order.contains(&never), "{order:?}");
    }
    let history = [add(1), add(2), add(3), add(4), read(10, 5), read(20, 14)];
    assert_eq!(contradiction(&Counter::default(), &history).misfits, [5]);
}

/// Which of these counted is told by what is read, and wherever something unexplained is read, each is tried.
#[test]
fn writes_of_many_values_some_of_which_were_seen() {
    let mut history = Vec::new();
    for round in 0..100 {
        let at = round * 1000;
        history.push(unknown(1, at, RegisterInput::Write(round + 1)));
        let seen = if round % 3 == 0 { round + 1 } else { 1_000_000 + round };
        history.push(told(
            2,
            at + 100,
            at + 110,
            RegisterInput::Write(1_000_000 + round),
            RegisterOutput::Written,
        ));
        history.push(read(at + 200, seen));
    }
    let order = linearizable(&REGISTER, &history);
    assert_eq!(order.len(), 234);
    history.push(read(1_000_000, 1));
    match check(&REGISTER, &history, STEPS_MAX) {
        Verdict::Not(contradiction) => assert_eq!(contradiction.culprit(), Some(300)),
        verdict => panic!("write 1 was used up for the first read: {verdict:?}"),
    }
}
