//! Entries: what consensus agrees on, and the one binary format of Lovebird.
//!
//! An entry is the same bytes in the leader's memory, on each disk, on the wire and at a subscriber: a header of
//! [`HEADER_BYTES`], then a body. The body of a `Commands` or an `Outcomes` entry is a run of records ([`crate::record`]);
//! that of a `Sessions` entry is a run of openings ([`crate::session`]), which are not counted as records; that of a
//! `Membership` entry is the encoded membership; others have none. Little-endian:
//!
//! | offset | bytes | field |
//! |---:|---:|---|
//! | 0 | 1 | version, 1 |
//! | 1 | 1 | kind: 1 blank, 2 membership, 3 barrier, 4 commands, 5 outcomes, 6 sessions |
//! | 2 | 1 | codec of the records: 0 none, 1 bincode 2 standard |
//! | 3 | 1 | flags, 0 (reserved for compression) |
//! | 4 | 4 | group |
//! | 8 | 8 | term |
//! | 16 | 8 | entry number |
//! | 24 | 8 | log index of the first record; 0 if none counts |
//! | 32 | 4 | number of records |
//! | 36 | 4 | length of the body in bytes |
//! | 40 | 8 | time: nanoseconds since the Unix epoch, stamped by the leader; 0 in blank and membership entries |
//! | 48 | 8 | fence: node of the token |
//! | 56 | 8 | fence: incarnation of the token |
//! | 64 | 8 | fence: counter of the token |
//! | 72 | 8 | fence: position |
//! | 80 | 4 | CRC-32C of the body, made where the body is put together |
//! | 84 | 4 | CRC-32C of bytes 0 to 83, made when number, term and log index are stamped |
//!
//! The format is frozen by `core/tests/fixtures`.

use std::fmt;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use thiserror::Error;

use crate::fence::{Fence, Token};
use crate::identity::GroupId;

/// Bytes of an entry before its body.
pub const HEADER_BYTES: usize = 88;

/// The version of the format that this crate writes.
pub const ENTRY_VERSION: u8 = 1;

/// The largest body, 64 MiB. Proposals are bounded far below it; this is where decoding stops believing.
pub const BODY_BYTES_MAX: usize = 64 << 20;

/// An entry's place in a group's log: raft's log id. It stays between consensus and the log engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct EntryId {
    /// The leadership under which it was appended.
    pub term: u64,
    /// Its number, from 0, without gaps.
    pub number: u64,
}

impl EntryId {
    /// The entry `number` of `term`.
    pub fn new(term: u64, number: u64) -> Self {
        EntryId { term, number }
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.term, self.number)
    }
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// Consensus' own, at the start of a term.
    Blank,
    /// A change of members.
    Membership,
    /// The beginning of a leader's stretch; see [`crate::fence`].
    Barrier,
    /// A batch of commands in the state machine model: what clients asked for.
    Commands,
    /// A batch of commands in the primary-backup model: what a primary made of what clients asked for.
    Outcomes,
    /// A batch of openings of sessions. It counts, and holds no records.
    Sessions,
}

impl EntryKind {
    fn to_byte(self) -> u8 {
        match self {
            EntryKind::Blank => 1,
            EntryKind::Membership => 2,
            EntryKind::Barrier => 3,
            EntryKind::Commands => 4,
            EntryKind::Outcomes => 5,
            EntryKind::Sessions => 6,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(EntryKind::Blank),
            2 => Some(EntryKind::Membership),
            3 => Some(EntryKind::Barrier),
            4 => Some(EntryKind::Commands),
            5 => Some(EntryKind::Outcomes),
            6 => Some(EntryKind::Sessions),
            _ => None,
        }
    }
}

/// The decoded header of an entry. The header's own CRC is made when it is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the entry is.
    pub kind: EntryKind,
    /// What encoded the records; see [`crate::codec`].
    pub codec: u8,
    /// The group whose log it is in.
    pub group: GroupId,
    /// Its term.
    pub term: u64,
    /// Its entry number.
    pub number: u64,
    /// The log index of its first record; 0 if none counts.
    pub first_index: u64,
    /// How many records it holds.
    pub record_count: u32,
    /// Bytes of its body.
    pub body_bytes: u32,
    /// Nanoseconds since the Unix epoch.
    pub time: u64,
    /// Its place in its leader's order.
    pub fence: Fence,
    /// CRC-32C of its body.
    pub body_crc: u32,
}

#[inline(always)]
fn u32_at(bytes: &[u8; HEADER_BYTES], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[inline(always)]
fn u64_at(bytes: &[u8; HEADER_BYTES], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

impl Header {
    /// The header's bytes.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let mut out = &mut bytes[..];
        out.put_u8(ENTRY_VERSION);
        out.put_u8(self.kind.to_byte());
        out.put_u8(self.codec);
        out.put_u8(0);
        out.put_u32_le(self.group);
        out.put_u64_le(self.term);
        out.put_u64_le(self.number);
        out.put_u64_le(self.first_index);
        out.put_u32_le(self.record_count);
        out.put_u32_le(self.body_bytes);
        out.put_u64_le(self.time);
        out.put_u64_le(self.fence.token.node);
        out.put_u64_le(self.fence.token.incarnation);
        out.put_u64_le(self.fence.token.counter);
        out.put_u64_le(self.fence.position);
        out.put_u32_le(self.body_crc);
        let crc = crc32c::crc32c(&bytes[..HEADER_BYTES - 4]);
        bytes[HEADER_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads a header and checks all that can be checked without the body.
    pub fn decode(bytes: &[u8]) -> Result<Header, EntryError> {
        if bytes.len() < HEADER_BYTES {
            return Err(EntryError::Short { need: HEADER_BYTES, have: bytes.len() });
        }
        // All at places that the compiler knows: it checks no bounds, in what replay does most.
        let bytes: &[u8; HEADER_BYTES] = bytes[..HEADER_BYTES].try_into().expect("it is cut to that length");
        if crc32c::crc32c(&bytes[..HEADER_BYTES - 4]) != u32_at(bytes, HEADER_BYTES - 4) {
            return Err(EntryError::HeaderCrc);
        }
        let [version, kind, codec, flags, ..] = *bytes;
        if version != ENTRY_VERSION {
            return Err(EntryError::Version { found: version });
        }
        let kind = EntryKind::from_byte(kind).ok_or(EntryError::Kind { found: kind })?;
        if flags != 0 {
            return Err(EntryError::Flags { found: flags });
        }
        let token =
            Token { node: u64_at(bytes, 48), incarnation: u64_at(bytes, 56), counter: u64_at(bytes, 64) };
        let header = Header {
            kind,
            codec,
            group: u32_at(bytes, 4),
            term: u64_at(bytes, 8),
            number: u64_at(bytes, 16),
            first_index: u64_at(bytes, 24),
            record_count: u32_at(bytes, 32),
            body_bytes: u32_at(bytes, 36),
            time: u64_at(bytes, 40),
            fence: Fence { token, position: u64_at(bytes, 72) },
            body_crc: u32_at(bytes, 80),
        };
        if header.body_bytes as usize > BODY_BYTES_MAX {
            return Err(EntryError::Large { bytes: header.body_bytes as usize });
        }
        Ok(header)
    }
}

/// A header and a body: what consensus agrees on.
///
/// `Debug` and `Display` never print the body.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// The header.
    pub header: Header,
    /// The records, or the encoded membership.
    pub body: Bytes,
}

impl Entry {
    /// An entry that has not been stamped yet: term, number and first log index are 0.
    ///
    /// # Panics
    /// If the body is larger than [`BODY_BYTES_MAX`], so that nobody could read it again.
    pub fn new(kind: EntryKind, body: Bytes) -> Self {
        assert!(
            body.len() <= BODY_BYTES_MAX,
            "an entry's body of {} bytes exceeds the limit of {BODY_BYTES_MAX}",
            body.len()
        );
        let header = Header {
            kind,
            codec: 0,
            group: 0,
            term: 0,
            number: 0,
            first_index: 0,
            record_count: 0,
            body_bytes: body.len() as u32,
            time: 0,
            fence: Fence::default(),
            body_crc: crc32c::crc32c(&body),
        };
        Entry { header, body }
    }

    /// Its place in the log.
    pub fn id(&self) -> EntryId {
        EntryId { term: self.header.term, number: self.header.number }
    }

    /// How many bytes [`Entry::encode`] appends.
    pub fn encoded_bytes(&self) -> usize {
        HEADER_BYTES + self.body.len()
    }

    /// Appends the entry's bytes to `out`.
    pub fn encode(&self, out: &mut impl BufMut) {
        out.put_slice(&self.header.encode());
        out.put_slice(&self.body);
    }

    /// Takes one entry from the front of `bytes`, without copying, and checks both CRCs.
    pub fn decode(bytes: &mut Bytes) -> Result<Entry, EntryError> {
        let header = Header::decode(bytes)?;
        let need = HEADER_BYTES + header.body_bytes as usize;
        if bytes.len() < need {
            return Err(EntryError::Short { need, have: bytes.len() });
        }
        let body = bytes.slice(HEADER_BYTES..need);
        if crc32c::crc32c(&body) != header.body_crc {
            return Err(EntryError::BodyCrc { number: header.number });
        }
        bytes.advance(need);
        Ok(Entry { header, body })
    }
}

/// Entries laid end to end, as an append message carries them.
pub fn encode_entries(entries: &[Entry]) -> Bytes {
    let mut out = BytesMut::with_capacity(entries.iter().map(Entry::encoded_bytes).sum());
    for entry in entries {
        entry.encode(&mut out);
    }
    out.freeze()
}

/// The entries of an append message, sharing its bytes.
pub fn decode_entries(mut bytes: Bytes) -> Result<Vec<Entry>, EntryError> {
    let mut entries = Vec::new();
    while !bytes.is_empty() {
        entries.push(Entry::decode(&mut bytes)?);
    }
    Ok(entries)
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Header { kind, first_index, record_count, body_bytes, .. } = self.header;
        write!(f, "{} {kind:?}", self.id())?;
        if record_count > 0 {
            write!(f, " of {record_count} records from {first_index}, {body_bytes} bytes")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why bytes are not an entry.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EntryError {
    /// The bytes end too early.
    #[error("an entry of {need} bytes was expected, {have} are there")]
    Short {
        /// Bytes needed.
        need: usize,
        /// Bytes there.
        have: usize,
    },
    /// The header does not match its CRC.
    #[error("the entry's header does not match its checksum")]
    HeaderCrc,
    /// The body does not match its CRC.
    #[error("the body of entry {number} does not match its checksum")]
    BodyCrc {
        /// The entry's number.
        number: u64,
    },
    /// A version that this build does not know.
    #[error("the entry has format version {found}; this build knows {ENTRY_VERSION}: upgrade this node")]
    Version {
        /// The version found.
        found: u8,
    },
    /// A kind that this build does not know.
    #[error("the entry is of kind {found}, which this build does not know: upgrade this node")]
    Kind {
        /// The kind found.
        found: u8,
    },
    /// Flags that this build does not know.
    #[error("the entry has flags {found:#04x}, which this build does not know: upgrade this node")]
    Flags {
        /// The flags found.
        found: u8,
    },
    /// A body larger than [`BODY_BYTES_MAX`].
    #[error("the entry says that its body has {bytes} bytes; at most {BODY_BYTES_MAX} are allowed")]
    Large {
        /// The length that it claims.
        bytes: usize,
    },
}
