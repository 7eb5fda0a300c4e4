//! The names of files: as they are, and as they would be after a crash.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Which file each name stands for.
#[derive(Debug, Default)]
pub(super) struct Names {
    now: BTreeMap<PathBuf, u64>,
    /// Names as they are after a crash, and what has happened since, in order.
    durable: BTreeMap<PathBuf, u64>,
    pending: Vec<NameChange>,
    dirs: BTreeSet<PathBuf>,
}

#[derive(Clone, Debug)]
pub(super) enum NameChange {
    Link(PathBuf, u64),
    Unlink(PathBuf),
    Rename(PathBuf, PathBuf),
}

impl NameChange {
    fn dir(&self) -> &Path {
        let (NameChange::Link(path, _) | NameChange::Unlink(path) | NameChange::Rename(path, _)) = self;
        path.parent().unwrap_or(Path::new(""))
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, u64>) {
        match self {
            NameChange::Link(path, file) => {
                names.insert(path.clone(), *file);
            }
            NameChange::Unlink(path) => {
                names.remove(path);
            }
            NameChange::Rename(from, to) => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
        }
    }
}

impl Names {
    pub(super) fn get(&self, path: &Path) -> Option<u64> {
        self.now.get(path).copied()
    }

    pub(super) fn is_dir(&self, path: &Path) -> bool {
        self.dirs.contains(path)
    }

    /// All names with their files, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&PathBuf, u64)> {
        self.now.iter().map(|(path, file)| (path, *file))
    }

    /// The names of files and directories in a directory, sorted.
    pub(super) fn list(&self, dir: &Path) -> Vec<String> {
        let inside = self.now.keys().chain(&self.dirs).filter(|path| path.parent() == Some(dir));
        let mut names: Vec<String> = inside
            .filter_map(|path| path.file_name())
            .map(|name| name.to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    pub(super) fn change(&mut self, change: NameChange) {
        change.apply(&mut self.now);
        self.pending.push(change);
    }

    pub(super) fn create_dir(&mut self, dir: &Path) {
        self.dirs.extend(dir.ancestors().map(Path::to_owned));
    }

    pub(super) fn remove_dir(&mut self, dir: &Path) {
        let inside: Vec<PathBuf> = self.now.keys().filter(|path| path.starts_with(dir)).cloned().collect();
        for path in inside {
            self.change(NameChange::Unlink(path));
        }
        self.dirs.retain(|path| !path.starts_with(dir));
    }

    /// Makes the names in a directory durable, and that directories below it are gone.
    pub(super) fn sync(&mut self, dir: &Path) {
        let (durable, dirs) = (&mut self.durable, &self.dirs);
        self.pending.retain(|change| {
            let of = change.dir();
            let synced = of == dir || (of.starts_with(dir) && !dirs.contains(of));
            if synced {
                change.apply(durable);
            }
            !synced
        });
    }

    /// `keep` is asked for each change that was not synced. Those of one directory are kept as a prefix.
    pub(super) fn crash(&mut self, keep: &mut dyn FnMut() -> bool) {
        let mut lost = BTreeSet::new();
        for change in std::mem::take(&mut self.pending) {
            if !lost.contains(change.dir()) && keep() {
                change.apply(&mut self.durable);
            } else {
                lost.insert(change.dir().to_owned());
            }
        }
        self.now = self.durable.clone();
        // A directory is not gone before what was in it.
        for path in self.now.keys() {
            self.dirs.extend(path.ancestors().skip(1).map(Path::to_owned));
        }
    }
}
