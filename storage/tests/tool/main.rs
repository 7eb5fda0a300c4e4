//! The tool `lovebird-log`, run as its users run it: what it says, how it ends, and that it leaves everything as it was.
#![allow(clippy::unwrap_used, unreachable_pub)]

mod broken;
mod good;
mod live;
mod support;
mod untouched;
