//! Lovebird's simulator: a whole cluster in one thread, in virtual time, decided by one seed.
//!
//! What runs in production runs here, the same code over the same seams: `core` takes time, tasks and randomness from
//! [`lovebird_core::runtime`] alone, its log and snapshots from storage's traits, its peers from the transport's. A simulation
//! puts something under each seam that is as bad as the world may be, and worse than it usually is, and then asks
//! whether every promise was kept. A run that breaks one is a seed, and a seed can be run again.
//!
//! How one tests a service of one's own stands in `simulation/README.md`; this is how the simulator is made.
//!
//! # How a run goes
//!
//! 1. A seed and the name of a `scenario` become a [`plan`]: data, that says how many nodes there are, what is inflicted on whom
//!    and when, and what each client does. Each class of faults is left out of a plan with probability one half. What the plan
//!    leaves open (the order of tasks, the delay of a message, what a node draws) comes from the seed while the run goes.
//! 2. A `cluster` stands up, each node a simulated machine with the product's own code from the data directory to the client.
//!    The user's state machine runs inside a `watched` one, which tells the `check`er what is applied, executed and restored.
//! 3. `clients` propose and read in every way that there is, `subscriber`s follow the log, and the plan's steps are inflicted. In
//!    half of the plans the members change: newcomers start, operators ask for changes from a machine of their own, disks are lost and
//!    their nodes take their own places. What is told to operators is counted; that it is refused is nothing bad.
//! 4. Everything is healed and must serve. Then all nodes lose power at once, with everything that was not synced, and must serve
//!    again from their disks.
//! 5. States and logs are compared; the log is carried out once more by a machine of its own, which must come to the same replies
//!    and answers.
//!
//! Under the seams lie
//!
//! - the runtime over madsim, in `core`, chosen when the crate is compiled: build with `--cfg madsim`;
//! - `MemoryDisk`, which in a power loss keeps nothing that was not synced, or any subset of its sectors; which loses power in the
//!   middle of any call, fails syncs and drops what they should have kept, is full, flips bits and loses sectors, or is wiped. A
//!   sync of the log takes its time (`pace`), and the dead do not write (`mount`);
//! - `MemoryNetwork`, which encodes and decodes every message and asks `links` what becomes of it: how long it takes, whether
//!   it is lost, breaks its connection or arrives twice.
//!
//! # What is checked
//!
//! `check::Invariant` is the list. Commands carry the name of their proposal, so that equal ones can be told apart; the checker
//! sees bytes and digests, and knows nothing of the user's types. It stands outside of the simulated world and only listens.
//!
//! Of replicas, throughout: at most one leader a term, and nobody else executes anything as a primary; each replica applies log
//! index after log index, and never goes back within a life; equal log index, equal command, term, log time, random number,
//! reply and state, also after a restore; terms and log time never go back from one log index to the next; in the
//! primary-backup model a command meets exactly the state and the context on which it was executed; no node stops by itself or
//! refuses to start, but where its disk was made to fail or its data was damaged.
//!
//! Of clients:
//!
//! - *Commands.* Every acknowledged one is in the log exactly once, where it was said to be and with the reply that was given,
//!   also if it was asked for again; none is there that was said not to be, or that nobody sent. What was told to anyone before a
//!   command was sent lies before it. What one session carries stands in the order in which it was sent, however much is under way.
//!   Within a session, and under a key, nobody is told anything but success before the client's time is over. A key gives one
//!   log index and one reply through whichever client; a command that was said to have expired is not carried out later.
//! - *Reads.* Each answer is what the history says at its log index, and comes from no earlier one than was promised: for a
//!   linearizable read what anyone had been told; the same for one by lease, in runs where no clock drifts; what was asked
//!   for; what a handle that never goes back had seen, and what was handed on to another handle. Together with what holds for
//!   commands that is linearizability, decided in linear time because the order is known; for histories of which no order is known
//!   there is [`linearizable`], and `tests/search.rs` has both agree.
//! - *Subscriptions.* No gaps, no repeats, no reordering, and the very commands, terms and times that were applied, through
//!   crashes of subscribers and nodes; a state that comes in the place of records is the one at its log index, and "purged" is said
//!   only where it is so; every subscriber comes to the end of the log.
//!
//! At the end: logs hold the same bytes where they hold the same entry, numbered as counting has it, and the commands that were
//! applied; the cluster serves through each node within a bound.
//!
//! Of members, where they change: a change that was said to be done is in the membership that follows; after everything has
//! healed no change is half-way, and those whom the leader names run and follow, each with the disk under which it is a member, within a
//! bound; a node finds out that it was removed only where somebody has asked for that.
//!
//! A plan that goes *beyond* what the promises allow for damages a majority of the disks. Then nothing need serve and nodes may
//! stop or refuse to start, but everything else is demanded as ever: a loud stop, never a wrong answer.
//!
//! # One seed, one story
//!
//! Everything that happens is an event (`story`), and goes into a hash. The same seed in fresh processes gives the same hash;
//! `replay` compares two, and tells the first event that differs. `command` makes each run in a process of its own.
//!
//! # The checker of checkers
//!
//! Bugs are planted in the product's own code (`lovebird_core::planted`, with the feature `planted`, at whose places nothing is left in
//! an ordinary build), and `cargo sim bugs` tells in how many seeds each was found; `bugs.md` in this
//! crate has the table. The template in `examples/` does the same for the mistakes of services.
//!
//! # What is not there yet
//!
//! - **Members** change while nothing is damaged: a plan has either. A disk that was wiped as damage keeps its node out for the rest of
//!   a run. Nobody moves to another address, and no set of voters is smaller than three.
//! - **A damaged disk** keeps its power until the log on it was opened: what proves that the last frame is damaged may not be
//!   synced before that, and without it there is no telling damage from a torn write.
//! - **Syncs** of snapshots, of segments that are begun and of directories take no time; names are lost as a suffix only, as in a
//!   file system with a journal.
//! - **Session commands** are not delivered twice by the network; what clients send again is.
//! - **Limits** that are large in production are never met: as many sessions as a cluster keeps, as many bytes of replies, a full
//!   queue of commands.
//! - **Sessions** expire by their own patience alone: never because there are too many of them. The clients are all outside: no
//!   node's own is at work.
//!
//! # What it does not do
//!
//! It knows nothing of gRPC, HTTP/2 or the operating system's files; tests with real processes do. It does not prove anything:
//! it looks where a seed points, many times.
#![forbid(unsafe_code)]

// What can be done without the simulated world: data, and what is made of it.
pub mod story;
pub mod chance;
pub mod plan;
pub mod linearizable;
pub mod explain;

// What users hand over, and what comes with the simulator.
#[cfg(madsim)]
pub mod workload;
#[cfg(madsim)]
pub mod workloads;
#[cfg(madsim)]
pub mod scenario;

// The simulated world.
#[cfg(madsim)]
pub mod links;
#[cfg(madsim)]
pub mod pace;
#[cfg(madsim)]
mod mount;
#[cfg(madsim)]
pub mod watched;
#[cfg(madsim)]
pub mod cluster;
#[cfg(madsim)]
mod clients;
#[cfg(madsim)]
mod subscriber;

// What is demanded of it, and a whole run.
#[cfg(madsim)]
pub mod check;
#[cfg(madsim)]
mod logs;
#[cfg(madsim)]
pub mod run;

// How all of it is used.
#[cfg(madsim)]
pub mod command;
