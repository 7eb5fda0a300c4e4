//! The footer of a segment and the index in it: what is believed is encoded to the same bytes.
//!
//! A first byte says whether the footer's frame is repaired: marks, version, length and checksum. The rest is the end of a
//! file, from the footer on.

use lovebird_storage::log::fuzzing;

use super::layout::u64_at;
use super::program::Program;
use super::repair;

/// Where footers begin here; the file holds zeros before.
const AT: usize = 1024;

/// See the module.
pub fn run(input: &[u8]) {
    let mut program = Program::new(input);
    let repaired = program.byte() & 1 == 1;
    let mut file = vec![0; AT];
    file.extend_from_slice(program.rest());
    if repaired {
        repair::footer(&mut file[AT..], AT as u64);
    }
    let Some(number) = file.get(AT + 24..AT + 32).map(|bytes| u64_at(bytes, 0)) else { return };
    if let Some(again) = fuzzing::footer(&file, number) {
        let length = u64_at(&file, AT + 48) as usize;
        let covered = AT..AT + 64 + length;
        assert_eq!(again[..64 + length], file[covered], "the footer is encoded differently");
    }
}
