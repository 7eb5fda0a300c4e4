//! Compiles `proto/lovebird.proto` in pure Rust: building needs no `protoc`.

use std::error::Error;

const PROTO: &str = "proto/lovebird.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={PROTO}");
    // The simulated build carries the messages over links of its own and has no gRPC.
    let grpc = std::env::var_os("CARGO_CFG_MADSIM").is_none();
    let descriptors = protox::compile([PROTO], ["proto"])?;
    tonic_prost_build::configure()
        // Payloads stay slices of the message that they came in.
        .bytes(".")
        .build_client(grpc)
        .build_server(grpc)
        // Connections are made by our own client.
        .build_transport(false)
        .compile_fds(descriptors)?;
    Ok(())
}
