//! The suite inside the process, and what only this network does.

use std::sync::Arc;

use async_trait::async_trait;
use lovebird_core::transport::{Endpoint, Transport};

use super::MemoryNetwork;
use crate::conformance::Fixture;

/// Nodes on one network.
struct Nodes {
    network: MemoryNetwork,
    started: usize,
}

impl Nodes {
    fn new() -> Self {
        Nodes { network: MemoryNetwork::new(), started: 0 }
    }
}

#[async_trait]
impl Fixture for Nodes {
    async fn start(&mut self, endpoint: Arc<dyn Endpoint>) -> String {
        self.started += 1;
        let address = format!("node-{}", self.started);
        self.network.register(&address, endpoint);
        address
    }

    async fn stop(&mut self, address: &str) {
        self.network.unregister(address);
    }

    async fn restart(&mut self, address: &str, endpoint: Arc<dyn Endpoint>) {
        self.network.register(address, endpoint);
    }

    fn transport(&self) -> Arc<dyn Transport> {
        Arc::new(self.network.transport("client"))
    }
}

mod suite {
    crate::transport_conformance!(tokio::test, super::Nodes::new());
}
