//! Lovebird's simulator: a whole cluster in one thread, in virtual time, decided by one seed.
//!
//! What runs in production runs here, the same code over the same seams: `core` takes time, tasks and randomness from
//! [`lovebird_core::runtime`] alone, its log and snapshots from storage's traits, its peers from the transport's. A simulation
//! puts something under each seam that is as bad as the world may be, and worse than it usually is, and then asks
//! whether every promise was kept. A run that breaks one is a seed, and a seed can be run again.
//!
//! # What stands
//!
//! Of all this **only the runtime stands yet**, and it stands in `core`, beside the ordinary one, because it is chosen when
//! the crate is compiled: build with `--cfg madsim`, and `lovebird_core::runtime` has a `Simulation`, which is one run of
//! a seed, and `Clocks`, which make nodes' clocks drift. It passes openraft's suite of runtimes, and a run of a seed leaves
//! the same trace in each fresh process. This crate is the place of the rest, and empty so far.
//!
//! # What will live here
//!
//! - **The network**: our own links over madsim's time. Every message is encoded and decoded on its way; it may be
//!   lost, delayed, doubled, overtaken, or get through in one direction only.
//! - **The disk**: a `Disk` that keeps what was synced and, after a crash, any subset of the sectors that were not; that tears
//!   writes, forgets renames, fails a sync and drops what it covered, runs full, and flips bits.
//! - **Faults**: a schedule of kills, restarts, pauses, cuts, slow disks and drifting clocks. It is data, derived from the seed
//!   by a generator of its own: a change of the code does not move it, and a failing one can be shrunk.
//! - **Checkers** of the invariants, while the run goes: what was committed stays, equal applied index means equal
//!   state, log indexes have no gap, an acknowledged command is on a majority of the disks, histories are linearizable;
//!   and after the faults have healed, the cluster serves again within a bound.
//! - **Planted bugs**, each of which the harness must find: the checkers' own test.
//!
//! # What it does not do
//!
//! It knows nothing of gRPC, HTTP/2 or the operating system's files; tests with real processes do. It does not prove anything:
//! it looks where a seed points, many times.
#![forbid(unsafe_code)]

#[cfg(madsim)]
mod chance;
#[cfg(madsim)]
pub mod schedule;
#[cfg(madsim)]
mod port;
#[cfg(madsim)]
mod mount;
#[cfg(madsim)]
pub mod cluster;
#[cfg(madsim)]
pub mod counter;
#[cfg(madsim)]
pub mod workload;
#[cfg(madsim)]
pub mod check;
#[cfg(madsim)]
mod logs;
#[cfg(madsim)]
pub mod run;
