//! The service under test, in both models: each client adds to a variable of its own, and the state remembers what it was
//! made of.
//!
//! In the state machine model the log holds what clients ask for. In the primary-backup model it holds what came out, and with
//! it all that the primary executed on: the digest of the state and the context. Whoever applies it looks whether that
//! is what is there, so that an outcome that was computed on anything else is seen at once.

use std::collections::BTreeMap;
use std::time::SystemTime;

use lovebird_core::context::Context;
use lovebird_core::primary_backup::{Primary, PrimaryBackup};
use lovebird_core::service::{Model, Service};
use lovebird_core::state_machine::StateMachine;
use serde::{Deserialize, Serialize};

use crate::check::Checker;

/// A request: `client` adds `amount` to its variable. Client and number together are never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Add {
    /// Who.
    pub client: u64,
    /// Its how-manieth command.
    pub number: u64,
    /// How much.
    pub amount: u64,
}

/// What the log holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Command {
    /// In the state machine model: what a client asked for.
    Request(Add),
    /// In the primary-backup model: what the primary made of it.
    Outcome {
        /// What a client asked for.
        add: Add,
        /// What its variable becomes.
        value: u64,
        /// On what that was computed.
        met: Met,
    },
}

impl Command {
    /// What a client asked for.
    pub fn add(&self) -> Add {
        match self {
            Command::Request(add) | Command::Outcome { add, .. } => *add,
        }
    }

    fn model(&self) -> Model {
        match self {
            Command::Request(_) => Model::StateMachine,
            Command::Outcome { .. } => Model::PrimaryBackup,
        }
    }
}

/// All that a command is told: its context, in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Moment {
    /// The log index.
    pub index: u64,
    /// The term.
    pub term: u64,
    /// Log time, in nanoseconds since the Unix epoch.
    pub time: u64,
    /// The first random number.
    pub random: u64,
}

impl Moment {
    fn of(context: &Context) -> Moment {
        Moment {
            index: context.index(),
            term: context.term(),
            time: nanos(context.time()),
            random: context.random().next_u64(),
        }
    }
}

/// Nanoseconds since the Unix epoch.
pub(crate) fn nanos(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}

/// What a command meets: its context, and the state before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Met {
    /// The context.
    pub moment: Moment,
    /// The state's digest.
    pub digest: u64,
}

/// A command as a replica applied it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Applied {
    /// The command.
    pub command: Command,
    /// Its context.
    pub moment: Moment,
    /// The state's digest after it.
    pub digest: u64,
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
    /// A digest of the history, of what came of each command, and of its context.
    pub digest: u64,
}

impl State {
    /// The log index up to which it has come.
    pub fn index(&self) -> u64 {
        self.history.last().map_or(0, |(index, _)| *index)
    }
}

/// The service, and the checker that looks over its shoulder.
pub struct Counter {
    state: State,
    checker: Checker,
    replica: Replica,
    /// A primary's working copy runs ahead of what is committed, so what it applies is nothing to be told of.
    is_copy: bool,
}

/// Whose state it is.
#[derive(Clone, Copy, Debug)]
pub struct Replica {
    /// The node.
    pub node: u64,
    /// Which of its lives.
    pub life: u64,
    /// The model that was chosen.
    pub model: Model,
}

impl Counter {
    /// The state of a replica when it is born.
    pub fn new(checker: Checker, replica: Replica) -> Self {
        Counter { state: State::default(), checker, replica, is_copy: false }
    }

    /// A command is in the model that was chosen, and meets what it was made on.
    fn check(&self, moment: Moment, command: &Command) {
        let Replica { node, model, .. } = self.replica;
        if command.model() != model {
            self.checker
                .violation(format!("node {node} runs in the {model} model and was given {command:?}"));
        }
        let found = Met { moment, digest: self.state.digest };
        if let Command::Outcome { add, met, .. } = command
            && *met != found
        {
            self.checker.violation(format!(
                "the outcome of {add:?} was computed on {met:x?}, and at node {node} it meets {found:x?}"
            ));
        }
    }
}

/// A copy is for a primary to work on.
impl Clone for Counter {
    fn clone(&self) -> Self {
        let Counter { state, checker, replica, .. } = self;
        Counter { state: state.clone(), checker: checker.clone(), replica: *replica, is_copy: true }
    }
}

impl StateMachine for Counter {
    type Command = Command;
    type Reply = u64;
    type Query = Query;
    type Answer = Answer;
    type Snapshot = State;

    fn apply(&mut self, context: &Context, command: Command) -> u64 {
        let moment = Moment::of(context);
        self.check(moment, &command);
        let State { values, history, digest } = &mut self.state;
        let add = command.add();
        history.push((moment.index, add));
        let value = values.entry(add.client).or_default();
        *value = match command {
            Command::Request(add) => *value + add.amount,
            Command::Outcome { value, .. } => value,
        };
        let Moment { index, term, time, random } = moment;
        for part in [index, term, time, random, add.client, add.number, add.amount, *value] {
            *digest = mix(*digest, part);
        }
        if !self.is_copy {
            self.checker.applied(self.replica, Applied { command, moment, digest: *digest });
        }
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
        if !self.is_copy {
            self.checker.restored(self.replica, snapshot.index(), snapshot.digest);
        }
        self.state = snapshot;
    }
}

impl PrimaryBackup for Counter {
    type Request = Add;

    fn execute(&self, context: &Context, add: Add) -> Command {
        let moment = Moment::of(context);
        self.checker.executed(self.replica, moment.term);
        let value = self.state.values.get(&add.client).copied().unwrap_or(0) + add.amount;
        Command::Outcome { add, value, met: Met { moment, digest: self.state.digest } }
    }
}

/// One step of a digest: any change of `part` or of the order changes what comes out, as far as 64 bits can tell.
fn mix(digest: u64, part: u64) -> u64 {
    let mixed = (digest.rotate_left(23) ^ part).wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed ^ (mixed >> 29)
}

/// A state machine that can be put to the test: [`Counter`], or something that goes wrong in its place.
pub trait Tested:
    StateMachine<Command = Command, Reply = u64, Query = Query, Answer = Answer, Snapshot = State>
{
    /// It, around a state that has just been born.
    fn around(counter: Counter) -> Self;
}

impl Tested for Counter {
    fn around(counter: Counter) -> Self {
        counter
    }
}

/// A service of it, in one of the two models.
pub trait Subject:
    Service<Command = Command, Reply = u64, Query = Query, Answer = Answer, Snapshot = State>
{
    /// The service around a state that has just been born.
    fn of(counter: Counter) -> Self;

    /// What clients propose.
    fn proposal(add: Add) -> Self::Proposal;
}

impl<T: Tested> Subject for T {
    fn of(counter: Counter) -> Self {
        T::around(counter)
    }

    fn proposal(add: Add) -> Command {
        Command::Request(add)
    }
}

impl<T: Tested + PrimaryBackup<Request = Add>> Subject for Primary<T> {
    fn of(counter: Counter) -> Self {
        Primary(T::around(counter))
    }

    fn proposal(add: Add) -> Add {
        add
    }
}
