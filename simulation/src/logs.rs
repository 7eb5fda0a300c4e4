//! Comparing the logs of nodes at rest: the same bytes wherever two of them hold the same entry, and numbers without gaps.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use lovebird_core::entry::Entry;
use lovebird_core::fence::{Numbering, count};
use lovebird_core::log_store::LogStore;
use lovebird_core::record::records;

use crate::check::{Checker, Invariant};

/// Tells the checker wherever two logs differ, one is not numbered as counting has it, or one holds other commands than were
/// applied.
pub(crate) fn compare(checker: &Checker, logs: &[(u64, Arc<dyn LogStore>)]) {
    let mut known: BTreeMap<u64, (u64, Bytes)> = BTreeMap::new();
    for (node, log) in logs {
        let entries = match log.read(0..u64::MAX, usize::MAX) {
            Ok(entries) => entries,
            Err(error) => {
                let sentence = format!("the log of node {node} cannot be read: {error}");
                checker.violation(Invariant::Steadfast, sentence);
                continue;
            }
        };
        check_numbers(checker, *node, &**log, &entries);
        for entry in entries {
            let mut bytes = BytesMut::with_capacity(entry.encoded_bytes());
            entry.encode(&mut bytes);
            let bytes = bytes.freeze();
            let (other, first) = known.entry(entry.header.number).or_insert_with(|| (*node, bytes.clone()));
            if *first != bytes {
                let sentence = format!("nodes {other} and {node} hold different bytes as entry {entry}");
                checker.violation(Invariant::LogsMatch, sentence);
            }
        }
    }
}

fn check_numbers(checker: &Checker, node: u64, store: &dyn LogStore, entries: &[Entry]) {
    let log = store.state();
    let purged = log.purged.and_then(|purged| store.numbering_at(purged.number));
    let mut numbering: Numbering = purged.unwrap_or_default();
    let first = log.purged.map_or(0, |purged| purged.number + 1);
    for (number, entry) in (first..).zip(entries) {
        let header = &entry.header;
        let (after, first_index) = count(numbering, header);
        if header.number != number || header.first_index != first_index.unwrap_or(0) {
            checker.violation(
                Invariant::Consecutive,
                format!("node {node} holds entry {entry} where number {number} and log index {first_index:?} are due"),
            );
        }
        if let Some(first_index) = first_index {
            check_records(checker, node, entry, first_index);
        }
        numbering = after;
    }
    if log.last_index != numbering.last_index {
        checker.violation(
            Invariant::Consecutive,
            format!(
                "the log of node {node} says that it ends at log index {}, counting gives {}",
                log.last_index, numbering.last_index
            ),
        );
    }
}

fn check_records(checker: &Checker, node: u64, entry: &Entry, first_index: u64) {
    for (place, record) in records(entry.body.clone()).enumerate() {
        checker.holds(node, first_index + place as u64, record.ok().map(|record| record.payload));
    }
}
