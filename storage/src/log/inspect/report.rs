//! What verifying a log has found.

use std::fmt;
use std::path::PathBuf;

use lovebird_core::identity::GroupId;
use lovebird_core::log_store::LogState;

use crate::log::error::OpenError;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What the log is worth.
    pub verdict: Verdict,
    /// The segments that were found to be in order, oldest first; those behind a refusal are not among them.
    pub segments: Vec<SegmentReport>,
    /// How a node would find its groups; none if it would refuse the log.
    pub groups: Vec<GroupReport>,
}

/// What a log is worth. Displayed, it is sentences that say what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Everything verifies.
    Good,
    /// Everything that was acknowledged verifies. Behind it are the remains of a write that was not, or, if a node is running,
    /// a write under way.
    Torn {
        /// The last segment.
        path: PathBuf,
        /// Where the last good frame ends.
        offset: u64,
        /// How many bytes an opening would cut.
        bytes: u64,
    },
    /// An opening would refuse the log.
    Refused(OpenError),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Good => f.write_str("everything verifies"),
            Verdict::Torn { path, offset, bytes } => write!(
                f,
                "{} ends at byte {offset}, before {bytes} bytes that are no whole frame. If a node is running, this may be \
                 a write under way; otherwise it is what is left of one that was not acknowledged, and the next start cuts it. \
                 Nothing is lost",
                path.display()
            ),
            Verdict::Refused(error) => error.fmt(f),
        }
    }
}

/// A segment that is in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentReport {
    /// Its number.
    pub number: u64,
    /// The file.
    pub path: PathBuf,
    /// Where in the file its frames end.
    pub bytes_used: u64,
    /// How many there are, the head included.
    pub frames: u64,
    /// How many operations they hold.
    pub operations: u64,
    /// How it ends.
    pub seal: Seal,
}

/// How a segment ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seal {
    /// It is the last one and is still written to.
    Open,
    /// By a footer.
    Footer,
    /// It is full, but has no footer that verifies, so that every opening reads all of it. A node that was killed in between
    /// leaves this, and one that runs writes the footer any moment.
    NoFooter,
}

/// How a group stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupReport {
    /// The group.
    pub group: GroupId,
    /// The number of the first entry that is held, if any is.
    pub first: Option<u64>,
    /// What its log would say of itself.
    pub state: LogState,
}
