//! What all these tests need: stores over a memory disk, snapshots, and the bytes of their files.

use std::borrow::Cow;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lovebird_core::fence::Numbering;
use lovebird_core::identity::{ClusterId, Membership};
use lovebird_core::snapshot_store::{SnapshotFile, SnapshotId, SnapshotMeta, SnapshotStore};
use lovebird_storage::{Compression, Disk, DiskFile, MemoryDisk, SnapshotDirectory, SnapshotOptions};

pub const MIB: usize = 1 << 20;

/// Where the snapshots of group 0 lie.
pub const DIR: &str = "/snapshots/group-0";

/// Version 1 of the format, and version 2.
pub const BOTH: [Compression; 2] = [Compression::Off, Compression::Lz4];

pub fn try_open(disk: Arc<dyn Disk>, compression: Compression) -> io::Result<Arc<dyn SnapshotStore>> {
    try_open_at(disk, Path::new("/snapshots"), compression)
}

pub fn try_open_at(
    disk: Arc<dyn Disk>,
    dir: &Path,
    compression: Compression,
) -> io::Result<Arc<dyn SnapshotStore>> {
    let options = SnapshotOptions { compression };
    SnapshotDirectory::open(disk, dir, 0, options)
}

pub fn open(disk: &MemoryDisk, compression: Compression) -> Arc<dyn SnapshotStore> {
    try_open(Arc::new(disk.mount()), compression).unwrap()
}

pub fn files(disk: &MemoryDisk) -> Vec<PathBuf> {
    let dir = Path::new(DIR);
    disk.list(dir).unwrap().into_iter().map(|name| dir.join(name)).collect()
}

pub fn meta(number: u64) -> SnapshotMeta {
    SnapshotMeta {
        cluster: ClusterId(1),
        group: 0,
        last: (1, number),
        numbering: Numbering::default(),
        membership_at: None,
        membership: Membership::default(),
        sessions_bytes: 0,
    }
}

/// Bytes that get smaller, and are others for another number.
pub fn content(number: u64, bytes: usize) -> Vec<u8> {
    let mut content = Vec::with_capacity(bytes + 32);
    for at in 0.. {
        if content.len() >= bytes {
            break;
        }
        writeln!(content, "{number}: variable {at} is {}", at * 7919 % 1000).unwrap();
    }
    content.truncate(bytes);
    content
}

/// Bytes that do not get smaller (xorshift64, Marsaglia 2003).
pub fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed * 2 + 1;
    let step = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..bytes).map(step).collect()
}

/// The contents of snapshots that are taken again and again: the one that is interrupted is large enough for a sync in the middle,
/// the others are small.
pub struct Contents {
    pub interrupted: u64,
    large: Vec<u8>,
}

impl Contents {
    pub fn new(interrupted: u64) -> Contents {
        Contents { interrupted, large: noise(interrupted, 2 * MIB + 5000) }
    }

    pub fn of(&self, number: u64) -> Cow<'_, [u8]> {
        if number == self.interrupted { Cow::from(&self.large) } else { Cow::from(content(number, 3000)) }
    }
}

pub fn take(store: &dyn SnapshotStore, number: u64, content: &[u8]) -> io::Result<Arc<dyn SnapshotFile>> {
    let mut writer = store.create(&meta(number))?;
    for part in content.chunks(100_000) {
        writer.write_all(part)?;
    }
    writer.finish()
}

pub fn read(file: &dyn SnapshotFile) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    file.open()?.read_to_end(&mut content)?;
    Ok(content)
}

pub fn latest(store: &dyn SnapshotStore) -> Option<u64> {
    store.latest().unwrap().map(|file| file.id().last.number)
}

/// All bytes of the file.
pub fn raw(file: &dyn SnapshotFile) -> Vec<u8> {
    file.read_raw(0, usize::MAX).unwrap().to_vec()
}

/// Hands `bytes` to a store as the file `id`.
pub fn receive(store: &dyn SnapshotStore, id: SnapshotId, bytes: &[u8]) -> io::Result<Arc<dyn SnapshotFile>> {
    let mut receiver = store.receive(id)?;
    let left = &bytes[receiver.offset() as usize..];
    for part in left.chunks(100_000) {
        receiver.write(part)?;
    }
    receiver.finish()
}

/// Puts a file with these bytes among the snapshots of a new disk.
pub fn place(name: &str, bytes: &[u8]) -> MemoryDisk {
    let disk = MemoryDisk::new();
    disk.create_dir(Path::new(DIR)).unwrap();
    let file: Arc<dyn DiskFile> = disk.create(&Path::new(DIR).join(name)).unwrap();
    file.write_at(0, bytes).unwrap();
    disk
}

/// The name of the file that [`take`] makes.
pub fn name(number: u64) -> String {
    format!("{number:020}-{:020}.snapshot", 1)
}
