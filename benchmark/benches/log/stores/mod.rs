//! The stores that are compared, each as a careful user would open it.
//!
//! None of them compresses: what is written is incompressible. What is not said to be set is at the store's own default.

mod lovebird;
mod raft_log;
mod fjall;
mod redb;

use std::fs;
use std::path::Path;

use clap::ValueEnum;

use crate::store::{Outcome, Store};

/// Who is compared. Ours comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StoreKind {
    Lovebird,
    RaftLog,
    Fjall,
    Redb,
}

impl StoreKind {
    pub(crate) const ALL: [StoreKind; 4] =
        [StoreKind::Lovebird, StoreKind::RaftLog, StoreKind::Fjall, StoreKind::Redb];

    pub(crate) fn name(self) -> &'static str {
        match self {
            StoreKind::Lovebird => "lovebird",
            StoreKind::RaftLog => "raft-log",
            StoreKind::Fjall => "fjall",
            StoreKind::Redb => "redb",
        }
    }

    /// Opens the store in a directory of its own, which is made if there is none.
    pub(crate) fn open(self, dir: &Path) -> Outcome<Box<dyn Store>> {
        fs::create_dir_all(dir)?;
        Ok(match self {
            StoreKind::Lovebird => Box::new(lovebird::Lovebird::open(dir)?),
            StoreKind::RaftLog => Box::new(raft_log::RaftLogStore::open(dir)?),
            StoreKind::Fjall => Box::new(fjall::FjallStore::open(dir)?),
            StoreKind::Redb => Box::new(redb::RedbStore::open(dir)?),
        })
    }
}
