//! `lovebird`: see the library beside this.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    lovebird_tool::main()
}
