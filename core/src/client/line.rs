//! A client's line to the cluster: numbers its commands, sends them in order, and sends again what was not answered.
//!
//! There is one task a client, and one more for its commands without a session. Each holds one stream to one node at a time. What
//! waits goes as the next message; up to [`UNDER_WAY_MAX`] messages are under way. When anything is refused, or nobody knows what
//! became of it, or the stream breaks, the task sends nothing new, waits for the answers that may still come, and then sends
//! again, perhaps to the next node:
//!
//! - commands of the client's own session that may have entered the log, under the numbers that they have, before anything new. The
//!   leader lets each in once and in order ([`crate::session`]), so this never does harm;
//! - commands that certainly have not entered: they wait again as if they had never been sent, and give their numbers back;
//! - commands with a number that their caller gave, as they are;
//! - commands without a number, if they certainly have not entered. Otherwise their caller is told that nobody knows.
//!
//! The session is opened when the first command needs it. If it expires while the client rests, the next command opens another;
//! what may have entered under the old one is told to be expired, since it can no longer be found out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::StreamExt;
use tokio::sync::mpsc;

use super::command::{Command, Numbered};
use super::unsettled::Unsettled;
use super::{Nodes, millis, read_opened};
use crate::codec::{Bincode, Codec};
use crate::courier::open_stream;
use crate::outcome::{Pieces, unknown};
use crate::planted::{self, Bug};
use crate::queue::{Queue, Queued};
use crate::record::{Number, push_record};
use crate::runtime::{self, Instant};
use crate::session::{Opened, Opening, Order};
use crate::transport::{Endpoint, Outcome, ProposalKind, ProposeOpen, ProposeReply, ProposeRequest, Replies};

/// How long connecting and opening a stream may take before another node is tried.
const OPENING: Duration = Duration::from_secs(1);

/// Between attempts.
const PAUSE: Duration = Duration::from_millis(15);

/// How often to look for callers whose time has passed.
const TICK: Duration = Duration::from_millis(20);

/// How long a node may take to answer what can be sent again, before it is.
const PATIENCE: Duration = Duration::from_secs(2);

/// How many messages may be under way. While they are, the next one grows.
const UNDER_WAY_MAX: usize = 4;

/// How many bytes of records make a full message. A single larger command is a message of its own.
const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// How many commands make a full message, so that all that are under way fit into a session's window.
const MESSAGE_COMMANDS_MAX: usize = 8 << 10;

/// The task's own state.
pub(super) struct Line {
    waiting: Arc<Queue<Command>>,
    nodes: Arc<Nodes>,
    expiry: Duration,
    session: Option<u64>,
    /// Commands of the session that were sent and are not settled.
    unsettled: Unsettled,
    /// The highest sequence that was settled while it was in doubt. A late copy of it may still be on its way, so no number up to
    /// here is ever given back, to be used for another command.
    used_up: u64,
    /// The session is known to be no more.
    lost_session: bool,
    /// When to look next for callers whose time has passed.
    tick: Instant,
}

/// What a message on its way holds, one after the other.
enum Slot {
    /// The command of the client's own session with this sequence.
    Own(u64),
    /// Any other.
    Other(Box<Command>),
}

impl Slot {
    /// How many records it stands for.
    fn count(&self) -> u32 {
        match self {
            Slot::Own(_) => 1,
            Slot::Other(command) => command.content.count(),
        }
    }
}

/// A message on its way.
struct UnderWay {
    slots: Vec<Slot>,
    sent: Instant,
    /// The opening of the client's own session.
    opens: bool,
}

/// One stream.
struct Stream {
    requests: mpsc::UnboundedSender<ProposeRequest>,
    replies: Replies<ProposeReply>,
    under_way: BTreeMap<u64, UnderWay>,
    next_id: u64,
    /// Something failed: nothing new is sent.
    failed: bool,
    /// Commands that will be sent again.
    again: Vec<Command>,
}

impl Line {
    pub(super) fn new(waiting: Arc<Queue<Command>>, nodes: Arc<Nodes>, expiry: Duration) -> Self {
        Line {
            waiting,
            nodes,
            expiry,
            session: None,
            unsettled: Unsettled::before(1),
            used_up: 0,
            lost_session: false,
            tick: Instant::now(),
        }
    }

    /// Works until the client is closed; what is then not settled is unknown.
    pub(super) async fn run(mut self) {
        loop {
            if self.unsettled.is_empty() {
                self.waiting.wait_or_closed().await;
            }
            if self.waiting.is_closed() {
                break;
            }
            let (turn, endpoint) = self.nodes.preferred();
            if self.serve(&endpoint).await.is_err() {
                crate::sometimes!("a client turns to another node");
                self.nodes.leave(turn);
                runtime::sleep(PAUSE).await;
            }
            self.look_for_late(None);
        }
        for command in self.take_unsettled() {
            command.finish(unknown("the node stopped while the command was under way"));
        }
    }

    /// Sends to one node until something fails.
    async fn serve(&mut self, endpoint: &Arc<dyn Endpoint>) -> Result<(), ()> {
        let mut stream = self.open(endpoint).await?;
        if let (Some(session), false) = (self.session, self.unsettled.is_empty()) {
            crate::sometimes!("a client sends again what was not answered");
            self.send_again(&mut stream, session);
        }
        let result = self.exchange(&mut stream).await;
        self.recover(stream);
        result
    }

    /// Opens a stream, and sees to the callers meanwhile.
    async fn open(&mut self, endpoint: &Arc<dyn Endpoint>) -> Result<Stream, ()> {
        let mut stream = std::pin::pin!(Stream::open(endpoint));
        loop {
            match runtime::timeout(TICK, &mut stream).await {
                Ok(opened) => return opened,
                Err(_) => self.look_for_late(None),
            }
        }
    }

    /// Tells those whose time has passed. Whoever is told that the outcome is unknown may go on waiting.
    fn look_for_late(&mut self, stream: Option<&Stream>) {
        let now = Instant::now();
        self.tick = now + TICK;
        self.waiting.expire();
        self.unsettled.iter().for_each(|(_, command)| command.remind(now));
        for slot in
            stream.into_iter().flat_map(|stream| stream.under_way.values()).flat_map(|sent| &sent.slots)
        {
            if let Slot::Other(command) = slot {
                command.remind(now);
            }
        }
    }

    async fn exchange(&mut self, stream: &mut Stream) -> Result<(), ()> {
        let waiting = self.waiting.clone();
        loop {
            let now = Instant::now();
            if self.tick <= now {
                self.look_for_late(Some(stream));
            }
            if stream.under_way.is_empty() && (stream.failed || waiting.is_closed()) {
                return if stream.failed { Err(()) } else { Ok(()) };
            }
            let free = !stream.failed
                && stream.under_way.len() < UNDER_WAY_MAX
                && !stream.under_way.values().any(|message| message.opens)
                && self.window_has_room()
                && !waiting.is_closed();
            tokio::select! {
                biased;
                reply = stream.replies.next() => match reply {
                    Some(Ok(reply)) => self.settle(stream, reply),
                    Some(Err(error)) => {
                        tracing::debug!(%error, "a client's stream broke");
                        return Err(());
                    }
                    None => return Err(()),
                },
                () = waiting.wait_or_closed(), if free => {
                    runtime::yield_now().await;
                    self.send(stream);
                }
                () = runtime::sleep(now.until(self.tick)), if !stream.under_way.is_empty() => {
                    self.look_for_late(Some(stream));
                    if stream.under_way.values().any(UnderWay::is_overdue) {
                        crate::sometimes!("a node does not answer a client in time");
                        return Err(());
                    }
                }
            }
        }
    }

    /// Whether one more message fits into the session's window.
    fn window_has_room(&self) -> bool {
        self.unsettled.next() - self.unsettled.lowest() + MESSAGE_COMMANDS_MAX as u64 <= u64::from(u16::MAX)
    }

    /// Sends what waits, or opens the session that it needs.
    fn send(&mut self, stream: &mut Stream) {
        let Some(numbered) = self.waiting.peek(|command| command.numbered) else { return };
        if numbered == Numbered::Own && self.session.is_none() {
            return self.open_session(stream);
        }
        let mut commands = self.waiting.take(MESSAGE_BYTES_MAX, MESSAGE_COMMANDS_MAX);
        // A session may have to be opened for some that stand behind others.
        if self.session.is_none()
            && let Some(first) = commands.iter().position(|command| command.numbered == Numbered::Own)
        {
            self.waiting.put_back(commands.split_off(first));
        }
        // What was next may have expired meanwhile, so only what was taken tells of which kind it is.
        let Some(kind) = commands.first().map(|command| command.kind) else { return };
        let patience = patience_of(&commands);
        let mut run = BytesMut::with_capacity(commands.iter().map(Command::bytes).sum());
        let lowest = self.unsettled.lowest();
        let mut slots = Vec::with_capacity(commands.len());
        for command in commands {
            let number = match command.numbered {
                Numbered::None => Number::NONE,
                Numbered::Given(number) => number,
                Numbered::Own => {
                    let session = self.session.expect("what needs a session waits until there is one");
                    number(session, self.unsettled.next(), lowest)
                }
            };
            command.content.push(&mut run, number);
            if command.numbered == Numbered::Own {
                slots.push(Slot::Own(self.unsettled.push(command)));
            } else {
                slots.push(Slot::Other(Box::new(command)));
            }
        }
        stream.send(kind, run, slots, patience, false);
    }

    /// Sends again, in order and before anything else, what may have entered and what stands between.
    fn send_again(&mut self, stream: &mut Stream, session: u64) {
        let lowest = self.unsettled.lowest();
        let (mut run, mut slots) = (BytesMut::new(), Vec::new());
        for (sequence, command) in self.unsettled.iter() {
            if !slots.is_empty() && run.len() + command.bytes() > MESSAGE_BYTES_MAX {
                let (run, slots) = (std::mem::take(&mut run), std::mem::take(&mut slots));
                stream.send(ProposalKind::Commands, run, slots, PATIENCE, false);
            }
            command.content.push(&mut run, number(session, sequence, lowest));
            slots.push(Slot::Own(sequence));
        }
        stream.send(ProposalKind::Commands, run, slots, PATIENCE, false);
    }

    fn open_session(&self, stream: &mut Stream) {
        let opening =
            Opening { name: String::new(), patience_ms: millis(self.expiry), order: Order::Ordered };
        let mut run = BytesMut::new();
        push_record(&mut run, Number::NONE, &Bincode::encode(&opening).expect("an opening is plain data"));
        stream.send(ProposalKind::Openings, run, Vec::new(), PATIENCE, true);
    }

    /// A message was answered.
    fn settle(&mut self, stream: &mut Stream, reply: ProposeReply) {
        let Some(message) = stream.under_way.remove(&reply.id) else { return };
        if message.opens {
            match opened(reply.outcome) {
                Some(session) => {
                    // Nothing is sent in a session before it is open, and what was in the last one is settled.
                    (self.session, self.unsettled, self.used_up) = (Some(session), Unsettled::before(1), 0);
                }
                None => stream.failed = true,
            }
            return;
        }
        let mut pieces = Pieces::new(reply.outcome, message.slots.iter().map(Slot::count).sum());
        for slot in message.slots {
            let outcome = pieces.take(slot.count());
            match slot {
                Slot::Own(sequence) => self.settle_own(stream, sequence, outcome),
                Slot::Other(command) => stream.settle_other(*command, outcome),
            }
        }
    }

    fn settle_own(&mut self, stream: &mut Stream, sequence: u64, outcome: Outcome) {
        match outcome {
            Outcome::NotCommitted { retry: true, .. } => stream.failed = true,
            Outcome::Unknown { .. } => {
                stream.failed = true;
                if let Some(command) = self.unsettled.get_mut(sequence) {
                    command.in_doubt = true;
                }
            }
            Outcome::Expired => {
                stream.failed = true;
                self.lost_session = true;
            }
            outcome => {
                if let Some(command) = self.unsettled.remove(sequence) {
                    if command.in_doubt {
                        self.used_up = self.used_up.max(sequence);
                    }
                    command.finish(outcome);
                }
            }
        }
    }

    /// Takes out what is not settled, in order.
    fn take_unsettled(&mut self) -> impl Iterator<Item = Command> + use<> {
        let none = Unsettled::before(self.unsettled.next());
        std::mem::replace(&mut self.unsettled, none).into_commands()
    }

    /// Sorts out what a stream leaves behind.
    fn recover(&mut self, stream: Stream) {
        let Stream { under_way, mut again, .. } = stream;
        for slot in under_way.into_values().flat_map(|message| message.slots) {
            match slot {
                Slot::Own(sequence) => {
                    if let Some(command) = self.unsettled.get_mut(sequence) {
                        command.in_doubt = !planted::is(Bug::ReuseNumbers);
                    }
                }
                Slot::Other(mut command) => {
                    command.in_doubt = true;
                    if command.is_repeatable() && !command.done.is_closed() {
                        again.push(*command);
                    } else {
                        crate::sometimes!(
                            "the way breaks under a plain command, whose outcome stays unknown"
                        );
                        command
                            .finish(unknown("the way to the leader broke while the command was under way"));
                    }
                }
            }
        }
        if std::mem::take(&mut self.lost_session) {
            self.session = None;
            for command in self.take_unsettled() {
                if command.in_doubt {
                    crate::sometimes!("a session is lost, and a command in doubt with it");
                    command.finish(Outcome::Expired);
                } else {
                    crate::sometimes!("a session is lost, and a command goes over to the next one");
                    again.push(command);
                }
            }
        } else {
            let mut certain = Vec::new();
            let used_up = self.used_up;
            let is_certain = |sequence: u64, last: &Command| !last.in_doubt && sequence > used_up;
            while let Some(last) = self.unsettled.pop_last_if(is_certain) {
                crate::sometimes!("a sequence that was certainly not used is given anew");
                certain.push(last);
            }
            again.extend(certain.into_iter().rev());
        }
        self.waiting.put_back(again);
    }
}

impl Stream {
    async fn open(endpoint: &Arc<dyn Endpoint>) -> Result<Stream, ()> {
        let open = ProposeOpen { group: 0, forwarded: false };
        let (requests, replies) = open_stream(endpoint, open, OPENING).await.map_err(|error| {
            tracing::debug!(%error, "a client tries another node");
        })?;
        let (under_way, again) = (BTreeMap::new(), Vec::new());
        Ok(Stream { requests, replies, under_way, next_id: 0, failed: false, again })
    }

    fn send(&mut self, kind: ProposalKind, run: BytesMut, slots: Vec<Slot>, patience: Duration, opens: bool) {
        let id = self.next_id;
        self.next_id += 1;
        let request = ProposeRequest {
            id,
            kind,
            timeout_ms: millis(patience),
            codec: Bincode::ID,
            count: if opens { 1 } else { slots.iter().map(Slot::count).sum() },
            run: run.freeze(),
        };
        self.under_way.insert(id, UnderWay { slots, sent: Instant::now(), opens });
        // If nobody receives any more, the stream of replies is about to say so.
        let _ = self.requests.send(request);
    }

    fn settle_other(&mut self, mut command: Command, outcome: Outcome) {
        let again = match outcome {
            Outcome::NotCommitted { retry: true, .. } => true,
            Outcome::Unknown { .. } if command.is_repeatable() => {
                command.in_doubt = true;
                true
            }
            _ => false,
        };
        if again && !command.done.is_closed() {
            self.failed = true;
            self.again.push(command);
        } else {
            command.finish(outcome);
        }
    }
}

impl UnderWay {
    /// Whether the node has been waited for long enough. A command that must not be sent again is waited for as long as anybody
    /// waits for it.
    fn is_overdue(&self) -> bool {
        let repeatable = |slot: &Slot| match slot {
            Slot::Own(_) => true,
            Slot::Other(command) => command.is_repeatable() || command.done.is_closed(),
        };
        self.slots.iter().all(repeatable) && self.sent.until(Instant::now()) > PATIENCE + TICK
    }
}

fn number(session: u64, sequence: u64, lowest: u64) -> Number {
    let window = u16::try_from(sequence - lowest).expect("what is under way fits into the window");
    Number { session, sequence, window }
}

/// How long a node may hold these commands: no longer than their callers wait.
fn patience_of(commands: &[Command]) -> Duration {
    let now = Instant::now();
    let shortest = commands.iter().map(|command| now.until(command.deadline)).min().unwrap_or_default();
    if commands.iter().all(Command::is_repeatable) { shortest.min(PATIENCE) } else { shortest }
}

/// The session that was opened, if it was.
fn opened(outcome: Outcome) -> Option<u64> {
    let Outcome::Committed { replies, .. } = outcome else { return None };
    match read_opened(replies) {
        Some(Opened::Session(session)) => Some(session),
        Some(Opened::Gone) | None => None,
    }
}
