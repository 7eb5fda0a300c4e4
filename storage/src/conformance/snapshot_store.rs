//! The suite for [`SnapshotStore`].

use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;

use lovebird_core::fence::Numbering;
use lovebird_core::identity::{ClusterId, Membership, RaftId};
use lovebird_core::snapshot_store::{SnapshotFile, SnapshotMeta, SnapshotStore};

use super::Open;

type Test = fn(Open<dyn SnapshotStore>);

pub(super) const TESTS: &[Test] = &[
    nothing_is_visible_before_finish,
    content_of_any_length_comes_back,
    newest_is_the_latest_also_after_opening_again,
    file_stays_readable_when_newer_ones_have_replaced_it,
];

/// Of every other one the first byte is one of sessions, whatever the content is.
fn meta(number: u64) -> SnapshotMeta {
    let member = RaftId::new(4, 77);
    SnapshotMeta {
        cluster: ClusterId(5),
        group: 0,
        last: (2, number),
        numbering: Numbering { last_index: number * 10, ..Numbering::default() },
        membership_at: Some((1, 0)),
        membership: Membership {
            voters: vec![BTreeSet::from([member])],
            members: BTreeMap::from([(member, "127.0.0.1:1".to_owned())]),
        },
        sessions_bytes: number % 2,
    }
}

fn content(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at * 31 / 7) as u8).collect()
}

fn take(store: &dyn SnapshotStore, number: u64, bytes: usize) -> Arc<dyn SnapshotFile> {
    let mut writer = store.create(&meta(number)).expect("create");
    writer.write_all(&content(bytes)).expect("write");
    writer.finish().expect("finish")
}

fn read(file: &dyn SnapshotFile) -> Vec<u8> {
    let mut bytes = Vec::new();
    file.open().expect("open").read_to_end(&mut bytes).expect("read");
    bytes
}

fn raw(file: &dyn SnapshotFile) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let part = file.read_raw(bytes.len() as u64, 300_000).expect("read raw");
        if part.is_empty() {
            assert_eq!(bytes.len() as u64, file.id().length);
            return bytes;
        }
        bytes.extend_from_slice(&part);
    }
}

fn nothing_is_visible_before_finish(mut open: Open<dyn SnapshotStore>) {
    let store = open();
    assert!(store.latest().expect("latest").is_none());
    let mut writer = store.create(&meta(1)).expect("create");
    writer.write_all(&content(3_000_000)).expect("write");
    assert!(store.latest().expect("latest").is_none());
    drop(writer);
    drop(store);
    assert!(open().latest().expect("latest").is_none());
}

fn content_of_any_length_comes_back(mut open: Open<dyn SnapshotStore>) {
    let store = open();
    for (number, bytes) in [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 5_000_000].into_iter().enumerate() {
        let file = take(&*store, number as u64, bytes);
        assert!(read(&*file) == content(bytes), "{bytes} bytes did not come back");
        assert_eq!(file.meta(), &meta(number as u64));
        assert_eq!(file.id().last, file.meta().last_entry());
    }
}

fn newest_is_the_latest_also_after_opening_again(mut open: Open<dyn SnapshotStore>) {
    let store = open();
    for number in [3, 4, 9, 11] {
        take(&*store, number, 100 + number as usize);
    }
    take(&*store, 10, 5);
    let id = store.latest().expect("latest").expect("there are some").id();
    assert_eq!(id.last.number, 11);
    drop(store);
    let latest = open().latest().expect("latest").expect("there are some");
    assert_eq!(latest.id(), id);
    assert_eq!(read(&*latest), content(111));
}

fn file_stays_readable_when_newer_ones_have_replaced_it(mut open: Open<dyn SnapshotStore>) {
    let store = open();
    let old = take(&*store, 1, 2_500_000);
    let mut reading = old.open().expect("open");
    let mut first = [0; 1000];
    reading.read_exact(&mut first).expect("read");
    for number in 2..6 {
        take(&*store, number, 10);
    }
    let mut rest = Vec::new();
    reading.read_to_end(&mut rest).expect("read");
    assert!([&first[..], &rest].concat() == content(2_500_000));
    raw(&*old);
}

pub(super) fn travels_from_store_to_store(
    mut from: Open<dyn SnapshotStore>,
    mut to: Open<dyn SnapshotStore>,
) {
    let (from, to) = (from(), to());
    let sent = take(&*from, 7, 3_000_000);
    let bytes = raw(&*sent);
    // Of the file: how long it is for so much content is for the store to know.
    let third = bytes.len() / 3;

    let mut receiver = to.receive(sent.id()).expect("receive");
    assert_eq!(receiver.offset(), 0);
    receiver.write(&bytes[..third]).expect("write");
    drop(receiver);
    let mut receiver = to.receive(sent.id()).expect("receive");
    assert_eq!(receiver.offset(), third as u64, "the transfer goes on where it was interrupted");
    for part in bytes[third..].chunks(77_777) {
        receiver.write(part).expect("write");
    }
    assert!(to.latest().expect("latest").is_none(), "nothing is visible before it has verified");
    let received = receiver.finish().expect("finish");
    assert_eq!((received.id(), received.meta()), (sent.id(), sent.meta()));
    assert!(raw(&*received) == bytes && read(&*received) == content(3_000_000));
    assert_eq!(to.latest().expect("latest").expect("received").id(), sent.id());

    damaged_transfer_is_dropped(&*to, &*take(&*from, 8, 2_000_000));
}

fn damaged_transfer_is_dropped(to: &dyn SnapshotStore, sent: &dyn SnapshotFile) {
    let bytes = raw(sent);
    for at in [3, 20, 100, bytes.len() / 2, bytes.len() - 30, bytes.len() - 1] {
        let mut damaged = bytes.clone();
        damaged[at] ^= 4;
        let mut receiver = to.receive(sent.id()).expect("receive");
        assert_eq!(receiver.offset(), 0, "what was damaged is not kept");
        receiver.write(&damaged).expect("write");
        let error = receiver.finish().err().unwrap_or_else(|| panic!("byte {at} was damaged, and believed"));
        assert_eq!(error.kind(), ErrorKind::InvalidData, "byte {at}: {error}");
    }
    let mut receiver = to.receive(sent.id()).expect("receive");
    receiver.write(&bytes[..bytes.len() - 1]).expect("write");
    let error = receiver.finish().err().expect("a byte is missing");
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert_eq!(to.latest().expect("latest").expect("the one before").meta().last.1, 7);

    // Another file's transfer drops what has arrived of the first.
    let mut receiver = to.receive(sent.id()).expect("receive");
    receiver.write(&bytes[..100]).expect("write");
    drop(receiver);
    let other = lovebird_core::snapshot_store::SnapshotId { checksum: !sent.id().checksum, ..sent.id() };
    drop(to.receive(other).expect("receive"));
    assert_eq!(to.receive(sent.id()).expect("receive").offset(), 0);
}
