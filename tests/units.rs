//! The arithmetic example's own unit tests. `cargo test` builds an example, since the other tests here run it, but does not
//! run what is tested inside; so the modules that have tests stand here once more.

#![allow(unreachable_pub, missing_docs, dead_code, clippy::unwrap_used)]

#[path = "../examples/arithmetic/parse.rs"]
mod parse;
#[path = "../examples/arithmetic/peer.rs"]
mod peer;
#[path = "../examples/arithmetic/service.rs"]
mod service;
