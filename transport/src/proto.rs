//! What is generated from `proto/lovebird.proto`: the messages, and with gRPC its clients and servers.
//!
//! Nothing but [`crate::wire`] and the gRPC files names these types.
#![allow(missing_docs, unreachable_pub, unused_qualifications, clippy::all, clippy::unwrap_used)]

include!(concat!(env!("OUT_DIR"), "/lovebird.v1.rs"));
