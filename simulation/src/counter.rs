//! The state machine under test: each client adds to a variable of its own, and the state remembers what it was made of.

use std::collections::BTreeMap;

use lovebird_core::context::Context;
use lovebird_core::state_machine::StateMachine;
use serde::{Deserialize, Serialize};

use crate::check::Checker;

/// A command: `client` adds `amount` to its variable. Client and number together are never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Add {
    /// Who.
    pub client: u64,
    /// Its how-manieth command.
    pub number: u64,
    /// How much.
    pub amount: u64,
}

/// A question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Query {
    /// The variable of a client.
    Value {
        /// Whose.
        client: u64,
    },
    /// Everything.
    State,
}

/// Its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// To [`Query::Value`].
    Value(u64),
    /// To [`Query::State`].
    State(State),
}

/// All variables, and every command that was applied: number `i` of the history has log index `i + 1`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// By client.
    pub values: BTreeMap<u64, u64>,
    /// In the order of the log.
    pub history: Vec<(u64, Add)>,
    /// A digest of the history and the terms of its commands.
    pub digest: u64,
}

impl State {
    /// The log index up to which it has come.
    pub fn index(&self) -> u64 {
        self.history.last().map_or(0, |(index, _)| *index)
    }
}

/// The state machine, and the checker that looks over its shoulder.
pub struct Counter {
    state: State,
    checker: Checker,
    node: u64,
    life: u64,
}

impl Counter {
    /// The replica on `node` in one of its lives.
    pub fn new(checker: Checker, node: u64, life: u64) -> Self {
        Counter { state: State::default(), checker, node, life }
    }
}

impl StateMachine for Counter {
    type Command = Add;
    type Reply = u64;
    type Query = Query;
    type Answer = Answer;
    type Snapshot = State;

    fn apply(&mut self, context: &Context, add: Add) -> u64 {
        let State { values, history, digest } = &mut self.state;
        history.push((context.index(), add));
        for part in [context.index(), context.term(), add.client, add.number, add.amount] {
            *digest = mix(*digest, part);
        }
        let value = values.entry(add.client).or_default();
        *value += add.amount;
        self.checker.applied(self.node, self.life, context.index(), *digest);
        *value
    }

    fn query(&self, query: Query) -> Answer {
        match query {
            Query::Value { client } => Answer::Value(self.state.values.get(&client).copied().unwrap_or(0)),
            Query::State => Answer::State(self.state.clone()),
        }
    }

    fn snapshot(&self) -> State {
        self.state.clone()
    }

    fn restore(&mut self, snapshot: State) {
        self.checker.restored(self.node, self.life, snapshot.index(), snapshot.digest);
        self.state = snapshot;
    }
}

/// One step of a digest: any change of `part` or of the order changes what comes out, as far as 64 bits can tell.
fn mix(digest: u64, part: u64) -> u64 {
    let mixed = (digest.rotate_left(23) ^ part).wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed ^ (mixed >> 29)
}
