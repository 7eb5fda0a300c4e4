//! The operating system's files for those who may only look: nothing is made, changed, removed or locked through it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::real::{RealDisk, open_for_reading};
use super::{Disk, DiskFile, DiskLock};

/// The disk of production, for looking at a directory that is someone else's. Every method that would change something fails
/// with `ReadOnlyFilesystem`, whatever the system would allow; files need be readable only.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadOnlyDisk;

impl Disk for ReadOnlyDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Err(refused(path, "made"))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(ReadOnlyFile { path: path.into(), file: open_for_reading(path)? }))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        RealDisk.exists(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        RealDisk.list(dir)
    }

    fn rename(&self, from: &Path, _to: &Path) -> io::Result<()> {
        Err(refused(from, "renamed"))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        Err(refused(path, "removed"))
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        Err(refused(dir, "removed"))
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        Err(refused(dir, "made"))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        Err(refused(dir, "synced"))
    }

    fn lock(&self, path: &Path) -> io::Result<DiskLock> {
        Err(refused(path, "locked"))
    }
}

/// Open for reading, also where the system would let it be written.
struct ReadOnlyFile {
    path: PathBuf,
    file: Arc<dyn DiskFile>,
}

impl DiskFile for ReadOnlyFile {
    fn write_at(&self, _offset: u64, _bytes: &[u8]) -> io::Result<()> {
        Err(refused(&self.path, "written"))
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(offset, buffer)
    }

    fn sync_data(&self) -> io::Result<()> {
        Err(refused(&self.path, "synced"))
    }

    fn set_len(&self, _bytes: u64) -> io::Result<()> {
        Err(refused(&self.path, "given another length"))
    }

    fn allocate(&self, _bytes: u64) -> io::Result<()> {
        Err(refused(&self.path, "given another length"))
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
}

fn refused(path: &Path, what: &str) -> io::Error {
    let text = format!("{} cannot be {what} through a disk that is for reading only", path.display());
    io::Error::new(io::ErrorKind::ReadOnlyFilesystem, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_changed_through_it() {
        let dir = tempfile::tempdir().unwrap();
        let (path, other) = (dir.path().join("file"), dir.path().join("other"));
        RealDisk.create(&path).unwrap().write_at(0, b"kept").unwrap();

        let disk = ReadOnlyDisk;
        let file = disk.open(&path).unwrap();
        let refusals = [
            disk.create(&other).err(),
            disk.rename(&path, &other).err(),
            disk.remove(&path).err(),
            disk.remove_dir(dir.path()).err(),
            disk.create_dir(&other).err(),
            disk.sync_dir(dir.path()).err(),
            disk.lock(&other).err(),
            file.write_at(0, b"lost").err(),
            file.sync_data().err(),
            file.set_len(0).err(),
            file.allocate(9).err(),
        ];
        for refusal in refusals {
            assert_eq!(refusal.unwrap().kind(), io::ErrorKind::ReadOnlyFilesystem);
        }
        let mut bytes = [0; 9];
        assert_eq!((file.read_at(0, &mut bytes).unwrap(), &bytes[..4]), (4, &b"kept"[..]));
        assert_eq!(disk.list(dir.path()).unwrap(), ["file"]);
    }
}
