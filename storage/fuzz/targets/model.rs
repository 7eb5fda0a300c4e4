//! A log as simple as can be: what a group should hold.

use bytes::{Bytes, BytesMut};
use lovebird_core::entry::{Entry, EntryId, EntryKind};
use lovebird_core::fence::{Fence, Numbering, Token, count};
use lovebird_core::log_store::{LogState, LogStore, Vote};
use lovebird_core::record::{Number, push_record};

/// See the module.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Model {
    pub purged: Option<(EntryId, Numbering)>,
    pub entries: Vec<Entry>,
    pub vote: Option<Vote>,
    pub committed: Option<EntryId>,
}

impl Model {
    /// The last entry, or the purge point if there is none behind it.
    pub fn last(&self) -> Option<EntryId> {
        self.entries.last().map(Entry::id).or(self.purged.map(|(id, _)| id))
    }

    fn base(&self) -> Numbering {
        self.purged.map_or(Numbering::default(), |(_, numbering)| numbering)
    }

    /// Counts from scratch, after each entry.
    pub fn numberings(&self) -> Vec<Numbering> {
        let mut numbering = self.base();
        let counted = self.entries.iter().map(|entry| {
            numbering = count(numbering, &entry.header).0;
            numbering
        });
        counted.collect()
    }

    /// Counts from scratch, up to the end.
    pub fn end(&self) -> Numbering {
        self.numberings().last().copied().unwrap_or(self.base())
    }

    /// What the log should say of itself.
    pub fn state(&self) -> LogState {
        LogState {
            purged: self.purged.map(|(id, _)| id),
            last: self.last(),
            vote: self.vote,
            committed: self.committed,
            first_index: self.base().last_index + 1,
            last_index: self.end().last_index,
        }
    }

    /// An entry that follows: a blank, a barrier, or a batch of any kind that stands in its leader's order or does not.
    pub fn next(&self, term: u64, kind: u8, bytes: usize) -> Entry {
        let token = Token { node: 1, incarnation: 7, counter: term };
        let position = self.end().position;
        let (kind, position) = match kind % 8 {
            0 => (EntryKind::Blank, 0),
            1 | 2 => (EntryKind::Barrier, 0),
            3 => (EntryKind::Commands, position + 2),
            6 => (EntryKind::Outcomes, position + 1),
            7 => (EntryKind::Sessions, position + 1),
            _ => (EntryKind::Commands, position + 1),
        };
        let number = self.last().map_or(0, |last| last.number + 1);
        let mut run = BytesMut::new();
        match kind {
            EntryKind::Commands | EntryKind::Sessions => {
                push_record(&mut run, Number::NONE, &vec![number as u8; bytes]);
            }
            EntryKind::Outcomes => {
                let of_session = Number { session: term, sequence: number + 1, window: number.min(1) as u16 };
                push_record(&mut run, of_session, &vec![number as u8; bytes]);
            }
            EntryKind::Blank | EntryKind::Membership | EntryKind::Barrier => {}
        }
        // Openings of sessions are no records.
        let records = u32::from(matches!(kind, EntryKind::Commands | EntryKind::Outcomes));
        let mut entry = Entry::new(kind, Bytes::from(run));
        (entry.header.term, entry.header.number, entry.header.record_count) = (term, number, records);
        if kind != EntryKind::Blank {
            entry.header.fence = Fence { token, position };
            entry.header.time = number;
        }
        entry
    }

    /// Stamps as the fence says.
    pub fn append(&mut self, mut entry: Entry) {
        entry.header.first_index = count(self.end(), &entry.header).1.unwrap_or(0);
        self.entries.push(entry);
    }

    /// Whether this is what the log says, of all that it can still read.
    pub fn is(&self, log: &dyn LogStore) -> bool {
        log.state() == self.state() && self.numbered_as(log) && self.held_by(log)
    }

    fn numbered_as(&self, log: &dyn LogStore) -> bool {
        let numbers = self.entries.iter().map(|entry| entry.header.number);
        let mut numbered = numbers.zip(self.numberings());
        numbered.all(|(number, numbering)| log.numbering_at(number) == Some(numbering))
    }

    fn held_by(&self, log: &dyn LogStore) -> bool {
        let one_by_one = self.entries.iter().all(|entry| {
            let number = entry.header.number;
            log.read(number..number + 1, 1).map_or(true, |found| found[..] == [entry.clone()])
        });
        one_by_one && log.read(0..u64::MAX, usize::MAX).map_or(true, |found| found == self.entries)
    }

    /// Whether all of it can be read.
    pub fn is_readable(&self, log: &dyn LogStore) -> bool {
        log.read(0..u64::MAX, usize::MAX).is_ok()
    }
}
