//! `redb`: a copy-on-write B-tree in one file. Keys are the numbers.
//!
//! **Durable** when a write transaction with `Durability::Immediate` is committed: it writes pages and root and calls
//! `fdatasync` before it returns. That is its commit of one phase with checksums, the default; the one of two phases guards
//! against forged files, not against loss, and would sync twice.
//!
//! **Set**: nothing. Its default is a cache of 1 GiB, so that it need not read what it has written.

use std::mem;
use std::ops::Range;
use std::path::Path;

use redb::{Database, Durability, ReadableDatabase, TableDefinition};

use crate::payload::{PAYLOAD_BYTES, payload};
use crate::store::{Outcome, Store};

const ENTRIES: TableDefinition<'static, u64, &'static [u8]> = TableDefinition::new("entries");

pub(crate) struct RedbStore {
    database: Database,
    ready: Vec<(u64, [u8; PAYLOAD_BYTES])>,
}

impl RedbStore {
    pub(crate) fn open(dir: &Path) -> Outcome<RedbStore> {
        let database = Database::create(dir.join("entries.redb"))?;
        Ok(RedbStore { database, ready: Vec::new() })
    }
}

impl Store for RedbStore {
    fn prepare(&mut self, numbers: Range<u64>) {
        self.ready = numbers.map(|number| (number, payload(number))).collect();
    }

    fn append(&mut self) -> Outcome<()> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        let mut entries = transaction.open_table(ENTRIES)?;
        for (number, payload) in mem::take(&mut self.ready) {
            entries.insert(number, &payload[..])?;
        }
        drop(entries);
        Ok(transaction.commit()?)
    }

    fn read(&self, numbers: Range<u64>, visit: &mut dyn FnMut(u64, &[u8])) -> Outcome<()> {
        let entries = self.database.begin_read()?.open_table(ENTRIES)?;
        for entry in entries.range(numbers)? {
            let (number, payload) = entry?;
            visit(number.value(), payload.value());
        }
        Ok(())
    }
}
