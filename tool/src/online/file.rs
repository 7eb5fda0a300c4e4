//! A file that comes to be as a whole or not at all.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// What becomes of a file that has the name already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Existing {
    /// Nothing: it is an error.
    Refuse,
    /// It is replaced by the new one once that is whole.
    Replace,
}

/// A file on its way: FILE.partial until it is whole and on disk. Dropped before, it is gone.
#[derive(Debug)]
pub(super) struct Begun {
    file: File,
    partial: PathBuf,
    path: PathBuf,
    existing: Existing,
    is_whole: bool,
}

impl Begun {
    pub(super) fn new(path: &Path, existing: Existing) -> Result<Begun, Failure> {
        check(path, existing)?;
        let partial = partial(path);
        // Never one that is there: whoever writes it would then write this one.
        let file = File::create_new(&partial).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Failure::File(format!(
                "{} is there already: another export writes it, or was cut short; if none runs, delete it",
                partial.display()
            )),
            _ => Failure::File(format!("cannot write {}: {error}", partial.display())),
        })?;
        Ok(Begun { file, partial, path: path.to_owned(), existing, is_whole: false })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let written = self.file.write_all(bytes);
        written.map_err(|error| Failure::File(format!("cannot write {}: {error}", self.partial.display())))
    }

    /// Gives the file its name, and makes both last.
    pub(super) fn finish(mut self) -> Result<(), Failure> {
        // Somebody may have made it meanwhile.
        check(&self.path, self.existing)?;
        let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let named = self.file.sync_all().and_then(|()| fs::rename(&self.partial, &self.path));
        self.is_whole = named.is_ok();
        named
            .and_then(|()| File::open(parent.unwrap_or(Path::new(".")))?.sync_all())
            .map_err(|error| Failure::File(format!("cannot write {}: {error}", self.path.display())))
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        if !self.is_whole {
            // What cannot be deleted is in nobody's way but the next export's, which says so.
            let _ = fs::remove_file(&self.partial);
        }
    }
}

fn check(path: &Path, existing: Existing) -> Result<(), Failure> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => {
            Err(Failure::File(format!("{} is a directory: name a file in it", path.display())))
        }
        Ok(_) if existing == Existing::Refuse => Err(Failure::File(format!(
            "{} is there already: choose another name, or replace it with --force",
            path.display()
        ))),
        _ => Ok(()),
    }
}

fn partial(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".partial");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_has_its_name_when_it_is_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let mut begun = Begun::new(&path, Existing::Refuse).unwrap();
        begun.write(b"one ").unwrap();
        assert_eq!(names(directory.path()), ["file.partial"]);
        begun.write(b"two").unwrap();
        begun.finish().unwrap();
        assert_eq!(names(directory.path()), ["file"]);
        assert_eq!(fs::read(&path).unwrap(), b"one two");
    }

    #[test]
    fn a_file_that_is_given_up_leaves_nothing_and_takes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "before").unwrap();
        let mut begun = Begun::new(&path, Existing::Replace).unwrap();
        begun.write(b"half").unwrap();
        drop(begun);
        assert_eq!(names(directory.path()), ["file"]);
        assert_eq!(fs::read(&path).unwrap(), b"before");
    }

    #[test]
    fn what_is_there_is_replaced_only_if_that_is_wished() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let sentence = |refused: Result<Begun, Failure>| {
            refused.unwrap_err().to_string().replace(directory.path().to_str().unwrap(), "D")
        };
        // It came to be while the other one was written.
        let begun = Begun::new(&path, Existing::Refuse).unwrap();
        assert_eq!(
            sentence(Begun::new(&path, Existing::Refuse)),
            "error: D/file.partial is there already: another export writes it, or was cut short; if none runs, delete it"
        );
        fs::write(&path, "before").unwrap();
        begun.finish().unwrap_err();
        assert_eq!(
            sentence(Begun::new(&path, Existing::Refuse)),
            "error: D/file is there already: choose another name, or replace it with --force"
        );
        assert_eq!(
            sentence(Begun::new(directory.path(), Existing::Replace)),
            "error: D is a directory: name a file in it"
        );
        Begun::new(&path, Existing::Replace).unwrap().finish().unwrap();
        assert_eq!((names(directory.path()), fs::read(&path).unwrap()), (vec!["file".to_owned()], vec![]));
    }
}
