//! Damage to what is durable: what a disk does to bytes that it was given years ago.
//!
//! Everything here is chosen by a number that the caller draws, so that the same number does the same damage to the same
//! files. It hits what is written, and no sector that waits to be written anew, whose damage nobody would ever see. Whoever has
//! the file open reads the damage at once, as if nothing were cached.

use std::path::{Path, PathBuf};

use super::{MemoryDisk, State};
use crate::disk::SECTOR_BYTES;

/// What stands in the place of a sector that was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// Nothing but zeros.
    Zeros,
    /// Bytes that nobody wrote, made from the number that chose the sector.
    Garbage,
}

/// A sector, by its file and its place in it.
struct Spot {
    path: PathBuf,
    file: u64,
    sector: u64,
}

impl MemoryDisk {
    /// Flips one bit of what is durable in one of the files for which `which` says yes, and tells in which, and in which byte. None
    /// if there is nothing written. Files that merely have been made ready, with zeros, are spared as long as there are others.
    pub fn flip_bit(&self, choice: u64, which: impl Fn(&Path) -> bool) -> Option<(PathBuf, u64)> {
        let mut state = self.state();
        let (spot, choice) = state.choose(choice, which)?;
        let mut byte = 0;
        state.file(spot.file).damage(spot.sector, |sector| {
            // Within what was written: the zeros around it are often padding, which says nothing.
            let first = sector.iter().position(|byte| *byte != 0).unwrap_or(0);
            let last = sector.iter().rposition(|byte| *byte != 0).unwrap_or(SECTOR_BYTES - 1);
            let bit = choice % ((last + 1 - first) as u64 * 8);
            byte = first + (bit / 8) as usize;
            sector[byte] ^= 1 << (bit % 8);
        });
        Some((spot.path, spot.sector * SECTOR_BYTES as u64 + byte as u64))
    }

    /// As [`MemoryDisk::flip_bit`], but a whole sector is lost. Tells in which file, and from which byte on.
    pub fn lose_sector(
        &self,
        choice: u64,
        lost: Lost,
        which: impl Fn(&Path) -> bool,
    ) -> Option<(PathBuf, u64)> {
        let mut state = self.state();
        let (spot, choice) = state.choose(choice, which)?;
        state.file(spot.file).damage(spot.sector, |sector| match lost {
            Lost::Zeros => sector.fill(0),
            Lost::Garbage => {
                for (at, bytes) in (1..).zip(sector.chunks_mut(8)) {
                    let word = mixed(choice.wrapping_add(at)).to_le_bytes();
                    bytes.copy_from_slice(&word[..bytes.len()]);
                }
            }
        });
        Some((spot.path, spot.sector * SECTOR_BYTES as u64))
    }

    /// The disk is replaced by an empty one, in a machine that has lost power.
    pub fn wipe(&self) {
        let mut state = self.state();
        state.crash(&mut || false);
        let State { next_file, generation, .. } = *state;
        let calls = state.calls.take();
        *state = State { next_file, generation, calls, ..State::default() };
    }
}

impl State {
    /// The sector that a number stands for, and what is left of the number.
    fn choose(&self, choice: u64, which: impl Fn(&Path) -> bool) -> Option<(Spot, u64)> {
        let (mut full, mut zeros) = (Vec::new(), Vec::new());
        for (path, file) in self.names.iter().filter(|(path, _)| which(path)) {
            for (sector, is_zero) in self.files[&file].settled() {
                let spots = if is_zero { &mut zeros } else { &mut full };
                spots.push(Spot { path: path.clone(), file, sector });
            }
        }
        let mut spots = if full.is_empty() { zeros } else { full };
        if spots.is_empty() {
            return None;
        }
        let count = spots.len() as u64;
        Some((spots.swap_remove((choice % count) as usize), choice / count))
    }
}

/// Spreads a number over all its bits (the finalizer of SplitMix64: Steele, Lea, Flood, OOPSLA 2014).
fn mixed(number: u64) -> u64 {
    let mut bits = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
