//! What is done to the directory of a node that does not run.

mod rescue;
mod import;

use crate::args::Offline;
use crate::failure::Failure;
use crate::output::Output;

/// Does it, and prints the answer.
pub(crate) fn run(command: Offline, mut output: Output) -> Result<(), Failure> {
    let answer = match command {
        Offline::Rescue { data, look, confirm } => rescue::run(&data, look, confirm.as_deref(), &mut output)?,
        Offline::Import { file, data, cluster, id, address, model } => {
            import::run(&file, &data, import::New { cluster, id, address, model })?
        }
    };
    output.answer(&answer)
}
