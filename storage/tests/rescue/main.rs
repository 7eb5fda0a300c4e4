//! Survivors are surveyed and rescued, and snapshots begin clusters: step by step, through crashes, and with nodes that run.
#![allow(clippy::unwrap_used, unreachable_pub)]

mod support;

mod surveying;
mod comparing;
mod rescuing;
mod importing;
mod crashing;
mod running;
