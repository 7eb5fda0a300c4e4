//! What must hold when everything has come to rest.

use std::collections::BTreeMap;

use super::commands::Way;
use super::{Checker, Name, Seen};
use crate::counter::{Command, State};

/// Each command's log index and its variable after it.
type Found = BTreeMap<Name, (u64, u64)>;

impl Seen {
    /// Log indexes are consecutive, no command is there twice, and each variable is the sum of its commands.
    fn history(&mut self, node: u64, state: &State) -> Found {
        let mut found = Found::new();
        let mut values: BTreeMap<u64, u64> = BTreeMap::new();
        for (place, (index, add)) in state.history.iter().enumerate() {
            self.demand(*index == place as u64 + 1, || {
                format!("command {} of node {node} has log index {index}", place + 1)
            });
            let value = values.entry(add.client).or_default();
            *value += add.amount;
            let name = (add.client, add.number);
            let before = found.insert(name, (*index, *value));
            self.demand(before.is_none(), || {
                format!("node {node} applied command {name:?} at log index {index}, and before at {before:?}")
            });
        }
        self.demand(values == state.values, || {
            format!("the variables of node {node} are {:?}, its commands make {values:?}", state.values)
        });
        found
    }

    /// What clients were told is what became of their commands.
    fn outcomes(&mut self, node: u64, found: &Found) {
        let mut broken = Vec::new();
        for (name, sent) in &self.commands {
            let there = found.get(name);
            if sent.acknowledged.is_some() && sent.acknowledged.as_ref() != there {
                let told = sent.acknowledged;
                broken.push(format!(
                    "command {name:?} was acknowledged with (log index, value) {told:?}, node {node} has {there:?}"
                ));
            }
        }
        for (name, there) in found {
            match self.commands.get(name) {
                Some(sent) if sent.acknowledged.is_some() || sent.doubtful => {}
                Some(sent) if sent.refused => broken.push(format!(
                    "command {name:?} was said to be not committed, node {node} has it at {there:?}"
                )),
                _ => broken
                    .push(format!("node {node} has command {name:?}, of which no client was told anything")),
            }
        }
        self.demand_all(broken);
    }

    /// What one session carried stands in the order in which it was sent.
    fn order(&mut self, state: &State) {
        let mut last: BTreeMap<u64, (u64, Name)> = BTreeMap::new();
        let mut broken = Vec::new();
        for (index, add) in &state.history {
            let name = (add.client, add.number);
            let Some(sent) = self.commands.get(&name) else { continue };
            let Way::Session(line) = sent.way else { continue };
            let before = last.insert(line.number, (sent.place, name));
            if let Some((place, before)) = before
                && place > sent.place
            {
                broken.push(format!(
                    "command {name:?} stands at log index {index} behind {before:?}, and was sent before it"
                ));
            }
        }
        self.demand_all(broken);
    }

    /// What was said to have expired has not been carried out since.
    fn expired(&mut self, found: &Found) {
        let mut broken = Vec::new();
        for (name, sent) in &self.commands {
            let (Some(expired), Some((index, _))) = (sent.expired, found.get(name)) else { continue };
            let later = self.commands.values().filter(|later| later.place > expired);
            let first = later.filter_map(|later| later.acknowledged).map(|(index, _)| index).min();
            if first.is_some_and(|first| first < *index) {
                broken.push(format!(
                    "command {name:?} was said to have expired, and stands at log index {index}, behind {first:?}, which \
                     was sent later"
                ));
            }
        }
        self.demand_all(broken);
    }

    /// What was read is what the history says.
    fn reads(&mut self, found: &Found) {
        let mut variables: BTreeMap<u64, BTreeMap<u64, u64>> = BTreeMap::new();
        for ((client, _), (index, value)) in found {
            variables.entry(*client).or_default().insert(*index, *value);
        }
        let mut broken = Vec::new();
        for answered in &self.answers {
            let values = variables.get(&answered.asked.client);
            let value = values.and_then(|values| values.range(..=answered.index).next_back());
            let value = value.map_or(0, |(_, value)| *value);
            if answered.value != value {
                broken.push(format!("the history says {value} for {answered:?}"));
            }
        }
        self.demand_all(broken);
    }
}

impl Checker {
    /// The state of a replica when everything has come to rest.
    pub fn settled(&self, node: u64, state: &State) {
        let mut seen = self.seen();
        seen.note(("settled", node, state.digest));
        seen.known(&format!("node {node} at rest"), state.index(), state.digest);
        let found = seen.history(node, state);
        seen.outcomes(node, &found);
    }

    /// The state that all replicas have come to.
    pub fn rests(&self, state: &State) {
        let mut seen = self.seen();
        let found = seen.history(0, state);
        seen.order(state);
        seen.expired(&found);
        seen.reads(&found);
    }

    /// The log of a node holds this at a log index, where it should hold what was applied.
    pub fn holds(&self, node: u64, index: u64, command: Option<Command>) {
        let mut seen = self.seen();
        let applied = seen.records.get(&index).map(|applied| applied.command);
        seen.demand(command.is_some() && command == applied, || {
            format!("the log of node {node} holds {command:x?} at log index {index}, applied is {applied:x?}")
        });
    }
}
