//! Writes a snapshot of this replica's own state.

use std::io::{self, Write};
use std::sync::Arc;

use lovebird_core::snapshot_store::{SnapshotFile, SnapshotMeta, SnapshotWriter};

use super::chunk::encode_chunk_header;
use super::compression::{Compression, Compressor};
use super::format::{CHUNK_BYTES, Footer, Version, encode_header};
use super::partial::Partial;
use super::{Files, file_name};

/// Holds one chunk in memory, and what it is compressed to.
pub(super) struct ChunkWriter {
    files: Arc<Files>,
    partial: Partial,
    name: String,
    version: Version,
    compressor: Option<Compressor>,
    chunk: Vec<u8>,
    chunks: u64,
    content_bytes: u64,
}

impl ChunkWriter {
    pub(super) fn create(files: Arc<Files>, meta: &SnapshotMeta) -> io::Result<ChunkWriter> {
        let version = Version::of(files.options.compression);
        let compressor = match files.options.compression {
            Compression::Off => None,
            Compression::Lz4 => Some(Compressor::new()),
        };
        let header = encode_header(version, meta)?;
        let mut partial = Partial::create(files.disk.clone(), files.partial_path())?;
        partial.append(&header)?;
        let name = file_name(meta.last_entry());
        let chunk = Vec::with_capacity(CHUNK_BYTES);
        Ok(ChunkWriter { files, partial, name, version, compressor, chunk, chunks: 0, content_bytes: 0 })
    }

    fn write_chunk(&mut self) -> io::Result<()> {
        let compressed = self.compressor.as_mut().and_then(|compressor| compressor.compress(&self.chunk));
        let stored = compressed.unwrap_or(&self.chunk);
        self.partial.append(&encode_chunk_header(self.version, self.chunks, &self.chunk, stored))?;
        self.partial.append(stored)?;
        self.chunks += 1;
        self.content_bytes += self.chunk.len() as u64;
        self.chunk.clear();
        Ok(())
    }
}

impl Write for ChunkWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.chunk.len() == CHUNK_BYTES {
            self.write_chunk()?;
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
