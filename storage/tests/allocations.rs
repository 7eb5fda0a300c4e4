//! Appending allocates for each call, not for each entry: a busy node appends hundreds of thousands of small ones a second.
#![allow(clippy::unwrap_used)]

#[allow(unreachable_pub)]
#[path = "log/support.rs"]
mod support;

use std::sync::Arc;

use lovebird_core::log_store::LogStore;
use lovebird_storage::RealDisk;
use lovebird_storage::log::{Drive, Log, Options, Prepare};
use support::*;

/// How often memory is allocated while so many entries are appended by each of 200 calls, the vectors and completions that callers
/// bring along not counted.
fn allocations(log: &dyn LogStore, entries: u64) -> u64 {
    let mut counted = 0;
    for _ in 0..200 {
        let next = log.state().last.map_or(0, |last| last.number + 1);
        let position = log.state().last_index + 1;
        let batch = match next {
            0 => vec![barrier(1, 0)],
            _ => (0..entries).map(|at| commands(1, next + at, position + at, 1, 100)).collect(),
        };
        let done = ignore();
        let append = || log.append(batch, done).unwrap();
        counted += allocation_counter::measure(append).count_total;
    }
    counted
}

#[test]
fn appending_allocates_by_the_call_and_not_by_the_entry() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        drive: Drive::InPlace,
        prepare: Prepare::Reserve,
        cache_bytes: 100_000,
        segment_bytes: 256 << 20,
        ..Options::default()
    };
    let log = Log::open(Arc::new(RealDisk), &dir.path().join("log"), &options).unwrap();
    let group = log.group(0);
    // Until every buffer has the size that it keeps.
    allocations(&*group, 512);
    let one = allocations(&*group, 1);
    let many = allocations(&*group, 512);
    // What a call allocates, and now and then the index grows.
    assert!(one <= 200 * 6, "200 appends of 1 entry allocated {one} times");
    assert!(many <= one + 200, "200 appends of 512 entries allocated {many} times, of 1 entry {one} times");
}
