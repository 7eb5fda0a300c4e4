//! How far damage reaches: which log indexes stand at it and behind it, as far as anything that still verifies tells.
//!
//! The damaged bytes themselves may have held anything of any group. So every group is affected from where it stood before
//! them, up to the highest log index that any later frame speaks of: of the same segment, or the head of a later one.

use std::collections::BTreeMap;

use lovebird_core::entry::Entry;
use lovebird_core::fence::Numbering;
use lovebird_core::identity::GroupId;

use super::error::Affected;
use super::frame::Frame;
use super::operation::{Checkpoint, Operation, Point};
use super::trail::Trail;

/// What is affected if the log stands like this before the damage, and `later` are the frames that verify behind it.
pub(super) fn affected(trails: &BTreeMap<GroupId, Trail>, later: &[Frame]) -> Vec<Affected> {
    let mut groups: BTreeMap<GroupId, Affected> = trails
        .iter()
        .map(|(group, trail)| {
            let last = trail.checkpoint().last;
            let numbering = last.map_or(Some(Numbering::default()), |last| last.numbering);
            let first = numbering.map(|numbering| numbering.last_index + 1);
            (*group, Affected { group: *group, first, last: None })
        })
        .collect();
    for frame in later {
        let mut payload = frame.payload.clone();
        while let Some((group, operation)) = Operation::decode(&mut payload) {
            // A group that the log did not know before the damage begins with it.
            let affected = groups.entry(group).or_insert(Affected { group, first: Some(1), last: None });
            affected.last = affected.last.max(last_index(&operation));
        }
    }
    for affected in groups.values_mut() {
        affected.last = affected.last.filter(|last| affected.first.is_none_or(|first| *last >= first));
    }
    groups.into_values().collect()
}

/// The highest log index that an operation speaks of.
fn last_index(operation: &Operation) -> Option<u64> {
    let of_point = |point: &Point| point.numbering.map(|numbering| numbering.last_index);
    match operation {
        Operation::Append(entries) => entries.iter().filter_map(last_of_entry).max(),
        Operation::TruncateAfter(Some(point)) | Operation::PurgeUpTo(point) => of_point(point),
        Operation::Checkpoint(Checkpoint { last: Some(point), .. }) => of_point(point),
        _ => None,
    }
}

fn last_of_entry(entry: &Entry) -> Option<u64> {
    let header = &entry.header;
    let before = header.first_index.checked_sub(1)?;
    Some(before.saturating_add(header.record_count.into()))
}
