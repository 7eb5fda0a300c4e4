//! A few registers that are read, written, and compared and set: what the literature checks for linearizability.

use lovebird_core::context::Context;
use lovebird_core::state_machine::StateMachine;
use serde::{Deserialize, Serialize};

use crate::chance::Chance;
use crate::workload::Workload;

/// How many registers there are.
const REGISTERS: u64 = 3;

/// How many values they take: few, so that comparing often succeeds.
const VALUES: u64 = 5;

/// Clients read, write, and compare and set.
#[derive(Clone, Copy, Debug)]
pub struct Register;

/// What is done to a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Access {
    /// Sets it.
    Write(u64, u64),
    /// Sets it to the last value if it holds the one before.
    CompareAndSet(u64, u64, u64),
    /// Reads it, as a command.
    Read(u64),
}

/// The registers.
#[derive(Clone, Debug)]
pub struct Registers([u64; REGISTERS as usize]);

impl StateMachine for Registers {
    type Command = Access;
    /// What the register held before.
    type Reply = u64;
    type Query = u64;
    type Answer = u64;
    type Snapshot = [u64; REGISTERS as usize];

    fn apply(&mut self, _context: &Context, access: Access) -> u64 {
        let (Access::Write(register, _) | Access::CompareAndSet(register, ..) | Access::Read(register)) =
            access;
        let held = &mut self.0[register as usize];
        match access {
            Access::Write(_, value) => std::mem::replace(held, value),
            Access::CompareAndSet(_, due, value) if *held == due => std::mem::replace(held, value),
            Access::CompareAndSet(..) | Access::Read(_) => *held,
        }
    }

    fn query(&self, register: u64) -> u64 {
        self.0[register as usize]
    }

    fn snapshot(&self) -> Self::Snapshot {
        self.0
    }

    fn restore(&mut self, snapshot: Self::Snapshot) {
        self.0 = snapshot;
    }
}

impl Workload for Register {
    type Machine = Registers;
    type Proposal = Access;

    fn machine() -> Registers {
        Registers([0; REGISTERS as usize])
    }

    fn next(_client: u64, chance: &mut Chance) -> Access {
        let register = chance.below(REGISTERS);
        match chance.below(3) {
            0 => Access::Write(register, chance.below(VALUES)),
            1 => Access::CompareAndSet(register, chance.below(VALUES), chance.below(VALUES)),
            _ => Access::Read(register),
        }
    }

    fn query(_client: u64, chance: &mut Chance) -> u64 {
        chance.below(REGISTERS)
    }
}
