//! What the machine allows: a figure of ours means something only beside these.
//!
//! - the disk: [`appends`];
//! - the network of the kernel: [`round_trips`]; with HTTP/2 and gRPC on it: [`unary`] and [`streamed`];
//! - consensus, with neither disk nor network below it: [`consensus`];
//! - all but consensus, in our shape: the [`Probe`], which is a system like the others and is put under the same load.
//!
//! Whatever is on the other side of a connection is a process of its own, as it is for the systems that are measured.

// What is used below.
mod ring;
mod link;
mod period;
mod echo;

// What is measured.
mod disk;
mod tcp;
mod tonic;
mod consensus;
mod probe;

pub(crate) use self::tonic::{streamed, unary};
pub(crate) use consensus::consensus;
pub(crate) use disk::appends;
pub(crate) use echo::{Echo, EchoOptions, run as run_echo};
pub(crate) use probe::{Probe, ProbeOptions, run as run_probe};
pub(crate) use tcp::round_trips;
