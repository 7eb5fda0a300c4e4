//! The in-memory twin: a network inside the process, for tests and the simulator.
//!
//! Every message is encoded and decoded on its way, as on a real one. Nothing is ever dropped, reordered or delayed, except
//! by [`MemoryNetwork::cut`]: what is sent over a cut link vanishes silently, so that calls do not return and streams
//! stand still until their caller gives up. That is what a connection looks like that has died in one direction.
//!
//! A stream that has lost a message stays still after its link has healed, since streams are without loss while they last.
//! One thing is kinder than on a real network: when a caller gives up, the handler hears of it even over a cut link, where
//! a server would have to find out by itself.

mod line;
mod proxy;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{Map, Shared};
use lovebird_core::transport::{Endpoint, Transport, TransportError, TransportResult};
use tokio::sync::oneshot;

use proxy::Proxy;

/// Nodes by address, and the links between them. Clones are the same network.
#[derive(Clone, Default)]
pub struct MemoryNetwork(Arc<Mutex<Network>>);

#[derive(Default)]
struct Network {
    nodes: BTreeMap<String, Node>,
    /// Links, from and to, that carry nothing.
    cuts: BTreeSet<(String, String)>,
}

struct Node {
    endpoint: Arc<dyn Endpoint>,
    life: Life,
    /// Ends the life when it is dropped.
    _ends: oneshot::Sender<()>,
}

/// Resolves when a node has gone from the network.
type Life = Shared<Map<oneshot::Receiver<()>, fn(Result<(), oneshot::error::RecvError>)>>;

impl MemoryNetwork {
    /// A network without nodes.
    pub fn new() -> Self {
        MemoryNetwork::default()
    }

    /// Puts a node on the network. If there was one at this address, its connections break.
    pub fn register(&self, address: &str, endpoint: Arc<dyn Endpoint>) {
        let (ends, ended) = oneshot::channel();
        let life = ended.map(drop as fn(_)).shared();
        let previous = self.lock().nodes.insert(address.to_owned(), Node { endpoint, life, _ends: ends });
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
        self.lock().cuts.insert((from.to_owned(), to.to_owned()));
    }

    /// Lets a link carry again.
    pub fn heal(&self, from: &str, to: &str) {
        self.lock().cuts.remove(&(from.to_owned(), to.to_owned()));
    }

    /// The transport of the node, or client, at `own_address`. The address need not be registered.
    pub fn transport(&self, own_address: &str) -> MemoryTransport {
        MemoryTransport { network: self.clone(), own_address: own_address.to_owned() }
    }

    fn lock(&self) -> MutexGuard<'_, Network> {
        // Nothing panics while the lock is held, so what it guards is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, address: &str) -> TransportResult<(Arc<dyn Endpoint>, Life)> {
        let network = self.lock();
        let node = network.nodes.get(address).ok_or_else(|| TransportError::Unreachable {
            address: address.to_owned(),
            reason: "nobody listens there".to_owned(),
        })?;
        Ok((node.endpoint.clone(), node.life.clone()))
    }
}

/// One direction between two addresses.
#[derive(Clone)]
struct Link {
    network: MemoryNetwork,
    from: String,
    to: String,
}

impl Link {
    /// Resolves if the link carries what is sent now. If it does not, never: what was sent has vanished, and with it
    /// whatever would have come after.
    async fn carry(&self) {
        let cut = self.network.lock().cuts.contains(&(self.from.clone(), self.to.clone()));
        if cut {
            std::future::pending::<()>().await;
        }
    }
}

/// Reaches the nodes of a [`MemoryNetwork`] from one address.
#[derive(Clone)]
pub struct MemoryTransport {
    network: MemoryNetwork,
    own_address: String,
}

impl Transport for MemoryTransport {
    fn endpoint(&self, address: &str) -> Arc<dyn Endpoint> {
        Arc::new(Proxy::new(self.network.clone(), self.own_address.clone(), address.to_owned()))
    }
}
