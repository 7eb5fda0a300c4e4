//! Lovebird's core: the contracts that users and the other crates implement, and the machinery that drives them.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

// What users implement and are given.
pub mod state_machine;
pub mod context;
pub mod codec;
pub mod error;

// What the log, the wire and the disks hold.
pub mod identity;
pub mod record;
pub mod entry;
pub mod fence;
pub mod reply;

// The seams.
pub mod runtime;
pub mod log_store;
pub mod snapshot_store;
pub mod transport;

// The life of a command.
pub mod client;
pub mod node;
mod handler;
mod intake;
mod queue;
mod courier;
mod propose;
mod raft;
mod apply;
mod machine;
mod progress;
mod read;
mod snapshot;

// The node and the others.
mod formation;
mod peers;
mod stop;

#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod testing;
