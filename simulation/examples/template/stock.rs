//! The service: what a shop has in stock.

use std::collections::BTreeMap;

use lovebird::{Context, StateMachine};
use serde::{Deserialize, Serialize};

/// Items are numbered from 0.
pub(crate) const ITEMS: u64 = 10;

/// What is asked of the shop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Order {
    Deliver {
        item: u64,
        count: u64,
    },
    Sell {
        item: u64,
        count: u64,
    },
    /// Of whatever there is enough.
    SellAnything {
        count: u64,
    },
}

/// What the shop says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Receipt {
    /// So many are there of this item now.
    Left {
        item: u64,
        count: u64,
    },
    OutOfStock,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Stock {
    counts: BTreeMap<u64, u64>,
    delivered: u64,
    sold: u64,
}

impl Stock {
    pub(crate) fn items(&self) -> u64 {
        self.counts.values().sum()
    }

    pub(crate) fn delivered(&self) -> u64 {
        self.delivered
    }

    pub(crate) fn sold(&self) -> u64 {
        self.sold
    }

    fn sell(&mut self, item: u64, count: u64) -> Receipt {
        let there = self.counts.entry(item).or_default();
        let Some(left) = there.checked_sub(count) else { return Receipt::OutOfStock };
        *there = left;
        self.sold += count;
        Receipt::Left { item, count: left }
    }
}

impl StateMachine for Stock {
    type Command = Order;
    type Reply = Receipt;
    type Query = u64;
    type Answer = u64;
    type Snapshot = Stock;

    fn apply(&mut self, _context: &Context, order: Order) -> Receipt {
        match order {
            Order::Deliver { item, count } => {
                let there = self.counts.entry(item).or_default();
                *there += count;
                self.delivered += count;
                Receipt::Left { item, count: *there }
            }
            Order::Sell { item, count } => self.sell(item, count),
            Order::SellAnything { count } => {
                let found = self.counts.iter().find(|(_, there)| **there >= count).map(|(item, _)| *item);
                found.map_or(Receipt::OutOfStock, |item| self.sell(item, count))
            }
        }
    }

    fn query(&self, item: u64) -> u64 {
        self.counts.get(&item).copied().unwrap_or(0)
    }

    fn snapshot(&self) -> Stock {
        self.clone()
    }

    fn restore(&mut self, snapshot: Stock) {
        *self = snapshot;
    }
}
