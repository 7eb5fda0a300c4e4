//! Records: one command each, as the client encodes it and as the log, the wire and subscribers hold it.
//!
//! A *run* is records laid end to end. It is what a client sends, what an entry holds behind its header, and what `apply`
//! decodes. Little-endian:
//!
//! | offset | bytes | field |
//! |---:|---:|---|
//! | 0 | 8 | session; 0 for none |
//! | 8 | 8 | sequence within the session; 0 without one |
//! | 16 | 4 | length of the payload |
//! | 20 | … | payload, in the entry's codec |

use bytes::{Buf, BufMut, Bytes, BytesMut};
use thiserror::Error;

/// Bytes before a record's payload.
pub const RECORD_HEADER_BYTES: usize = 20;

/// The largest payload of one record, 16 MiB.
pub const PAYLOAD_BYTES_MAX: usize = 16 << 20;

/// One command as the log holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The session that sent it; 0 for none.
    pub session: u64,
    /// Its sequence within the session.
    pub sequence: u64,
    /// The encoded command.
    pub payload: Bytes,
}

/// Why bytes are not a run of records.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RecordError {
    /// The bytes end within a record.
    #[error("the run ends within record {record}: {missing} bytes are missing")]
    Short {
        /// Which record of the run, from 0.
        record: u32,
        /// How many bytes more it says that it has.
        missing: usize,
    },
    /// A payload is larger than [`PAYLOAD_BYTES_MAX`].
    #[error(
        "record {record} says that its payload has {bytes} bytes; at most {PAYLOAD_BYTES_MAX} are allowed"
    )]
    Large {
        /// Which record of the run, from 0.
        record: u32,
        /// The length that it claims.
        bytes: usize,
    },
    /// There are more or fewer records than was said.
    #[error("the run holds {found} records, not {expected}")]
    Count {
        /// How many there were to be.
        expected: u32,
        /// How many there are.
        found: u32,
    },
    /// A session is named, but sessions do not exist yet.
    #[error("record {record} names session {session}; sessions are not supported by this version")]
    Session {
        /// Which record of the run, from 0.
        record: u32,
        /// The session that it names.
        session: u64,
    },
}

/// Appends one record to a run.
///
/// # Panics
/// If the payload is larger than [`PAYLOAD_BYTES_MAX`]; callers check first, where they can still say so to someone.
pub fn push_record(run: &mut BytesMut, session: u64, sequence: u64, payload: &[u8]) {
    assert!(
        payload.len() <= PAYLOAD_BYTES_MAX,
        "a payload of {} bytes exceeds the limit of {PAYLOAD_BYTES_MAX}",
        payload.len()
    );
    run.reserve(RECORD_HEADER_BYTES + payload.len());
    run.put_u64_le(session);
    run.put_u64_le(sequence);
    run.put_u32_le(payload.len() as u32);
    run.put_slice(payload);
}

/// The records of a run, one by one, without copying. Ends after the first error.
pub fn records(run: Bytes) -> Records {
    Records { rest: run, next: 0 }
}

/// Iterates over a run; see [`records`].
#[derive(Clone, Debug)]
pub struct Records {
    rest: Bytes,
    next: u32,
}

impl Iterator for Records {
    type Item = Result<Record, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let record = self.next;
        self.next += 1;
        if self.rest.len() < RECORD_HEADER_BYTES {
            let missing = RECORD_HEADER_BYTES - self.rest.len();
            self.rest.clear();
            return Some(Err(RecordError::Short { record, missing }));
        }
        let session = self.rest.get_u64_le();
        let sequence = self.rest.get_u64_le();
        let bytes = self.rest.get_u32_le() as usize;
        if bytes > PAYLOAD_BYTES_MAX {
            self.rest.clear();
            return Some(Err(RecordError::Large { record, bytes }));
        }
        if self.rest.len() < bytes {
            let missing = bytes - self.rest.len();
            self.rest.clear();
            return Some(Err(RecordError::Short { record, missing }));
        }
        Some(Ok(Record { session, sequence, payload: self.rest.split_to(bytes) }))
    }
}

/// Checks a run that came from outside: well formed, exactly `expected` records, no sessions.
pub fn check_run(run: &Bytes, expected: u32) -> Result<(), RecordError> {
    let mut found = 0;
    for record in records(run.clone()) {
        let record = record?;
        if record.session != 0 || record.sequence != 0 {
            return Err(RecordError::Session { record: found, session: record.session });
        }
        found += 1;
    }
    if found != expected {
        return Err(RecordError::Count { expected, found });
    }
    Ok(())
}
