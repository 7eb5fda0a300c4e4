//! Makes checksums right again, and lengths possible, in bytes that were changed. Everything else stays as it is.

use super::layout::*;

/// Entries laid end to end.
pub fn entries(bytes: &mut [u8]) {
    let mut rest = bytes;
    while rest.len() >= ENTRY_HEADER_BYTES {
        let (header, behind) = rest.split_at_mut(ENTRY_HEADER_BYTES);
        let body_bytes = clamp(header, 36, behind.len());
        let (body, behind) = behind.split_at_mut(body_bytes);
        put(header, 80, crc32c::crc32c(body));
        put(header, 84, crc32c::crc32c(&header[..84]));
        rest = behind;
    }
}

/// Operations laid end to end, with the entries in them.
pub fn operations(bytes: &mut [u8]) {
    let mut rest = bytes;
    while rest.len() >= OPERATION_HEADER_BYTES {
        let (header, behind) = rest.split_at_mut(OPERATION_HEADER_BYTES);
        let length = clamp(header, 8, behind.len());
        let (content, behind) = behind.split_at_mut(length);
        if header[0] == 1 {
            entries(content);
        }
        rest = behind;
    }
}

/// The frame at `at`, if one begins there. Its payload stays as it is.
pub fn frame(file: &mut [u8], at: usize) {
    let Some(rest) = file.get_mut(at..).filter(|rest| rest.len() >= FRAME_HEADER_BYTES) else { return };
    if rest.starts_with(b"LBFR") {
        let length = clamp(rest, 12, rest.len() - FRAME_HEADER_BYTES);
        put(rest, 4, crc32c::crc32c(&rest[8..FRAME_HEADER_BYTES + length]));
    }
}

/// A footer that takes all of `bytes`, to the end of its file.
pub fn footer(bytes: &mut [u8], at: u64) {
    const FIXED_BYTES: usize = 64;
    let Some(end) = bytes.len().checked_sub(16).filter(|end| *end >= FIXED_BYTES) else { return };
    bytes[..8].copy_from_slice(b"LBIRDFTR");
    put(bytes, 8, 1);
    let length = u64_at(bytes, 48).min((end - FIXED_BYTES) as u64);
    bytes[48..56].copy_from_slice(&length.to_le_bytes());
    put(bytes, 12, crc32c::crc32c(&bytes[16..FIXED_BYTES + length as usize]));
    bytes[end..end + 8].copy_from_slice(&at.to_le_bytes());
    bytes[end + 8..].copy_from_slice(b"LBIRDEOS");
}

/// A whole snapshot file. `honest` says whether the footer's counts are made right as well.
pub fn snapshot(file: &mut [u8], honest: bool) {
    const FIXED_BYTES: usize = 16;
    const FOOTER_BYTES: usize = 32;
    let Some(end) = file.len().checked_sub(FOOTER_BYTES).filter(|end| *end >= FIXED_BYTES + 4) else {
        return;
    };
    let (body, footer) = file.split_at_mut(end);
    body[..8].copy_from_slice(b"LBIRDSNP");
    put(body, 8, 1);
    let meta_end = FIXED_BYTES + clamp(body, 12, body.len() - FIXED_BYTES - 4);
    put(body, meta_end, crc32c::crc32c(&body[..meta_end]));
    let (mut at, mut number, mut content_bytes) = (meta_end + 4, 0u64, 0u64);
    while body.len() - at > 8 {
        let length = clamp(body, at, body.len() - at - 8);
        let content = at + 8..at + 8 + length;
        let crc = crc32c::crc32c_append(crc32c::crc32c(&number.to_le_bytes()), &body[content.clone()]);
        put(body, at + 4, crc);
        (at, number, content_bytes) = (content.end, number + 1, content_bytes + length as u64);
    }
    footer[..8].copy_from_slice(b"LBIRDEND");
    if honest {
        footer[8..16].copy_from_slice(&content_bytes.to_le_bytes());
        footer[16..24].copy_from_slice(&number.to_le_bytes());
    }
    put(footer, 24, crc32c::crc32c(body));
    put(footer, 28, crc32c::crc32c(&footer[..28]));
}

/// The length at `at`, made no larger than what there is.
fn clamp(bytes: &mut [u8], at: usize, max: usize) -> usize {
    let length = (u32_at(bytes, at) as usize).min(max);
    put(bytes, at, length as u32);
    length
}

fn put(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}
