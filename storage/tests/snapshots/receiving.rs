//! Files from another node.

use std::io::ErrorKind;

use lovebird_core::snapshot_store::SnapshotId;
use lovebird_storage::{Compression, MemoryDisk};

use super::forging::{Forged, meta_of_group};
use super::support::{BOTH, MIB, content, latest, open, raw, read, receive, take};

#[test]
fn peer_that_compresses_sends_to_one_that_does_not_and_back() {
    for (from, to) in [(BOTH[0], BOTH[1]), (BOTH[1], BOTH[0])] {
        let (disk, other) = (MemoryDisk::new(), MemoryDisk::new());
        let content = content(5, 3 * MIB + 7);
        let sent = take(&*open(&disk, from), 5, &content).unwrap();
        let received = receive(&*open(&other, to), sent.id(), &raw(&*sent)).unwrap();
        assert!(received.id() == sent.id() && raw(&*received) == raw(&*sent));
        assert!(read(&*received).unwrap() == content);
        // As it came, also at the next start.
        assert_eq!(open(&other, to).latest().unwrap().unwrap().id(), sent.id());
    }
}

#[test]
fn transfer_that_was_replaced_does_not_come_back() {
    let disk = MemoryDisk::new();
    let sent = take(&*open(&disk, Compression::Off), 5, &content(5, MIB)).unwrap();
    let other = MemoryDisk::new();
    let store = open(&other, Compression::Off);
    let mut old = store.receive(sent.id()).unwrap();
    old.write(&sent.read_raw(0, 5000).unwrap()).unwrap();
    // The same file again, over another stream, while the first has not been noticed to be dead.
    let mut new = store.receive(sent.id()).unwrap();
    assert_eq!(new.offset(), 0);
    new.write(&sent.read_raw(0, 100).unwrap()).unwrap();
    drop(new);
    drop(old);
    assert_eq!(store.receive(sent.id()).unwrap().offset(), 100);
    let length = sent.id().length as usize;
    let mut receiver = store.receive(sent.id()).unwrap();
    let offset = receiver.offset();
    receiver.write(&sent.read_raw(offset, length).unwrap()).unwrap();
    assert!(receiver.write(&[0]).is_err(), "longer than it was to be");
}

/// What a peer sends that is no snapshot of this group, or that this build cannot read, gets no name.
#[test]
fn what_a_peer_should_not_have_sent_is_refused() {
    for compression in BOTH {
        let whole = Forged::of(compression, &content(1, 1000));
        let mut newer = whole.clone();
        newer.version = 3;
        let mut strange = whole.clone();
        strange.meta = meta_of_group(7);
        // Header and footer are right, so that only reading it shows.
        let mut lying = whole.encode();
        lying[whole.header().len() + 20] ^= 1;
        let table = [
            (newer.encode(), ErrorKind::Unsupported, "upgrade this node"),
            (lying, ErrorKind::InvalidData, "does not match its checksum"),
            (strange.encode(), ErrorKind::InvalidData, "of group 7 was sent to group 0"),
            (
                b"LBIRDSNOW and so on, for more than a footer".to_vec(),
                ErrorKind::InvalidData,
                "no snapshot file",
            ),
        ];
        for (bytes, kind, words) in table {
            let disk = MemoryDisk::new();
            let store = open(&disk, compression);
            let checksum = Forged::checksum_of(&bytes);
            let id = SnapshotId { last: whole.last(), length: bytes.len() as u64, checksum };
            let error = receive(&*store, id, &bytes).err().unwrap();
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().contains(words), "{error}");
            assert_eq!(latest(&*store), None);
            assert!(super::support::files(&disk).is_empty());
        }
    }
}
