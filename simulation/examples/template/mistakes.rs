//! Three mistakes that replicated services are prone to, each found by the simulator.

use std::collections::HashMap;
use std::fmt::Debug;
use std::marker::PhantomData;
use std::time::SystemTime;

use lovebird::{Context, StateMachine};
use lovebird_simulation::chance::Chance;
use lovebird_simulation::workload::{Workload, mix};
use serde::{Deserialize, Serialize};

use crate::stock::{ITEMS, Order, Receipt, Stock};
use crate::workload::order;

/// A shop that sells whatever its hash table comes upon first, which is something else on every replica.
#[derive(Default)]
pub(crate) struct Unordered(HashMap<u64, u64>);

impl StateMachine for Unordered {
    type Command = Order;
    type Reply = Receipt;
    type Query = u64;
    type Answer = u64;
    type Snapshot = HashMap<u64, u64>;

    fn apply(&mut self, _context: &Context, order: Order) -> Receipt {
        let (item, count) = match order {
            Order::Deliver { item, count } => {
                *self.0.entry(item).or_default() += count;
                return Receipt::Left { item, count: self.0[&item] };
            }
            Order::Sell { item, count } => (Some(item), count),
            Order::SellAnything { count } => {
                (self.0.iter().find(|(_, there)| **there >= count).map(|(item, _)| *item), count)
            }
        };
        let Some(item) = item else { return Receipt::OutOfStock };
        let there = self.0.entry(item).or_default();
        let Some(left) = there.checked_sub(count) else { return Receipt::OutOfStock };
        *there = left;
        Receipt::Left { item, count: left }
    }

    fn query(&self, item: u64) -> u64 {
        self.0.get(&item).copied().unwrap_or(0)
    }

    fn snapshot(&self) -> HashMap<u64, u64> {
        self.0.clone()
    }

    fn restore(&mut self, snapshot: HashMap<u64, u64>) {
        self.0 = snapshot;
    }
}

pub(crate) struct HashOrder;

impl Workload for HashOrder {
    type Machine = Unordered;
    type Proposal = Order;

    fn machine() -> Unordered {
        Unordered::default()
    }

    fn next(_client: u64, chance: &mut Chance) -> Order {
        order(chance)
    }

    fn query(_client: u64, chance: &mut Chance) -> u64 {
        chance.below(ITEMS)
    }

    /// Equal for equal tables, whatever their order.
    fn digest(machine: &Unordered) -> u64 {
        machine.0.iter().map(|(item, count)| mix(mix(0, *item), *count)).fold(0, u64::wrapping_add)
    }
}

/// A shop that notes when it was last open, by the clock of whoever applies the order.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Clocked {
    stock: Stock,
    last_ms: u64,
}

impl StateMachine for Clocked {
    type Command = Order;
    type Reply = Receipt;
    type Query = u64;
    type Answer = u64;
    type Snapshot = Clocked;

    fn apply(&mut self, context: &Context, order: Order) -> Receipt {
        // The same on every replica, and in every replay, would be `context.time()`.
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        self.last_ms = now.map_or(0, |since| since.as_millis() as u64);
        self.stock.apply(context, order)
    }

    fn query(&self, item: u64) -> u64 {
        self.stock.query(item)
    }

    fn snapshot(&self) -> Clocked {
        self.clone()
    }

    fn restore(&mut self, snapshot: Clocked) {
        *self = snapshot;
    }
}

pub(crate) type OwnClock = Selling<Clocked>;

/// A shop that gives every tenth order for free, and whose snapshot does not say how many there were.
#[derive(Default)]
pub(crate) struct Counting {
    stock: Stock,
    orders: u64,
}

impl StateMachine for Counting {
    type Command = Order;
    type Reply = (Receipt, bool);
    type Query = u64;
    type Answer = u64;
    type Snapshot = Stock;

    fn apply(&mut self, context: &Context, order: Order) -> (Receipt, bool) {
        self.orders += 1;
        (self.stock.apply(context, order), self.orders.is_multiple_of(10))
    }

    fn query(&self, item: u64) -> u64 {
        self.stock.query(item)
    }

    fn snapshot(&self) -> Stock {
        self.stock.clone()
    }

    fn restore(&mut self, snapshot: Stock) {
        self.stock = snapshot;
    }
}

pub(crate) type Forgetful = Selling<Counting>;

/// What clients do with any of these: the same as with the shop without mistakes.
pub(crate) struct Selling<M>(PhantomData<fn() -> M>);

impl<M> Workload for Selling<M>
where
    M: StateMachine<Command = Order, Query = u64, Answer = u64, Reply: Debug> + Default,
{
    type Machine = M;
    type Proposal = Order;

    fn machine() -> M {
        M::default()
    }

    fn next(_client: u64, chance: &mut Chance) -> Order {
        order(chance)
    }

    fn query(_client: u64, chance: &mut Chance) -> u64 {
        chance.below(ITEMS)
    }
}
