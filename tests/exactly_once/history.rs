//! What clients were told, and whether it can be true.

use porcupine_rs::{CheckResult, Model, Operation};
use std::time::Duration;

/// How long the search may take.
const SEARCH: Duration = Duration::from_secs(120);

/// What was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// To add 1.
    Add,
    /// The value, as of everything that anyone had been told before.
    Linearizable,
    /// The value, as of this log index or later.
    AtLeast(u64),
}

/// A request and its answer.
#[derive(Clone, Debug)]
pub struct Op {
    pub client: u32,
    pub what: What,
    pub variable: usize,
    /// The log index and the value in the answer.
    pub index: u64,
    pub value: i64,
    /// The highest log index that anyone had been told when it was asked.
    pub told: u64,
    /// When it was first asked and when it was answered, in nanoseconds.
    pub call: i64,
    pub back: i64,
}

/// Each variable's value at each log index.
pub struct History(Vec<Vec<i64>>);

impl History {
    /// Carries out `x+=1` and `x=6` as the log has them.
    pub fn replay(texts: &[String], variables: &[&str]) -> History {
        let mut values = vec![0; variables.len()];
        let mut history = vec![values.clone()];
        for text in texts {
            let (name, operand) = text.split_once('=').unwrap();
            let adds = name.strip_suffix('+');
            let variable = variables.iter().position(|name_of| *name_of == adds.unwrap_or(name)).unwrap();
            let operand: i64 = operand.parse().unwrap();
            values[variable] = if adds.is_some() { values[variable] + operand } else { operand };
            history.push(values.clone());
        }
        History(history)
    }

    /// The answer is what the log says for its index, and the index is one that it may have.
    pub fn agrees_with(&self, op: &Op) {
        let value = self.0[op.index as usize][op.variable];
        assert_eq!(op.value, value, "the log has another value at log index {}: {op:?}", op.index);
        match op.what {
            What::Add => {
                let before = self.0[op.index as usize - 1][op.variable];
                assert_eq!(before + 1, value, "the command at log index {} is another one: {op:?}", op.index);
                assert!(op.index > op.told, "it was told an index from before it was asked: {op:?}");
            }
            What::Linearizable => assert!(op.index >= op.told, "it does not see what had been told: {op:?}"),
            What::AtLeast(index) => assert!(op.index >= index, "it is older than was asked for: {op:?}"),
        }
    }
}

/// A counter, as its users see it: no log, no indexes.
#[derive(Clone)]
struct Counter;

impl Model for Counter {
    type State = i64;
    /// (whether it adds 1, the value that was answered)
    type Op = (bool, i64);
    type Metadata = ();

    fn init() -> i64 {
        0
    }

    fn step(state: &i64, (adds, value): &(bool, i64)) -> (bool, i64) {
        let after = state + i64::from(*adds);
        (after == *value, after)
    }
}

fn operations(ops: &[Op], variable: usize) -> Vec<Operation<Counter>> {
    let strong = |op: &&Op| op.variable == variable && !matches!(op.what, What::AtLeast(_));
    ops.iter()
        .filter(strong)
        .map(|op| Operation {
            client_id: Some(op.client),
            call_time: op.call,
            return_time: op.back,
            op: (op.what == What::Add, op.value),
            metadata: None,
        })
        .collect()
}

/// The commands and the strong reads of each variable by itself can be put into one order that explains them (a history is
/// linearizable if that of each object is: Herlihy and Wing 1990, section 3.2).
pub fn is_linearizable(ops: &[Op]) {
    let variables = ops.iter().map(|op| op.variable).max().map_or(0, |last| last + 1);
    for variable in 0..variables {
        let mut history = operations(ops, variable);
        let result = porcupine_rs::check_operations_timeout::<Counter>(&history, SEARCH);
        assert_eq!(result, CheckResult::Ok, "the history of variable {variable} is not linearizable");
        // The check can fail: a read that is made to lag behind what had been answered before it was asked is found.
        let answered = |read: &Operation<Counter>| {
            history.iter().any(|before| before.op.1 >= read.op.1 && before.return_time < read.call_time)
        };
        let lags = history.iter().rposition(|operation| !operation.op.0 && answered(operation));
        let lags = lags.expect("among thousands of reads one was asked after its value had been answered");
        history[lags].op.1 -= 1;
        let result = porcupine_rs::check_operations_timeout::<Counter>(&history, SEARCH);
        assert_eq!(result, CheckResult::Illegal, "the checker does not find a read that lags");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(client: u32, what: What, value: i64, call: i64, back: i64) -> Op {
        Op { client, what, variable: 0, index: 0, value, told: 0, call, back }
    }

    /// A read of the same value came before, and no command of a higher one: this once had been thought to be legal.
    #[test]
    fn a_read_that_lags_behind_another_read_is_found() {
        is_linearizable(&[
            op(1, What::Add, 1, 0, 90),
            op(2, What::Linearizable, 1, 10, 20),
            op(3, What::Linearizable, 1, 30, 40),
        ]);
    }

    #[test]
    #[should_panic(expected = "is not linearizable")]
    fn a_history_that_goes_back_is_found() {
        is_linearizable(&[
            op(1, What::Add, 1, 0, 5),
            op(2, What::Linearizable, 1, 10, 20),
            op(3, What::Linearizable, 0, 30, 40),
        ]);
    }
}
