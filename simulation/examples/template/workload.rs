//! What the simulator needs to know of the service.

use lovebird_simulation::chance::Chance;
use lovebird_simulation::workload::Workload;

use crate::stock::{ITEMS, Order, Stock};

/// Clients deliver and order.
pub(crate) struct Shop;

impl Workload for Shop {
    type Machine = Stock;
    type Proposal = Order;

    fn machine() -> Stock {
        Stock::default()
    }

    fn next(_client: u64, chance: &mut Chance) -> Order {
        order(chance)
    }

    fn query(_client: u64, chance: &mut Chance) -> u64 {
        chance.below(ITEMS)
    }

    fn check(stock: &Stock) -> Result<(), String> {
        let (there, due) = (stock.items(), stock.delivered() - stock.sold());
        if there == due { Ok(()) } else { Err(format!("{there} items are there, and {due} should be")) }
    }
}

pub(crate) fn order(chance: &mut Chance) -> Order {
    let item = chance.below(ITEMS);
    match chance.below(3) {
        0 => Order::Deliver { item, count: chance.below(20) },
        1 => Order::Sell { item, count: chance.below(10) },
        _ => Order::SellAnything { count: chance.below(5) },
    }
}
