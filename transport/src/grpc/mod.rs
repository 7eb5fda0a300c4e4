//! The transport of production: gRPC over HTTP/2, one connection a peer.

mod client;
mod connection;
mod handler;
mod ports;
mod server;
mod status;
#[cfg(test)]
mod tests;

pub use client::GrpcTransport;
pub use server::serve;
