//! `raft-log`: segments, and a thread that writes and syncs them, for openraft.
//!
//! **Durable** when the callback of `flush(true, …)` has been called: its thread calls it after `fdatasync` of the segment
//! in which the entries are, and of those before it.
//!
//! **Set**: no wait for company before a sync (`flush_batch_wait`, 1 ms by default), since a single producer that waits would
//! be alone after it; segments of 64 MiB and a cache of 32 MiB, as ours, instead of 1 GiB each, since it keeps in memory
//! all of the segment that is being written.

use std::io;
use std::mem;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use raft_log::api::raft_log_writer::RaftLogWriter;
use raft_log::{Config, RaftLog, Types};

use crate::payload::payload;
use crate::store::{Outcome, Store};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Payloads;

impl Types for Payloads {
    /// Term and number.
    type LogId = (u64, u64);
    type LogPayload = Vec<u8>;
    type Vote = (u64, u64);
    type Callback = SyncSender<io::Result<()>>;
    type UserData = String;

    fn log_index(log_id: &Self::LogId) -> u64 {
        log_id.1
    }

    fn payload_size(payload: &Self::LogPayload) -> u64 {
        payload.len() as u64
    }
}

pub(crate) struct RaftLogStore {
    log: RaftLog<Payloads>,
    ready: Vec<((u64, u64), Vec<u8>)>,
}

impl RaftLogStore {
    pub(crate) fn open(dir: &Path) -> Outcome<RaftLogStore> {
        let mut config = Config::new(dir.display());
        config.wal.flush_batch_wait = Some(Duration::ZERO);
        config.wal.chunk_max_size = Some(64 << 20);
        config.log_cache_capacity = Some(32 << 20);
        let log = RaftLog::open(Arc::new(config))?;
        Ok(RaftLogStore { log, ready: Vec::new() })
    }
}

impl Store for RaftLogStore {
    fn prepare(&mut self, numbers: Range<u64>) {
        self.ready = numbers.map(|number| ((1, number), payload(number).to_vec())).collect();
    }

    fn append(&mut self) -> Outcome<()> {
        self.log.append(mem::take(&mut self.ready))?;
        let (sender, receiver) = sync_channel(1);
        self.log.flush(true, Some(sender))?;
        Ok(receiver.recv()??)
    }

    fn read(&self, numbers: Range<u64>, visit: &mut dyn FnMut(u64, &[u8])) -> Outcome<()> {
        for entry in self.log.read(numbers.start, numbers.end) {
            let ((_, number), payload) = entry?;
            visit(number, &payload);
        }
        Ok(())
    }

    fn settle(&mut self) -> Outcome<()> {
        Ok(self.log.wait_worker_idle()?)
    }
}
