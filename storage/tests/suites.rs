//! The published suites, ours and openraft's, on both disks.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use lovebird_core::log_store::LogStore;
use lovebird_core::snapshot_store::SnapshotStore;
use lovebird_core::testing::{Storage, log_suite};
use lovebird_storage::conformance::{self, Open};
use lovebird_storage::{
    Compression, Log, LogOptions, MemoryStorage, RealDisk, SnapshotDirectory, SnapshotOptions,
};
use tempfile::TempDir;

/// Small segments, so that the suites cross their borders too.
fn real_log(dir: &TempDir) -> Arc<dyn LogStore> {
    let options = LogOptions { segment_bytes: 8 << 10, cache_bytes: 2000, ..LogOptions::default() };
    Log::open(Arc::new(RealDisk), &dir.path().join("log"), &options).unwrap().group(0)
}

fn real_snapshots(dir: &TempDir, compression: Compression) -> Arc<dyn SnapshotStore> {
    let options = SnapshotOptions { compression };
    SnapshotDirectory::open(Arc::new(RealDisk), &dir.path().join("snapshots"), 0, options).unwrap()
}

#[test]
fn log_on_the_real_disk_conforms() {
    conformance::log_store(&mut || {
        let dir = TempDir::new().unwrap();
        Box::new(move || real_log(&dir))
    });
}

#[test]
fn log_in_memory_conforms() {
    conformance::log_store(&mut || {
        let storage = MemoryStorage::new();
        Box::new(move || storage.open(0).unwrap().0)
    });
}

#[test]
fn snapshots_on_the_real_disk_conform() {
    for compression in [Compression::Off, Compression::Lz4] {
        conformance::snapshot_store(&mut || {
            let dir = TempDir::new().unwrap();
            Box::new(move || real_snapshots(&dir, compression)) as Open<dyn SnapshotStore>
        });
    }
}

#[test]
fn snapshots_in_memory_conform() {
    conformance::snapshot_store(&mut || {
        let storage = MemoryStorage::new();
        Box::new(move || storage.open(0).unwrap().1)
    });
}

#[tokio::test]
async fn openraft_accepts_the_real_disk() {
    log_suite(|| {
        let dir = TempDir::new().unwrap();
        let snapshots = real_snapshots(&dir, Compression::default());
        Storage { log: real_log(&dir), snapshots, guard: Box::new(dir) }
    })
    .await;
}

#[tokio::test]
async fn openraft_accepts_the_disk_in_memory() {
    log_suite(|| {
        let (log, snapshots) = MemoryStorage::new().open(0).unwrap();
        Storage { log, snapshots, guard: Box::new(()) }
    })
    .await;
}
