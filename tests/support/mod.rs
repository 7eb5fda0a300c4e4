//! What tests with nodes in their own process share, whatever lies between the nodes.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part of it")]

use std::time::Duration;

use lovebird::{Context, StateMachine};

/// Longer than anything here should take.
pub const LONG: Duration = Duration::from_secs(60);

/// A state machine that adds up.
#[derive(Default)]
pub struct Sum(u64);

impl StateMachine for Sum {
    type Command = u64;
    type Reply = u64;
    type Query = ();
    type Answer = u64;
    type Snapshot = u64;

    fn apply(&mut self, _: &Context, add: u64) -> u64 {
        self.0 += add;
        self.0
    }

    fn query(&self, _: ()) -> u64 {
        self.0
    }

    fn snapshot(&self) -> u64 {
        self.0
    }

    fn restore(&mut self, snapshot: u64) {
        self.0 = snapshot;
    }
}

/// Waits until `condition` gives something.
pub async fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let waiting = async {
        loop {
            if let Some(found) = condition() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(LONG, waiting).await.unwrap_or_else(|_| panic!("waited in vain until {what}"))
}
