//! The chunks of a snapshot file: how one is written, and how all of them are read. Their bytes are in `format`.

use std::fmt;
use std::io;

use bytes::{Buf, BufMut};

use super::compression::decompress;
use super::format::{CHUNK_BYTES, FOOTER_BYTES, Footer, Header, Version, invalid};
use crate::disk::{DiskFile, read_exact_at};

const HEADER_BYTES_MAX: usize = 16;
const CRC_BYTES: usize = 4;

impl Version {
    /// Bytes of a chunk before what is stored of it.
    fn chunk_header_bytes(self) -> usize {
        match self {
            Version::Plain => 8,
            Version::Compressed => 16,
        }
    }
}

/// What precedes `stored` in a file, for a chunk with this number and content.
pub(super) fn encode_chunk_header(version: Version, number: u64, content: &[u8], stored: &[u8]) -> Vec<u8> {
    let mut header = Vec::with_capacity(HEADER_BYTES_MAX);
    header.put_u32_le(content.len() as u32);
    if version == Version::Compressed {
        header.put_u32_le(stored.len() as u32);
        header.put_u32_le(crc32c::crc32c(content));
    }
    let crc = chunk_crc(version, number, &header, stored);
    header.put_u32_le(crc);
    header
}

/// The number is part of it, so that chunks cannot change places.
fn chunk_crc(version: Version, number: u64, fields: &[u8], stored: &[u8]) -> u32 {
    let mut crc = crc32c::crc32c(&number.to_le_bytes());
    if version == Version::Compressed {
        crc = crc32c::crc32c_append(crc, fields);
    }
    crc32c::crc32c_append(crc, stored)
}

/// What a chunk says of itself.
struct ChunkHeader {
    content_bytes: usize,
    stored_bytes: usize,
    /// Where it is not that of the stored bytes anyway.
    content_crc: Option<u32>,
    crc: u32,
}

impl ChunkHeader {
    fn decode(version: Version, mut bytes: &[u8]) -> ChunkHeader {
        let content_bytes = bytes.get_u32_le() as usize;
        let (stored_bytes, content_crc) = match version {
            Version::Plain => (content_bytes, None),
            Version::Compressed => (bytes.get_u32_le() as usize, Some(bytes.get_u32_le())),
        };
        ChunkHeader { content_bytes, stored_bytes, content_crc, crc: bytes.get_u32_le() }
    }

    /// Whether a writer could have said this, where `room` bytes follow. Nothing is allocated for a chunk before that.
    fn is_possible(&self, room: u64) -> bool {
        let stored = 1..=self.content_bytes;
        self.content_bytes <= CHUNK_BYTES
            && stored.contains(&self.stored_bytes)
            && self.stored_bytes as u64 <= room
    }

    fn is_compressed(&self) -> bool {
        self.stored_bytes < self.content_bytes
    }
}

impl fmt::Display for ChunkHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.content_bytes)?;
        if self.stored_bytes != self.content_bytes {
            write!(f, " in {}", self.stored_bytes)?;
        }
        Ok(())
    }
}

/// Walks the chunks of a file, each verified before it is given.
pub(super) struct Chunks {
    version: Version,
    footer: Footer,
    /// Where the next chunk begins, and where the footer does.
    at: u64,
    end: u64,
    number: u64,
    content_bytes: u64,
    /// Of the file so far.
    crc: u32,
    /// What is stored of a compressed chunk.
    stored: Vec<u8>,
}

impl Chunks {
    /// Of a file of `length`.
    pub(super) fn new(header: &Header, footer: Footer, length: u64) -> Self {
        Chunks {
            version: header.version,
            footer,
            at: header.bytes,
            end: length - FOOTER_BYTES as u64,
            number: 0,
            content_bytes: 0,
            crc: header.crc,
            stored: Vec::new(),
        }
    }

    /// Puts the next chunk's content in the place of what `content` holds; nothing at the end, when the whole file has
    /// verified.
    pub(super) fn next(&mut self, file: &dyn DiskFile, content: &mut Vec<u8>) -> io::Result<()> {
        let read = self.read_next(file, content);
        if read.is_err() {
            // It has not verified; nobody is to find it there.
            content.clear();
        }
        read
    }

    fn read_next(&mut self, file: &dyn DiskFile, content: &mut Vec<u8>) -> io::Result<()> {
        if self.at == self.end {
            content.clear();
            return self.check_end();
        }
        let header_bytes = self.version.chunk_header_bytes();
        if self.end - self.at < header_bytes as u64 {
            return Err(invalid(format!("its last chunk, at byte {}, is cut short", self.at)));
        }
        let mut header = [0; HEADER_BYTES_MAX];
        let header = &mut header[..header_bytes];
        read_exact_at(file, self.at, header)?;
        let said = ChunkHeader::decode(self.version, header);
        if !said.is_possible(self.end - self.at - header_bytes as u64) {
            return Err(self.wrong(&format!("says that it has {said}")));
        }
        // Every byte of both is overwritten, so that what is in them from the chunk before need not be cleared.
        content.resize(said.content_bytes, 0);
        if said.is_compressed() {
            self.stored.resize(said.stored_bytes, 0);
        }
        let stored = if said.is_compressed() { &mut self.stored } else { &mut *content };
        read_exact_at(file, self.at + header_bytes as u64, stored)?;
        if chunk_crc(self.version, self.number, &header[..header_bytes - CRC_BYTES], stored) != said.crc {
            return Err(self.wrong("does not match its checksum"));
        }
        let crc = crc32c::crc32c_append(crc32c::crc32c_append(self.crc, header), stored);
        if said.is_compressed() {
            decompress(&self.stored, content)
                .map_err(|e| self.wrong(&format!("does not decompress to what it says: {e}")))?;
        }
        if said.content_crc.is_some_and(|crc| crc != crc32c::crc32c(content)) {
            return Err(self.wrong("holds another content than was written"));
        }
        self.crc = crc;
        self.at += (header_bytes + said.stored_bytes) as u64;
        self.number += 1;
        self.content_bytes += said.content_bytes as u64;
        Ok(())
    }

    fn wrong(&self, what: &str) -> io::Error {
        lovebird_core::sometimes!("a damaged chunk of a snapshot is found when it is read");
        invalid(format!("its chunk at byte {} {what}", self.at))
    }

    fn check_end(&self) -> io::Result<()> {
        let found = Footer { content_bytes: self.content_bytes, chunks: self.number, checksum: self.crc };
        if found != self.footer {
            return Err(invalid(format!("its footer speaks of {:?}, the file holds {found:?}", self.footer)));
        }
        Ok(())
    }
}
