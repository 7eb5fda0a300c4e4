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
//! 1. The client encodes it, numbers it in its [`session`], and puts it into a [`record`]. What gathers while a message is
//!    under way is the next message.
//! 2. At a follower it is carried on to the leader by one stream, many commands to a message.
//! 3. The leader's proposer leaves out what has entered before and, in the [`primary_backup`] model, executes the rest on its
//!    working copy. It makes **one [`entry`] of the whole batch**, behind its [`fence`], and hands it to consensus.
//! 4. The log engine stamps the log index of its first record, appends it with one write and one sync, and the same
//!    bytes go to the followers meanwhile.
//! 5. Once a majority holds it durably it is committed, and every replica applies its records in order, each on a thread of
//!    its own, and keeps the replies as long as their clients may ask for them.
//! 6. The leader's replies go back as one message a batch, and each caller is told its log index. If anything fails on the
//!    way, the client sends again.
//! 7. Whoever follows the log ([`subscription`]) is sent the same bytes once they are applied.
//!
//! # How a query passes through
//!
//! 1. The client encodes it. What is asked while a message is under way is the next message, on one long stream to the node
//!    that the client prefers; if the stream breaks or the node gives no sign, the queries are asked again elsewhere.
//! 2. The node makes sure, once a message, that it is as fresh as its queries ask: by one round among the nodes that began after
//!    the message had come, or by waiting for a log index.
//! 3. It answers all that may be answered in one visit to the state, and what has to wait longer later, so that no query is
//!    held up by another one. What was answered together goes back as one message.
//!
//! # Invariants
//!
//! - Only `raft`, and the runtime that it is given, name openraft; only `raft`, the log engine and whoever reads it know entry
//!   numbers. Everybody else speaks of log indexes, which count records, are consecutive from 1, and equal on every replica.
//! - A payload is encoded once, by the client (in the primary-backup model once more, by the primary), and decoded once a replica,
//!   by `apply`; in between it is `Bytes`.
//! - A command of a session enters the log at most once, and every retry gets the first reply.
//! - "Not committed" is said only where it is certain. Otherwise the outcome is unknown, and said to be.
//! - A linearizable query is answered from no state that lacks what was acknowledged before it was asked.
//! - Nothing is acknowledged that a majority does not hold durably.
//! - Nothing waits for a timer in order to make a batch larger.
//!
//! # What is deliberately not here
//!
//! Files and sockets (see `lovebird-storage` and `lovebird-transport`).
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

// What users implement and are given.
pub mod state_machine;
pub mod primary_backup;
pub mod service;
pub mod context;
pub mod codec;
pub mod error;

// What the log, the wire and the disks hold.
pub mod identity;
pub mod record;
pub mod entry;
pub mod fence;
pub mod session;
pub mod reply;
pub mod query_run;

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
mod proposal;
mod courier;
mod propose;
mod working;
mod raft;
mod apply;
mod machine;
mod progress;
mod outcome;
mod read;
mod answers;
mod snapshot;
pub mod subscription;

// The node and the others.
pub mod formation;
mod members;
pub mod operator;
mod peers;
mod stop;

// What the simulator looks for, and what it must find.
pub use lovebird_sometimes::{self as sometimes, sometimes};
#[doc(hidden)]
pub mod planted;

#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod testing;
