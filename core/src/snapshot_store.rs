//! The seam to snapshot files: what the machinery asks of whoever keeps them.
//!
//! A snapshot file is a [`SnapshotMeta`] and then, as far as the meta says, the sessions, and what the user's state machine
//! wrote. Files are immutable once finished. They travel between nodes as the raw bytes of the file, so that a transfer can
//! resume and is verified as a whole before it replaces anything.
//!
//! All methods may block on the disk, and are called where blocking is allowed.

use std::io::{self, Read, Write};
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::codec::{self, Bincode, Codec, CodecError};
use crate::entry::EntryId;
use crate::fence::Numbering;
use crate::identity::{ClusterId, GroupId, Membership};
use crate::planted::{self, Bug};
use crate::session::SessionTable;

/// All that is needed, beside the user's state, to go on from a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotMeta {
    /// The cluster that it was taken in, for whoever looks. It is compared with nothing: a rescue gives the cluster another id, and
    /// leaves its snapshots as they are.
    pub cluster: ClusterId,
    /// The group.
    pub group: GroupId,
    /// Term and number of the last entry applied.
    pub last: (u64, u64),
    /// The numbering after that entry: log index, log time, and the fence.
    pub numbering: Numbering,
    /// Term and number of the entry that made the membership; none before there was one.
    pub membership_at: Option<(u64, u64)>,
    /// The members.
    pub membership: Membership,
    /// How many bytes of sessions stand before the user's state; 0 if there never was a session.
    pub sessions_bytes: u64,
}

/// [`SnapshotMeta`] as it is written where there are no sessions, and was before they existed.
#[derive(Serialize, Deserialize)]
struct WithoutSessions {
    cluster: ClusterId,
    group: GroupId,
    last: (u64, u64),
    numbering: Numbering,
    membership_at: Option<(u64, u64)>,
    membership: Membership,
}

impl SnapshotMeta {
    /// Its bytes, in bincode 2. The last field is left out if it is 0.
    pub fn encode(&self) -> Result<Vec<u8>, CodecError> {
        let SnapshotMeta { cluster, group, last, numbering, membership_at, .. } = *self;
        let membership = self.membership.clone();
        let mut bytes =
            Bincode::encode(&WithoutSessions { cluster, group, last, numbering, membership_at, membership })?;
        if self.sessions_bytes > 0 {
            bytes.extend(Bincode::encode(&self.sessions_bytes)?);
        }
        Ok(bytes)
    }

    /// Reads what [`SnapshotMeta::encode`] gave.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        if let Ok(meta) = Bincode::decode::<SnapshotMeta>(bytes) {
            return Ok(meta);
        }
        let WithoutSessions { cluster, group, last, numbering, membership_at, membership } =
            Bincode::decode(bytes)?;
        Ok(SnapshotMeta { cluster, group, last, numbering, membership_at, membership, sessions_bytes: 0 })
    }

    /// The last entry applied.
    pub fn last_entry(&self) -> EntryId {
        EntryId::new(self.last.0, self.last.1)
    }
}

/// The sessions as a snapshot holds them before the user's state.
pub(crate) fn encode_sessions(table: &SessionTable) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if !table.is_untouched() {
        codec::write_to(table, &mut bytes)?;
    }
    Ok(bytes)
}

/// Reads the sessions of a snapshot; `input` then stands before the user's state.
pub(crate) fn read_sessions(meta: &SnapshotMeta, input: &mut dyn Read) -> io::Result<SessionTable> {
    if meta.sessions_bytes == 0 {
        return Ok(SessionTable::default());
    }
    let mut input = input.take(meta.sessions_bytes);
    let table = codec::read_from(&mut input)?;
    match input.limit() {
        0 if planted::is(Bug::DropSessionsAtRestore) => Ok(SessionTable::default()),
        0 => Ok(table),
        left => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{left} bytes are left over after the snapshot's sessions"),
        )),
    }
}

/// Names the bytes of one finished file, so that an interrupted transfer resumes only what it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SnapshotId {
    /// The last entry applied.
    pub last: EntryId,
    /// Length of the file in bytes.
    pub length: u64,
    /// The checksum over the whole file that its footer carries.
    pub checksum: u32,
}

/// Keeps a group's snapshots.
pub trait SnapshotStore: Send + Sync + 'static {
    /// Starts to write a snapshot. Nothing is visible before [`SnapshotWriter::finish`].
    fn create(&self, meta: &SnapshotMeta) -> io::Result<Box<dyn SnapshotWriter>>;

    /// Starts, or goes on, to receive the file `id` from another node. What was received of any other file is dropped.
    fn receive(&self, id: SnapshotId) -> io::Result<Box<dyn SnapshotReceiver>>;

    /// The newest finished snapshot.
    fn latest(&self) -> io::Result<Option<Arc<dyn SnapshotFile>>>;
}

/// Takes what the user's state machine writes. Dropped unfinished, it leaves nothing that counts.
pub trait SnapshotWriter: Write + Send {
    /// Makes the snapshot durable and visible under its name, then drops older ones (the newest two are kept).
    fn finish(self: Box<Self>) -> io::Result<Arc<dyn SnapshotFile>>;
}

/// Takes the raw bytes of a file from another node.
pub trait SnapshotReceiver: Send {
    /// How many bytes are already there, from the start; the transfer goes on from here.
    fn offset(&self) -> u64;

    /// Appends bytes at [`SnapshotReceiver::offset`].
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Verifies the whole file, makes it durable and visible.
    ///
    /// # Errors
    /// `InvalidData` if it is not what its sender had, `Unsupported` if its sender writes a newer format; what was received is
    /// then dropped.
    fn finish(self: Box<Self>) -> io::Result<Arc<dyn SnapshotFile>>;
}

/// One finished snapshot file. It stays readable while someone holds it.
pub trait SnapshotFile: Send + Sync + 'static {
    /// What it says of itself.
    fn meta(&self) -> &SnapshotMeta;

    /// Its name among all files.
    fn id(&self) -> SnapshotId;

    /// Up to `bytes` raw bytes from `offset`; fewer only at the end.
    fn read_raw(&self, offset: u64, bytes: usize) -> io::Result<Bytes>;

    /// What was written: the sessions and what the user's state machine wrote. Fails with `InvalidData` at the first byte that
    /// does not verify.
    fn open(&self) -> io::Result<Box<dyn Read + Send>>;
}
