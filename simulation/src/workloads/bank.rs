//! Accounts and transfers between them: whatever happens, the sum stays.

use lovebird_core::context::Context;
use lovebird_core::state_machine::StateMachine;
use serde::{Deserialize, Serialize};

use crate::chance::Chance;
use crate::workload::{QueryOf, Workload};

/// How many accounts there are.
const ACCOUNTS: u64 = 8;

/// What each begins with.
const BALANCE: u64 = 100;

/// Clients move money.
#[derive(Clone, Copy, Debug)]
pub struct Bank;

/// Moves money, if it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// From this account.
    pub from: u64,
    /// To this one.
    pub to: u64,
    /// How much.
    pub amount: u64,
}

/// Too little is on the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Insufficient {
    /// What is there.
    pub balance: u64,
}

/// The balances.
#[derive(Clone, Debug)]
pub struct Accounts(Vec<u64>);

impl StateMachine for Accounts {
    type Command = Transfer;
    type Reply = Result<(u64, u64), Insufficient>;
    type Query = ();
    type Answer = Vec<u64>;
    type Snapshot = Vec<u64>;

    fn apply(&mut self, _context: &Context, transfer: Transfer) -> Self::Reply {
        let (from, to) = (transfer.from as usize, transfer.to as usize);
        let balance = self.0[from];
        self.0[from] = balance.checked_sub(transfer.amount).ok_or(Insufficient { balance })?;
        self.0[to] += transfer.amount;
        Ok((self.0[from], self.0[to]))
    }

    fn query(&self, (): ()) -> Vec<u64> {
        self.0.clone()
    }

    fn snapshot(&self) -> Vec<u64> {
        self.0.clone()
    }

    fn restore(&mut self, snapshot: Vec<u64>) {
        self.0 = snapshot;
    }
}

impl Workload for Bank {
    type Machine = Accounts;
    type Proposal = Transfer;

    fn machine() -> Accounts {
        Accounts(vec![BALANCE; ACCOUNTS as usize])
    }

    fn next(_client: u64, chance: &mut Chance) -> Transfer {
        Transfer { from: chance.below(ACCOUNTS), to: chance.below(ACCOUNTS), amount: chance.below(60) }
    }

    fn query(_client: u64, _chance: &mut Chance) -> QueryOf<Self> {}

    fn check(machine: &Accounts) -> Result<(), String> {
        let (sum, due) = (machine.0.iter().sum::<u64>(), ACCOUNTS * BALANCE);
        if sum == due { Ok(()) } else { Err(format!("the accounts hold {sum} in all, and began with {due}")) }
    }
}
