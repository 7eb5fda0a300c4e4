//! How the tool ends.

use std::fmt;
use std::io;
use std::process::ExitCode;

/// The worst that was found, which is the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    /// 0: all is good.
    Good,
    /// 1: behind the log's end is a write that was not acknowledged, or is under way.
    Torn,
    /// 2: something is damaged, missing or not what it should be.
    Damaged,
    /// 3: nobody could look.
    Unseen,
}

impl Outcome {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Outcome::Good => "good",
            Outcome::Torn => "torn",
            Outcome::Damaged => "damaged",
            Outcome::Unseen => "unseen",
        }
    }
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> ExitCode {
        ExitCode::from(outcome as u8)
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It could not be found out; a sentence.
    Look(String),
    /// It could not be printed.
    Output(io::Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Look(text) => f.write_str(text),
            Failure::Output(error) => write!(f, "the answer could not be printed: {error}"),
        }
    }
}

/// The disk's errors; those of the output are told apart where they arise.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Look(format!("could not look: {error}"))
    }
}
