//! The simulator's own scenarios: what `cargo sim` runs.

#[cfg(madsim)]
fn main() -> std::process::ExitCode {
    lovebird_simulation::command::main(&lovebird_simulation::workloads::all())
}

#[cfg(not(madsim))]
fn main() -> std::process::ExitCode {
    eprintln!("error: this build has no simulated world: use `cargo sim`, or build with `--cfg madsim`");
    std::process::ExitCode::from(2)
}
