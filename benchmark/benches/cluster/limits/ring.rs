//! A file that is written round and round.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// How much it is filled with at once. The kernel caches that in one piece (measured on ext4 of Linux 6.18): with single pages a sync
/// of a large batch takes half as long again to twice as long, and from 16 KiB on hardly less. But of a piece that changes in
/// some bytes the kernel counts all as written by the process, so a piece is no larger than that.
const PIECE_BYTES: usize = 16 << 10;

/// Its blocks are all there before the first append, so that a sync writes what was appended and nothing about the file.
pub(super) struct Ring {
    file: File,
    bytes: u64,
    at: u64,
}

impl Ring {
    /// Creates it with `bytes` bytes, whole pieces. Setting its length alone would leave holes, so it is filled.
    pub(super) fn create(path: &Path, bytes: u64) -> io::Result<Ring> {
        let file = File::create(path)?;
        file.set_len(bytes)?;
        for piece in 0..bytes / PIECE_BYTES as u64 {
            file.write_all_at(&[0; PIECE_BYTES], piece * PIECE_BYTES as u64)?;
        }
        file.sync_all()?;
        Ok(Ring { file, bytes, at: 0 })
    }

    /// Writes `bytes` behind what was written last, or at the beginning if the file ends before them.
    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let length = bytes.len() as u64;
        if self.at + length > self.bytes {
            self.at = 0;
        }
        self.file.write_all_at(bytes, self.at)?;
        self.at += length;
        Ok(())
    }

    /// Makes durable what was appended (`fdatasync`).
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}
