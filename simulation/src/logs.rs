//! Comparing the logs of nodes at rest: the same bytes wherever two of them hold the same entry, and numbers without gaps.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use lovebird_core::codec::{Bincode, Codec};
use lovebird_core::entry::Entry;
use lovebird_core::fence::{Numbering, count};
use lovebird_core::record::records;

use crate::check::Checker;
use crate::cluster::Replica;
use crate::counter::Command;

/// Tells the checker wherever two logs differ, one is not numbered as counting has it, or one holds other commands than were
/// applied.
pub(crate) fn compare<S>(checker: &Checker, replicas: &[(u64, Replica<S>)]) {
    let mut known: BTreeMap<u64, (u64, Bytes)> = BTreeMap::new();
    for (node, replica) in replicas {
        let entries = match replica.log.read(0..u64::MAX, usize::MAX) {
            Ok(entries) => entries,
            Err(error) => {
                checker.violation(format!("the log of node {node} cannot be read: {error}"));
                continue;
            }
        };
        check_numbers(checker, *node, replica, &entries);
        for entry in entries {
            let mut bytes = BytesMut::with_capacity(entry.encoded_bytes());
            entry.encode(&mut bytes);
            let bytes = bytes.freeze();
            let (other, first) = known.entry(entry.header.number).or_insert_with(|| (*node, bytes.clone()));
            if *first != bytes {
                checker.violation(format!("nodes {other} and {node} hold different bytes as entry {entry}"));
            }
        }
    }
}

fn check_numbers<S>(checker: &Checker, node: u64, replica: &Replica<S>, entries: &[Entry]) {
    let log = replica.log.state();
    let purged = log.purged.and_then(|purged| replica.log.numbering_at(purged.number));
    let mut numbering: Numbering = purged.unwrap_or_default();
    let first = log.purged.map_or(0, |purged| purged.number + 1);
    for (number, entry) in (first..).zip(entries) {
        let header = &entry.header;
        let (after, first_index) = count(numbering, header);
        if header.number != number || header.first_index != first_index.unwrap_or(0) {
            checker.violation(format!(
                "node {node} holds entry {entry} where number {number} and log index {first_index:?} are due"
            ));
        }
        if let Some(first_index) = first_index {
            check_records(checker, node, entry, first_index);
        }
        numbering = after;
    }
    if log.last_index != numbering.last_index {
        checker.violation(format!(
            "the log of node {node} says that it ends at log index {}, counting gives {}",
            log.last_index, numbering.last_index
        ));
    }
}

fn check_records(checker: &Checker, node: u64, entry: &Entry, first_index: u64) {
    for (place, record) in records(entry.body.clone()).enumerate() {
        let found = record.ok().and_then(|record| Bincode::decode::<Command>(&record.payload).ok());
        checker.holds(node, first_index + place as u64, found);
    }
}
