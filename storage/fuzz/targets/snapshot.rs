//! A snapshot file that someone else has written: found in the directory, and received from a peer.
//!
//! A first byte says how it is repaired; the rest is the file. Whatever is believed is what the file holds, and reading it
//! never asks for more memory than the file has bytes.

use std::io::{self, ErrorKind, Read};
use std::path::Path;
use std::sync::Arc;

use lovebird_core::fence::Numbering;
use lovebird_core::identity::{ClusterId, Membership};
use lovebird_core::snapshot_store::{SnapshotFile, SnapshotId, SnapshotMeta};
use lovebird_storage::disk::DiskLock;
use lovebird_storage::{Disk, DiskFile, MemoryDisk, SnapshotDirectory, SnapshotOptions};

use super::layout::{u32_at, u64_at};
use super::program::Program;
use super::repair;

const DIR: &str = "/snapshots";

/// See the module.
pub fn run(input: &[u8]) {
    let mut program = Program::new(input);
    let mode = program.byte();
    let mut file = program.rest().to_vec();
    let said = file.get(12..16).map(<[u8]>::to_vec);
    match mode % 4 {
        0 => {}
        1 => repair::snapshot(&mut file, false),
        _ => repair::snapshot(&mut file, true),
    }
    if let (3, Some(said)) = (mode % 4, said) {
        // All is well but for the length of the header.
        file[12..16].copy_from_slice(&said);
    }
    let meta = meta(&file).unwrap_or_else(nothing);
    let found = found(&file, &meta);
    let received = received(&file, &meta);
    assert_eq!(found, received, "a file is judged differently on its way and in its place");
    if let Some(content) = found {
        assert_eq!(content, chunks(&file), "the content is not what the chunks hold");
    }
}

/// What the file says of itself, whatever its checksums say.
fn meta(file: &[u8]) -> Option<SnapshotMeta> {
    let bytes = file.get(16..)?;
    let length = u32_at(file, 12) as usize;
    SnapshotMeta::decode(bytes.get(..length)?).ok()
}

/// A name for a file that says nothing.
fn nothing() -> SnapshotMeta {
    let (numbering, membership) = (Numbering::default(), Membership::default());
    SnapshotMeta {
        cluster: ClusterId(0),
        group: 0,
        last: (0, 0),
        numbering,
        membership_at: None,
        membership,
        sessions_bytes: 0,
    }
}

fn disk() -> Arc<Frugal> {
    let disk = MemoryDisk::new();
    disk.create_dir(Path::new(DIR)).expect("a disk in memory does not fail");
    Arc::new(Frugal(disk))
}

/// The content of a file that lies in the directory under its name, if it is believed.
fn found(file: &[u8], meta: &SnapshotMeta) -> Option<Vec<u8>> {
    let disk = disk();
    let dir = Path::new(DIR).join(format!("group-{}", meta.group));
    disk.create_dir(&dir).expect("a disk in memory does not fail");
    let name = format!("{:020}-{:020}.snapshot", meta.last.1, meta.last.0);
    let placed = disk.create(&dir.join(name)).expect("the only file");
    placed.write_at(0, file).expect("a disk in memory does not fail");
    let snapshots =
        match SnapshotDirectory::open(disk, Path::new(DIR), meta.group, SnapshotOptions::default()) {
            Ok(snapshots) => snapshots,
            Err(error) => {
                refused(&error);
                return None;
            }
        };
    let latest = snapshots.latest().expect("in memory").expect("the only snapshot");
    content(&*latest, file)
}

/// The content of a file that was received, if it is believed.
fn received(file: &[u8], meta: &SnapshotMeta) -> Option<Vec<u8>> {
    let checksum = file.len().checked_sub(8).map_or(0, |at| u32_at(file, at));
    let id = SnapshotId { last: meta.last_entry(), length: file.len() as u64, checksum };
    let snapshots = SnapshotDirectory::open(disk(), Path::new(DIR), meta.group, SnapshotOptions::default())
        .expect("an empty directory");
    let mut receiver = snapshots.receive(id).expect("a disk in memory does not fail");
    for part in file.chunks(700) {
        receiver.write(part).expect("no more than was announced");
    }
    match receiver.finish() {
        Ok(snapshot) => Some(content(&*snapshot, file).expect("it was verified as a whole")),
        Err(error) => {
            refused(&error);
            assert!(snapshots.latest().expect("in memory").is_none(), "what was refused is seen");
            None
        }
    }
}

/// Reads all of a snapshot, in parts of an odd length.
fn content(snapshot: &dyn SnapshotFile, file: &[u8]) -> Option<Vec<u8>> {
    let raw = snapshot.read_raw(0, usize::MAX).expect("a disk in memory does not fail");
    assert_eq!(raw[..], *file, "its raw bytes are others");
    let mut reader = snapshot.open().expect("reading has not begun");
    let (mut content, mut part) = (Vec::new(), [0; 37]);
    loop {
        match reader.read(&mut part) {
            Ok(0) => return Some(content),
            Ok(read) => content.extend_from_slice(&part[..read]),
            Err(error) => {
                refused(&error);
                return None;
            }
        }
    }
}

/// What a good file holds, by the lengths of its chunks alone.
fn chunks(file: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    let (mut at, end) = (20 + u32_at(file, 12) as usize, file.len() - 32);
    while at < end {
        let length = u32_at(file, at) as usize;
        content.extend_from_slice(&file[at + 8..at + 8 + length]);
        at += 8 + length;
    }
    assert_eq!(content.len() as u64, u64_at(file, end + 8), "the footer counts other bytes");
    content
}

fn refused(error: &io::Error) {
    assert_eq!(error.kind(), ErrorKind::InvalidData, "not a refusal: {error}");
}

/// A disk on which nobody reads into more memory than the file could fill.
struct Frugal(MemoryDisk);

struct FrugalFile(Arc<dyn DiskFile>);

impl Disk for Frugal {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(FrugalFile(self.0.create(path)?)))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(FrugalFile(self.0.open(path)?)))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.0.exists(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.0.list(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.remove(path)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.remove_dir(dir)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.create_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<DiskLock> {
        self.0.lock(path)
    }
}

impl DiskFile for FrugalFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_at(offset, bytes)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.0.len()?;
        // Fixed headers are read into a few bytes whatever there is.
        assert!(buffer.len() as u64 <= length.max(64), "{} bytes of memory for {length}", buffer.len());
        self.0.read_at(offset, buffer)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        self.0.allocate(bytes)
    }

    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
}
