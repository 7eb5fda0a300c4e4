//! Events as rows of numbers, for the page's script.
//!
//! A row is `[time, what, detail, …]`. The time is in nanoseconds since the row before it, or since the start of the run. `detail`,
//! and whatever is a word, is a position in the list of words, of which the first is empty. What comes then is as the variants of
//! [`What`] have it, in their order:
//!
//! | what | | then |
//! |---|---|---|
//! | 0 | fault | kind, list of nodes |
//! | 1 | life | node, life, turn (0 starts, 1 serves, 2 killed, 3 stopped, 4 refused) |
//! | 2 | seen | node, role, term, committed, applied |
//! | 3 | message | from, to, kind, bytes, nanoseconds until it arrives or -1 |
//! | 4 | sync | node, nanoseconds that it lasts |
//! | 5 | applied | node, life, log index, digest |
//! | 6 | executed | node, life, term |
//! | 7 | restored | node, life, log index, digest |
//! | 8 | operation | client, number, kind, stage (0 begins, 1 succeeded, 2 failed, 3 unknown), log index if it succeeded |
//! | 9 | followed | subscriber, kind, log index |
//! | 10 | violation | invariant, list of nodes |
//!
//! Digests are texts in hexadecimal: a script's numbers hold only 53 bits.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::Heading;
use crate::story::{Event, Stage, Turn, What};

/// The words so far, each once, and where it stands.
#[derive(Default)]
struct Words {
    list: Vec<String>,
    places: HashMap<String, usize>,
}

impl Words {
    fn place(&mut self, word: &str) -> usize {
        if let Some(place) = self.places.get(word) {
            return *place;
        }
        let place = self.list.len();
        self.list.push(word.to_owned());
        self.places.insert(word.to_owned(), place);
        place
    }
}

/// All that the page's script is given: `title`, `facts`, `words` and `rows`.
pub(super) fn pack(heading: &Heading, events: &[Event]) -> Value {
    let mut ordered: Vec<&Event> = events.iter().collect();
    // Stable: what happens at one time keeps its order, which says what came of what.
    ordered.sort_by_key(|event| event.at_nanos);
    let mut words = Words::default();
    words.place("");
    let mut before = 0;
    let rows: Vec<Value> = ordered
        .into_iter()
        .map(|event| {
            let since = event.at_nanos - before;
            before = event.at_nanos;
            row(event, since, &mut words)
        })
        .collect();
    json!({ "title": heading.title, "facts": heading.facts, "words": words.list, "rows": rows })
}

fn row(event: &Event, since: u64, words: &mut Words) -> Value {
    let detail = words.place(&event.detail);
    let (what, then) = match &event.what {
        What::Fault { kind, nodes } => (0, vec![json!(words.place(kind)), json!(nodes)]),
        What::Life { node, life, turn } => (1, numbers(&[*node, *life, turn_number(*turn)])),
        What::Seen { node, role, term, committed, applied } => {
            (2, numbers(&[*node, words.place(role) as u64, *term, *committed, *applied]))
        }
        What::Message { from, to, kind, bytes, arrives_nanos } => {
            let mut then = numbers(&[*from, *to, words.place(kind) as u64, *bytes]);
            // Nothing arrives before it is sent; -1 is free to say that it never does.
            then.push(arrives_nanos.map_or(json!(-1), |at| json!(at.saturating_sub(event.at_nanos))));
            (3, then)
        }
        What::Sync { node, lasts_nanos } => (4, numbers(&[*node, *lasts_nanos])),
        What::Applied { node, life, index, digest } => (5, with_digest(&[*node, *life, *index], *digest)),
        What::Executed { node, life, term } => (6, numbers(&[*node, *life, *term])),
        What::Restored { node, life, index, digest } => (7, with_digest(&[*node, *life, *index], *digest)),
        What::Operation { client, number, kind, stage } => {
            let mut then = numbers(&[*client, *number, words.place(kind) as u64]);
            then.extend(stage_numbers(*stage));
            (8, then)
        }
        What::Followed { subscriber, kind, index } => {
            (9, numbers(&[*subscriber, words.place(kind) as u64, *index]))
        }
        What::Violation { invariant, nodes } => (10, vec![json!(words.place(invariant)), json!(nodes)]),
    };
    let mut row = vec![json!(since), json!(what), json!(detail)];
    row.extend(then);
    Value::Array(row)
}

fn numbers(numbers: &[u64]) -> Vec<Value> {
    numbers.iter().map(|number| json!(number)).collect()
}

fn with_digest(first: &[u64], digest: u64) -> Vec<Value> {
    let mut then = numbers(first);
    then.push(json!(format!("{digest:x}")));
    then
}

fn turn_number(turn: Turn) -> u64 {
    match turn {
        Turn::Starts => 0,
        Turn::Serves => 1,
        Turn::Killed => 2,
        Turn::Stopped => 3,
        Turn::Refused => 4,
    }
}

fn stage_numbers(stage: Stage) -> Vec<Value> {
    match stage {
        Stage::Begins => numbers(&[0]),
        Stage::Succeeded(index) => numbers(&[1, index]),
        Stage::Failed => numbers(&[2]),
        Stage::Unknown => numbers(&[3]),
    }
}
