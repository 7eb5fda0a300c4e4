//! What an operator does with disks when consensus cannot go on by itself, while no node runs.
//!
//! # When the quorum is lost for good
//!
//! So many disks are lost that the voters that are left are no majority, and no leader is ever elected again. [`survey`] says
//! what a survivor's directory has, and [`compare`] which of several to go on from and what that may cost. [`rescue`] then makes
//! that directory's node the only member, by one entry at the end of its log, as if the others had agreed to be removed. Its node
//! is started on the directory as ever, elects itself, and others are added to it with empty directories.
//!
//! # When a snapshot is to begin a cluster
//!
//! A snapshot that a node has exported is a file with all that a replica needs. [`import`] makes a data directory of it, whose node
//! is the only member of a new cluster with the state, the sessions and the log indexes of the old one.
//!
//! # What is kept, and what may be lost
//!
//! - Whatever the log that is gone on from holds is kept, whether it was ever acknowledged or not: no one is left to ask.
//! - Whatever was acknowledged and is behind its end is lost, and a majority of the voters is needed to be sure that nothing was.
//!   Of the survivors, the one with the greatest last entry, by term and then by number, holds all that any of them does which was
//!   acknowledged (Ongaro's thesis, section 3.6.1: the rule by which votes are given).
//! - What clients were told by reads is no more than that.
//!
//! # Invariants
//!
//! 1. What is gone on from is another cluster: it has an id that is drawn anew. Whoever comes back from before, with its disk or
//!    without, is refused by every node of it, and refuses them.
//! 2. At every moment, also after a crash, the directory is what it was, or what it is to be, or says in its identity that
//!    something is unfinished: then no node starts from it, of this or of any earlier version, and the same call finishes it. In
//!    particular no node of the old cluster ever has in its log the entry that the others did not agree to.
//! 3. Nothing is changed before all of the directory, or of the snapshot file, has verified.
//! 4. A state machine that replays the log behind a rescue is told the same as before: its random numbers come from the cluster
//!    as it began ([`Identity::origin`](lovebird_core::identity::Identity::origin)), which a rescue leaves as it is. The nodes that
//!    are added later are told the name and the initial members for that reason. A cluster that is made of a snapshot begins with
//!    itself, and draws its own.
//!
//! # What it does not do
//!
//! It does not merge logs, does not decide for the operator, and does not reach for the other members: that they are stopped, or
//! gone for good, is for the operator to know. It knows group 0 alone, which is the only one that a node has today, and refuses
//! a directory that holds others. Snapshots keep the old cluster's id in their meta, where nobody compares it.

// What there is.
mod survey;
mod compare;

// What is made of it.
mod alone;
mod go_on;
mod import;

mod error;

use std::io;
use std::path::Path;
use std::sync::Arc;

use lovebird_core::identity::GroupId;
use lovebird_core::log_store::LogStore;

use crate::directory::LOG;
use crate::disk::Disk;
use crate::log::{Drive, Log, Missing, Options, Prepare};
pub use compare::{Comparison, Incomparable, compare};
pub use error::RescueError;
pub use go_on::{Rescued, rescue};
pub use import::{Import, Imported, import};
pub use survey::{SnapshotPoint, Survey, survey};

/// The one group of a node.
const GROUP: GroupId = 0;

/// What is written here is next to nothing, and a disk from which one is to be rescued may be as good as full. The segments that
/// follow get whatever size the node gives them.
const SEGMENT_BYTES: u64 = 1 << 20;

/// Opens the log of the data directory at `path` for a few writes. It is closed when what is given is dropped.
fn open_log(disk: &Arc<dyn Disk>, path: &Path, missing: Missing) -> io::Result<Arc<dyn LogStore>> {
    let options = Options {
        segment_bytes: SEGMENT_BYTES,
        missing,
        // Nobody else waits meanwhile, and nothing is to be made ready for later.
        drive: Drive::InPlace,
        prepare: Prepare::Reserve,
        ..Options::default()
    };
    Ok(Log::open(disk.clone(), &path.join(LOG), &options)?.group(GROUP))
}
