//! The same service as a primary with backups: `x+=5` comes in, `x=6` goes into the log.

use lovebird::{Context, PrimaryBackup};

use crate::service::{Arithmetic, Command, Operator};

impl PrimaryBackup for Arithmetic {
    type Request = Command;

    fn execute(&self, _: &Context, request: Command) -> Command {
        match self.value_after(&request) {
            Ok(value) => Command { name: request.name, operator: Operator::Set, operand: value },
            // It is logged as it came, so that it has a log index; and as it was refused here, it will be everywhere.
            Err(_) => request,
        }
    }
}
