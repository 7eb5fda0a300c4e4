//! The in-memory twin: a network inside the process, for tests and the simulator.
//!
//! Every message is encoded and decoded on its way, as on a real one. Nothing is ever dropped, reordered or delayed, except
//! by [`MemoryNetwork::cut`]: what is sent over a cut link vanishes silently, so that calls do not return and streams
//! stand still until their caller gives up. That is what a connection looks like that has died in one direction.
//!
//! A network that is made [`under`](MemoryNetwork::under) [`Conditions`] asks them for the [`Fate`] of every single message: a
//! request and its reply, the opening of a stream and that it was taken, each message on it either way and its end. What they
//! can do is what TCP and HTTP/2 leave possible. Streams stay in order and without loss while they last; calls overtake one
//! another; and what was sent before a connection was given up may be handled long after.
//!
//! A stream that has lost a message stays still after its link has healed, since streams are without loss while they last.
//! One thing is kinder than on a real network: when a caller gives up, the handler hears of it even over a cut link, where
//! a server would have to find out by itself.

mod conditions;
mod kinds;
mod line;
mod tasks;
mod proxy;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{Map, Shared};
use lovebird_core::transport::{Endpoint, Transport, TransportError, TransportResult};
use tokio::sync::oneshot;

use conditions::Beside;
pub use conditions::{Conditions, Fate, Host, Sending};
use proxy::Proxy;

/// Nodes by address, and the links between them. Clones are the same network.
#[derive(Clone, Default)]
pub struct MemoryNetwork(Arc<Network>);

#[derive(Default)]
struct Network {
    places: Mutex<Places>,
    /// None where everything arrives at once.
    conditions: Option<Arc<dyn Conditions>>,
}

#[derive(Default)]
struct Places {
    nodes: BTreeMap<Arc<str>, Node>,
    /// Links, from and to, that carry nothing.
    cuts: BTreeSet<(Arc<str>, Arc<str>)>,
}

struct Node {
    found: Found,
    /// Ends the life when it is dropped.
    _ends: oneshot::Sender<()>,
}

/// A node as its callers reach it.
#[derive(Clone)]
struct Found {
    endpoint: Arc<dyn Endpoint>,
    host: Arc<dyn Host>,
    life: Life,
}

/// Resolves when a node has gone from the network.
type Life = Shared<Map<oneshot::Receiver<()>, fn(Result<(), oneshot::error::RecvError>)>>;

impl MemoryNetwork {
    /// A network without nodes, on which everything arrives at once.
    pub fn new() -> Self {
        MemoryNetwork::default()
    }

    /// A network without nodes, under conditions.
    pub fn under(conditions: Arc<dyn Conditions>) -> Self {
        MemoryNetwork(Arc::new(Network { conditions: Some(conditions), ..Network::default() }))
    }

    /// Puts a node on the network, which does what it is asked beside its callers' own tasks. If there was one at this
    /// address, its connections break.
    pub fn register(&self, address: &str, endpoint: Arc<dyn Endpoint>) {
        self.register_on(address, endpoint, Arc::new(Beside));
    }

    /// The same for a node that does what it is asked in tasks of its host: they are polled and end there.
    pub fn register_on(&self, address: &str, endpoint: Arc<dyn Endpoint>, host: Arc<dyn Host>) {
        let (ends, ended) = oneshot::channel();
        let life = ended.map(drop as fn(_)).shared();
        let node = Node { found: Found { endpoint, host, life }, _ends: ends };
        let previous = self.lock().nodes.insert(address.into(), node);
        // Outside the lock, since this wakes tasks and drops a node.
        drop(previous);
    }

    /// Takes a node from the network. Its connections break, as if its process had been killed.
    pub fn unregister(&self, address: &str) {
        let previous = self.lock().nodes.remove(address);
        drop(previous);
    }

    /// Lets all that is sent from one address to another vanish, until the link is healed.
    pub fn cut(&self, from: &str, to: &str) {
        self.lock().cuts.insert((from.into(), to.into()));
    }

    /// Lets a link carry again.
    pub fn heal(&self, from: &str, to: &str) {
        self.lock().cuts.remove(&(from.into(), to.into()));
    }

    /// The transport of the node, or client, at `own_address`. The address need not be registered.
    pub fn transport(&self, own_address: &str) -> MemoryTransport {
        MemoryTransport { network: self.clone(), own_address: own_address.into() }
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        // Nothing panics while the lock is held, so what it guards is whole.
        self.0.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, address: &str) -> TransportResult<Found> {
        let places = self.lock();
        let node = places.nodes.get(address).ok_or_else(|| TransportError::Unreachable {
            address: address.to_owned(),
            reason: "nobody listens there".to_owned(),
        })?;
        Ok(node.found.clone())
    }
}

/// One direction between two addresses.
#[derive(Clone)]
struct Link {
    network: MemoryNetwork,
    from: Arc<str>,
    to: Arc<str>,
}

impl Link {
    /// What becomes of a message that is sent now.
    fn fate(&self, kind: &'static str, bytes: usize, earliest: Duration, repeatable: bool) -> Fate {
        if self.is_cut() {
            return Fate::Lost;
        }
        let (from, to) = (&*self.from, &*self.to);
        match &self.network.0.conditions {
            Some(conditions) => conditions.fate(&Sending { from, to, kind, bytes, earliest, repeatable }),
            None => Fate::Arrives { at: Duration::ZERO, again: None },
        }
    }

    /// Waits for what arrives then.
    async fn until(&self, at: Duration) {
        if let Some(conditions) = &self.network.0.conditions
            && !at.is_zero()
        {
            conditions.until(at).await;
        }
    }

    fn is_cut(&self) -> bool {
        let places = self.network.lock();
        !places.cuts.is_empty() && places.cuts.contains(&(self.from.clone(), self.to.clone()))
    }
}

/// Reaches the nodes of a [`MemoryNetwork`] from one address.
#[derive(Clone)]
pub struct MemoryTransport {
    network: MemoryNetwork,
    own_address: Arc<str>,
}

impl Transport for MemoryTransport {
    fn endpoint(&self, address: &str) -> Arc<dyn Endpoint> {
        Arc::new(Proxy::new(self.network.clone(), self.own_address.clone(), address.into()))
    }
}
