//! The one binary format: what it holds comes back, what is damaged is noticed, and what it was it stays.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use bytes::{Bytes, BytesMut};
use lovebird_core::codec::{Bincode, Codec};
use lovebird_core::entry::{
    BODY_BYTES_MAX, Entry, EntryError, EntryKind, HEADER_BYTES, Header, decode_entries, encode_entries,
};
use lovebird_core::fence::{Fence, Numbering, Token};
use lovebird_core::identity::{ClusterId, Membership, RaftId};
use lovebird_core::record::{
    Number, RECORD_HEADER_BYTES, Record, RecordError, SEQUENCE_MAX, check_run, push_record, records,
};
use lovebird_core::session::{Opening, Order};
use lovebird_core::snapshot_store::SnapshotMeta;
use proptest::collection::vec;
use proptest::prelude::*;

/// The frozen bytes of each kind of entry, and what they say. The files were put together by another program from the table
/// in the documentation of `entry`. They never change: a new format gets a new version and files of its own.
fn fixtures() -> [(&'static str, &'static [u8], Entry); 6] {
    let token = Token { node: 2, incarnation: 0x0123_4567_89ab_cdef, counter: (7 << 32) | 5 };
    let ids = [RaftId::new(1, 0x1111_1111_1111_1111), RaftId::new(2, token.incarnation), RaftId::new(3, 250)];
    let membership = Membership {
        voters: vec![BTreeSet::from(ids)],
        members: BTreeMap::from(ids.map(|id| (id, format!("127.0.0.1:{}", 7000 + id.node)))),
    };

    let mut blank = Entry::new(EntryKind::Blank, Bytes::new());
    blank.header = Header { term: 3, number: 16, ..blank.header };
    let mut members = Entry::new(EntryKind::Membership, Bincode::encode(&membership).unwrap().into());
    members.header.codec = Bincode::ID;
    let mut barrier = Entry::new(EntryKind::Barrier, Bytes::new());
    barrier.header = Header {
        term: 3,
        number: 17,
        time: 1_700_000_000_123_456_789,
        fence: Fence { token, position: 0 },
        ..barrier.header
    };
    let all_bytes: Vec<u8> = (0..=255).collect();
    let none = Number::NONE;
    let batch = |kind, position, (first_index, record_count), run: &[(Number, &[u8])]| {
        let entry = Entry::new(kind, run_of(run));
        let header = Header {
            codec: Bincode::ID,
            group: 9,
            term: 3,
            number: 17 + position,
            first_index,
            record_count,
            time: 1_700_000_000_123_456_789 + position,
            fence: Fence { token, position },
            ..entry.header
        };
        Entry { header, ..entry }
    };
    let commands: [(_, &[u8]); 3] = [(none, b"x+=5"), (none, b""), (none, &all_bytes)];
    let outcomes: [(_, &[u8]); 4] = [
        (number(7, 1, 0), b"x=5"),
        (none, b"y=1"),
        (number(0x0102_0304_0506_0708, 300, 299), &all_bytes),
        (number(7, SEQUENCE_MAX, u16::MAX), b""),
    ];
    let openings: [(_, &[u8]); 2] =
        [(none, b"\0\x01\0"), (none, b"\x09T\xc3\xa4ubchen\xfc\0\x5c\x26\x05\x01")];
    let commands = batch(EntryKind::Commands, 1, (1205, 3), &commands);
    let outcomes = batch(EntryKind::Outcomes, 2, (1208, 4), &outcomes);
    let sessions = batch(EntryKind::Sessions, 3, (0, 0), &openings);
    [
        ("blank", include_bytes!("fixtures/blank.bin"), blank),
        ("membership", include_bytes!("fixtures/membership.bin"), members),
        ("barrier", include_bytes!("fixtures/barrier.bin"), barrier),
        ("commands", include_bytes!("fixtures/commands.bin"), commands),
        ("outcomes", include_bytes!("fixtures/outcomes.bin"), outcomes),
        ("sessions", include_bytes!("fixtures/sessions.bin"), sessions),
    ]
}

fn number(session: u64, sequence: u64, window: u16) -> Number {
    Number { session, sequence, window }
}

fn run_of(records: &[(Number, &[u8])]) -> Bytes {
    let mut run = BytesMut::new();
    for (number, payload) in records {
        push_record(&mut run, *number, payload);
    }
    run.freeze()
}

fn encoded(entry: &Entry) -> Bytes {
    let mut bytes = BytesMut::new();
    entry.encode(&mut bytes);
    bytes.freeze()
}

/// Bytes whose last four are the CRC of those before, as a header's are.
fn with_crc(mut header: Vec<u8>) -> Vec<u8> {
    let crc = crc32c::crc32c(&header[..HEADER_BYTES - 4]);
    header[HEADER_BYTES - 4..HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
    header
}

#[test]
fn entries_of_every_kind_are_the_frozen_bytes() {
    for (name, frozen, entry) in fixtures() {
        assert_eq!(encoded(&entry), frozen, "an entry of the kind {name} is written differently");
        let mut bytes = Bytes::from_static(frozen);
        assert_eq!(
            Entry::decode(&mut bytes).unwrap(),
            entry,
            "an entry of the kind {name} is read differently"
        );
        assert!(bytes.is_empty(), "{name}");
    }
}

#[test]
fn frozen_membership_is_read() {
    let (_, frozen, entry) = fixtures().into_iter().find(|(name, ..)| *name == "membership").unwrap();
    let membership: Membership = Bincode::decode(&frozen[HEADER_BYTES..]).unwrap();
    assert_eq!(membership.find(3), Some(RaftId::new(3, 250)));
    assert!(membership.is_voter(RaftId::new(3, 250)));
    assert_eq!(membership.members[&RaftId::new(3, 250)], "127.0.0.1:7003");
    assert_eq!(Bincode::encode(&membership).unwrap(), entry.body);
}

#[test]
fn frozen_records_of_sessions_are_read() {
    let (_, frozen, _) = fixtures().into_iter().find(|(name, ..)| *name == "outcomes").unwrap();
    let run = Bytes::from_static(&frozen[HEADER_BYTES..]);
    assert_eq!(check_run(&run, 4), Ok(()));
    let numbers: Vec<Number> = records(run).map(|record| record.unwrap().number).collect();
    let last = number(7, SEQUENCE_MAX, u16::MAX);
    assert_eq!(numbers, [number(7, 1, 0), Number::NONE, number(0x0102_0304_0506_0708, 300, 299), last]);
    assert_eq!((numbers[0].lowest(), numbers[2].lowest(), last.lowest()), (1, 1, SEQUENCE_MAX - 65_535));
}

#[test]
fn frozen_openings_of_sessions_are_read() {
    let (_, frozen, _) = fixtures().into_iter().find(|(name, ..)| *name == "sessions").unwrap();
    let openings = [
        Opening { name: String::new(), patience_ms: 1, order: Order::Ordered },
        Opening { name: "Täubchen".to_owned(), patience_ms: 86_400_000, order: Order::Unordered },
    ];
    let run: Result<Vec<Record>, _> = records(Bytes::from_static(&frozen[HEADER_BYTES..])).collect();
    let payloads: Vec<Bytes> = run.unwrap().into_iter().map(|record| record.payload).collect();
    let decoded: Vec<Opening> = payloads.iter().map(|payload| Bincode::decode(payload).unwrap()).collect();
    assert_eq!(decoded, openings);
    assert_eq!(openings.map(|opening| Bytes::from(Bincode::encode(&opening).unwrap())), payloads[..]);
}

/// The meta that `storage/tests/fixtures/v1` has, written before there were sessions.
fn meta_without_sessions() -> SnapshotMeta {
    let (node, incarnation) = (1, 0xfeed);
    let member = RaftId::new(node, incarnation);
    let token = Token { node, incarnation, counter: 1 << 32 };
    SnapshotMeta {
        cluster: ClusterId(7),
        group: 0,
        last: (3, 4),
        numbering: Numbering { token, term: 3, position: 3, last_index: 6, time: 9 },
        membership_at: Some((1, 0)),
        membership: Membership {
            voters: vec![BTreeSet::from([member])],
            members: BTreeMap::from([(member, "127.0.0.1:7001".to_owned())]),
        },
        sessions_bytes: 0,
    }
}

#[test]
fn meta_of_a_snapshot_is_the_frozen_bytes_as_long_as_there_are_no_sessions() {
    let frozen = include_bytes!("fixtures/snapshot-meta.bin");
    let meta = meta_without_sessions();
    assert_eq!(meta.encode().unwrap(), frozen);
    assert_eq!(SnapshotMeta::decode(frozen).unwrap(), meta);
    for length in 0..frozen.len() {
        assert!(SnapshotMeta::decode(&frozen[..length]).is_err(), "{length} of {} bytes", frozen.len());
    }
}

#[test]
fn meta_of_a_snapshot_ends_with_the_bytes_of_sessions() {
    let frozen = include_bytes!("fixtures/snapshot-meta.bin");
    let endings: [(u64, &[u8]); 3] =
        [(1, &[1]), (1000, &[0xfb, 0xe8, 3]), (1 << 32, &[0xfd, 0, 0, 0, 0, 1, 0, 0, 0])];
    for (sessions_bytes, ending) in endings {
        let meta = SnapshotMeta { sessions_bytes, ..meta_without_sessions() };
        let bytes = [frozen, ending].concat();
        assert_eq!(meta.encode().unwrap(), bytes);
        assert_eq!(SnapshotMeta::decode(&bytes).unwrap(), meta);
        assert!(SnapshotMeta::decode(&[&bytes[..], &[0]].concat()).is_err(), "a byte too many is believed");
    }
}

#[test]
fn every_flipped_bit_of_an_entry_is_noticed() {
    for (name, frozen, _) in fixtures() {
        for bit in 0..frozen.len() * 8 {
            let mut damaged = frozen.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let mut bytes = Bytes::from(damaged);
            let length = bytes.len();
            let error = Entry::decode(&mut bytes).unwrap_err();
            assert_eq!(bytes.len(), length, "{name}: a damaged entry was taken from its bytes");
            if bit < HEADER_BYTES * 8 {
                assert_eq!(error, EntryError::HeaderCrc, "{name}, bit {bit}");
            } else {
                assert!(matches!(error, EntryError::BodyCrc { .. }), "{name}, bit {bit}: {error}");
            }
        }
    }
}

#[test]
fn every_cut_of_an_entry_is_noticed() {
    for (name, frozen, _) in fixtures() {
        for length in 0..frozen.len() {
            let error = Entry::decode(&mut Bytes::from_static(&frozen[..length])).unwrap_err();
            let need = if length < HEADER_BYTES { HEADER_BYTES } else { frozen.len() };
            assert_eq!(error, EntryError::Short { need, have: length }, "{name} cut to {length} bytes");
        }
    }
}

#[test]
fn what_a_later_version_wrote_is_refused_by_name() {
    let (_, frozen, _) = &fixtures()[0];
    let refused = |at: usize, value: u8| {
        let mut later = frozen.to_vec();
        later[at] = value;
        Header::decode(&with_crc(later)).unwrap_err()
    };
    assert_eq!(refused(0, 2), EntryError::Version { found: 2 });
    assert_eq!(refused(1, 7), EntryError::Kind { found: 7 });
    assert_eq!(refused(1, 0), EntryError::Kind { found: 0 });
    assert_eq!(refused(3, 1), EntryError::Flags { found: 1 });
    // The highest byte of the length: nearly 2 GiB would be believed and waited for.
    assert_eq!(refused(39, 0x7f), EntryError::Large { bytes: 0x7f00_0000 });
}

#[test]
fn record_that_claims_too_much_is_refused() {
    let mut run = run_of(&[(Number::NONE, b"abc")]).to_vec();
    run[16..20].copy_from_slice(&u32::MAX.to_le_bytes());
    let found: Vec<_> = records(run.into()).collect();
    assert_eq!(found, [Err(RecordError::Large { record: 0, bytes: u32::MAX as usize })]);
}

#[test]
fn run_from_outside_is_held_to_its_count_and_its_numbers() {
    let run = run_of(&[(Number::NONE, b"a"), (number(7, 1, 0), b"b")]);
    assert_eq!(check_run(&run, 2), Ok(()));
    assert_eq!(check_run(&run, 3), Err(RecordError::Count { expected: 3, found: 2 }));
    assert_eq!(check_run(&Bytes::new(), 0), Ok(()));
    for number in [number(7, 2, 1), number(u64::MAX, SEQUENCE_MAX, u16::MAX)] {
        assert_eq!(check_run(&run_of(&[(number, b"a")]), 1), Ok(()), "{number:?}");
    }
    // A sequence without a session, a session without one, and windows that reach before the first sequence.
    for number in [number(0, 1, 0), number(0, 0, 1), number(7, 0, 0), number(7, 1, 1), number(7, 9, 10)] {
        let Number { session, sequence, window } = number;
        let refused = Err(RecordError::Number { record: 1, session, sequence, window });
        assert_eq!(check_run(&run_of(&[(Number::NONE, b"a"), (number, b"b")]), 2), refused);
    }
    let cut = run.slice(..run.len() - 1);
    assert_eq!(check_run(&cut, 2), Err(RecordError::Short { record: 1, missing: 1 }));
}

fn any_entry() -> impl Strategy<Value = Entry> {
    use EntryKind::{Barrier, Blank, Commands, Membership, Outcomes, Sessions};
    let kind = prop::sample::select(vec![Blank, Membership, Barrier, Commands, Outcomes, Sessions]);
    let names = (any::<u8>(), any::<u32>(), any::<u64>(), any::<u64>(), any::<u64>(), any::<u32>());
    let fence = (any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>());
    (kind, names, fence, vec(any::<u8>(), 0..200)).prop_map(|(kind, names, fence, body)| {
        let (codec, group, term, number, first_index, record_count) = names;
        let (node, incarnation, counter, position, time) = fence;
        let fence = Fence { token: Token { node, incarnation, counter }, position };
        let mut entry = Entry::new(kind, body.into());
        entry.header =
            Header { codec, group, term, number, first_index, record_count, time, fence, ..entry.header };
        entry
    })
}

fn any_record() -> impl Strategy<Value = Record> {
    let numbers = (any::<u64>(), 0..=SEQUENCE_MAX, any::<u16>());
    (numbers, vec(any::<u8>(), 0..100)).prop_map(|((session, sequence, window), payload)| Record {
        number: number(session, sequence, window),
        payload: payload.into(),
    })
}

proptest! {
    #[test]
    fn entries_come_back_from_an_append_message(entries in vec(any_entry(), 0..8)) {
        let bytes = encode_entries(&entries);
        prop_assert_eq!(bytes.len(), entries.iter().map(Entry::encoded_bytes).sum::<usize>());
        prop_assert_eq!(decode_entries(bytes).unwrap(), entries);
    }

    #[test]
    fn flipped_bit_anywhere_in_an_entry_is_noticed(entry in any_entry(), place in any::<prop::sample::Index>()) {
        let mut damaged = encoded(&entry).to_vec();
        let bit = place.index(damaged.len() * 8);
        damaged[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(Entry::decode(&mut damaged.into()).is_err());
    }

    #[test]
    fn bytes_of_any_kind_are_no_reason_to_panic(bytes in vec(any::<u8>(), 0..400)) {
        let _ = decode_entries(bytes.clone().into());
        let taken: usize = records(bytes.clone().into())
            .map_while(Result::ok)
            .map(|record| RECORD_HEADER_BYTES + record.payload.len())
            .sum();
        prop_assert!(taken <= bytes.len());
        let _ = check_run(&bytes, 1);
    }

    /// Past the CRC, where only a forger or a bug gets: the fields alone must not lead to a panic either.
    #[test]
    fn header_of_any_kind_with_a_true_crc_is_read_or_refused(
        start in (0..3_u8, 0..8_u8, any::<u8>(), 0..2_u8),
        rest in vec(any::<u8>(), HEADER_BYTES - 4),
    ) {
        let mut bytes = vec![start.0, start.1, start.2, start.3];
        bytes.extend(rest);
        let bytes = with_crc(bytes);
        if let Ok(header) = Header::decode(&bytes) {
            prop_assert!(header.body_bytes as usize <= BODY_BYTES_MAX);
            prop_assert_eq!(&header.encode()[..], &bytes[..]);
        }
    }

    #[test]
    fn records_come_back_from_a_run(expected in vec(any_record(), 0..10)) {
        let mut run = BytesMut::new();
        for record in &expected {
            push_record(&mut run, record.number, &record.payload);
        }
        let found: Result<Vec<Record>, RecordError> = records(run.freeze()).collect();
        prop_assert_eq!(found.unwrap(), expected);
    }

    #[test]
    fn cut_run_gives_whole_records_and_then_an_error(
        expected in vec(any_record(), 1..6),
        place in any::<prop::sample::Index>(),
    ) {
        let mut run = BytesMut::new();
        let mut ends = vec![0];
        for record in &expected {
            push_record(&mut run, record.number, &record.payload);
            ends.push(run.len());
        }
        let length = place.index(run.len());
        let whole = ends.iter().filter(|end| **end <= length).count() - 1;
        let found: Vec<_> = records(run.freeze().slice(..length)).collect();
        for (record, found) in expected.iter().zip(&found).take(whole) {
            prop_assert_eq!(found.as_ref(), Ok(record));
        }
        if ends.contains(&length) {
            prop_assert_eq!(found.len(), whole);
        } else {
            prop_assert_eq!(found.len(), whole + 1);
            let short = matches!(found[whole], Err(RecordError::Short { record, .. }) if record as usize == whole);
            prop_assert!(short, "{:?}", found[whole]);
        }
    }
}
