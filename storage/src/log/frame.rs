//! A frame: what one group commit writes. It begins at a multiple of 512 bytes of its segment and is padded with zeros to
//! the next one, so that no sector is shared by two, and none that was acknowledged is ever written again. Little-endian:
//!
//! | offset | bytes | field |
//! |---:|---:|---|
//! | 0 | 4 | magic, `LBFR` |
//! | 4 | 4 | CRC-32C of bytes 8 to 63 and of the payload |
//! | 8 | 2 | version, 1 |
//! | 10 | 2 | 0 |
//! | 12 | 4 | length of the payload |
//! | 16 | 8 | log: the random number that all files of one log share |
//! | 24 | 8 | sequence: 1 for the first frame of the log, then without gaps |
//! | 32 | 8 | stream offset at which the frame begins |
//! | 40 | 8 | durable: everything of the stream before this offset was synced when the frame was written |
//! | 48 | 16 | 0 |
//! | 64 | … | payload: operations laid end to end ([`super::operation`]) |
//!
//! A frame without a payload is a *mark*: it stands behind the last frame of a log that rests and says that all before it is
//! durable. The next frame is written in its place, so that nothing ever follows on a mark. Only the head, the first frame of a
//! segment, is no mark when it is empty.
//!
//! *Stream offsets* count the padded bytes of all frames since the log was made, segment headers left out.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use lovebird_core::planted::{self, Bug};

use crate::disk::SECTOR_BYTES;

/// Bytes of a frame before its payload.
pub(super) const FRAME_HEADER_BYTES: usize = 64;

const MAGIC: &[u8; 4] = b"LBFR";
const VERSION: u16 = 1;

/// What a frame says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    pub(super) log: u64,
    pub(super) sequence: u64,
    pub(super) stream: u64,
    pub(super) durable: u64,
}

/// A frame that verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) header: FrameHeader,
    pub(super) payload: Bytes,
}

impl Frame {
    /// How much room it takes, with padding.
    pub(super) fn bytes(&self) -> u64 {
        padded(FRAME_HEADER_BYTES + self.payload.len()) as u64
    }

    /// Whether it says nothing but that all before it is durable. The head of a log without groups looks the same.
    pub(super) fn is_mark(&self) -> bool {
        self.payload.is_empty()
    }

    /// How many bytes the payload of the frame that begins like this says it has.
    pub(super) fn payload_bytes(start: &[u8; FRAME_HEADER_BYTES]) -> usize {
        (&start[12..]).get_u32_le() as usize
    }

    /// Reads the frame at the front of `bytes`, if a whole one with the right checksum is there.
    pub(super) fn decode(bytes: &Bytes) -> Option<Frame> {
        if bytes.len() < FRAME_HEADER_BYTES || !bytes.starts_with(MAGIC) {
            return None;
        }
        let mut fields = &bytes[4..FRAME_HEADER_BYTES];
        let crc = fields.get_u32_le();
        let version = fields.get_u16_le();
        fields.advance(2);
        let length = fields.get_u32_le() as usize;
        let end = FRAME_HEADER_BYTES.checked_add(length)?;
        if version != VERSION || end > bytes.len() {
            return None;
        }
        if crc32c::crc32c(&bytes[8..end]) != crc && !planted::is(Bug::TakeTornFrame) {
            return None;
        }
        let header = FrameHeader {
            log: fields.get_u64_le(),
            sequence: fields.get_u64_le(),
            stream: fields.get_u64_le(),
            durable: fields.get_u64_le(),
        };
        Some(Frame { header, payload: bytes.slice(FRAME_HEADER_BYTES..end) })
    }
}

/// Clears `frame` and leaves room for the header; the payload is then appended, and [`seal`] ends the frame.
pub(super) fn begin(frame: &mut BytesMut) {
    frame.clear();
    frame.resize(FRAME_HEADER_BYTES, 0);
}

/// Fills in the header of a frame whose payload is complete, and pads it.
pub(super) fn seal(frame: &mut BytesMut, header: FrameHeader) {
    let length = u32::try_from(frame.len() - FRAME_HEADER_BYTES).expect("batches are held far below 4 GiB");
    let mut out = &mut frame[..FRAME_HEADER_BYTES];
    out.put_slice(MAGIC);
    out.put_u32_le(0);
    out.put_u16_le(VERSION);
    out.put_u16_le(0);
    out.put_u32_le(length);
    out.put_u64_le(header.log);
    out.put_u64_le(header.sequence);
    out.put_u64_le(header.stream);
    out.put_u64_le(header.durable);
    out.put_bytes(0, 16);
    let crc = crc32c::crc32c(&frame[8..]);
    frame[4..8].copy_from_slice(&crc.to_le_bytes());
    frame.resize(padded(frame.len()), 0);
}

/// The next multiple of a sector.
pub(super) fn padded(bytes: usize) -> usize {
    bytes.next_multiple_of(SECTOR_BYTES)
}
