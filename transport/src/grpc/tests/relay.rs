//! A relay between a client and a server, whose two directions can be stopped one by one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lovebird_core::runtime::{self, Task};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Which directions carry bytes. A direction that does not takes none either: they stay in the sender's socket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Open {
    pub(super) there: bool,
    pub(super) back: bool,
}

/// Listens on a port of its own and passes bytes to a server and back.
pub(super) struct Relay {
    pub(super) address: String,
    open: watch::Sender<Open>,
    connections: Arc<AtomicUsize>,
    task: Task,
}

impl Relay {
    pub(super) async fn to(server: String) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (open, opened) = watch::channel(Open { there: true, back: true });
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        let task = runtime::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                // The client sees the end of its connection if there is no server.
                let Ok(server) = TcpStream::connect(&server).await else { continue };
                let ((from_client, to_client), (from_server, to_server)) =
                    (client.into_split(), server.into_split());
                runtime::spawn(pass(from_client, to_server, opened.clone(), |open| open.there));
                runtime::spawn(pass(from_server, to_client, opened.clone(), |open| open.back));
            }
        });
        Relay { address, open, connections, task }
    }

    /// Sets which directions carry bytes.
    pub(super) fn set(&self, there: bool, back: bool) {
        self.open.send_replace(Open { there, back });
    }

    /// How many connections have been made so far.
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut open: watch::Receiver<Open>,
    carries: fn(&Open) -> bool,
) {
    let mut bytes = vec![0; 1 << 16];
    loop {
        let count = match from.read(&mut bytes).await {
            Ok(0) | Err(_) => return,
            Ok(count) => count,
        };
        // The relay has gone, and the test with it, if nobody can open the direction any more.
        if open.wait_for(carries).await.is_err() || to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}
