//! Writes a snapshot of this replica's own state.

use std::io::{self, Write};
use std::sync::Arc;

use lovebird_core::snapshot_store::{SnapshotFile, SnapshotMeta, SnapshotWriter};

use super::format::{CHUNK_BYTES, Footer, chunk_header, encode_header};
use super::partial::Partial;
use super::{Files, file_name};

/// Holds one chunk in memory.
pub(super) struct ChunkWriter {
    files: Arc<Files>,
    partial: Partial,
    name: String,
    chunk: Vec<u8>,
    chunks: u64,
    content_bytes: u64,
}

impl ChunkWriter {
    pub(super) fn create(files: Arc<Files>, meta: &SnapshotMeta) -> io::Result<ChunkWriter> {
        let mut partial = Partial::create(files.disk.clone(), files.partial_path())?;
        partial.append(&encode_header(meta)?)?;
        let name = file_name(meta.last_entry());
        Ok(ChunkWriter { files, partial, name, chunk: Vec::new(), chunks: 0, content_bytes: 0 })
    }

    fn write_chunk(&mut self) -> io::Result<()> {
        self.partial.append(&chunk_header(self.chunks, &self.chunk))?;
        self.partial.append(&self.chunk)?;
        self.chunks += 1;
        self.content_bytes += self.chunk.len() as u64;
        self.chunk.clear();
        Ok(())
    }
}

impl Write for ChunkWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A full chunk is written here or never: a failed write takes nothing, so that trying again repeats nothing.
        if self.chunk.len() == CHUNK_BYTES {
            self.write_chunk()?;
        }
        if self.chunk.capacity() == 0 {
            self.chunk.reserve_exact(CHUNK_BYTES);
        }
        let part = bytes.len().min(CHUNK_BYTES - self.chunk.len());
        self.chunk.extend_from_slice(&bytes[..part]);
        Ok(part)
    }

    /// Chunks are full but for the last, whatever the writer's habits; so there is nothing to do before the end.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl SnapshotWriter for ChunkWriter {
    fn finish(mut self: Box<Self>) -> io::Result<Arc<dyn SnapshotFile>> {
        if !self.chunk.is_empty() {
            self.write_chunk()?;
        }
        let footer =
            Footer { content_bytes: self.content_bytes, chunks: self.chunks, checksum: self.partial.crc() };
        self.partial.append(&footer.encode())?;
        self.files.publish(&mut self.partial, &self.name)
    }
}
