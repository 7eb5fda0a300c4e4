//! How to put a service of your own to the test: copy this folder.
//!
//! `stock.rs` is the service, as it would stand in your crate. `workload.rs` is what the simulator needs to know of it: how it is
//! born, what clients propose and ask, and what must always hold of its state. `mistakes.rs` has the same service with three mistakes
//! that replicated services are prone to; `run --scenario hash-order` finds the first of them within a few seeds.
//!
//! ```text
//! RUSTFLAGS="--cfg madsim" cargo run --target-dir target/madsim --profile simulation -p lovebird-simulation --example template -- run --scenario stock
//! ```

#[cfg(madsim)]
mod stock;
#[cfg(madsim)]
mod workload;
#[cfg(madsim)]
mod mistakes;

#[cfg(madsim)]
fn main() -> std::process::ExitCode {
    use lovebird_simulation::scenario::Scenario;

    lovebird_simulation::command::main(&[
        Scenario::replicated::<workload::Shop>("stock"),
        Scenario::replicated::<mistakes::HashOrder>("hash-order"),
        Scenario::replicated::<mistakes::OwnClock>("own-clock"),
        Scenario::replicated::<mistakes::Forgetful>("forgetful"),
    ])
}

#[cfg(not(madsim))]
fn main() {
    eprintln!("this build has no simulated world: see the head of this file for how to start it");
}
