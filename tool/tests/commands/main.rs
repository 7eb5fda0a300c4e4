//! The operator's command line, against real nodes.
//!
//! The nodes are the arithmetic example of the root package, and the harness is that of its tests: see there. `cargo test --workspace`
//! builds the example; for this package's tests alone, `cargo build --example arithmetic` does, with the same profile.

#![allow(clippy::unwrap_used)]

#[path = "../../../tests/harness/mod.rs"]
mod harness;

mod tool;

mod walk;
mod offline;
mod refusals;
mod answers;
