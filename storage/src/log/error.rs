//! Why a log cannot be opened, in sentences that say what to do.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use lovebird_core::identity::GroupId;
use thiserror::Error;

use super::segment::SEGMENT_VERSION;

const ADVICE: &str = "Do not cut or delete the file: this replica would forget what it has acknowledged. Restore the \
                      directory from the same disk, or replace this replica by a new member";

/// How many groups a sentence names.
const NAMED_MAX: usize = 8;

/// What of one group cannot be had from a log any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Affected {
    /// The group.
    pub group: GroupId,
    /// The first log index; none if the log did not know it.
    pub first: Option<u64>,
    /// The highest log index that is known to have followed, if any is. There may have been more.
    pub last: Option<u64>,
}

impl fmt::Display for Affected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "group {} ", self.group)?;
        match (self.first, self.last) {
            (Some(first), Some(last)) => write!(f, "from log index {first} to {last} at least"),
            (Some(first), None) => write!(f, "from log index {first} on"),
            (None, Some(last)) => write!(f, "up to log index {last} at least"),
            (None, None) => write!(f, "from a log index that is not known"),
        }
    }
}

/// The groups in a sentence, which they end.
struct Lost<'a>(&'a [Affected]);

impl fmt::Display for Lost<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, affected) in self.0.iter().take(NAMED_MAX).enumerate() {
            write!(f, "{}{affected}", if at == 0 { ": " } else { ", " })?;
        }
        match self.0.len().saturating_sub(NAMED_MAX) {
            0 => Ok(()),
            more => write!(f, ", and {more} groups more"),
        }
    }
}

/// Why a log cannot be opened. Nothing has been changed then.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OpenError {
    /// Bytes that were acknowledged do not verify.
    #[error(
        "{} is damaged at byte {offset}, and {proof}: data that was acknowledged is lost{}. {ADVICE}",
        path.display(),
        Lost(affected)
    )]
    Damaged {
        /// The segment.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// How it is known that the bytes had been synced, as a clause.
        proof: String,
        /// What stands there and behind it, group by group.
        affected: Vec<Affected>,
    },
    /// A segment is not there.
    #[error("{} is missing from the log{}. {ADVICE}", path.display(), Lost(affected))]
    Missing {
        /// The segment.
        path: PathBuf,
        /// What stands there and behind it, group by group.
        affected: Vec<Affected>,
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

pub(super) fn foreign(path: &Path, reason: impl Into<String>) -> OpenError {
    OpenError::Foreign { path: path.into(), reason: reason.into() }
}
