//! What both formats say of the same things: values for JSON, words for people.

use std::ops::RangeInclusive;

use lovebird_core::entry::{EntryId, EntryKind};
use lovebird_core::identity::Identity;
use lovebird_core::log_store::{LogState, Vote};
use lovebird_storage::log::inspect::{GroupReport, Seal};
use lovebird_storage::snapshot::inspect::{SnapshotView, State};
use serde_json::{Value, json};

pub(crate) fn entry(id: EntryId) -> Value {
    json!({ "term": id.term, "number": id.number })
}

pub(crate) fn vote(vote: Vote) -> Value {
    json!({ "term": vote.term, "node": vote.node.to_string(), "granted": vote.committed })
}

pub(crate) fn vote_text(vote: Vote) -> String {
    let granted = if vote.committed { ", granted by a majority" } else { "" };
    format!("in term {} for {}{granted}", vote.term, vote.node)
}

pub(crate) fn kind(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::Blank => "blank",
        EntryKind::Membership => "membership",
        EntryKind::Barrier => "barrier",
        EntryKind::Commands => "commands",
        EntryKind::Outcomes => "outcomes",
        EntryKind::Sessions => "sessions",
    }
}

pub(crate) fn seal(seal: Seal) -> &'static str {
    match seal {
        Seal::Open => "open",
        Seal::Footer => "footer",
        Seal::NoFooter => "no footer",
    }
}

/// `3` or `3-7`.
pub(crate) fn range(range: &RangeInclusive<u64>) -> String {
    if range.start() == range.end() {
        return range.start().to_string();
    }
    format!("{}-{}", range.start(), range.end())
}

pub(crate) fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or("-".to_owned(), |value| value.to_string())
}

pub(crate) fn identity(identity: &Result<Identity, String>) -> Value {
    match identity {
        Ok(identity) => json!({
            "verdict": "good",
            "cluster": identity.cluster.to_string(),
            "cluster_name": identity.cluster_name,
            "initial_members": identity.initial_members,
            "node": identity.id.to_string(),
            "model": identity.model.to_string(),
            "starts": identity.starts,
        }),
        Err(reason) => json!({ "verdict": "damaged", "reason": reason }),
    }
}

/// A line about the identity; what is wrong with it is said elsewhere.
pub(crate) fn identity_text(identity: &Identity) -> String {
    let members: Vec<String> = identity.initial_members.iter().map(u64::to_string).collect();
    format!(
        "cluster {:?} ({}), initial members {}, node {}, {} model, starts {}",
        identity.cluster_name,
        identity.cluster,
        members.join(" "),
        identity.id,
        identity.model,
        identity.starts
    )
}

pub(crate) fn group(report: &GroupReport) -> Value {
    let LogState { purged, last, vote: voted, committed, first_index, last_index } = &report.state;
    json!({
        "group": report.group,
        "first_log_index": first_index,
        "last_log_index": last_index,
        "first_entry_number": report.first,
        "last_entry": last.map(entry),
        "purged": purged.map(entry),
        "vote": voted.map(vote),
        "committed": committed.map(entry),
    })
}

pub(crate) fn group_text(report: &GroupReport) -> String {
    let state = &report.state;
    let records = match state.first_index <= state.last_index {
        true if state.first_index > 0 => {
            format!("log indexes {}", range(&(state.first_index..=state.last_index)))
        }
        _ => format!("no records behind log index {}", state.last_index),
    };
    let entries = match (report.first, state.last) {
        (Some(first), Some(last)) => format!("entries {}", range(&(first..=last.number))),
        _ => "no entries".to_owned(),
    };
    let last = state.last.map(|last| format!("term {}", last.term));
    let purged = state.purged.map(|purged| format!("purged up to entry {purged}"));
    let committed = state.committed.map(|committed| format!("committed entry {committed}"));
    let vote = state.vote.map(|vote| format!("vote {}", vote_text(vote)));
    let more = [last, purged, committed, vote].into_iter().flatten();
    let parts: Vec<String> = [records, entries].into_iter().chain(more).collect();
    format!("group {}: {}", report.group, parts.join(", "))
}

/// `order` is 1 for the newest finished snapshot of its group.
pub(crate) fn snapshot(view: &SnapshotView, order: Option<usize>) -> Value {
    let mut value = json!({
        "group": view.group,
        "file": view.path.display().to_string(),
        "bytes": view.bytes,
        "state": snapshot_state(&view.state),
    });
    match &view.state {
        State::Finished { meta, id } => {
            value["log_index"] = json!(meta.numbering.last_index);
            value["entry"] = entry(meta.last_entry());
            value["checksum"] = json!(format!("{:08x}", id.checksum));
            value["order"] = json!(order);
        }
        State::Unfinished => {}
        State::Refused(reason) => value["reason"] = json!(reason),
    }
    value
}

pub(crate) fn snapshot_state(state: &State) -> &'static str {
    match state {
        State::Finished { .. } => "finished",
        State::Unfinished => "unfinished",
        State::Refused(_) => "refused",
    }
}
