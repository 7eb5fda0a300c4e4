//! The user's state machine with somebody who looks over its shoulder, in both models.
//!
//! A command travels in a [`Tagged`], which names the client and the number of its proposal, so that equal commands can be told
//! apart. In the primary-backup model it also carries all that the primary executed on: the digest of the state and the
//! context. Whoever applies it looks whether that is what is there, so that an outcome that was computed on anything else
//! is seen at once.

use std::fmt::Debug;
use std::io::{self, Read, Write};
use std::marker::PhantomData;
use std::time::SystemTime;

use bytes::Bytes;
use lovebird_core::codec::{Bincode, Codec};
use lovebird_core::context::Context;
use lovebird_core::primary_backup::{Primary, PrimaryBackup};
use lovebird_core::service::{Model, Service};
use lovebird_core::state_machine::{Snapshot, StateMachine};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::check::Checker;
use crate::workload::{AnswerOf, CommandOf, QueryOf, ReplyOf, SnapshotOf, Workload};

/// The name of a proposal, never used twice in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Name {
    /// Who proposes.
    pub client: u64,
    /// Its how-manieth proposal.
    pub number: u64,
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

/// A proposal or a command with its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tagged<T> {
    /// The name.
    pub name: Name,
    /// What the user's machine is given.
    pub content: T,
    /// In the primary-backup model, what the outcome was computed on.
    pub met: Option<Met>,
}

/// A question of the user's machine, or of the one who watches it.
#[derive(Debug, Serialize, Deserialize)]
pub enum Question<Q> {
    /// The user's.
    Users(Q),
    /// What the state is.
    Digest,
}

/// Its answer.
#[derive(Debug, Serialize, Deserialize)]
pub enum Answer<A> {
    /// To [`Question::Users`].
    Users(A),
    /// To [`Question::Digest`]: the log index up to which the machine has come, and the digest of its state.
    Digest(u64, u64),
}

/// A snapshot, with where it was taken.
#[derive(Clone, Debug)]
pub struct Captured<S> {
    /// The log index.
    pub index: u64,
    /// The digest of the state.
    pub digest: u64,
    /// The user's.
    pub inner: S,
}

impl<S: Snapshot> Snapshot for Captured<S> {
    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&self.index.to_le_bytes())?;
        out.write_all(&self.digest.to_le_bytes())?;
        self.inner.write(out)
    }

    fn read(input: &mut dyn Read) -> io::Result<Self> {
        let mut number = || -> io::Result<u64> {
            let mut bytes = [0; 8];
            input.read_exact(&mut bytes)?;
            Ok(u64::from_le_bytes(bytes))
        };
        let (index, digest) = (number()?, number()?);
        Ok(Captured { index, digest, inner: S::read(input)? })
    }
}

/// A command as a replica applied it.
#[derive(Clone, Debug)]
pub struct Applied {
    /// Whose proposal it was.
    pub name: Name,
    /// Its context.
    pub context: Context,
    /// The same in numbers.
    pub moment: Moment,
    /// The command, encoded with its tag.
    pub command: Bytes,
    /// The reply, encoded.
    pub reply: Bytes,
    /// The state's digest after it.
    pub digest: u64,
}

impl Applied {
    /// Whether two replicas did the same.
    pub(crate) fn is_same(&self, other: &Applied) -> bool {
        self.moment == other.moment
            && self.command == other.command
            && self.reply == other.reply
            && self.digest == other.digest
    }
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

/// The service, and the checker that looks over its shoulder.
pub struct Watched<W: Workload> {
    machine: W::Machine,
    index: u64,
    digest: u64,
    checker: Checker,
    replica: Replica,
    /// A primary's working copy runs ahead of what is committed, so what it applies is nothing to be told of.
    is_copy: bool,
}

impl<W: Workload> Watched<W> {
    /// A replica when it is born.
    pub fn new(checker: Checker, replica: Replica) -> Self {
        let machine = W::machine();
        let digest = W::digest(&machine);
        Watched { machine, index: 0, digest, checker, replica, is_copy: false }
    }

    /// A command is in the model that was chosen, and meets what it was made on.
    fn check<T>(&self, moment: Moment, command: &Tagged<T>) {
        let Replica { node, model, .. } = self.replica;
        let found = Met { moment, digest: self.digest };
        let Some(met) = command.met else {
            return self.checker.in_model(node, model == Model::StateMachine, command.name);
        };
        self.checker.in_model(node, model == Model::PrimaryBackup, command.name);
        self.checker.met(node, command.name, met, found);
    }
}

/// A copy is for a primary to work on.
impl<W: Workload<Machine: Clone>> Clone for Watched<W> {
    fn clone(&self) -> Self {
        let Watched { machine, index, digest, checker, replica, .. } = self;
        Watched {
            machine: machine.clone(),
            index: *index,
            digest: *digest,
            checker: checker.clone(),
            replica: *replica,
            is_copy: true,
        }
    }
}

impl<W: Workload> StateMachine for Watched<W> {
    type Command = Tagged<CommandOf<W>>;
    type Reply = ReplyOf<W>;
    type Query = Question<QueryOf<W>>;
    type Answer = Answer<AnswerOf<W>>;
    type Snapshot = Captured<SnapshotOf<W>>;

    fn apply(&mut self, context: &Context, command: Self::Command) -> Self::Reply {
        let moment = Moment::of(context);
        self.check(moment, &command);
        let (name, encoded) = (command.name, encode(&command));
        let reply = self.machine.apply(context, command.content);
        (self.index, self.digest) = (moment.index, W::digest(&self.machine));
        if !self.is_copy {
            let applied = Applied {
                name,
                context: context.clone(),
                moment,
                command: encoded,
                reply: encode(&reply),
                digest: self.digest,
            };
            if self.checker.applied(self.replica, applied)
                && let Err(sentence) = W::check(&self.machine)
            {
                self.checker.users(self.replica.node, moment.index, &sentence);
            }
        }
        reply
    }

    fn query(&self, query: Self::Query) -> Self::Answer {
        match query {
            Question::Users(query) => Answer::Users(self.machine.query(query)),
            Question::Digest => Answer::Digest(self.index, self.digest),
        }
    }

    fn snapshot(&self) -> Self::Snapshot {
        Captured { index: self.index, digest: self.digest, inner: self.machine.snapshot() }
    }

    fn restore(&mut self, snapshot: Self::Snapshot) {
        self.machine.restore(snapshot.inner);
        (self.index, self.digest) = (snapshot.index, W::digest(&self.machine));
        if !self.is_copy {
            self.checker.restored(self.replica, snapshot.index, snapshot.digest, self.digest);
            if let Err(sentence) = W::check(&self.machine) {
                self.checker.users(self.replica.node, snapshot.index, &sentence);
            }
        }
    }
}

impl<W> PrimaryBackup for Watched<W>
where
    W: Workload<Machine: PrimaryBackup<Request = <W as Workload>::Proposal>>,
{
    type Request = Tagged<W::Proposal>;

    fn execute(&self, context: &Context, request: Self::Request) -> Self::Command {
        let moment = Moment::of(context);
        self.checker.executed(self.replica, moment.term);
        let content = self.machine.execute(context, request.content);
        Tagged { name: request.name, content, met: Some(Met { moment, digest: self.digest }) }
    }
}

/// A workload in one of the two models: what a cluster runs.
pub trait Subject: Send + Sync + 'static {
    /// The workload.
    type Load: Workload;

    /// The service.
    type Service: Service<
            Proposal = Tagged<<Self::Load as Workload>::Proposal>,
            Command = Tagged<CommandOf<Self::Load>>,
            Reply = ReplyOf<Self::Load>,
            Query = Question<QueryOf<Self::Load>>,
            Answer = Answer<AnswerOf<Self::Load>>,
            Snapshot = Captured<SnapshotOf<Self::Load>>,
        >;

    /// The service around a machine that has just been born.
    fn service(watched: Watched<Self::Load>) -> Self::Service;
}

/// In the state machine model.
#[derive(Debug)]
pub struct Replicated<W>(PhantomData<W>);

impl<W: Workload<Proposal = CommandOf<W>>> Subject for Replicated<W> {
    type Load = W;
    type Service = Watched<W>;

    fn service(watched: Watched<W>) -> Watched<W> {
        watched
    }
}

/// In the primary-backup model.
#[derive(Debug)]
pub struct BackedUp<W>(PhantomData<W>);

impl<W> Subject for BackedUp<W>
where
    W: Workload<Machine: PrimaryBackup<Request = <W as Workload>::Proposal>>,
{
    type Load = W;
    type Service = Primary<Watched<W>>;

    fn service(watched: Watched<W>) -> Primary<Watched<W>> {
        Primary(watched)
    }
}

/// # Panics
/// If the user's type cannot be encoded, which nothing could be done about: it could not be proposed, either.
pub(crate) fn encode(value: &impl Serialize) -> Bytes {
    match Bincode::encode(value) {
        Ok(bytes) => bytes.into(),
        Err(error) => panic!("a value of the workload's cannot be encoded: {error}"),
    }
}

/// What these bytes say, for people.
fn shown<T: DeserializeOwned + Debug>(bytes: &[u8]) -> String {
    match Bincode::decode::<T>(bytes) {
        Ok(value) => format!("{value:?}"),
        Err(error) => format!("{} bytes that nobody can read ({error})", bytes.len()),
    }
}

/// Shows what is kept encoded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown {
    /// A command with its tag.
    pub(crate) command: fn(&[u8]) -> String,
    /// A reply.
    pub(crate) reply: fn(&[u8]) -> String,
    /// A query.
    pub(crate) query: fn(&[u8]) -> String,
    /// An answer.
    pub(crate) answer: fn(&[u8]) -> String,
}

impl Shown {
    pub(crate) fn of<W: Workload>() -> Shown {
        Shown {
            command: shown::<Tagged<CommandOf<W>>>,
            reply: shown::<ReplyOf<W>>,
            query: shown::<QueryOf<W>>,
            answer: shown::<AnswerOf<W>>,
        }
    }
}
