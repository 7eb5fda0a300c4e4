//! Lovebird's core: the contracts that users and the other crates implement, and the machinery that drives them.
#![forbid(unsafe_code)]

pub mod runtime;
pub mod identity;
pub mod record;
pub mod entry;
pub mod fence;
pub mod reply;
pub mod codec;
pub mod context;
pub mod state_machine;
pub mod log_store;
pub mod snapshot_store;
pub mod transport;
pub mod error;

#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod testing;
