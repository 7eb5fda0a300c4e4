//! Records: one command each, as the client encodes it and as the log, the wire and subscribers hold it.
//!
//! A *run* is records laid end to end. It is what a client sends, what an entry holds behind its header, and what `apply`
//! decodes. Little-endian:
//!
//! | offset | bytes | field |
//! |---:|---:|---|
//! | 0 | 8 | session; 0 for none |
//! | 8 | 6 | sequence within the session, from 1; 0 without one |
//! | 14 | 2 | window: how many sequences before this one its client may still ask for; 0 without a session |
//! | 16 | 4 | length of the payload |
//! | 20 | … | payload, in the entry's codec |

use bytes::{Buf, BufMut, Bytes, BytesMut};
use thiserror::Error;

/// Bytes before a record's payload.
pub const RECORD_HEADER_BYTES: usize = 20;

/// The largest payload of one record, 16 MiB.
pub const PAYLOAD_BYTES_MAX: usize = 16 << 20;

/// The highest sequence: 48 bits, a million commands a second for nine years.
pub const SEQUENCE_MAX: u64 = (1 << 48) - 1;

/// Which command of which session a record is; see [`crate::session`]. All 0 for a record without one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Number {
    /// The session that sent it; 0 for none.
    pub session: u64,
    /// Its sequence within the session, from 1; 0 without one.
    pub sequence: u64,
    /// How many sequences before this one its client may still ask for. What lies before that is settled.
    pub window: u16,
}

impl Number {
    /// No session.
    pub const NONE: Number = Number { session: 0, sequence: 0, window: 0 };

    /// The lowest sequence that its client may still ask for.
    pub fn lowest(&self) -> u64 {
        self.sequence - u64::from(self.window)
    }

    fn is_sound(&self) -> bool {
        match self.session {
            0 => *self == Number::NONE,
            _ => u64::from(self.window) < self.sequence && self.sequence <= SEQUENCE_MAX,
        }
    }
}

/// One command as the log holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Which command of which session it is.
    pub number: Number,
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
    /// Session, sequence and window do not go together.
    #[error(
        "record {record} of session {session} has sequence {sequence} and window {window}, which do not go together"
    )]
    Number {
        /// Which record of the run, from 0.
        record: u32,
        /// The session that it names.
        session: u64,
        /// The sequence that it claims.
        sequence: u64,
        /// The window that it claims.
        window: u16,
    },
}

/// Appends one record to a run.
///
/// # Panics
/// If the payload is larger than [`PAYLOAD_BYTES_MAX`]; callers check first, where they can still say so to someone.
/// If the sequence is above [`SEQUENCE_MAX`].
pub fn push_record(run: &mut BytesMut, number: Number, payload: &[u8]) {
    assert!(
        payload.len() <= PAYLOAD_BYTES_MAX,
        "a payload of {} bytes exceeds the limit of {PAYLOAD_BYTES_MAX}",
        payload.len()
    );
    let Number { session, sequence, window } = number;
    assert!(sequence <= SEQUENCE_MAX, "a sequence of {sequence} exceeds the limit of {SEQUENCE_MAX}");
    run.reserve(RECORD_HEADER_BYTES + payload.len());
    run.put_u64_le(session);
    run.put_u64_le(sequence | u64::from(window) << 48);
    run.put_u32_le(payload.len() as u32);
    run.put_slice(payload);
}

/// Appends one record without a number whose payload `encode` writes in place. What it leaves after an error is taken back.
///
/// # Errors
/// Those of `encode`; or `Ok` with the payload's length, if it is larger than [`PAYLOAD_BYTES_MAX`].
pub(crate) fn push_plain_record<E>(
    run: &mut Vec<u8>,
    encode: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<usize, E> {
    let start = run.len();
    let header = [0; RECORD_HEADER_BYTES];
    run.extend_from_slice(&header);
    let encoded = encode(run);
    let bytes = run.len() - start - RECORD_HEADER_BYTES;
    if encoded.is_err() || bytes > PAYLOAD_BYTES_MAX {
        run.truncate(start);
    } else {
        let length = start + RECORD_HEADER_BYTES - 4;
        run[length..length + 4].copy_from_slice(&(bytes as u32).to_le_bytes());
    }
    encoded.map(|()| bytes)
}

/// The records of a run, one by one, without copying; each holds on to the run. Ends after the first error.
pub fn records(run: Bytes) -> Records {
    Records { rest: run, next: 0 }
}

/// The records of a run, one by one, for whoever is done with each before the next. Ends after the first error.
pub fn records_in(run: &[u8]) -> RecordsIn<'_> {
    RecordsIn { rest: run, next: 0 }
}

/// One command where it stands in its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordIn<'a> {
    /// Which command of which session it is.
    pub number: Number,
    /// The encoded command.
    pub payload: &'a [u8],
}

/// Iterates over a run; see [`records_in`].
#[derive(Clone, Debug)]
pub struct RecordsIn<'a> {
    rest: &'a [u8],
    next: u32,
}

impl<'a> RecordsIn<'a> {
    /// Takes the next record off a rest that is not empty.
    fn take(&mut self) -> Result<RecordIn<'a>, RecordError> {
        let record = self.next;
        let Some((mut header, payload)) = self.rest.split_at_checked(RECORD_HEADER_BYTES) else {
            return Err(RecordError::Short { record, missing: RECORD_HEADER_BYTES - self.rest.len() });
        };
        let session = header.get_u64_le();
        let sequence = header.get_u64_le();
        let number = Number { session, sequence: sequence & SEQUENCE_MAX, window: (sequence >> 48) as u16 };
        let bytes = header.get_u32_le() as usize;
        if bytes > PAYLOAD_BYTES_MAX {
            return Err(RecordError::Large { record, bytes });
        }
        let Some((payload, rest)) = payload.split_at_checked(bytes) else {
            return Err(RecordError::Short { record, missing: bytes - payload.len() });
        };
        (self.rest, self.next) = (rest, record + 1);
        Ok(RecordIn { number, payload })
    }
}

impl<'a> Iterator for RecordsIn<'a> {
    type Item = Result<RecordIn<'a>, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let taken = self.take();
        if taken.is_err() {
            self.rest = &[];
        }
        Some(taken)
    }
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
        let mut within = RecordsIn { rest: &self.rest, next: self.next };
        let taken = within.next()?;
        let (left, next) = (within.rest.len(), within.next);
        let taken = taken.map(|record| (record.number, record.payload.len()));
        self.next = next;
        Some(match taken {
            Ok((number, bytes)) => {
                self.rest.advance(self.rest.len() - left - bytes);
                Ok(Record { number, payload: self.rest.split_to(bytes) })
            }
            Err(error) => {
                self.rest.clear();
                Err(error)
            }
        })
    }
}

/// Checks a run that came from outside: well formed, exactly `expected` records, each with a number that can be.
pub fn check_run(run: &[u8], expected: u32) -> Result<(), RecordError> {
    let mut found = 0;
    for record in records_in(run) {
        let record = record?;
        let Number { session, sequence, window } = record.number;
        if !record.number.is_sound() {
            return Err(RecordError::Number { record: found, session, sequence, window });
        }
        found += 1;
    }
    if found != expected {
        return Err(RecordError::Count { expected, found });
    }
    Ok(())
}
