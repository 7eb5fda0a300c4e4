//! What the tests with real processes share: clusters of the arithmetic example, clients, load, and bad links.
//!
//! A [`Cluster`] is node processes on loopback with their data in a directory that vanishes with it, as the processes do.
//! Tests wait for conditions ([`wait`]), never for time to pass, unless passing time is the story; each test has the machine
//! to itself, as far as its own test binary goes, since the clusters of several would slow one another into elections.

// Each test binary is a crate that uses a part of this.
#![allow(dead_code, unused_imports, unreachable_pub, clippy::unwrap_used)]

pub mod cluster;
pub mod http;
pub mod links;
pub mod load;
pub mod node;
pub mod ports;
pub mod process;
pub mod program;
pub mod wait;

pub use cluster::Cluster;
pub use http::{Freshness, Http, NoReply, Reply};
pub use load::Load;
pub use node::{Node, Role, Status};
pub use wait::{PATIENCE, until};
