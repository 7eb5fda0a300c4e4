//! Lovebird: transport.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod proto;
mod wire;
mod limits;
