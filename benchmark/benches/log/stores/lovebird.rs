//! Ours: the log as a node opens it, with its default options.
//!
//! **Durable** when the completion has been called, which is after an `fdatasync` that began when the entries were written.

use std::mem;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use bytes::{Bytes, BytesMut};
use lovebird_core::entry::{Entry, EntryKind};
use lovebird_core::log_store::LogStore;
use lovebird_core::record::{Number, RECORD_HEADER_BYTES, push_record};
use lovebird_storage::{Log, LogOptions, RealDisk};

use crate::payload::payload;
use crate::store::{Outcome, Store};

/// How much a reader asks for at a time. What is asked for is then still in the processor's cache when it is used; with 4 MiB
/// more than half of the time goes into memory that is taken from the system and given back for each call.
const READ_BYTES: usize = 256 << 10;

pub(crate) struct Lovebird {
    group: Arc<dyn LogStore>,
    ready: Vec<Entry>,
}

impl Lovebird {
    pub(crate) fn open(dir: &Path) -> Outcome<Lovebird> {
        let log = Log::open(Arc::new(RealDisk), dir, &LogOptions::default())?;
        let mut store = Lovebird { group: log.group(0), ready: Vec::new() };
        if store.group.state().last.is_none() {
            // As at the beginning of every leadership. It is entry 0, and from then on records count.
            store.ready = vec![entry(0)];
            store.append()?;
        }
        Ok(store)
    }
}

impl Store for Lovebird {
    fn prepare(&mut self, numbers: Range<u64>) {
        self.ready = numbers.map(entry).collect();
    }

    fn append(&mut self) -> Outcome<()> {
        let (sender, receiver) = sync_channel(1);
        let done = move |result| {
            // Whoever waits is gone only if this store has failed already.
            let _ = sender.send(result);
        };
        self.group.append(mem::take(&mut self.ready), Box::new(done))?;
        Ok(receiver.recv()??)
    }

    fn read(&self, numbers: Range<u64>, visit: &mut dyn FnMut(u64, &[u8])) -> Outcome<()> {
        let mut next = numbers.start;
        while next < numbers.end {
            let entries = self.group.read(next..numbers.end, READ_BYTES)?;
            let Some(last) = entries.last() else { break };
            next = last.header.number + 1;
            for entry in &entries {
                visit(entry.header.number, &entry.body[RECORD_HEADER_BYTES..]);
            }
        }
        Ok(())
    }
}

/// One entry with one record, as the leader makes it; entry 0 is the barrier behind which the records count.
pub(crate) fn entry(number: u64) -> Entry {
    let mut entry = if number == 0 {
        Entry::new(EntryKind::Barrier, Bytes::new())
    } else {
        let mut run = BytesMut::new();
        push_record(&mut run, Number::NONE, &payload(number));
        let mut entry = Entry::new(EntryKind::Commands, run.freeze());
        entry.header.record_count = 1;
        entry
    };
    (entry.header.term, entry.header.number) = (1, number);
    (entry.header.fence.token.counter, entry.header.fence.position) = (1, number);
    entry
}
