//! A node that is to be the only member: its membership, and the vote and the entry that bring it about.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::mpsc;

use lovebird_core::codec::{Bincode, Codec, CodecError};
use lovebird_core::entry::{Entry, EntryId, EntryKind};
use lovebird_core::identity::{Membership, RaftId};
use lovebird_core::log_store::{Completion, Vote};

use super::GROUP;

/// The membership with one voter and no other member.
pub(super) fn membership(id: RaftId, address: &str) -> Membership {
    Membership { voters: vec![BTreeSet::from([id])], members: BTreeMap::from([(id, address.to_owned())]) }
}

/// The vote of a node for itself in the next term after `term`, which nobody has led in. It is not committed: the node has still
/// to be elected, which the first election after its start sees to, in a later term.
///
/// `None` if there is no next term.
pub(super) fn vote(id: RaftId, term: u64) -> Option<Vote> {
    Some(Vote { term: term.checked_add(1)?, node: id, committed: false })
}

/// The entry that brings a membership, as consensus writes it.
pub(super) fn entry(at: EntryId, membership: &Membership) -> Result<Entry, CodecError> {
    let mut entry = Entry::new(EntryKind::Membership, Bincode::encode(membership)?.into());
    (entry.header.codec, entry.header.group) = (Bincode::ID, GROUP);
    (entry.header.term, entry.header.number) = (at.term, at.number);
    Ok(entry)
}

/// Writes to a log, and waits until that is durable.
pub(super) fn durably(write: impl FnOnce(Completion) -> io::Result<()>) -> io::Result<()> {
    let (done, result) = mpsc::channel();
    write(Box::new(move |written| {
        // Whoever waits is right here.
        let _ = done.send(written);
    }))?;
    result.recv().map_err(|_| io::Error::other("the log was closed before a write was durable"))?
}
