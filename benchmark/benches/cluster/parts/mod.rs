//! What is measured, part by part.

mod goals;

pub(crate) mod connections;
pub(crate) mod failover;
pub(crate) mod limits;
pub(crate) mod log;
pub(crate) mod overload;
pub(crate) mod paced;
pub(crate) mod payloads;
pub(crate) mod reads;
pub(crate) mod snapshots;
pub(crate) mod writes;
