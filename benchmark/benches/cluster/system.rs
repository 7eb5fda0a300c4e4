//! What is asked of every system: to keep values under keys, durably if it can, and to give them back.

use std::error::Error;
use std::future::Future;

use bytes::Bytes;

/// A failure ends the run; who failed and why is all that is left to say.
pub(crate) type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// What a reader of the figures has to know of a system.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// Its name and version.
    pub(crate) name: String,
    /// How many copies there are, and what is durable when a write is acknowledged, in a few words.
    pub(crate) acknowledges: &'static str,
}

impl Facts {
    /// Whether it is the system with this name, whatever its version.
    pub(crate) fn is(&self, name: &str) -> bool {
        is_named(&self.name, name)
    }
}

/// Whether a full name, such as "etcd 3.4.23", is of the system with this short one.
pub(crate) fn is_named(full: &str, name: &str) -> bool {
    full.split(' ').next().is_some_and(|first| first.eq_ignore_ascii_case(name))
}

/// Whom a client talks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The node that leads, where there is such a one; else any.
    Leader,
    /// The node with this number, from 0 on, modulo the number of nodes.
    Node(usize),
}

impl Place {
    /// Which of so many nodes that is, from 0 on; `leader` finds the one that leads.
    pub(crate) async fn among(
        self,
        nodes: usize,
        leader: impl Future<Output = Outcome<usize>>,
    ) -> Outcome<usize> {
        match self {
            Place::Leader => leader.await,
            Place::Node(place) => Ok(place % nodes),
        }
    }
}

/// How fresh a read is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fresh {
    /// It sees what was acknowledged to anyone before.
    Linearizable,
    /// The same while clocks run alike. Of a system that has nothing of the kind: as `Linearizable`.
    Lease,
    /// It sees what this client has been answered before, at the node it talks to. Of a system that has nothing of the kind: a read
    /// of whatever that node has.
    OwnWrites,
}

/// A system that runs: processes of its own, with a directory each. They end when it is dropped.
pub(crate) trait System: Send + Sync + 'static {
    /// A handle that many callers share by cloning it.
    type Client: Client;

    /// What it is.
    fn facts(&self) -> Facts;

    /// The processes of its nodes: their CPU time and what they write is counted.
    fn processes(&self) -> Vec<u32>;

    /// A client with a connection of its own.
    fn connect(&self, place: Place) -> impl Future<Output = Outcome<Self::Client>> + Send;
}

/// A client. Clones share its connection, and may have any number of calls under way on it.
pub(crate) trait Client: Clone + Send + Sync + 'static {
    /// Writes `value` under `key`. Done when it is acknowledged.
    fn write(&self, key: u32, value: Bytes) -> impl Future<Output = Outcome<()>> + Send;

    /// The last value under `key`, if there is one.
    fn read(&self, key: u32, fresh: Fresh) -> impl Future<Output = Outcome<Option<Bytes>>> + Send;
}
