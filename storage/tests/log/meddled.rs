//! A disk that lets others work in the middle of a look, at a moment that a test chooses.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use lovebird_storage::disk::DiskLock;
use lovebird_storage::{Disk, DiskFile, MemoryDisk};

/// What happens on a disk while someone looks.
#[derive(Clone, Debug, PartialEq)]
pub enum Moment {
    Listed,
    Opened(PathBuf),
    Measured(PathBuf),
    /// So many bytes of what was asked for were read, and the rest is yet to be.
    Reading(PathBuf, usize),
}

/// Is told what happens, and takes its time.
pub type Meddler = Arc<Mutex<dyn FnMut(Moment) + Send>>;

/// A disk that gives another one the time to work in the middle of things.
pub struct Meddled {
    pub disk: MemoryDisk,
    pub meddler: Meddler,
}

struct MeddledFile {
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    meddler: Meddler,
}

impl Disk for Meddled {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.disk.open(path)?;
        (self.meddler.lock().unwrap())(Moment::Opened(path.into()));
        Ok(Arc::new(MeddledFile { path: path.into(), file, meddler: self.meddler.clone() }))
    }
    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.disk.exists(path)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let names = self.disk.list(dir)?;
        (self.meddler.lock().unwrap())(Moment::Listed);
        Ok(names)
    }
    fn create(&self, _: &Path) -> io::Result<Arc<dyn DiskFile>> {
        unreachable!("who looks changes nothing")
    }
    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        unreachable!("who looks changes nothing")
    }
    fn remove(&self, _: &Path) -> io::Result<()> {
        unreachable!("who looks changes nothing")
    }
    fn remove_dir(&self, _: &Path) -> io::Result<()> {
        unreachable!("who looks changes nothing")
    }
    fn create_dir(&self, _: &Path) -> io::Result<()> {
        unreachable!("who looks changes nothing")
    }
    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        unreachable!("who looks changes nothing")
    }
    fn lock(&self, _: &Path) -> io::Result<DiskLock> {
        unreachable!("who looks locks nothing")
    }
}

impl DiskFile for MeddledFile {
    /// Large reads come in two parts, as a system may give them.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut read = 0;
        if buffer.len() > 4096 {
            let used = whole(&*self.file)?.iter().rposition(|byte| *byte != 0).unwrap_or(0) + 1;
            let part = used.next_multiple_of(512).min(buffer.len());
            read = self.file.read_at(offset, &mut buffer[..part])?;
            (self.meddler.lock().unwrap())(Moment::Reading(self.path.clone(), part));
        }
        Ok(read + self.file.read_at(offset + read as u64, &mut buffer[read..])?)
    }
    fn len(&self) -> io::Result<u64> {
        let len = self.file.len();
        (self.meddler.lock().unwrap())(Moment::Measured(self.path.clone()));
        len
    }
    fn write_at(&self, _: u64, _: &[u8]) -> io::Result<()> {
        unreachable!("who looks changes nothing")
    }
    fn sync_data(&self) -> io::Result<()> {
        unreachable!("who looks changes nothing")
    }
    fn set_len(&self, _: u64) -> io::Result<()> {
        unreachable!("who looks changes nothing")
    }
    fn allocate(&self, _: u64) -> io::Result<()> {
        unreachable!("who looks changes nothing")
    }
}

fn whole(file: &dyn DiskFile) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; file.len()? as usize];
    file.read_at(0, &mut bytes)?;
    Ok(bytes)
}
