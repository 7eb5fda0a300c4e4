//! Entries and their records: what a peer sends, and what is read back from the log.
//!
//! A first byte says whether checksums and lengths are repaired; the rest is a run of entries.

use bytes::{Bytes, BytesMut};
use lovebird_core::entry::{Entry, Header, decode_entries};
use lovebird_core::record::{Number, check_run, push_record, records};

use super::program::Program;
use super::repair;

/// See the module.
pub fn run(input: &[u8]) {
    let mut program = Program::new(input);
    let repaired = program.byte() & 1 == 1;
    let mut bytes = program.rest().to_vec();
    if repaired {
        repair::entries(&mut bytes);
    }
    let all = Bytes::from(bytes);
    let mut rest = all.clone();
    let mut count = 0;
    while !rest.is_empty() {
        let before = rest.clone();
        let header = Header::decode(&before);
        let Ok(entry) = Entry::decode(&mut rest) else {
            assert_eq!(rest, before, "an entry that was refused has taken bytes");
            break;
        };
        assert_eq!(header.as_ref(), Ok(&entry.header), "the header alone says something else");
        let mut again = BytesMut::new();
        entry.encode(&mut again);
        assert_eq!(entry.encoded_bytes(), again.len());
        assert_eq!(again[..], before[..before.len() - rest.len()], "the entry is encoded differently");
        check_records(&entry);
        count += 1;
    }
    let together = decode_entries(all);
    assert_eq!(together.is_ok(), rest.is_empty(), "the message and its entries are judged differently");
    assert!(together.is_err() || together.is_ok_and(|entries| entries.len() == count));
}

fn check_records(entry: &Entry) {
    let mut again = BytesMut::new();
    let (mut count, mut sound, mut whole) = (0, true, true);
    for record in records(entry.body.clone()) {
        match record {
            Ok(record) => {
                assert!(whole, "a record behind an error");
                let Number { session, sequence, window } = record.number;
                sound &= match session {
                    0 => (sequence, window) == (0, 0),
                    _ => u64::from(window) < sequence,
                };
                push_record(&mut again, record.number, &record.payload);
                count += 1;
            }
            Err(_) => whole = false,
        }
    }
    assert_eq!(again[..], entry.body[..again.len()], "the records are encoded differently");
    assert!(!whole || again.len() == entry.body.len(), "the records end early");
    let checked = check_run(&entry.body, entry.header.record_count);
    let right = whole && sound && count == entry.header.record_count;
    assert_eq!(checked.is_ok(), right, "the run is judged as {checked:?}");
}
