//! One entry is applied: what it does to the state, the sessions and the position.

use std::time::Duration;

use bytes::BytesMut;

use super::{Applying, Beginning, Position, lock};
use crate::codec::{Bincode, Codec};
use crate::context::Context;
use crate::entry::{Entry, EntryKind};
use crate::fence::{Numbering, count};
use crate::machine::Machine;
use crate::raft::{Applied, membership_of};
use crate::record::{Number, records_in};
use crate::reply::push_reply;
use crate::session::{Admission, Opening, SessionTable};

/// Applies one entry and moves `position` behind it.
pub(super) fn apply_entry(
    applying: &Applying,
    machine: &mut dyn Machine,
    position: &mut Position,
    entry: &Entry,
) -> Applied {
    let header = &entry.header;
    if let Some(last) = position.last {
        assert!(
            header.number == last.number + 1,
            "entry {} was to be applied behind {last}: entries are applied in order and without gaps",
            entry.id()
        );
    }
    let before = position.numbering;
    let (after, first_index) = count(before, header);
    assert!(
        header.first_index == first_index.unwrap_or(0),
        "the log numbers the records of entry {} from {}, counting gives {first_index:?}",
        entry.id(),
        header.first_index
    );
    let mut replies = BytesMut::new();
    let mut stands_at = first_index;
    match header.kind {
        EntryKind::Blank => {}
        EntryKind::Membership => {
            position.membership = membership_of(entry).expect("a membership entry holds a membership");
            position.membership_at = Some(entry.id());
        }
        EntryKind::Barrier => begin(applying, machine, after),
        EntryKind::Sessions => {
            if after.position > before.position {
                open_sessions(&mut lock(&applying.sessions), entry, after.time, &mut replies);
                stands_at = Some(after.last_index + 1);
            }
        }
        EntryKind::Commands | EntryKind::Outcomes => {
            if let Some(first_index) = first_index {
                apply_records(applying, machine, entry, first_index, after.time, &mut replies);
            }
        }
    }
    position.last = Some(entry.id());
    position.numbering = after;
    Applied { first_index: stands_at, replies: replies.freeze() }
}

/// A barrier has been applied. If it is this node's own, it leads from here on.
fn begin(applying: &Applying, machine: &dyn Machine, numbering: Numbering) {
    if lock(&applying.awaited).token != Some(numbering.token) {
        return;
    }
    let sessions = lock(&applying.sessions).sessions().clone();
    let copy = machine.working_copy();
    let beginning = Beginning { token: numbering.token, numbering, sessions, copy };
    let mut awaited = lock(&applying.awaited);
    // Another leadership of this node may have begun meanwhile, with a barrier of its own.
    if awaited.token == Some(numbering.token) {
        awaited.beginning = Some(beginning);
    }
}

fn open_sessions(table: &mut SessionTable, entry: &Entry, time: u64, replies: &mut BytesMut) {
    table.advance(time);
    for record in records_in(&entry.body) {
        let record = record.unwrap_or_else(|e| panic!("entry {} is not a run of openings: {e}", entry.id()));
        let opening = Bincode::decode::<Opening>(record.payload)
            .unwrap_or_else(|e| panic!("entry {} holds no opening of a session: {e}", entry.id()));
        let opened = table.open(&opening, time);
        push_reply(replies, Ok(&Bincode::encode(&opened).expect("what opening came to is plain data")));
    }
}

fn apply_records(
    applying: &Applying,
    machine: &mut dyn Machine,
    entry: &Entry,
    first_index: u64,
    time: u64,
    replies: &mut BytesMut,
) {
    let header = &entry.header;
    assert!(
        header.codec == Bincode::ID,
        "entry {} is written by codec {}, which this build does not know: upgrade this node",
        entry.id(),
        header.codec
    );
    assert!(
        header.kind == machine.model().entry_kind(),
        "entry {} holds {:?}, which a service in the {} model does not apply: start it in the model of its log",
        entry.id(),
        header.kind,
        machine.model()
    );
    // Which command each is, and where its reply ends.
    let mut applied = Vec::with_capacity(header.record_count as usize);
    let mut next = first_index;
    for record in records_in(&entry.body) {
        let record = record.unwrap_or_else(|e| panic!("entry {} is not a run of records: {e}", entry.id()));
        let context = Context::new(applying.origin, next, header.term, Duration::from_nanos(time));
        machine.apply(&context, record.payload, replies);
        applied.push((record.number, replies.len()));
        next += 1;
    }
    enter(applying, &applied, first_index, time, replies);
    assert!(
        next - first_index == u64::from(header.record_count),
        "entry {} holds {} records, its header says {}",
        entry.id(),
        next - first_index,
        header.record_count
    );
}

/// Enters the applied commands of one entry, the first of which stands at log index `next`, into their sessions. Locked once an entry
/// and never while the user's code runs: whoever answers a duplicate must not wait for that.
///
/// # Panics
/// If one must not have been let in. What was applied is then never seen: the panic ends the replica.
fn enter(applying: &Applying, applied: &[(Number, usize)], mut next: u64, time: u64, replies: &[u8]) {
    let mut sessions = lock(&applying.sessions);
    sessions.advance(time);
    let mut start = 0;
    for &(number, end) in applied {
        if number.session != 0 {
            let admission = sessions.admit(number);
            assert!(
                admission == Admission::New,
                "command {} of session {} stands at log index {next}, and is {admission:?}: a leader let in what it must not",
                number.sequence,
                number.session
            );
            sessions.keep(number, time, next, &replies[start..end]);
        }
        start = end;
        next += 1;
    }
}
