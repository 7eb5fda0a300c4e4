//! A snapshot file. Little-endian:
//!
//! *Header*
//!
//! | offset | bytes | field |
//! |---:|---:|---|
//! | 0 | 8 | magic, `LBIRDSNP` |
//! | 8 | 4 | version, 1 |
//! | 12 | 4 | length of the meta |
//! | 16 | … | meta: [`SnapshotMeta`] in bincode 2 standard |
//! | … | 4 | CRC-32C of all before it |
//!
//! *Chunks*, each of at most [`CHUNK_BYTES`]; all but the last are full, and there may be none
//!
//! | offset | bytes | field |
//! |---:|---:|---|
//! | 0 | 4 | length of the content |
//! | 4 | 4 | CRC-32C of the chunk's number (8 bytes, from 0) and of the content |
//! | 8 | … | content |
//!
//! *Footer*, the last [`FOOTER_BYTES`]
//!
//! | offset | bytes | field |
//! |---:|---:|---|
//! | 0 | 8 | magic, `LBIRDEND` |
//! | 8 | 8 | length of the content, all chunks together |
//! | 16 | 8 | number of chunks |
//! | 24 | 4 | CRC-32C of the file before the footer: the checksum by which the file is known |
//! | 28 | 4 | CRC-32C of the footer before this field |

use std::io;

use bytes::{Buf, BufMut, Bytes};
use lovebird_core::codec::{Bincode, Codec};
use lovebird_core::snapshot_store::SnapshotMeta;

use crate::disk::{DiskFile, read_exact_at};

/// The content of a full chunk.
pub(super) const CHUNK_BYTES: usize = 1 << 20;

/// Bytes of a chunk before its content.
pub(super) const CHUNK_HEADER_BYTES: usize = 8;

/// The end of every file.
pub(super) const FOOTER_BYTES: usize = 32;

const HEADER_FIXED_BYTES: usize = 16;
const HEADER_MAGIC: &[u8; 8] = b"LBIRDSNP";
const FOOTER_MAGIC: &[u8; 8] = b"LBIRDEND";
const VERSION: u32 = 1;

/// A meta holds members, not data.
const META_BYTES_MAX: usize = 16 << 20;

/// The end of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Footer {
    pub(super) content_bytes: u64,
    pub(super) chunks: u64,
    pub(super) checksum: u32,
}

/// The bytes before the first chunk.
pub(super) fn encode_header(meta: &SnapshotMeta) -> io::Result<Vec<u8>> {
    let meta = Bincode::encode(meta).map_err(io::Error::other)?;
    let mut out = Vec::with_capacity(HEADER_FIXED_BYTES + meta.len() + 4);
    out.put_slice(HEADER_MAGIC);
    out.put_u32_le(VERSION);
    out.put_u32_le(u32::try_from(meta.len()).map_err(io::Error::other)?);
    out.put_slice(&meta);
    out.put_u32_le(crc32c::crc32c(&out));
    Ok(out)
}

/// Reads the header. Also gives where the first chunk begins.
pub(super) fn read_header(file: &dyn DiskFile) -> io::Result<(SnapshotMeta, u64)> {
    let mut fixed = [0; HEADER_FIXED_BYTES];
    if file.read_at(0, &mut fixed)? < HEADER_FIXED_BYTES || !fixed.starts_with(HEADER_MAGIC) {
        return Err(invalid("it is no snapshot file".to_owned()));
    }
    let mut fields = &fixed[8..];
    let version = fields.get_u32_le();
    if version != VERSION {
        return Err(invalid(format!(
            "it has format version {version}; this build knows {VERSION}: upgrade this node"
        )));
    }
    let length = fields.get_u32_le() as usize;
    if length > META_BYTES_MAX {
        return Err(invalid(format!("its header says that it has {length} bytes")));
    }
    let mut header = vec![0; HEADER_FIXED_BYTES + length + 4];
    read_exact_at(file, 0, &mut header)?;
    let (covered, mut crc) = header.split_at(HEADER_FIXED_BYTES + length);
    if crc32c::crc32c(covered) != crc.get_u32_le() {
        return Err(invalid("its header does not match its checksum".to_owned()));
    }
    let meta = Bincode::decode(&covered[HEADER_FIXED_BYTES..]).map_err(|e| invalid(e.to_string()))?;
    Ok((meta, header.len() as u64))
}

/// The bytes before a chunk's content.
pub(super) fn chunk_header(number: u64, content: &[u8]) -> [u8; CHUNK_HEADER_BYTES] {
    let mut header = [0; CHUNK_HEADER_BYTES];
    let mut out = &mut header[..];
    out.put_u32_le(content.len() as u32);
    out.put_u32_le(chunk_crc(number, content));
    header
}

/// The number is part of it, so that chunks cannot change places.
fn chunk_crc(number: u64, content: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&number.to_le_bytes()), content)
}

impl Footer {
    pub(super) fn encode(&self) -> [u8; FOOTER_BYTES] {
        let mut footer = [0; FOOTER_BYTES];
        let mut out = &mut footer[..];
        out.put_slice(FOOTER_MAGIC);
        out.put_u64_le(self.content_bytes);
        out.put_u64_le(self.chunks);
        out.put_u32_le(self.checksum);
        let crc = crc32c::crc32c(&footer[..FOOTER_BYTES - 4]);
        footer[FOOTER_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
        footer
    }

    /// Reads the last bytes of a file of `length`.
    pub(super) fn read(file: &dyn DiskFile, length: u64) -> io::Result<Footer> {
        let missing = || invalid("it has no footer, so it was never finished".to_owned());
        let at = length.checked_sub(FOOTER_BYTES as u64).ok_or_else(missing)?;
        let mut footer = [0; FOOTER_BYTES];
        read_exact_at(file, at, &mut footer)?;
        if !footer.starts_with(FOOTER_MAGIC) {
            return Err(missing());
        }
        let (covered, mut crc) = footer.split_at(FOOTER_BYTES - 4);
        if crc32c::crc32c(covered) != crc.get_u32_le() {
            return Err(invalid("its footer does not match its checksum".to_owned()));
        }
        let mut fields = &covered[8..];
        Ok(Footer {
            content_bytes: fields.get_u64_le(),
            chunks: fields.get_u64_le(),
            checksum: fields.get_u32_le(),
        })
    }
}

/// Walks the chunks of a file, each verified before it is given.
pub(super) struct Chunks {
    footer: Footer,
    /// Where the next chunk begins, and where the footer does.
    at: u64,
    end: u64,
    number: u64,
    content_bytes: u64,
    /// Of the file so far.
    crc: u32,
}

impl Chunks {
    pub(super) fn new(footer: Footer, first: u64, end: u64, header_crc: u32) -> Self {
        Chunks { footer, at: first, end, number: 0, content_bytes: 0, crc: header_crc }
    }

    /// The next chunk's content; none at the end, when the whole file has verified.
    pub(super) fn next(&mut self, file: &dyn DiskFile) -> io::Result<Option<Bytes>> {
        if self.at == self.end {
            return self.check_end().map(|()| None);
        }
        let mut header = [0; CHUNK_HEADER_BYTES];
        if self.end - self.at < CHUNK_HEADER_BYTES as u64 {
            return Err(invalid(format!("its last chunk, at byte {}, is cut short", self.at)));
        }
        read_exact_at(file, self.at, &mut header)?;
        let mut fields = &header[..];
        let (length, crc) = (fields.get_u32_le() as usize, fields.get_u32_le());
        let room = self.end - self.at - CHUNK_HEADER_BYTES as u64;
        if length == 0 || length > CHUNK_BYTES || length as u64 > room {
            return Err(invalid(format!("its chunk at byte {} says that it has {length} bytes", self.at)));
        }
        let mut content = vec![0; length];
        read_exact_at(file, self.at + CHUNK_HEADER_BYTES as u64, &mut content)?;
        if chunk_crc(self.number, &content) != crc {
            return Err(invalid(format!("its chunk at byte {} does not match its checksum", self.at)));
        }
        self.crc = crc32c::crc32c_append(crc32c::crc32c_append(self.crc, &header), &content);
        self.at += (CHUNK_HEADER_BYTES + length) as u64;
        self.number += 1;
        self.content_bytes += length as u64;
        Ok(Some(content.into()))
    }

    fn check_end(&self) -> io::Result<()> {
        let found = Footer { content_bytes: self.content_bytes, chunks: self.number, checksum: self.crc };
        if found != self.footer {
            return Err(invalid(format!("its footer speaks of {:?}, the file holds {found:?}", self.footer)));
        }
        Ok(())
    }
}

pub(super) fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}
