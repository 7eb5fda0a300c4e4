//! `fjall`: a log-structured merge tree behind a journal. Keys are the numbers, big-endian, so that they stay in order.
//!
//! **Durable** when a batch that asks for `PersistMode::SyncData` is committed: the commit writes it to the journal and calls
//! `fdatasync` before it returns.
//!
//! **Set**: nothing. Its defaults are a memtable of 64 MiB, a block cache of 32 MiB and journals of up to 512 MiB.

use std::ops::Range;
use std::path::Path;
use std::thread;
use std::time::Duration;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode};

use crate::payload::payload;
use crate::store::{Outcome, Store};

pub(crate) struct FjallStore {
    database: Database,
    entries: Keyspace,
    ready: Option<OwnedWriteBatch>,
}

impl FjallStore {
    pub(crate) fn open(dir: &Path) -> Outcome<FjallStore> {
        let database = Database::builder(dir).open()?;
        let entries = database.keyspace("entries", KeyspaceCreateOptions::default)?;
        Ok(FjallStore { database, entries, ready: None })
    }
}

impl Store for FjallStore {
    fn prepare(&mut self, numbers: Range<u64>) {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
        for number in numbers {
            batch.insert(&self.entries, number.to_be_bytes(), payload(number));
        }
        self.ready = Some(batch);
    }

    fn append(&mut self) -> Outcome<()> {
        match self.ready.take() {
            Some(batch) => Ok(batch.commit()?),
            None => Err("fjall was asked to append what was not prepared".into()),
        }
    }

    fn read(&self, numbers: Range<u64>, visit: &mut dyn FnMut(u64, &[u8])) -> Outcome<()> {
        for entry in self.entries.range(numbers.start.to_be_bytes()..numbers.end.to_be_bytes()) {
            let (key, payload) = entry.into_inner()?;
            visit(u64::from_be_bytes(key.as_ref().try_into()?), &payload);
        }
        Ok(())
    }

    fn settle(&mut self) -> Outcome<()> {
        while self.database.outstanding_flushes() > 0 || self.database.active_compactions() > 0 {
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}
