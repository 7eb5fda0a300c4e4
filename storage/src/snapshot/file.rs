//! A finished snapshot file, open for reading.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use lovebird_core::snapshot_store::{SnapshotFile, SnapshotId, SnapshotMeta};

use super::chunk::Chunks;
use super::format::{Footer, Header};
use crate::disk::DiskFile;

/// Its handle keeps it readable after the directory has dropped it.
pub(crate) struct OpenSnapshot {
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    header: Header,
    footer: Footer,
    id: SnapshotId,
}

impl OpenSnapshot {
    /// Checks header and footer; the chunks are verified as they are read.
    pub(super) fn open(path: &Path, file: Arc<dyn DiskFile>) -> io::Result<OpenSnapshot> {
        let opened = || {
            let length = file.len()?;
            let header = Header::read(&*file, length)?;
            let footer = Footer::read(&*file, length)?;
            let id = SnapshotId { last: header.meta.last_entry(), length, checksum: footer.checksum };
            Ok((header, footer, id))
        };
        let (header, footer, id) = opened().map_err(|e| at(path, e))?;
        Ok(OpenSnapshot { path: path.into(), file, header, footer, id })
    }

    /// Reads and verifies every chunk, one at a time.
    pub(super) fn verify(&self) -> io::Result<()> {
        let mut content = self.content();
        while content.next_chunk()? {}
        Ok(())
    }

    /// How long its content is.
    pub(super) fn content_bytes(&self) -> u64 {
        self.footer.content_bytes
    }

    fn content(&self) -> Content {
        Content {
            path: self.path.clone(),
            file: self.file.clone(),
            chunks: Chunks::new(&self.header, self.footer, self.id.length),
            chunk: Vec::new(),
            read: 0,
        }
    }
}

impl SnapshotFile for OpenSnapshot {
    fn meta(&self) -> &SnapshotMeta {
        &self.header.meta
    }

    fn id(&self) -> SnapshotId {
        self.id
    }

    fn read_raw(&self, offset: u64, bytes: usize) -> io::Result<Bytes> {
        let rest = self.id.length.saturating_sub(offset);
        let mut buffer = vec![0; bytes.min(usize::try_from(rest).unwrap_or(usize::MAX))];
        let read = self.file.read_at(offset, &mut buffer).map_err(|e| at(&self.path, e))?;
        buffer.truncate(read);
        Ok(buffer.into())
    }

    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(self.content()))
    }
}

/// What the user's state machine wrote, one chunk in memory at a time.
struct Content {
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    chunks: Chunks,
    chunk: Vec<u8>,
    /// How much of the chunk has been given.
    read: usize,
}

impl Content {
    /// Whether there was one more.
    fn next_chunk(&mut self) -> io::Result<bool> {
        self.read = 0;
        self.chunks.next(&*self.file, &mut self.chunk).map_err(|e| at(&self.path, e))?;
        Ok(!self.chunk.is_empty())
    }
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.read == self.chunk.len() && !buffer.is_empty() {
            self.next_chunk()?;
        }
        let bytes = buffer.len().min(self.chunk.len() - self.read);
        buffer[..bytes].copy_from_slice(&self.chunk[self.read..self.read + bytes]);
        self.read += bytes;
        Ok(bytes)
    }
}

pub(super) fn at(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("the snapshot {}: {error}", path.display()))
}
