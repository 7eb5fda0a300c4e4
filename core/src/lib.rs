//! Lovebird's core: the contracts that users and the other crates implement, and the machinery that drives them.
//!
//! # What is here
//!
//! A user implements [`state_machine::StateMachine`] and is given a [`client::Client`]. Between the two stands a
//! [`node::Node`] on each machine. It reaches disk, network, time and chance only through the seams [`log_store`],
//! [`snapshot_store`], [`transport`] and [`runtime`], so that the very same code runs in production and in simulation.
//!
//! # How a command passes through
//!
//! 1. The client encodes it into a [`record`] and puts it into a queue. What gathers there while a batch is under way is
//!    the next batch.
//! 2. At a follower the queue is carried to the leader by one stream, many commands to a message.
//! 3. The leader's proposer makes **one [`entry`] of the whole batch**, behind its [`fence`], and hands it to consensus.
//! 4. The log engine stamps the log index of its first record, appends it with one write and one sync, and the same
//!    bytes go to the followers meanwhile.
//! 5. Once a majority holds it durably it is committed, and every replica applies its records in order, each on a thread of
//!    its own.
//! 6. The leader's replies go back as one message a batch, and each caller is told its log index.
//!
//! # Invariants
//!
//! - Only `raft`, and the runtime that it is given, name openraft; only `raft` and the log engine know entry numbers.
//!   Everybody else speaks of log indexes, which count records, are consecutive from 1, and equal on every replica.
//! - A payload is encoded once, by the client, and decoded once a replica, by `apply`; in between it is `Bytes`.
//! - "Not committed" is said only where it is certain. Otherwise the outcome is unknown, and said to be.
//! - Nothing is acknowledged that a majority does not hold durably.
//! - Nothing waits for a timer in order to make a batch larger.
//!
//! # What is deliberately not here
//!
//! Files and sockets (see `lovebird-storage` and `lovebird-transport`); sessions, which will make retries harmless (their fields
//! are in the format, and refused unless 0); the primary-backup model; changes of membership.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

// What users implement and are given.
pub mod state_machine;
pub mod context;
pub mod codec;
pub mod error;

// What the log, the wire and the disks hold.
pub mod identity;
pub mod record;
pub mod entry;
pub mod fence;
pub mod reply;

// The seams.
pub mod runtime;
pub mod log_store;
pub mod snapshot_store;
pub mod transport;

// The life of a command.
pub mod client;
pub mod node;
mod handler;
mod intake;
mod queue;
mod courier;
mod propose;
mod raft;
mod apply;
mod machine;
mod progress;
mod read;
mod snapshot;

// The node and the others.
mod formation;
mod peers;
mod stop;

#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod testing;
