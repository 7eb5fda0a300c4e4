//! Everything that names openraft. None of it is public.
//!
//! openraft 0.10.0-alpha.37 elects leaders and decides the order of entries; all else is ours and speaks our own types
//! ([`crate::entry`], [`crate::log_store`], [`crate::transport`]). The adapters here are thin on purpose: an entry goes
//! from the proposal through openraft to the log and the wire as the same bytes.
//!
//! # What we must do that openraft does not do by itself
//!
//! - `leader_id_std`: the default leader id allows two leaders in one term.
//! - Pre-vote is on, and [`network`] implements it: the default grants unconditionally.
//! - `enable_leader_restore` is off. Entries are sent before their leader has synced them, so a leader that is killed and
//!   comes back as leader of the *same* term could write two different entries under one number.
//! - `quorum_loss_probe_interval` is on: a leader that can send but not receive would otherwise suppress elections for ever.
//! - Every call and stream carries a deadline of its own ([`network`]).
//! - `save_committed` is implemented and held to what the log has ([`log`]): without it a restarted replica could serve a
//!   state older than one that it has served before.
//! - Snapshots and purging follow records and bytes, not entries, which are batches: openraft's own policy is off, and
//!   `max_in_snapshot_log_to_keep` is unlimited, so that only [`crate::snapshot`] purges.
//! - `install_snapshot` hands the numbering to the log before openraft purges up to the snapshot.
//! - A replication that openraft has given up, while its task does not know it yet, may ask for entries that were purged
//!   meanwhile, and would send what follows behind the gap (openraft only asserts that there is none, in debug builds): the log
//!   gives it nothing ([`log`]). Found by the simulator, in one of 6,500 seeds; our log engine had refused such entries, and
//!   the follower stopped.
//! - Memberships are written as they are (`append_membership`), one after the other, as [`crate::members::goal`] decides:
//!   `change_membership` takes two steps in one call, and leaves the group between them if its caller dies ([`members`]).
//! - A transfer of the leadership refuses every proposal from its beginning on: [`crate::members::hand_over`] holds them back
//!   first, and begins it only when the heir is close.
//! - `current_leader` of a node that is no longer sent anything stays what it was, since pre-votes change nothing:
//!   [`crate::members::steward`] counts the silence itself.
//! - `allow_log_reversion` is never used: a voter that lost its disk must not come back under its id.
//! - A discarded entry (`LogEntryDiscarded`) has an unknown outcome; `ForwardToLeader` was refused before the append.
//! - Storage errors surface as fatal errors or panics of openraft's task: [`crate::node`] asks the log and the replica for
//!   the cause first.

mod types;
mod consensus;
mod members;
mod log;
mod network;
mod machine;

pub(crate) use consensus::{
    Consensus, ConsensusConfig, Leadership, LeadershipWatch, ProposeFailure, Proposed,
};
pub(crate) use members::Agreement;
pub(crate) use types::{Applied, membership_of};

#[cfg(feature = "testing")]
pub(crate) use {
    log::LogAdapter,
    machine::{MachineAdapter, SnapshotBuilder, SnapshotHandle},
    types::{LogEntry, Types, from_log_id},
};
