//! The log engine as its callers and its disk see it.
#![allow(clippy::unwrap_used, unreachable_pub)]

mod failing;
mod inspecting;
mod meddled;
mod model;
mod opening;
mod reading;
mod support;
mod together;
mod turns;
mod writing;
