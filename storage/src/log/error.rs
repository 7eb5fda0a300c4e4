//! Why a log cannot be opened, in sentences that say what to do.

use std::io;
use std::path::PathBuf;

use lovebird_core::identity::GroupId;
use thiserror::Error;

use super::segment::SEGMENT_VERSION;

const ADVICE: &str = "Do not cut or delete the file: this replica would forget what it has acknowledged. Restore the \
                      directory from the same disk, or replace this replica by a new member";

/// Why a log cannot be opened. Nothing has been changed then.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OpenError {
    /// Bytes that were acknowledged do not verify.
    #[error("{} is damaged at byte {offset}, and {proof}: data that was acknowledged is lost. {ADVICE}", path.display())]
    Damaged {
        /// The segment.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// How it is known that the bytes had been synced, as a clause.
        proof: String,
    },
    /// A segment is not there.
    #[error("{} is missing from the log. {ADVICE}", path.display())]
    Missing {
        /// The segment.
        path: PathBuf,
    },
    /// Entries that should be there are in no segment.
    #[error(
        "entries {first} to {last} of group {group} are in no segment of {}: earlier segments are missing. {ADVICE}",
        dir.display()
    )]
    MissingEntries {
        /// The log.
        dir: PathBuf,
        /// The group.
        group: GroupId,
        /// The first missing entry's number.
        first: u64,
        /// The last one's.
        last: u64,
    },
    /// There was to be a log, but there is none.
    #[error("there is no log in {}, though there was one. {ADVICE}", dir.display())]
    NoLog {
        /// Where it should be.
        dir: PathBuf,
    },
    /// A file that does not belong where it is.
    #[error("{} {reason}: put back the file that belongs there", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, as the end of a sentence.
        reason: String,
    },
    /// Written by a later version.
    #[error("{} has format version {found}; this build knows {SEGMENT_VERSION}: upgrade this node", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// The version found.
        found: u32,
    },
    /// What verified makes no sense.
    #[error("{} says at byte {offset} what cannot follow on what came before: {reason}. {ADVICE}", path.display())]
    Contradiction {
        /// The file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What was found.
        reason: String,
    },
}

impl From<OpenError> for io::Error {
    fn from(error: OpenError) -> Self {
        io::Error::new(io::ErrorKind::InvalidData, error)
    }
}
