//! The formats once more, by their description alone and as plainly as can be: what the engine is measured against.

/// A sector.
pub const SECTOR_BYTES: usize = 512;
/// The header of a segment.
pub const SEGMENT_HEADER_BYTES: usize = SECTOR_BYTES;
/// The header of a frame.
pub const FRAME_HEADER_BYTES: usize = 64;
/// The header of an operation.
pub const OPERATION_HEADER_BYTES: usize = 12;
/// The header of an entry.
pub const ENTRY_HEADER_BYTES: usize = 88;

/// A frame that stands in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Where in the file.
    pub at: usize,
    /// Header and payload.
    pub bytes: usize,
    pub log: u64,
    pub sequence: u64,
    pub stream: u64,
    pub durable: u64,
}

impl Placed {
    /// Behind its padding.
    pub fn end(&self) -> usize {
        self.at + self.room()
    }

    /// Its bytes with padding.
    pub fn room(&self) -> usize {
        self.bytes.next_multiple_of(SECTOR_BYTES)
    }
}

/// A number of four bytes.
pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(std::array::from_fn(|byte| bytes[at + byte]))
}

/// A number of eight bytes.
pub fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|byte| bytes[at + byte]))
}

/// The frame at `at`, if a whole one verifies there.
pub fn frame_at(file: &[u8], at: usize) -> Option<Placed> {
    let rest = file.get(at..)?;
    if rest.len() < FRAME_HEADER_BYTES || &rest[..4] != b"LBFR" || rest[8..10] != [1, 0] {
        return None;
    }
    let bytes = FRAME_HEADER_BYTES + u32_at(rest, 12) as usize;
    if bytes > rest.len() || crc32c::crc32c(&rest[8..bytes]) != u32_at(rest, 4) {
        return None;
    }
    let field = |offset| u64_at(rest, offset);
    Some(Placed { at, bytes, log: field(16), sequence: field(24), stream: field(32), durable: field(40) })
}

/// The frames that follow on one another from the head of a segment on.
pub fn frames(file: &[u8]) -> Vec<Placed> {
    let mut frames: Vec<Placed> = Vec::new();
    loop {
        let at = frames.last().map_or(SEGMENT_HEADER_BYTES, Placed::end);
        let follows = |frame: &Placed| {
            frames.last().is_none_or(|last| {
                (frame.log, frame.sequence, frame.stream)
                    == (last.log, last.sequence + 1, last.stream + last.room() as u64)
            })
        };
        match frame_at(file, at).filter(follows) {
            Some(frame) => frames.push(frame),
            None => return frames,
        }
    }
}
