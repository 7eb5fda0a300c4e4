//! The suite over real sockets, and what only real sockets do.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use lovebird_core::runtime::{self, Task};
use lovebird_core::transport::{Endpoint, Transport};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::oneshot;

use super::{GrpcTransport, serve};
use crate::conformance::Fixture;

/// Servers on free ports of this machine.
struct Sockets {
    transport: Arc<GrpcTransport>,
    servers: BTreeMap<String, (oneshot::Sender<()>, Task)>,
}

impl Sockets {
    fn new() -> Self {
        Sockets { transport: Arc::new(GrpcTransport::new()), servers: BTreeMap::new() }
    }

    fn serve(&mut self, listener: TcpListener, endpoint: Arc<dyn Endpoint>) -> String {
        let address = listener.local_addr().unwrap().to_string();
        let (stop, stopped) = oneshot::channel::<()>();
        let server = runtime::spawn(async move {
            serve(listener, endpoint, async { drop(stopped.await) }).await.unwrap();
        });
        self.servers.insert(address.clone(), (stop, server));
        address
    }
}

#[async_trait]
impl Fixture for Sockets {
    async fn start(&mut self, endpoint: Arc<dyn Endpoint>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        self.serve(listener, endpoint)
    }

    async fn stop(&mut self, address: &str) {
        let (stop, server) = self.servers.remove(address).unwrap();
        drop(stop);
        server.ended().await;
    }

    async fn restart(&mut self, address: &str, endpoint: Arc<dyn Endpoint>) {
        let socket = TcpSocket::new_v4().unwrap();
        // Connections of the server before may still linger on this port.
        socket.set_reuseaddr(true).unwrap();
        socket.bind(address.parse::<SocketAddr>().unwrap()).unwrap();
        self.serve(socket.listen(128).unwrap(), endpoint);
    }

    fn transport(&self) -> Arc<dyn Transport> {
        self.transport.clone()
    }
}

mod suite {
    crate::transport_conformance!(
        tokio::test(flavor = "multi_thread", worker_threads = 2),
        super::Sockets::new()
    );
}
