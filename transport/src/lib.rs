//! Lovebird's transport: what nodes and clients say to one another, over gRPC or inside the process.
//!
//! [`lovebird_core::transport`] states the contract: an `Endpoint` is one node's ports, a `Transport` gives proxies that
//! are endpoints too. This crate has two transports, and a suite that both pass:
//!
//! - gRPC: [`GrpcTransport`] on the calling side, [`serve`] on the other. One HTTP/2 connection to a node carries all
//!   calls and streams of all groups.
//! - [`MemoryNetwork`]: the in-memory twin, which can cut links one way, and under [`Conditions`] do to each message what a
//!   network may do. The only one in a build with `--cfg madsim`.
//! - `conformance` (feature `testing`): the suite, for whoever writes a third.
//!
//! # How a message passes through
//!
//! The caller's message becomes one of the protocol's (`proto/lovebird.proto`, conversions in `wire`), is measured against
//! [`limits::MESSAGE_BYTES_MAX`], encoded, carried, decoded and checked, and given to the node's own endpoint. Both
//! transports share every step but the carrying. Payloads are `bytes` fields: the entries of an append are one
//! contiguous run in Lovebird's own format, verified by their checksums as they arrive, and what comes out are slices of
//! the message that came in.
//!
//! The first message of a stream opens it: it names the route, or the group. A call for a stream returns when the node has
//! taken the opening or refused it; requests are sent meanwhile. An endpoint that takes a stream must therefore return
//! its replies without waiting for what its caller sends only upon a reply. Subscriptions, changes of the members and exports
//! are streams whose opening is all that their caller ever sends.
//!
//! # What went wrong, and what that proves
//!
//! | error | when | gRPC status |
//! |---|---|---|
//! | `Unreachable` | no connection could be made within the time allowed, or the address is none | none: it never left |
//! | `Refused` | the node says so; or a request is over the limit | `FAILED_PRECONDITION` |
//! | `Malformed` | the node could not read it | `INVALID_ARGUMENT` |
//! | `Broken` | everything else, also a reply that is over the limit or cannot be read | `UNAVAILABLE` from us, any other from below |
//!
//! `Broken` is the safe answer, given whenever the request may have been handled. What ends a stream of requests (one that
//! is too large, one that cannot be read) comes as the last reply, behind those to the requests before it. Texts are cut
//! at [`limits::TEXT_BYTES_MAX`].
//!
//! # Limits and deadlines
//!
//! All of them stand in [`limits`]. **Callers bound how long they wait**: a call over a connection that is alive lasts as
//! long as its handler. The transport bounds only
//!
//! - connecting: [`limits::CONNECT_TIMEOUT`], or as [`GrpcTransport::with_connect_timeout`] says. It is shared: calls that
//!   come while a connection is being made wait for the same attempt. A caller that gives up earlier leaves the attempt
//!   to the next one, which then may be told at once that it failed;
//! - silence: both sides ask for a sign of life every [`limits::KEEPALIVE_INTERVAL`], and give the connection up after
//!   [`limits::KEEPALIVE_TIMEOUT`] without one. So a connection that carries in one direction only breaks, on both sides,
//!   within about three seconds. The next call makes a new one;
//! - what is under way: a stream whose handler takes nothing holds [`limits::STREAM_WINDOW_BYTES`] and then waits, while
//!   calls and other streams pass, up to [`limits::CONNECTION_WINDOW_BYTES`];
//! - a shutdown: [`limits::SHUTDOWN_GRACE`] for what is open, then it is cut.
//!
//! Dropping a call or the replies of a stream cancels the other side's handler. One case is late: a stream whose handler
//! has left a full window untaken hears of it when it takes the next bytes.
//!
//! # What it does not do
//!
//! No TLS and no authentication: the network between the nodes is trusted, and the limits on HTTP/2 resets that protect
//! servers from strangers are lifted. No retries: only the caller knows whether "it may have arrived" allows one. No
//! compression. No checks of who is meant: the node compares the route with what it is.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

#[cfg(any(test, feature = "testing"))]
pub mod conformance;
#[cfg(not(madsim))]
mod grpc;
pub mod limits;
mod memory;
mod proto;
mod stream;
mod wire;

#[cfg(not(madsim))]
pub use grpc::{GrpcTransport, serve};
pub use memory::{Conditions, Fate, Host, MemoryNetwork, MemoryTransport, Sending};
