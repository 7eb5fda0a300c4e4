//! Snapshot files as their disk sees them; what every store must do is in the conformance suite.
#![allow(clippy::unwrap_used, unreachable_pub)]

mod crashing;
mod damage;
mod failing;
mod forging;
mod memory;
mod power;
mod receiving;
mod support;
mod writing;
