//! What is measured: ours, and what one would take in its place.

mod lovebird;

// Systems of others, and what these need to be started.
#[cfg(feature = "peers")]
mod etcd;
#[cfg(feature = "peers")]
mod etcd_api;
#[cfg(feature = "peers")]
mod nats;
#[cfg(feature = "peers")]
mod nodes;
#[cfg(feature = "peers")]
mod peer;
#[cfg(feature = "peers")]
mod redis;
#[cfg(feature = "peers")]
mod zookeeper;

pub(crate) use lovebird::{Lovebird, NodeOptions, Settings, run as run_node, until_input_ends};
#[cfg(feature = "peers")]
pub(crate) use peer::PeerKind;
