//! A snapshot file, byte by byte. Little-endian. There are two versions: the chunks of version 1 are the content as it is,
//! those of version 2 may be compressed. A file is written in version 1 unless it is to be compressed; both are read.
//!
//! *Header*. Every version, also one to come, begins so and has its checksum here: then a build that is too old can tell a newer
//! file from a damaged one.
//!
//! | offset | bytes | field |
//! |---:|---:|---|
//! | 0 | 8 | magic, `LBIRDSNP` |
//! | 8 | 4 | version, 1 or 2 |
//! | 12 | 4 | length of the meta |
//! | 16 | … | meta: [`SnapshotMeta`] in bincode 2 standard, without its last field if that is 0 |
//! | … | 4 | CRC-32C of all before it |
//!
//! *Chunks*, each of at most [`CHUNK_BYTES`] of content; all but the last are full, and there may be none
//!
//! Version 1:
//!
//! | offset | bytes | field |
//! |---:|---:|---|
//! | 0 | 4 | length of the content |
//! | 4 | 4 | CRC-32C of the chunk's number (8 bytes, from 0) and of the content |
//! | 8 | … | content |
//!
//! Version 2:
//!
//! | offset | bytes | field |
//! |---:|---:|---|
//! | 0 | 4 | length of the content |
//! | 4 | 4 | length of the stored bytes: the content as it is if the two are equal, else smaller, and compressed |
//! | 8 | 4 | CRC-32C of the content, which must come out of the stored bytes |
//! | 12 | 4 | CRC-32C of the chunk's number (8 bytes, from 0), of the twelve bytes before this field, and of the stored bytes |
//! | 16 | … | stored bytes; if compressed, an LZ4 block without a length of its own |
//!
//! Nothing is decompressed before the last of these has matched, so that no damage reaches the decompressor; that the
//! content matches its own is what holds the compressor and the decompressor to their word.
//!
//! *Footer*, the last [`FOOTER_BYTES`], in every version
//!
//! | offset | bytes | field |
//! |---:|---:|---|
//! | 0 | 8 | magic, `LBIRDEND` |
//! | 8 | 8 | length of the content, all chunks together |
//! | 16 | 8 | number of chunks |
//! | 24 | 4 | CRC-32C of the file before the footer: the checksum by which the file is known |
//! | 28 | 4 | CRC-32C of the footer before this field |

use std::io;

use bytes::{Buf, BufMut};
use lovebird_core::snapshot_store::SnapshotMeta;

use super::compression::Compression;
use crate::disk::{DiskFile, read_exact_at};

/// The content of a full chunk.
pub(super) const CHUNK_BYTES: usize = 1 << 20;

/// The end of every file.
pub(super) const FOOTER_BYTES: usize = 32;

const HEADER_FIXED_BYTES: usize = 16;
const HEADER_CRC_BYTES: usize = 4;
const HEADER_MAGIC: &[u8; 8] = b"LBIRDSNP";
const FOOTER_MAGIC: &[u8; 8] = b"LBIRDEND";

/// A meta holds members, not data.
const META_BYTES_MAX: usize = 16 << 20;

/// How the chunks of a file stand in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// 1: as they are.
    Plain,
    /// 2: compressed, where that makes them smaller.
    Compressed,
}

impl Version {
    pub(super) fn of(compression: Compression) -> Version {
        match compression {
            Compression::Off => Version::Plain,
            Compression::Lz4 => Version::Compressed,
        }
    }

    fn number(self) -> u32 {
        match self {
            Version::Plain => 1,
            Version::Compressed => 2,
        }
    }

    fn from_number(number: u32) -> io::Result<Version> {
        match number {
            1 => Ok(Version::Plain),
            2 => Ok(Version::Compressed),
            _ => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                format!("it has format version {number}; this build knows 1 and 2: upgrade this node"),
            )),
        }
    }
}

/// The bytes before the first chunk.
pub(super) fn encode_header(version: Version, meta: &SnapshotMeta) -> io::Result<Vec<u8>> {
    let meta = meta.encode().map_err(io::Error::other)?;
    if meta.len() > META_BYTES_MAX {
        // Whoever opens the file would refuse it.
        let text = format!("the meta of a snapshot has {} bytes; at most {META_BYTES_MAX}", meta.len());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    let mut out = Vec::with_capacity(HEADER_FIXED_BYTES + meta.len() + HEADER_CRC_BYTES);
    out.put_slice(HEADER_MAGIC);
    out.put_u32_le(version.number());
    out.put_u32_le(meta.len() as u32);
    out.put_slice(&meta);
    out.put_u32_le(crc32c::crc32c(&out));
    Ok(out)
}

/// The beginning of a file.
#[derive(Clone, Debug)]
pub(super) struct Header {
    pub(super) version: Version,
    pub(super) meta: SnapshotMeta,
    /// Its length, which is where the first chunk begins.
    pub(super) bytes: u64,
    /// Of all its bytes: the checksum of the file begins with it.
    pub(super) crc: u32,
}

impl Header {
    /// Reads the first bytes of a file of `length`.
    pub(super) fn read(file: &dyn DiskFile, length: u64) -> io::Result<Header> {
        let mut fixed = [0; HEADER_FIXED_BYTES];
        let read = file.read_at(0, &mut fixed)?;
        let magic = read.min(HEADER_MAGIC.len());
        if fixed[..magic] != HEADER_MAGIC[..magic] {
            return Err(invalid("it is no snapshot file".to_owned()));
        }
        let mut fields = &fixed[HEADER_MAGIC.len()..];
        let (version, meta_bytes) = (fields.get_u32_le(), fields.get_u32_le() as usize);
        let bytes = HEADER_FIXED_BYTES + meta_bytes + HEADER_CRC_BYTES;
        if meta_bytes > META_BYTES_MAX || (bytes + FOOTER_BYTES) as u64 > length {
            // A file that was cut has no footer, and that is then what is wrong with it.
            Footer::read(file, length)?;
            return Err(invalid(format!("its header says that its meta has {meta_bytes} bytes")));
        }
        let mut header = vec![0; bytes];
        read_exact_at(file, 0, &mut header)?;
        let (covered, mut crc) = header.split_at(bytes - HEADER_CRC_BYTES);
        if crc32c::crc32c(covered) != crc.get_u32_le() {
            return Err(invalid("its header does not match its checksum".to_owned()));
        }
        let version = Version::from_number(version)?;
        let meta =
            SnapshotMeta::decode(&covered[HEADER_FIXED_BYTES..]).map_err(|e| invalid(e.to_string()))?;
        Ok(Header { version, meta, bytes: bytes as u64, crc: crc32c::crc32c(&header) })
    }
}

/// The end of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Footer {
    pub(super) content_bytes: u64,
    pub(super) chunks: u64,
    pub(super) checksum: u32,
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

pub(super) fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}
