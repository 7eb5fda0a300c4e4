//! What the directory is that was named.

use std::io;
use std::path::{Path, PathBuf};

use lovebird_core::error::StartError;
use lovebird_core::identity::Identity;
use lovebird_storage::{DataDirectory, Disk};

use crate::outcome::{Failure, Outcome};
use crate::output::complain;

/// Where to look.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) dir: PathBuf,
    pub(crate) log: PathBuf,
    /// If it is a data directory, and not that of a log alone.
    pub(crate) node: Option<Node>,
}

/// What a data directory has beside its log.
#[derive(Debug)]
pub(crate) struct Node {
    /// What it says of itself, or in a sentence why that cannot be believed.
    pub(crate) identity: Result<Identity, String>,
    pub(crate) snapshots: PathBuf,
}

impl Place {
    /// Looks what `dir` is.
    pub(crate) fn find(disk: &dyn Disk, dir: &Path) -> Result<Place, Failure> {
        let names = disk.list(dir)?;
        let has = |wanted: &str| names.iter().any(|name| name == wanted);
        if ["identity", "log", "snapshots"].into_iter().any(has) {
            let node = Node { identity: identity(disk, dir)?, snapshots: dir.join("snapshots") };
            return Ok(Place { dir: dir.into(), log: dir.join("log"), node: Some(node) });
        }
        if names.iter().any(|name| name.ends_with(".segment")) {
            return Ok(Place { dir: dir.into(), log: dir.into(), node: None });
        }
        Err(Failure::Look(format!(
            "{} is neither a node's data directory nor that of a log: name the directory that holds `identity`, or its `log`",
            dir.display()
        )))
    }

    /// Whether there need not be a log yet: the node has never started. It is read before one looks for the log, which comes
    /// to be before the first start is counted.
    pub(crate) fn is_new(&self) -> bool {
        let identity = self.node.as_ref().and_then(|node| node.identity.as_ref().ok());
        identity.is_some_and(|identity| identity.starts == 0)
    }

    /// Says what is wrong with the identity, if anything is.
    pub(crate) fn judge(&self) -> Outcome {
        match &self.node {
            Some(Node { identity: Err(sentence), .. }) => {
                complain(sentence);
                Outcome::Damaged
            }
            _ => Outcome::Good,
        }
    }
}

fn identity(disk: &dyn Disk, dir: &Path) -> Result<Result<Identity, String>, Failure> {
    match DataDirectory::look(disk, dir) {
        Ok(identity) => Ok(Ok(identity)),
        Err(StartError::Storage(e)) if e.kind() == io::ErrorKind::NotFound => Ok(Err(format!(
            "the data directory {} has no identity file, so that no node starts from it: restore the file, or replace this \
             member",
            dir.display()
        ))),
        Err(StartError::Storage(e)) => Err(e.into()),
        Err(error) => Ok(Err(error.to_string())),
    }
}
