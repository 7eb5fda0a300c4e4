//! What is written: the payload of an entry is a function of its number, so that whoever reads it back knows what it was.

use lovebird_benchmark::Chance;

/// A small command.
pub(crate) const PAYLOAD_BYTES: usize = 100;

pub(crate) fn payload(number: u64) -> [u8; PAYLOAD_BYTES] {
    let mut bytes = [0; PAYLOAD_BYTES];
    Chance::new(number).fill(&mut bytes);
    bytes
}
