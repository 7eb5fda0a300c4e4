//! One file in memory, sector by sector: as it is, and as it would be after a crash.

use std::collections::{BTreeMap, BTreeSet};

use crate::disk::SECTOR_BYTES;

pub(super) type Sector = [u8; SECTOR_BYTES];

/// Sectors that were never written are absent and read as zeros, so that preallocation costs nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct File {
    sectors: BTreeMap<u64, Sector>,
    bytes: u64,
    durable_sectors: BTreeMap<u64, Sector>,
    durable_bytes: u64,
    dirty: BTreeSet<u64>,
    /// A sync of these failed: later syncs take them for clean, and whether they reached the disk shows in a crash.
    unknown: BTreeSet<u64>,
}

impl File {
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        self.write_some(offset, bytes, &mut || true);
    }

    /// Writes those sectors for which `keep` says yes. The file then ends with the last of them, if that is behind its end.
    pub(super) fn write_some(&mut self, offset: u64, bytes: &[u8], keep: &mut dyn FnMut() -> bool) {
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done as u64;
            let number = at / SECTOR_BYTES as u64;
            let within = (at % SECTOR_BYTES as u64) as usize;
            let part = (SECTOR_BYTES - within).min(bytes.len() - done);
            if !keep() {
                done += part;
                continue;
            }
            let sector = self.sectors.entry(number).or_insert([0; SECTOR_BYTES]);
            sector[within..within + part].copy_from_slice(&bytes[done..done + part]);
            self.dirty.insert(number);
            self.unknown.remove(&number);
            done += part;
            self.bytes = self.bytes.max(offset + done as u64);
        }
    }

    pub(super) fn read(&self, offset: u64, buffer: &mut [u8]) -> usize {
        let bytes = self.bytes.saturating_sub(offset).min(buffer.len() as u64) as usize;
        let mut done = 0;
        while done < bytes {
            let at = offset + done as u64;
            let within = (at % SECTOR_BYTES as u64) as usize;
            let part = (SECTOR_BYTES - within).min(bytes - done);
            match self.sectors.get(&(at / SECTOR_BYTES as u64)) {
                Some(sector) => buffer[done..done + part].copy_from_slice(&sector[within..within + part]),
                None => buffer[done..done + part].fill(0),
            }
            done += part;
        }
        bytes
    }

    pub(super) fn set_len(&mut self, bytes: u64) {
        if bytes < self.bytes {
            let gone = self.sectors.split_off(&bytes.div_ceil(SECTOR_BYTES as u64));
            self.dirty.extend(gone.into_keys());
            let within = (bytes % SECTOR_BYTES as u64) as usize;
            let last = bytes / SECTOR_BYTES as u64;
            if let Some(sector) = self.sectors.get_mut(&last) {
                sector[within..].fill(0);
                self.dirty.insert(last);
            }
        }
        self.bytes = bytes;
    }

    pub(super) fn sync(&mut self) {
        for number in std::mem::take(&mut self.dirty) {
            match self.sectors.get(&number) {
                Some(sector) => self.durable_sectors.insert(number, *sector),
                None => self.durable_sectors.remove(&number),
            };
        }
        self.durable_bytes = self.bytes;
    }

    /// What was to be synced counts as clean from now on, whether it reached the disk or not.
    pub(super) fn fail_sync(&mut self) {
        self.unknown.append(&mut self.dirty);
    }

    pub(super) fn len(&self) -> u64 {
        self.bytes
    }

    /// The sectors that were written, are durable, and read as they are on the disk; and whether each is nothing but zeros.
    pub(super) fn settled(&self) -> impl Iterator<Item = (u64, bool)> {
        let clean = |number: &u64| !self.dirty.contains(number) && !self.unknown.contains(number);
        let inside = |number: u64| number * (SECTOR_BYTES as u64) < self.bytes.min(self.durable_bytes);
        let durable = self.durable_sectors.iter().map(|(number, sector)| (*number, sector));
        durable
            .filter(move |(number, _)| clean(number) && inside(*number))
            .map(|(number, sector)| (number, sector.iter().all(|byte| *byte == 0)))
    }

    /// Changes a settled sector on the disk, and so for whoever reads it.
    pub(super) fn damage(&mut self, number: u64, act: impl FnOnce(&mut Sector)) {
        if let Some(sector) = self.durable_sectors.get_mut(&number) {
            act(sector);
            self.sectors.insert(number, *sector);
        }
    }

    /// `keep` is asked for each sector of which nobody knows whether it reached the disk, and for the length.
    pub(super) fn crash(&mut self, keep: &mut dyn FnMut() -> bool) {
        if self.bytes != self.durable_bytes && keep() {
            self.durable_bytes = self.bytes;
        }
        let mut unsynced = std::mem::take(&mut self.dirty);
        unsynced.append(&mut self.unknown);
        for number in unsynced {
            if keep() {
                match self.sectors.get(&number) {
                    Some(sector) => self.durable_sectors.insert(number, *sector),
                    None => self.durable_sectors.remove(&number),
                };
            }
        }
        self.bytes = self.durable_bytes;
        self.durable_sectors.retain(|number, _| number * (SECTOR_BYTES as u64) < self.durable_bytes);
        self.sectors = self.durable_sectors.clone();
    }
}
