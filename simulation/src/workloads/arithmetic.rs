//! Variables that start at zero, and `x+=5`, `x-=2`, `y*=2`, `y/=3` on them: in the state machine model the log holds these, in
//! the primary-backup model what comes out.

use std::collections::BTreeMap;

use lovebird_core::context::Context;
use lovebird_core::primary_backup::PrimaryBackup;
use lovebird_core::state_machine::StateMachine;
use serde::{Deserialize, Serialize};

use crate::chance::Chance;
use crate::workload::Workload;

/// How many variables there are: few, so that clients get into each other's way.
const VARIABLES: u64 = 6;

/// Clients calculate.
#[derive(Clone, Copy, Debug)]
pub struct Arithmetic;

/// What is done to a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operator {
    /// `x+=`
    Add,
    /// `x-=`
    Subtract,
    /// `x*=`
    Multiply,
    /// `x/=`
    Divide,
}

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Which variable.
    pub variable: u64,
    /// What is done to it.
    pub operator: Operator,
    /// With what.
    pub operand: i64,
}

/// What the log holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// In the state machine model.
    Change(Change),
    /// In the primary-backup model: the variable's new value, or that there is none.
    Outcome(u64, Result<i64, Refusal>),
}

/// Why a variable stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// Nothing can be divided by zero.
    DivisionByZero,
    /// The result would not fit.
    Overflow,
}

/// The variables that are not zero.
#[derive(Clone, Debug, Default)]
pub struct Variables(BTreeMap<u64, i64>);

impl Variables {
    fn value(&self, variable: u64) -> i64 {
        self.0.get(&variable).copied().unwrap_or(0)
    }

    fn change(&self, change: Change) -> Result<i64, Refusal> {
        let (value, operand) = (self.value(change.variable), change.operand);
        let result = match change.operator {
            Operator::Add => value.checked_add(operand),
            Operator::Subtract => value.checked_sub(operand),
            Operator::Multiply => value.checked_mul(operand),
            Operator::Divide if operand == 0 => return Err(Refusal::DivisionByZero),
            Operator::Divide => value.checked_div(operand),
        };
        result.ok_or(Refusal::Overflow)
    }
}

impl StateMachine for Variables {
    type Command = Command;
    type Reply = Result<i64, Refusal>;
    type Query = u64;
    type Answer = i64;
    type Snapshot = BTreeMap<u64, i64>;

    fn apply(&mut self, _context: &Context, command: Command) -> Result<i64, Refusal> {
        let (variable, result) = match command {
            Command::Change(change) => (change.variable, self.change(change)),
            Command::Outcome(variable, result) => (variable, result),
        };
        let value = result?;
        self.0.insert(variable, value);
        Ok(value)
    }

    fn query(&self, variable: u64) -> i64 {
        self.value(variable)
    }

    fn snapshot(&self) -> BTreeMap<u64, i64> {
        self.0.clone()
    }

    fn restore(&mut self, snapshot: BTreeMap<u64, i64>) {
        self.0 = snapshot;
    }
}

impl PrimaryBackup for Variables {
    type Request = Command;

    fn execute(&self, _context: &Context, request: Command) -> Command {
        match request {
            Command::Change(change) => Command::Outcome(change.variable, self.change(change)),
            outcome => outcome,
        }
    }
}

impl Workload for Arithmetic {
    type Machine = Variables;
    type Proposal = Command;

    fn machine() -> Variables {
        Variables::default()
    }

    fn next(_client: u64, chance: &mut Chance) -> Command {
        let operator = *chance.one_of(&[
            Operator::Add,
            Operator::Add,
            Operator::Subtract,
            Operator::Multiply,
            Operator::Divide,
        ]);
        Command::Change(Change {
            variable: chance.below(VARIABLES),
            operator,
            operand: chance.between(0, 200) as i64 - 20,
        })
    }

    fn query(_client: u64, chance: &mut Chance) -> u64 {
        chance.below(VARIABLES)
    }
}
