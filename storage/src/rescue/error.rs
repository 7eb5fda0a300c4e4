//! Why a directory is not surveyed, rescued or made.

use std::io;
use std::path::Path;

use lovebird_core::error::StartError;
use thiserror::Error;

/// Why a directory is not surveyed, rescued or made.
#[derive(Debug, Error)]
pub enum RescueError {
    /// The directory is in use or somebody else's, or cannot be read. Nothing has been changed.
    #[error(transparent)]
    Directory(#[from] StartError),
    /// What is in the directory is nothing to go on from, or in the way. Nothing has been changed.
    #[error("the data directory {directory} {reason}")]
    Unfit {
        /// The directory.
        directory: String,
        /// Why, and what to do, as the end of a sentence.
        reason: String,
    },
    /// The snapshot file is none that verifies, or cannot be read.
    #[error("{0}: nothing can be begun with it, export the snapshot again or choose another one")]
    Snapshot(io::Error),
    /// What was asked for contradicts itself. Nothing has been changed.
    #[error("{0}")]
    Config(String),
    /// The disk failed. What had been begun by then is refused by every node until the same has been run again.
    #[error("the disk failed: {0}; mend it and run the same again")]
    Disk(io::Error),
}

pub(super) fn unfit(path: &Path, reason: impl Into<String>) -> RescueError {
    RescueError::Unfit { directory: path.display().to_string(), reason: reason.into() }
}
