//! Snapshot files made by hand from the documentation of their format, right or with a lie in them.

use std::io::Write;

use bytes::BufMut;
use lovebird_core::codec::{Bincode, Codec};
use lovebird_core::entry::EntryId;
use lovebird_core::snapshot_store::SnapshotMeta;
use lovebird_storage::{Compression, MemoryDisk};
use lz4_flex::block::{CompressTable, compress_into_with_table, get_maximum_output_size};

use super::support::{BOTH, MIB, content, meta, noise, open, raw, take};

/// What becomes a file. All checksums are made of what it says, so that a lie is well sealed.
#[derive(Clone)]
pub struct Forged {
    pub version: u32,
    pub meta: SnapshotMeta,
    pub chunks: Vec<ForgedChunk>,
}

#[derive(Clone)]
pub struct ForgedChunk {
    pub content_bytes: u32,
    pub stored_bytes: u32,
    pub content_crc: u32,
    pub stored: Vec<u8>,
}

pub fn meta_of_group(group: u32) -> SnapshotMeta {
    SnapshotMeta { group, ..meta(1) }
}

impl Forged {
    /// A file of full chunks, as the library writes it.
    pub fn of(compression: Compression, content: &[u8]) -> Forged {
        Forged::in_chunks(compression, content, MIB)
    }

    /// A file of chunks with `bytes` of content each.
    pub fn in_chunks(compression: Compression, content: &[u8], bytes: usize) -> Forged {
        let version = if compression == Compression::Off { 1 } else { 2 };
        let chunks = content.chunks(bytes).map(|content| ForgedChunk::of(version, content)).collect();
        Forged { version, meta: meta(1), chunks }
    }

    pub fn last(&self) -> EntryId {
        self.meta.last_entry()
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.header();
        for number in 0..self.chunks.len() {
            out.put_slice(&self.chunk(number));
        }
        let footer = self.footer(crc32c::crc32c(&out));
        out.put_slice(&footer);
        out
    }

    pub fn header(&self) -> Vec<u8> {
        let mut meta = Bincode::encode(&self.meta).unwrap();
        if self.meta.sessions_bytes == 0 {
            // The last field, and a byte if it is 0, is then left out.
            meta.pop();
        }
        let mut out = b"LBIRDSNP".to_vec();
        out.put_u32_le(self.version);
        out.put_u32_le(meta.len() as u32);
        out.put_slice(&meta);
        out.put_u32_le(crc32c::crc32c(&out));
        out
    }

    pub fn chunk(&self, number: usize) -> Vec<u8> {
        let chunk = &self.chunks[number];
        let mut covered = (number as u64).to_le_bytes().to_vec();
        let mut out = Vec::new();
        out.put_u32_le(chunk.content_bytes);
        if self.version > 1 {
            out.put_u32_le(chunk.stored_bytes);
            out.put_u32_le(chunk.content_crc);
            covered.put_slice(&out);
        }
        covered.put_slice(&chunk.stored);
        out.put_u32_le(crc32c::crc32c(&covered));
        out.put_slice(&chunk.stored);
        out
    }

    fn footer(&self, checksum: u32) -> Vec<u8> {
        let mut out = b"LBIRDEND".to_vec();
        out.put_u64_le(self.chunks.iter().map(|chunk| u64::from(chunk.content_bytes)).sum());
        out.put_u64_le(self.chunks.len() as u64);
        out.put_u32_le(checksum);
        out.put_u32_le(crc32c::crc32c(&out));
        out
    }

    /// The checksum by which a file is known: that of all its bytes before the footer.
    pub fn checksum_of(bytes: &[u8]) -> u32 {
        crc32c::crc32c(&bytes[..bytes.len() - 32])
    }
}

impl ForgedChunk {
    pub fn of(version: u32, content: &[u8]) -> ForgedChunk {
        let mut stored = content.to_vec();
        if version > 1 {
            let mut compressed = vec![0; get_maximum_output_size(content.len())];
            let mut table = CompressTable::large();
            let bytes = compress_into_with_table(content, &mut compressed, &mut table).unwrap();
            if bytes < content.len() {
                stored = compressed[..bytes].to_vec();
            }
        }
        let (content_bytes, stored_bytes) = (content.len() as u32, stored.len() as u32);
        ForgedChunk { content_bytes, stored_bytes, content_crc: crc32c::crc32c(content), stored }
    }
}

#[test]
fn files_are_what_the_format_says() {
    for compression in BOTH {
        for content in [vec![], content(1, 1), content(1, 3 * MIB + 77), noise(1, MIB + 1)] {
            let file = take(&*open(&MemoryDisk::new(), compression), 1, &content).unwrap();
            assert!(
                raw(&*file) == Forged::of(compression, &content).encode(),
                "{compression:?}, {} bytes",
                content.len()
            );
        }
        let mut with_sessions = Forged::of(compression, &content(1, 1000));
        with_sessions.meta.sessions_bytes = 300;
        let mut writer = open(&MemoryDisk::new(), compression).create(&with_sessions.meta).unwrap();
        writer.write_all(&content(1, 1000)).unwrap();
        let file = writer.finish().unwrap();
        assert!(raw(&*file) == with_sessions.encode(), "{compression:?}, with sessions");
        assert_eq!(*file.meta(), with_sessions.meta);
    }
}
