//! Which entries of the stream were cut off again further down in it.

use std::collections::BTreeMap;

use lovebird_core::identity::GroupId;
use lovebird_storage::Disk;
use lovebird_storage::log::inspect::{Change, Segments};

use crate::outcome::Failure;
use crate::place::Place;

/// Where something stands in the stream: segment and offset.
pub(crate) type Position = (u64, u64);

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The log holds it, or held it until it was purged.
    Kept,
    /// It was cut off.
    CutOff,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Cuts {
    groups: BTreeMap<GroupId, Group>,
}

#[derive(Debug, Default)]
struct Group {
    purged: Option<u64>,
    /// Where it was cut, and from which entry number on something was cut there or later.
    cuts: Vec<(Position, u64)>,
}

impl Cuts {
    /// Goes through the whole log.
    pub(crate) fn find(disk: &dyn Disk, place: &Place) -> Result<Cuts, Failure> {
        let mut cuts = Cuts::default();
        for segment in Segments::list(disk, &place.log)? {
            let segment = segment?;
            let operations = segment.frames.iter().flat_map(|frame| frame.operations()).flatten();
            for operation in operations {
                cuts.note(operation.group, (segment.number, operation.offset), &operation.change);
            }
        }
        for group in cuts.groups.values_mut() {
            let mut lowest = u64::MAX;
            for (_, from) in group.cuts.iter_mut().rev() {
                lowest = lowest.min(*from);
                *from = lowest;
            }
        }
        Ok(cuts)
    }

    fn note(&mut self, group: GroupId, at: Position, change: &Change) {
        let group = self.groups.entry(group).or_default();
        match change {
            Change::PurgeUpTo { last, .. } => group.purged = Some(last.number),
            Change::Checkpoint { purged, .. } => group.purged = purged.map(|purged| purged.number),
            Change::TruncateAfter(last) => {
                // What was purged before stays what it was.
                let kept = last.map(|last| last.number).or(group.purged);
                group.cuts.push((at, kept.map_or(0, |kept| kept + 1)));
            }
            _ => {}
        }
    }

    /// What became of the entry `number` that stands there.
    pub(crate) fn fate(&self, group: GroupId, at: Position, number: u64) -> Fate {
        let Some(Group { cuts, .. }) = self.groups.get(&group) else { return Fate::Kept };
        let later = cuts.partition_point(|(cut, _)| *cut < at);
        match cuts.get(later) {
            Some((_, from)) if *from <= number => Fate::CutOff,
            _ => Fate::Kept,
        }
    }
}
