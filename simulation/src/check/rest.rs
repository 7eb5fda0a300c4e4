//! What must hold when everything has come to rest.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::commands::Way;
use super::reads::Answered;
use super::{Checker, Invariant, Seen};
use crate::watched::{Applied, Name};

impl Seen {
    /// Log indexes are consecutive from 1.
    fn consecutive(&mut self) {
        let gaps: Vec<u64> =
            (1..).zip(self.records.keys()).filter(|(due, found)| due != *found).map(|(due, _)| due).collect();
        self.demand(gaps.is_empty(), Invariant::Consecutive, || {
            format!("no replica ever applied log index {}", gaps[0])
        });
    }

    /// What clients were told is what became of their commands.
    fn outcomes(&mut self) {
        let mut broken = Vec::new();
        for (name, sent) in &self.commands {
            let Some((index, reply)) = &sent.acknowledged else { continue };
            let there = self.places.get(name);
            let record = self.records.get(index).filter(|record| record.name == *name);
            match record {
                None => broken.push((
                    Invariant::AcknowledgedIsKept,
                    format!("{name:?} was acknowledged with log index {index}, and it is at {there:?}"),
                )),
                Some(record) if record.reply != *reply => broken.push((
                    Invariant::AcknowledgedIsKept,
                    format!(
                        "{name:?} was answered {}, and the replicas replied {}",
                        (self.shown.reply)(reply),
                        (self.shown.reply)(&record.reply)
                    ),
                )),
                Some(_) => {}
            }
        }
        for (name, there) in &self.places {
            match self.commands.get(name) {
                Some(sent) if sent.acknowledged.is_some() || sent.doubtful => {}
                Some(sent) if sent.refused => broken.push((
                    Invariant::RefusedIsGone,
                    format!("{name:?} was said to be not committed, and it is at log index {there}"),
                )),
                _ => broken.push((
                    Invariant::RefusedIsGone,
                    format!("{name:?} is at log index {there}, and no client was told anything of it"),
                )),
            }
        }
        self.demand_all(broken);
    }

    /// What one session carried stands in the order in which it was sent.
    fn order(&mut self) {
        let mut last: BTreeMap<u64, (u64, Name)> = BTreeMap::new();
        let mut broken = Vec::new();
        for (index, record) in &self.records {
            let name = record.name;
            let Some(sent) = self.commands.get(&name) else { continue };
            let Way::Session(line) = sent.way else { continue };
            let before = last.insert(line.number, (sent.place, name));
            if let Some((place, before)) = before
                && place > sent.place
            {
                broken.push((
                    Invariant::SessionOrder,
                    format!("{name:?} stands at log index {index} behind {before:?}, and was sent before it"),
                ));
            }
        }
        self.demand_all(broken);
    }

    /// What was said to have expired has not been carried out since.
    fn expired(&mut self) {
        let mut broken = Vec::new();
        for (name, sent) in &self.commands {
            let (Some(expired), Some(index)) = (sent.expired, self.places.get(name)) else { continue };
            let later = self.commands.values().filter(|later| later.place > expired);
            let first = later.filter_map(|later| later.acknowledged.as_ref()).map(|told| told.0).min();
            if first.is_some_and(|first| first < *index) {
                broken.push((
                    Invariant::RefusedIsGone,
                    format!(
                        "{name:?} was said to have expired, and stands at log index {index}, behind {first:?}, which was \
                         sent later"
                    ),
                ));
            }
        }
        self.demand_all(broken);
    }
}

impl Checker {
    /// The state of a replica when everything has come to rest.
    pub fn settled(&self, node: u64, index: u64, digest: u64) {
        let mut seen = self.seen();
        seen.known(&format!("node {node} at rest"), index, digest);
    }

    /// All replicas have come to the same log index.
    pub fn rests(&self) {
        let mut seen = self.seen();
        seen.consecutive();
        seen.outcomes();
        seen.order();
        seen.expired();
    }

    /// The log of a node holds this at a log index, where it should hold what was applied.
    pub(crate) fn holds(&self, node: u64, index: u64, command: Option<Bytes>) {
        let mut seen = self.seen();
        let applied = seen.records.get(&index).map(|applied| applied.command.clone());
        if command.is_none() || command != applied {
            let shown = |bytes: Option<Bytes>| bytes.map(|bytes| (seen.shown.command)(&bytes));
            let sentence = format!(
                "the log of node {node} holds {:?} at log index {index}, applied is {:?}",
                shown(command),
                shown(applied)
            );
            seen.broken(Invariant::LogsMatch, vec![node], sentence);
        }
    }

    /// Everything that was applied, and everything that was answered, in the order of log indexes.
    pub(crate) fn history(&self) -> (Vec<Applied>, Vec<Answered>) {
        let mut seen = self.seen();
        let mut answers = std::mem::take(&mut seen.answers);
        answers.sort_by_key(|answered| answered.index);
        (seen.records.values().cloned().collect(), answers)
    }
}
