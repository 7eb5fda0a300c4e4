//! A finished snapshot file, open for reading.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Buf, Bytes};
use lovebird_core::identity::GroupId;
use lovebird_core::snapshot_store::{SnapshotFile, SnapshotId, SnapshotMeta};

use super::format::{Chunks, FOOTER_BYTES, Footer, encode_header, invalid, read_header};
use crate::disk::DiskFile;

/// Its handle keeps it readable after the directory has dropped it.
pub(super) struct OpenSnapshot {
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    meta: SnapshotMeta,
    id: SnapshotId,
    footer: Footer,
    /// Where the chunks begin.
    chunks_at: u64,
    header_crc: u32,
}

impl OpenSnapshot {
    /// Checks header and footer; the chunks are verified as they are read.
    pub(super) fn open(path: &Path, file: Arc<dyn DiskFile>, group: GroupId) -> io::Result<OpenSnapshot> {
        let length = file.len()?;
        let opened = || {
            let footer = Footer::read(&*file, length)?;
            let (meta, chunks_at) = read_header(&*file)?;
            if meta.group != group {
                return Err(invalid(format!("it belongs to group {}, not to group {group}", meta.group)));
            }
            if chunks_at > length - FOOTER_BYTES as u64 {
                return Err(invalid("its header runs into its footer".to_owned()));
            }
            Ok((footer, meta, chunks_at))
        };
        let (footer, meta, chunks_at) = opened().map_err(|e| at(path, e))?;
        // The header that was read is the encoding of the meta, and nothing but.
        let header_crc = crc32c::crc32c(&encode_header(&meta)?);
        let id = SnapshotId { last: meta.last_entry(), length, checksum: footer.checksum };
        Ok(OpenSnapshot { path: path.into(), file, meta, id, footer, chunks_at, header_crc })
    }

    fn chunks(&self) -> Chunks {
        let end = self.id.length - FOOTER_BYTES as u64;
        Chunks::new(self.footer, self.chunks_at, end, self.header_crc)
    }

    /// Reads and verifies every chunk, one at a time.
    pub(super) fn verify(&self) -> io::Result<()> {
        let mut chunks = self.chunks();
        while chunks.next(&*self.file).map_err(|e| at(&self.path, e))?.is_some() {}
        Ok(())
    }
}

impl SnapshotFile for OpenSnapshot {
    fn meta(&self) -> &SnapshotMeta {
        &self.meta
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
        Ok(Box::new(Content {
            path: self.path.clone(),
            file: self.file.clone(),
            chunks: self.chunks(),
            chunk: Bytes::new(),
        }))
    }
}

/// What the user's state machine wrote, one chunk in memory at a time.
struct Content {
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    chunks: Chunks,
    chunk: Bytes,
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.chunk.is_empty() && !buffer.is_empty() {
            self.chunk = self.chunks.next(&*self.file).map_err(|e| at(&self.path, e))?.unwrap_or_default();
        }
        let bytes = buffer.len().min(self.chunk.len());
        self.chunk.copy_to_slice(&mut buffer[..bytes]);
        Ok(bytes)
    }
}

pub(super) fn at(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("the snapshot {}: {error}", path.display()))
}
