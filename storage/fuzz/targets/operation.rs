//! The operations of a frame whose checksum is right: what is decoded is encoded to the same bytes.
//!
//! A first byte says whether the entries' checksums and all lengths are repaired; the rest is the payload of a frame.

use bytes::Bytes;
use lovebird_storage::log::fuzzing;

use super::program::Program;
use super::repair;

/// See the module.
pub fn run(input: &[u8]) {
    let mut program = Program::new(input);
    let repaired = program.byte() & 1 == 1;
    let mut bytes = program.rest().to_vec();
    if repaired {
        repair::operations(&mut bytes);
    }
    let mut rest = Bytes::from(bytes);
    while !rest.is_empty() {
        let before = rest.clone();
        let Some((group, again)) = fuzzing::operation(&mut rest) else { break };
        let taken = &before[..before.len() - rest.len()];
        assert_eq!(again[..], taken[..], "an operation of group {group} is encoded differently");
    }
}
