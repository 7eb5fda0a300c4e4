//! However large a snapshot is, a few chunks of it are in memory.

use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;

use allocation_counter::{AllocationInfo, measure};
use lovebird_core::snapshot_store::SnapshotFile;
use lovebird_storage::{Compression, RealDisk};
use tempfile::TempDir;

use super::forging::Forged;
use super::support::{BOTH, MIB, content, meta, name, noise, open, place, try_open_at};

const CONTENT_MIB: usize = 256;
const PEAK_BYTES_MAX: u64 = 16 * MIB as u64;

/// A part of a chunk that gets smaller, and one that does not.
fn block() -> Vec<u8> {
    [content(1, 3 * MIB / 4), noise(1, MIB / 4)].concat()
}

fn write(file: &mut dyn Write, block: &[u8]) {
    for number in 0..CONTENT_MIB as u64 {
        file.write_all(&number.to_le_bytes()).unwrap();
        file.write_all(&block[8..]).unwrap();
    }
}

fn check(file: &mut dyn Read, block: &[u8]) {
    let mut found = vec![0; block.len()];
    for number in 0..CONTENT_MIB as u64 {
        file.read_exact(&mut found).unwrap();
        assert!(found[..8] == number.to_le_bytes() && found[8..] == block[8..], "MiB {number} is another");
    }
    assert_eq!(file.read(&mut found).unwrap(), 0);
}

fn small(what: &str, compression: Compression, peak: &AllocationInfo) {
    let bytes = peak.bytes_max;
    assert!(bytes < PEAK_BYTES_MAX, "{bytes} bytes were allocated to {what} a snapshot, {compression:?}");
}

#[test]
fn large_snapshot_is_written_sent_and_read_in_little_memory() {
    let block = block();
    for compression in BOTH {
        let dir = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let open = |name: &str| try_open_at(Arc::new(RealDisk), &dir.path().join(name), compression).unwrap();
        let (store, other) = (open("one"), open("other"));
        let mut taken: Option<Arc<dyn SnapshotFile>> = None;
        let peak = measure(|| {
            let mut writer = store.create(&meta(1)).unwrap();
            write(&mut writer, &block);
            taken = Some(writer.finish().unwrap());
        });
        small("write", compression, &peak);

        let (sent, mut received) = (taken.unwrap(), None);
        let peak = measure(|| {
            let mut receiver = other.receive(sent.id()).unwrap();
            while receiver.offset() < sent.id().length {
                receiver.write(&sent.read_raw(receiver.offset(), MIB).unwrap()).unwrap();
            }
            received = Some(receiver.finish().unwrap());
        });
        small("send and receive", compression, &peak);

        let peak = measure(|| check(&mut received.unwrap().open().unwrap(), &block));
        small("read", compression, &peak);
    }
}

/// What a chunk says of itself is weighed before memory is given to it.
#[test]
fn chunk_that_claims_much_gets_no_memory() {
    for compression in BOTH {
        for claimed in [MIB as u32 + 1, u32::MAX] {
            let mut forged = Forged::in_chunks(compression, &content(1, 1500), 500);
            forged.chunks[0].content_bytes = claimed;
            let disk = place(&name(1), &forged.encode());
            let file = open(&disk, compression).latest().unwrap().unwrap();
            let mut buffer = [0; 100];
            let peak = measure(|| {
                file.open().unwrap().read(&mut buffer).unwrap_err();
            });
            assert!(peak.bytes_max < 10_000, "{} bytes were allocated", peak.bytes_max);
        }
    }
}

/// The same for a header that says that it is large, in a file that is not.
#[test]
fn header_that_claims_much_gets_no_memory() {
    let mut bytes = Forged::of(Compression::Lz4, &content(1, 1500)).encode();
    bytes[12..16].copy_from_slice(&(15_u32 << 20).to_le_bytes());
    let disk = Arc::new(place(&name(1), &bytes));
    let peak = measure(|| {
        let opened = try_open_at(disk, Path::new("/snapshots"), Compression::Lz4);
        let error = opened.err().unwrap().to_string();
        assert!(error.contains("its header says that its meta has 15728640 bytes"), "{error}");
    });
    assert!(peak.bytes_max < 100_000, "{} bytes were allocated", peak.bytes_max);
}
