//! `dump`: the records, and what else the stream holds.

use std::ops::RangeInclusive;

use lovebird_core::entry::{EntryId, Header};
use lovebird_core::identity::GroupId;
use lovebird_core::record::Number;
use lovebird_storage::Disk;
use lovebird_storage::log::inspect::{Change, EntryView, OperationView, RecordView, SegmentView, Segments};
use serde_json::{Value, json};

use crate::args::{Content, Dump, Format, Payload};
use crate::cuts::{Cuts, Fate};
use crate::outcome::{Failure, Outcome};
use crate::output::{Output, complain};
use crate::place::Place;
use crate::time;
use crate::value;

const HEADING: &str = "group log-index term entry time session sequence bytes payload";

pub(crate) fn run(
    disk: &dyn Disk,
    place: &Place,
    options: &Dump,
    out: &mut Output,
) -> Result<Outcome, Failure> {
    let mut outcome = place.judge();
    if place.is_new() && !disk.exists(&place.log)? {
        return Ok(outcome);
    }
    let mut dump = Printer {
        out,
        format: options.place.format(),
        content: options.content(),
        payload: options.payload,
        indexes: options.indexes(),
        cuts: Cuts::find(disk, place)?,
    };
    if (dump.format, dump.content) == (Format::Text, Content::Records) {
        dump.out.line(HEADING)?;
    }
    for segment in Segments::list(disk, &place.log)? {
        let segment = segment?;
        for frame in &segment.frames {
            for operation in frame.operations() {
                match operation {
                    Ok(operation) if options.group.is_none_or(|group| group == operation.group) => {
                        outcome = outcome.max(dump.operation(&segment, &operation)?);
                    }
                    Ok(_) => {}
                    Err(offset) => {
                        outcome = Outcome::Damaged;
                        complain(&format!(
                            "{} holds an operation at byte {offset} that this build does not know; the rest of its frame is \
                             left out",
                            segment.path.display()
                        ));
                    }
                }
            }
        }
        outcome = outcome.max(judge(&segment));
    }
    dump.out.flush()?;
    Ok(outcome)
}

/// Says what is wrong with a segment, if anything is.
pub(crate) fn judge(segment: &SegmentView) -> Outcome {
    for problem in &segment.problems {
        complain(&problem.to_string());
    }
    if !segment.problems.is_empty() {
        return Outcome::Damaged;
    }
    if segment.torn_bytes > 0 {
        complain(&format!(
            "{} ends at byte {}, before {} bytes that are no whole frame: a write under way if a node is running, otherwise \
             one that was not acknowledged",
            segment.path.display(),
            segment.bytes_used,
            segment.torn_bytes
        ));
        return Outcome::Torn;
    }
    Outcome::Good
}

/// Prints what is asked for of each operation.
struct Printer<'a> {
    out: &'a mut Output,
    format: Format,
    content: Content,
    payload: Payload,
    indexes: Option<RangeInclusive<u64>>,
    cuts: Cuts,
}

/// Where something stands.
#[derive(Clone, Copy)]
struct At<'a> {
    segment: &'a SegmentView,
    offset: u64,
    group: GroupId,
}

impl Printer<'_> {
    fn operation(&mut self, segment: &SegmentView, operation: &OperationView) -> Result<Outcome, Failure> {
        let at = At { segment, offset: operation.offset, group: operation.group };
        match &operation.change {
            Change::Append(entries) => {
                let mut outcome = Outcome::Good;
                for entry in entries {
                    outcome = outcome.max(self.entry(At { offset: entry.offset, ..at }, entry)?);
                }
                return Ok(outcome);
            }
            _ if self.content == Content::Records => {}
            change => {
                let (kind, text, fields) = told(change);
                self.print(at, kind, || text, || fields)?;
            }
        }
        Ok(Outcome::Good)
    }

    fn entry(&mut self, at: At, view: &EntryView) -> Result<Outcome, Failure> {
        let header = &view.entry.header;
        let fate = self.cuts.fate(at.group, (at.segment.number, at.offset), header.number);
        match self.content {
            Content::Records if fate == Fate::CutOff => return Ok(Outcome::Good),
            Content::Records => {}
            Content::Operations => {
                self.print(at, "entry", || entry_text(header, fate), || entry_fields(header, fate))?;
            }
        }
        for record in view.records() {
            match record {
                Ok(record) => self.record(at, header, fate, &record)?,
                Err(error) => {
                    let (path, offset) = (at.segment.path.display(), at.offset);
                    complain(&format!(
                        "{path} holds at byte {offset} an entry whose records cannot be read: {error}"
                    ));
                    return Ok(Outcome::Damaged);
                }
            }
        }
        Ok(Outcome::Good)
    }

    fn record(&mut self, at: At, header: &Header, fate: Fate, view: &RecordView) -> Result<(), Failure> {
        if let Some(indexes) = &self.indexes
            && !view.log_index.is_some_and(|index| indexes.contains(&index))
        {
            return Ok(());
        }
        let (record, payload) = (&view.record, shown(self.payload, &view.record.payload));
        let text = || {
            let index = value::or_dash(view.log_index);
            let (term, number, time) = (header.term, header.number, time::shown(header.time));
            let (Number { session, sequence, .. }, bytes) = (record.number, record.payload.len());
            let payload = payload.as_deref().map_or(String::new(), |payload| format!(" {payload}"));
            format!("{index} {term} {number} {time} {session} {sequence} {bytes}{payload}")
        };
        let fields = || {
            json!({
                "log_index": view.log_index,
                "term": header.term,
                "entry_number": header.number,
                "time_ns": header.time,
                "session": record.number.session,
                "sequence": record.number.sequence,
                "window": record.number.window,
                "bytes": record.payload.len(),
                "payload": payload,
                "cut_off": fate == Fate::CutOff,
            })
        };
        self.print(At { offset: view.offset, ..at }, "record", text, fields)
    }

    fn print(
        &mut self,
        at: At,
        kind: &str,
        text: impl FnOnce() -> String,
        fields: impl FnOnce() -> Value,
    ) -> Result<(), Failure> {
        let At { segment, offset, group } = at;
        let file = segment.path.file_name().unwrap_or_default().to_string_lossy();
        match (self.format, self.content) {
            (Format::Text, Content::Records) => self.out.line(format_args!("{group} {}", text())),
            (Format::Text, Content::Operations) => {
                self.out.line(format_args!("{file}:{offset} {group} {kind} {}", text()))
            }
            (Format::Json, _) => {
                let mut line = json!({ "kind": kind, "file": file, "offset": offset, "group": group });
                if let (Value::Object(line), Value::Object(fields)) = (&mut line, fields()) {
                    line.extend(fields);
                }
                self.out.line(line)
            }
        }
    }
}

fn shown(payload: Payload, bytes: &[u8]) -> Option<String> {
    match payload {
        Payload::Hex => Some(bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut hex, byte| {
            for digit in [byte >> 4, byte & 15] {
                hex.extend(char::from_digit(digit.into(), 16));
            }
            hex
        })),
        Payload::Text => Some(String::from_utf8_lossy(bytes).escape_debug().to_string()),
        Payload::None => None,
    }
}

fn entry_text(header: &Header, fate: Fate) -> String {
    let Header { term, number, record_count, first_index, body_bytes, .. } = *header;
    let mut text = format!("{term}:{number} {}", value::kind(header.kind));
    if record_count > 0 {
        text += &format!(" of {record_count} {}", if record_count == 1 { "record" } else { "records" });
        text += &match first_index {
            0 => " that do not count".to_owned(),
            first => format!(" from log index {first}"),
        };
    }
    text += &format!(", {body_bytes} bytes");
    if fate == Fate::CutOff {
        text += ", cut off later";
    }
    text
}

fn entry_fields(header: &Header, fate: Fate) -> Value {
    json!({
        "entry_kind": value::kind(header.kind),
        "term": header.term,
        "entry_number": header.number,
        "time_ns": header.time,
        "first_log_index": (header.first_index > 0).then_some(header.first_index),
        "records": header.record_count,
        "bytes": header.body_bytes,
        "cut_off": fate == Fate::CutOff,
    })
}

/// What an operation other than an append says: its kind, in words, and as fields.
fn told(change: &Change) -> (&'static str, String, Value) {
    let id = |id: &Option<EntryId>| id.map(value::entry);
    match change {
        Change::Append(entries) => ("append", format!("of {} entries", entries.len()), json!({})),
        Change::TruncateAfter(last) => {
            let text = last.map_or("all entries".to_owned(), |last| format!("after entry {last}"));
            ("truncate", text, json!({ "last": id(last) }))
        }
        Change::PurgeUpTo { last, last_index } => {
            let text = format!("up to entry {last}, log index {}", value::or_dash(*last_index));
            ("purge", text, json!({ "last": value::entry(*last), "last_log_index": last_index }))
        }
        Change::Vote(vote) => ("vote", value::vote_text(*vote), json!({ "vote": value::vote(*vote) })),
        Change::Committed(committed) => {
            let text = committed.map_or("nothing".to_owned(), |id| format!("entry {id}"));
            ("committed", text, json!({ "committed": id(committed) }))
        }
        Change::Checkpoint { purged, last, last_index, vote, committed } => {
            let text = format!(
                "purged up to {}, last entry {}, log index {}, committed {}, vote {}",
                value::or_dash(*purged),
                value::or_dash(*last),
                value::or_dash(*last_index),
                value::or_dash(*committed),
                value::or_dash(vote.map(value::vote_text)),
            );
            let fields = json!({
                "purged": id(purged),
                "last": id(last),
                "last_log_index": last_index,
                "committed": id(committed),
                "vote": vote.map(value::vote),
            });
            ("checkpoint", text, fields)
        }
    }
}
