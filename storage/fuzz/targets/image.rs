//! A directory as it lies on a disk, which is damaged without regard for what it means.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use lovebird_storage::{Disk, MemoryDisk};

use super::layout::SECTOR_BYTES;
use super::program::Program;

const FILE_BYTES_MAX: usize = 256 << 10;

/// Files by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    pub files: BTreeMap<String, Vec<u8>>,
}

/// What a damage has changed.
pub enum Touched {
    Nothing,
    /// Bytes of one file.
    Bytes(String, Range<usize>),
    /// Which files there are.
    Names,
}

impl Image {
    /// All files of a directory.
    pub fn of(disk: &MemoryDisk, dir: &Path) -> Image {
        let names = disk.list(dir).expect("a disk in memory does not fail");
        let read = |name: String| {
            let file = disk.open(&dir.join(&name)).expect("a file that was listed");
            let mut bytes = vec![0; file.len().expect("a disk in memory does not fail") as usize];
            file.read_at(0, &mut bytes).expect("a disk in memory does not fail");
            (name, bytes)
        };
        Image { files: names.into_iter().map(read).collect() }
    }

    /// A disk that holds these files, durably.
    pub fn disk(&self, dir: &Path) -> MemoryDisk {
        let disk = MemoryDisk::new();
        disk.create_dir(dir).expect("a disk in memory does not fail");
        for (name, bytes) in &self.files {
            let file = disk.create(&dir.join(name)).expect("names differ");
            file.write_at(0, bytes).expect("a disk in memory does not fail");
            file.set_len(bytes.len() as u64).expect("a disk in memory does not fail");
            file.sync_data().expect("a disk in memory does not fail");
        }
        disk.sync_dir(dir).expect("a disk in memory does not fail");
        disk
    }

    fn name(&self, program: &mut Program<'_>) -> Option<String> {
        let at = program.below(self.files.len());
        self.files.keys().nth(at).cloned()
    }

    /// Does as the program says.
    pub fn damage(&mut self, program: &mut Program<'_>) -> Touched {
        let Some(name) = self.name(program) else { return Touched::Nothing };
        match program.byte() % 16 {
            0..9 => self.damage_bytes(name, program),
            9 => {
                self.files.remove(&name);
                Touched::Names
            }
            10 => {
                // Two files change places.
                let other = self.name(program).unwrap_or_default();
                let bytes = self.files.get(&name).cloned().unwrap_or_default();
                let theirs = self.files.insert(other, bytes).unwrap_or_default();
                self.files.insert(name, theirs);
                Touched::Names
            }
            11 | 12 => {
                let bytes = self.files.remove(&name).unwrap_or_default();
                self.files.insert(other_name(&name, program), bytes);
                Touched::Names
            }
            13 => {
                let bytes = self.files.get(&name).cloned().unwrap_or_default();
                self.files.insert(other_name(&name, program), bytes);
                Touched::Names
            }
            14 => {
                // One file becomes what another is.
                let other = self.name(program).unwrap_or_default();
                let bytes = self.files.get(&name).cloned().unwrap_or_default();
                self.files.insert(other, bytes);
                Touched::Names
            }
            _ => {
                let bytes = program.bytes(16).to_vec();
                self.files.insert(other_name("0000000000000001.spare", program), bytes);
                Touched::Names
            }
        }
    }

    fn damage_bytes(&mut self, name: String, program: &mut Program<'_>) -> Touched {
        let file = self.files.entry(name.clone()).or_default();
        if file.is_empty() {
            return Touched::Nothing;
        }
        let sectors = file.len().div_ceil(SECTOR_BYTES);
        let sector = |at: usize, length: usize| at * SECTOR_BYTES..length.min((at + 1) * SECTOR_BYTES);
        let length = file.len();
        let range = match program.byte() % 8 {
            0 | 1 => {
                let at = program.below(length);
                file[at] ^= 1 << (program.byte() % 8);
                at..at + 1
            }
            2 => {
                let range = sector(program.below(sectors), length);
                file[range.clone()].fill(0);
                range
            }
            3 => {
                let range = sector(program.below(sectors), length);
                let garbage = program.bytes(8);
                file[range.clone()].iter_mut().zip(garbage.iter().cycle()).for_each(|(to, from)| *to = *from);
                range
            }
            4 => {
                let at = program.below(length);
                file.truncate(at);
                at..usize::MAX
            }
            5 => {
                // Zeros to the end, as if nothing had been written.
                let at = program.below(sectors) * SECTOR_BYTES;
                file[at..].fill(0);
                at..usize::MAX
            }
            6 => {
                let (from, to) = (program.below(sectors), program.below(sectors));
                let bytes = file[sector(from, length)].to_vec();
                let range = sector(to, length);
                file[range.clone()].iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
                range
            }
            _ => {
                let bytes = program.below(4) * SECTOR_BYTES + usize::from(program.byte());
                let fill = program.byte();
                file.resize((length + bytes).min(FILE_BYTES_MAX), fill);
                length..usize::MAX
            }
        };
        Touched::Bytes(name, range)
    }
}

/// Another segment's name, or one that no segment has.
fn other_name(name: &str, program: &mut Program<'_>) -> String {
    match program.byte() {
        choice @ 0..200 => format!("{:016}.segment", choice % 16),
        200..220 => "9999999999999999.segment".to_owned(),
        220..240 => name.replace(".segment", ".spare"),
        _ => format!("{name}.old"),
    }
}
