//! The service itself: a table of variables, and what a command does to it. This file is all that replication asks for.
use lovebird::{Context, StateMachine};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `x+=5` and its like: what the log holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    pub name: String,
    pub operator: Operator,
    pub operand: i64,
}

/// What to do with the variable; the log holds the position in this list, which therefore only grows at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[rustfmt::skip]
pub enum Operator { Add, Subtract, Multiply, Divide, Set }

/// The variables that were ever set. Ordered, so that equal states are equal bytes.
#[derive(Clone, Default)]
pub struct Arithmetic(BTreeMap<String, i64>);

impl StateMachine for Arithmetic {
    type Command = Command;
    type Reply = Result<i64, String>; // the new value, or why nothing changed: refused on every replica alike
    type Query = String;
    type Answer = i64;
    type Snapshot = BTreeMap<String, i64>;

    fn apply(&mut self, _: &Context, command: Command) -> Self::Reply {
        let new = self.value_after(&command)?;
        self.0.insert(command.name, new);
        Ok(new)
    }
    fn query(&self, name: String) -> i64 {
        self.0.get(&name).copied().unwrap_or(0)
    }
    fn snapshot(&self) -> Self::Snapshot {
        self.0.clone()
    }
    fn restore(&mut self, snapshot: Self::Snapshot) {
        self.0 = snapshot;
    }
}

impl Arithmetic {
    pub fn value_after(&self, Command { name, operator, operand }: &Command) -> Result<i64, String> {
        let old = self.0.get(name).copied().unwrap_or(0);
        let new = match operator {
            Operator::Add => old.checked_add(*operand),
            Operator::Subtract => old.checked_sub(*operand),
            Operator::Multiply => old.checked_mul(*operand),
            Operator::Divide if *operand == 0 => return Err(format!("{name} stays {old}: division by 0")),
            Operator::Divide => old.checked_div(*operand),
            Operator::Set => Some(*operand),
        };
        new.ok_or_else(|| format!("{name} stays {old}: the result is no 64-bit integer"))
    }
}
