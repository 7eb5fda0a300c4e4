//! Following the log: committed records, in order, each once, from any log index on.
//!
//! A [`Subscription`] reads from one replica at a time, at its own pace; when that one is gone it goes on at the next where it
//! stopped. What it gives is the log itself, so writers do not wait for it, and a subscriber that crashed resumes by the index of
//! the last record that it has dealt with. It holds nothing back in the log: what snapshots cover is purged all the same, and
//! whoever is too far behind is told so ([`SubscribeError::Purged`]), or is given the state first, at an exact log index from which
//! the records follow ([`Subscription::or_state`]).
//!
//! The node's side is `feed`.

pub(crate) mod feed;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;

use crate::client::Nodes;
use crate::codec::{Bincode, Codec};
use crate::entry::{Entry, EntryKind};
use crate::error::SubscribeError;
use crate::planted::{self, Bug};
use crate::record::records;
use crate::runtime::{self, Instant};
use crate::service::{Model, Service};
use crate::state_machine::Snapshot;
use crate::transport::{IfPurged, Replies, SubscribeReply, SubscribeRequest};

/// Between attempts.
const PAUSE: Duration = Duration::from_millis(50);

/// How long a node may say nothing before another one is asked. It says that it is there more often than that.
const SILENCE: Duration = Duration::from_secs(5);

/// A record as a subscriber sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged<C> {
    /// Its log index.
    pub index: u64,
    /// The term of the leader that proposed it.
    pub term: u64,
    /// Log time.
    pub time: SystemTime,
    /// In which model it was logged.
    pub model: Model,
    /// The command.
    pub command: C,
}

/// What a subscription gives.
pub enum Event<S: Service> {
    /// The next record.
    Record(Logged<S::Command>),
    /// The state as of a log index, since records before it are gone; the next record is the one behind it.
    State {
        /// The log index.
        index: u64,
        /// The state.
        snapshot: S::Snapshot,
    },
}

impl<S: Service> std::fmt::Debug for Event<S> {
    /// Never prints commands or states.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Event::Record(record) => {
                f.debug_struct("Record").field("index", &record.index).finish_non_exhaustive()
            }
            Event::State { index, .. } => {
                f.debug_struct("State").field("index", index).finish_non_exhaustive()
            }
        }
    }
}

/// Follows the log; see the module.
pub struct Subscription<S: Service> {
    nodes: Arc<Nodes>,
    next: u64,
    if_purged: IfPurged,
    stream: Option<Replies<SubscribeReply>>,
    /// The turn of the node that is asked, and when it was heard last or asked first.
    turn: usize,
    heard: Instant,
    /// Records that have arrived.
    arrived: VecDeque<Arrived>,
    /// The pieces of a state that is arriving.
    state: BytesMut,
    types: std::marker::PhantomData<fn() -> S>,
}

struct Arrived {
    index: u64,
    term: u64,
    time: SystemTime,
    model: Model,
    payload: Bytes,
}

impl<S: Service> std::fmt::Debug for Subscription<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription").field("next", &self.next).finish_non_exhaustive()
    }
}

impl<S: Service> Subscription<S> {
    pub(crate) fn new(nodes: Arc<Nodes>, from: u64) -> Self {
        Subscription {
            nodes,
            next: from,
            if_purged: IfPurged::Tell,
            stream: None,
            turn: 0,
            heard: Instant::now(),
            arrived: VecDeque::new(),
            state: BytesMut::new(),
            types: std::marker::PhantomData,
        }
    }

    /// The same, but where the next record is no longer in the log the state comes instead. The node and the subscriber hold its
    /// encoded form in memory.
    pub fn or_state(self) -> Self {
        Subscription { if_purged: IfPurged::SendState, ..self }
    }

    /// The log index of the next record.
    pub fn next_index(&self) -> u64 {
        self.next
    }

    /// Waits for the next record. May be dropped and called again without loss.
    ///
    /// # Errors
    /// [`SubscribeError::Purged`] if it is no longer in the log, and will not be; [`SubscribeError::Codec`] if it is of another type, and
    /// the next call gives the one behind it.
    pub async fn next(&mut self) -> Result<Event<S>, SubscribeError> {
        loop {
            if let Some(arrived) = self.arrived.pop_front() {
                return self.record(arrived).map(Event::Record);
            }
            let Some(stream) = &mut self.stream else {
                self.open().await;
                continue;
            };
            // Counted from when it was heard last, not from this call, which may be dropped and made again.
            let left = Instant::now().until(self.heard + SILENCE);
            let reply = runtime::timeout(left, stream.next()).await;
            if reply.is_ok() {
                self.heard = Instant::now();
            }
            match reply {
                Ok(Some(Ok(SubscribeReply::Entries(entries)))) => {
                    if !entries.into_iter().all(|entry| self.take(entry)) {
                        tracing::warn!(
                            next = self.next,
                            "a subscription was sent what does not follow, and asks anew"
                        );
                        self.turn_away().await;
                    }
                }
                Ok(Some(Ok(SubscribeReply::State { index, bytes, last }))) => {
                    self.state.extend_from_slice(&bytes);
                    if last {
                        return self.restored(index);
                    }
                }
                Ok(Some(Ok(SubscribeReply::Purged { first }))) => {
                    self.stream = None;
                    return Err(SubscribeError::Purged { next: self.next, first });
                }
                Ok(Some(Ok(SubscribeReply::Idle))) => {}
                Ok(Some(Err(error))) => {
                    crate::sometimes!("a subscription breaks, and goes on at another node");
                    tracing::debug!(%error, "a subscription goes on at another node");
                    self.turn_away().await;
                }
                Ok(None) | Err(_) => {
                    crate::sometimes!(
                        reply.is_err(),
                        "a subscription hears nothing, and goes on at another node"
                    );
                    self.turn_away().await;
                }
            }
        }
    }

    async fn open(&mut self) {
        let request = SubscribeRequest { group: 0, from: self.next, if_purged: self.if_purged };
        self.state.clear();
        let (turn, endpoint) = self.nodes.preferred();
        if turn != self.turn {
            (self.turn, self.heard) = (turn, Instant::now());
        }
        let left = Instant::now().until(self.heard + SILENCE);
        match runtime::timeout(left, endpoint.subscribe(request)).await {
            Ok(Ok(stream)) => (self.stream, self.heard) = (Some(stream), Instant::now()),
            Ok(Err(error)) => {
                tracing::debug!(%error, "a subscription goes on at another node");
                self.turn_away().await;
            }
            Err(_) => self.turn_away().await,
        }
    }

    async fn turn_away(&mut self) {
        self.stream = None;
        self.nodes.leave(self.turn);
        self.heard = Instant::now();
        runtime::sleep(PAUSE).await;
    }

    /// Takes the records of an entry that are new. `false` if they do not follow on what came before.
    fn take(&mut self, entry: Entry) -> bool {
        let model = match entry.header.kind {
            EntryKind::Commands => Model::StateMachine,
            EntryKind::Outcomes => Model::PrimaryBackup,
            _ => return false,
        };
        let time = SystemTime::UNIX_EPOCH + Duration::from_nanos(entry.header.time);
        for (index, record) in (entry.header.first_index..).zip(records(entry.body)) {
            let next = self.arrived.back().map_or(self.next, |last| last.index + 1);
            let Ok(record) = record else { return false };
            if index > next {
                return false;
            }
            if index == next {
                let (term, payload) = (entry.header.term, record.payload);
                self.arrived.push_back(Arrived { index, term, time, model, payload });
            }
        }
        true
    }

    fn record(&mut self, arrived: Arrived) -> Result<Logged<S::Command>, SubscribeError> {
        let Arrived { index, term, time, model, payload } = arrived;
        self.next = index + 1;
        match Bincode::decode(&payload) {
            Ok(command) => Ok(Logged { index, term, time, model, command }),
            Err(error) => Err(SubscribeError::Codec { index, reason: error.to_string() }),
        }
    }

    fn restored(&mut self, index: u64) -> Result<Event<S>, SubscribeError> {
        let bytes = std::mem::take(&mut self.state);
        self.next = index + 1 + u64::from(planted::is(Bug::SkipBehindState));
        match S::Snapshot::read(&mut &bytes[..]) {
            Ok(snapshot) => Ok(Event::State { index, snapshot }),
            Err(error) => Err(SubscribeError::Codec { index, reason: error.to_string() }),
        }
    }
}
