//! Lovebird's simulator: a whole cluster in one thread, in virtual time, decided by one seed.
//!
//! What runs in production runs here, the same code over the same seams: `core` takes time, tasks and randomness from
//! [`lovebird_core::runtime`] alone, its log and snapshots from storage's traits, its peers from the transport's. A simulation
//! puts something under each seam that is as bad as the world may be, and worse than it usually is, and then asks
//! whether every promise was kept. A run that breaks one is a seed, and a seed can be run again.
//!
//! # How a run goes
//!
//! `run::run` takes a seed. From it comes a `schedule`, which is data: in which model the service runs, how many nodes there
//! are, and at which time which of them is killed, loses power (alone or with all others), is started again, is cut off in
//! one direction or both, or has its clock run fast or slow. A `cluster` stands up, each node as a simulated machine with the
//! product's own code from the data directory to the client; a `workload` of clients adds to a `counter` and reads it, in every
//! way that a client has and through whatever node it reaches; `subscriber`s follow the log; the `check`er listens. At the
//! end everything is healed and must serve; then all nodes lose power at once and must serve again from their disks; then
//! states and logs are compared.
//!
//! Under the seams lie
//!
//! - the runtime over madsim, in `core`, chosen when the crate is compiled: build with `--cfg madsim`;
//! - `MemoryDisk`, which in a power loss keeps nothing that was not synced, or any subset of its sectors. The log writes in
//!   place, so that a sync takes no time (`mount` keeps the dead from writing);
//! - `MemoryNetwork`, which encodes and decodes every message and whose links are cut one way; `port` gives each
//!   message its delay.
//!
//! # What is checked
//!
//! Of replicas, throughout: at most one leader a term, and nobody else executes anything as a primary; each replica applies log
//! index after log index, and never goes back within a life; equal log index, equal command, term, log time, random number and
//! state; terms and log time never go back from one log index to the next; in the primary-backup model a command meets exactly
//! the state and the context on which it was executed; no node stops by itself or refuses to start.
//!
//! Of clients:
//!
//! - *Commands.* Every acknowledged one is in the state exactly once, where it was said to be and with the reply that was given,
//!   also if it was asked for again; none is there that was said not to be, or that nobody sent. What was told to anyone before a
//!   command was sent lies before it. What one session carries stands in the order in which it was sent, however much is under way.
//!   Within a session, and under a key, nobody is told anything but success before the client's time is over. A key gives one
//!   log index and one reply through whichever client; a command that was said to have expired is not carried out later.
//! - *Reads.* Each answer is what the history says at its log index, and comes from no earlier one than was promised: for a
//!   linearizable read what anyone had been told; the same for one by lease, in runs where no clock drifts; what was asked
//!   for; what a handle that never goes back had seen, and what was handed on to another handle.
//! - *Subscriptions.* No gaps, no repeats, no reordering, and the very commands, terms and times that were applied, through
//!   crashes of subscribers and nodes; a state that comes in the place of records is the one at its log index, and "purged" is said
//!   only where it is so; every subscriber comes to the end of the log.
//!
//! At the end: each variable is the sum of its commands; logs hold the same bytes where they hold the same entry, numbered as
//! counting has it, and the commands that were applied; the cluster serves through each node within a bound.
//!
//! What a run came to is an `Outcome`: violations, counts, and the hash of everything that happened and when,
//! which is the same for the same seed in every fresh process.
//!
//! # What is not there yet
//!
//! - **The network** loses messages only where a link is cut; it doubles none, and lets none overtake another on a stream.
//! - **The disk** is never slow, full or damaged, fails no sync, and loses names only as a prefix.
//! - **The cluster** keeps its members, and nobody hands leadership over. **Histories** are checked by log indexes, not by a
//!   checker that knows nothing of them.
//! - **Sessions** expire by their own patience alone: never because there are too many of them, and names never do; replies never
//!   have to make room, and no key is asked for that lies too far back. The clients are all outside: no node's own is at work.
//! - **Planted bugs** (`tests/planted.rs`) are a disk that lies about syncs and services that slip; none is planted in sessions or
//!   subscriptions.
//! - Schedules are not shrunk by themselves.
//!
//! # What it does not do
//!
//! It knows nothing of gRPC, HTTP/2 or the operating system's files; tests with real processes do. It does not prove anything:
//! it looks where a seed points, many times.
#![forbid(unsafe_code)]

// What can be done without the simulated world: data, and what is made of it.
pub mod story;
pub mod linearizable;
pub mod explain;

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
pub mod subscriber;
#[cfg(madsim)]
pub mod check;
#[cfg(madsim)]
mod logs;
#[cfg(madsim)]
pub mod run;
