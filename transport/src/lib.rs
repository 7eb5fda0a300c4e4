//! Lovebird: transport.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

#[cfg(any(test, feature = "testing"))]
pub mod conformance;
#[cfg(not(madsim))]
mod grpc;
pub mod limits;
mod memory;
mod proto;
mod stream;
mod wire;

#[cfg(not(madsim))]
pub use grpc::{GrpcTransport, serve};
pub use memory::{MemoryNetwork, MemoryTransport};
