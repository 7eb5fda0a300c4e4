//! Plans that are kept: each broke a promise once, and must not do so again.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Failure;
use crate::check::Invariant;
use crate::plan::Plan;

/// A plan that is kept, as it stands in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// What it found, in a line.
    pub story: String,
    /// Which promise it found broken.
    pub invariant: Invariant,
    /// The plan.
    pub plan: Plan,
}

impl Kept {
    /// Reads one.
    ///
    /// # Errors
    /// If there is no such file, or it holds something else.
    pub fn read(path: &Path) -> Result<Kept, Box<dyn std::error::Error>> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()).into())
    }

    /// Reads all of a folder, in the order of their names.
    ///
    /// # Errors
    /// If there is no such folder, or one of them cannot be read.
    pub fn all(folder: &Path) -> Result<Vec<(PathBuf, Kept)>, Box<dyn std::error::Error>> {
        let entries = std::fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, std::io::Error>>()?;
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
        paths.sort();
        paths.into_iter().map(|path| Ok((path.clone(), Kept::read(&path)?))).collect()
    }

    pub(super) fn write(&self, path: &Path) -> Result<(), Failure> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(path, serde_json::to_string_pretty(self)? + "\n")?;
        Ok(())
    }
}
