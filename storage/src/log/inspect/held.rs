//! A group's log as a node would find it, for whoever in this crate wants to know more of it than a report says.

use std::collections::BTreeMap;

use bytes::Bytes;
use lovebird_core::entry::{Entry, EntryId, EntryKind};
use lovebird_core::fence::Numbering;
use lovebird_core::identity::GroupId;
use lovebird_core::log_store::LogState;

use super::report::GroupReport;
use crate::log::group::Group;
use crate::sync::lock;

/// See the module.
pub(crate) struct Held {
    group: Group,
    memberships: Memberships,
}

/// The last entry with each number that brought a membership, whether it is held still or not.
#[derive(Default)]
pub(super) struct Memberships(BTreeMap<u64, Entry>);

impl Memberships {
    /// Keeps of entries, as they were appended, those that bring memberships.
    pub(super) fn keep(&mut self, entries: Vec<Entry>) {
        for mut entry in entries.into_iter().filter(|entry| entry.header.kind == EntryKind::Membership) {
            // On its own, so that the whole segment is not kept with it.
            entry.body = Bytes::copy_from_slice(&entry.body);
            self.0.insert(entry.header.number, entry);
        }
    }
}

impl Held {
    pub(super) fn new(group: Group, memberships: Memberships) -> Held {
        Held { group, memberships }
    }

    /// The group.
    pub(crate) fn group(&self) -> GroupId {
        self.group.id
    }

    /// What its log would say of itself.
    pub(crate) fn state(&self) -> LogState {
        lock(&self.group.state).state()
    }

    /// The entry `number` and the numbering after it, if that is known, if the log holds the entry or it is the purge point.
    pub(crate) fn at(&self, number: u64) -> Option<(EntryId, Option<Numbering>)> {
        let point = lock(&self.group.state).point(number)?;
        Some((point.id, point.numbering))
    }

    /// The entries held that bring memberships, the newest first.
    pub(crate) fn memberships(&self) -> impl Iterator<Item = &Entry> {
        let is_held = |entry: &Entry| self.at(entry.header.number).is_some_and(|(id, _)| id == entry.id());
        self.memberships.0.values().rev().filter(move |entry| is_held(entry))
    }

    pub(super) fn report(&self) -> GroupReport {
        let state = lock(&self.group.state);
        let first = state.first();
        let state = state.state();
        let first = state.last.is_some_and(|last| last.number >= first).then_some(first);
        GroupReport { group: self.group.id, first, state }
    }
}
