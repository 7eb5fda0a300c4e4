//! A segment: one file of the log, `0000000000000001.segment` and so on. Its first sector is a header, then frames follow.
//! Little-endian:
//!
//! | offset | bytes | field |
//! |---:|---:|---|
//! | 0 | 8 | magic, `LBIRDLOG` |
//! | 8 | 4 | version, 1 |
//! | 12 | 4 | CRC-32C of bytes 16 to 47 |
//! | 16 | 8 | log: the random number that all files of one log share |
//! | 24 | 8 | number of the segment, as in its name |
//! | 32 | 8 | stream offset of the first frame |
//! | 40 | 8 | sequence of the first frame |
//! | 48 | 464 | 0 |
//!
//! The first frame, the *head*, holds one checkpoint of every group, so that earlier segments can go. Header and head are
//! synced before the file gets its name, and the directory before anything else is written: a segment is complete, and so is
//! everything before its stream offset. When the next segment is durable, a *footer* ([`super::footer`]) ends the file.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::disk::{DiskFile, SECTOR_BYTES};

/// Bytes of a segment before its first frame.
pub(super) const SEGMENT_HEADER_BYTES: usize = SECTOR_BYTES;

/// The version of the format that this build writes.
pub(super) const SEGMENT_VERSION: u32 = 1;

/// How much of a segment is read at a time.
const PART_BYTES: usize = 64 << 10;

static ZEROS: [u8; PART_BYTES] = [0; PART_BYTES];

const MAGIC: &[u8; 8] = b"LBIRDLOG";
const SUFFIX: &str = ".segment";

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) log: u64,
    pub(super) number: u64,
    pub(super) stream: u64,
    pub(super) sequence: u64,
}

/// What the first sector of a file turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeaderVerdict {
    Good(SegmentHeader),
    /// A later version of the format.
    Version(u32),
    /// It does not match its checksum, or is nothing but zeros.
    Damaged,
    /// Not ours.
    Foreign,
}

impl SegmentHeader {
    pub(super) fn encode(&self) -> BytesMut {
        let mut out = BytesMut::with_capacity(SEGMENT_HEADER_BYTES);
        out.put_slice(MAGIC);
        out.put_u32_le(SEGMENT_VERSION);
        out.put_u32_le(0);
        out.put_u64_le(self.log);
        out.put_u64_le(self.number);
        out.put_u64_le(self.stream);
        out.put_u64_le(self.sequence);
        let crc = crc32c::crc32c(&out[16..48]);
        out[12..16].copy_from_slice(&crc.to_le_bytes());
        out.resize(SEGMENT_HEADER_BYTES, 0);
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> HeaderVerdict {
        let sector = &bytes[..bytes.len().min(SEGMENT_HEADER_BYTES)];
        if sector.iter().all(|byte| *byte == 0) {
            return HeaderVerdict::Damaged;
        }
        if sector.len() < SEGMENT_HEADER_BYTES {
            return HeaderVerdict::Foreign;
        }
        let mut fields = &sector[8..];
        let version = fields.get_u32_le();
        let crc = fields.get_u32_le();
        // One of the two may be damaged; what has neither is none of ours.
        match (sector.starts_with(MAGIC), crc32c::crc32c(&sector[16..48]) == crc) {
            (true, true) => {}
            (false, false) => return HeaderVerdict::Foreign,
            _ => return HeaderVerdict::Damaged,
        }
        if version != SEGMENT_VERSION {
            return HeaderVerdict::Version(version);
        }
        HeaderVerdict::Good(SegmentHeader {
            log: fields.get_u64_le(),
            number: fields.get_u64_le(),
            stream: fields.get_u64_le(),
            sequence: fields.get_u64_le(),
        })
    }
}

/// A segment that is open.
pub(super) struct Segment {
    pub(super) number: u64,
    pub(super) path: PathBuf,
    pub(super) file: Arc<dyn DiskFile>,
}

/// Reads the header of a segment.
pub(super) fn verdict(segment: &Segment) -> io::Result<HeaderVerdict> {
    let mut sector = [0; SEGMENT_HEADER_BYTES];
    let bytes = segment.file.read_at(0, &mut sector)?;
    Ok(SegmentHeader::decode(&sector[..bytes]))
}

/// All bytes of a segment, which may be cut behind its footer meanwhile.
///
/// Most of a segment that was made ready beforehand is zeros: those are looked at in a small buffer and not copied, so that the
/// memory for them, which is zero from the start, is never touched.
pub(super) fn bytes(segment: &Segment) -> io::Result<Bytes> {
    let length = usize::try_from(segment.file.len()?).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    let mut part = vec![0; PART_BYTES.min(length)];
    let mut at = 0;
    while at < length {
        let want = part.len().min(length - at);
        let read = segment.file.read_at(at as u64, &mut part[..want])?;
        if part[..read] != ZEROS[..read] {
            bytes[at..at + read].copy_from_slice(&part[..read]);
        }
        at += read;
        if read < want {
            bytes.truncate(at);
            break;
        }
    }
    Ok(bytes.into())
}

/// Where a segment is kept.
pub(super) fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:016}{SUFFIX}"))
}

/// The number in a segment's file name, if it is one.
pub(super) fn number_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    if digits.len() != 16 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}
