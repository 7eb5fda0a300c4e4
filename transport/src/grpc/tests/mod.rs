//! The suite over real sockets, and what only real sockets do.

mod relay;

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::{Either, join_all, select};
use futures_util::stream::{StreamExt, iter, pending, unfold};
use lovebird_core::identity::{ClusterId, RaftId};
use lovebird_core::log_store::Vote;
use lovebird_core::runtime::{self, Instant, Task};
use lovebird_core::transport::{AppendRequest, Endpoint, Route, Transport, TransportError, TransportResult};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, oneshot};

use super::{GrpcTransport, serve};
use crate::conformance::{Act, Event, Events, Fixture, PATIENCE, Script};
use crate::limits::{MESSAGE_BYTES_MAX, SHUTDOWN_GRACE};
use crate::proto::{self, clients_client::ClientsClient};
use relay::Relay;

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

/// A served script behind a relay, and a proxy that goes through it.
async fn relayed(act: Act) -> (Sockets, Relay, Arc<dyn Endpoint>, Events) {
    let mut sockets = Sockets::new();
    let (script, events) = Script::new(act);
    let relay = Relay::to(sockets.start(script).await).await;
    let proxy = sockets.transport.endpoint(&relay.address);
    (sockets, relay, proxy, events)
}

async fn soon<F: Future>(future: F) -> F::Output {
    runtime::timeout(PATIENCE, future).await.expect("it should have happened by now")
}

fn is_broken<T>(result: &TransportResult<T>) -> bool {
    matches!(result, Err(TransportError::Broken { .. }))
}

#[tokio::test]
async fn all_calls_to_an_address_share_one_connection() {
    let (sockets, relay, proxy, _events) = relayed(Act::Answer).await;
    let same = sockets.transport.endpoint(&relay.address);
    let calls = (0..500).map(|group| if group % 2 == 0 { proxy.status(group) } else { same.status(group) });
    for (group, status) in soon(join_all(calls)).await.into_iter().enumerate() {
        assert_eq!(status.unwrap().term, group as u64);
    }
    assert_eq!(relay.connections(), 1);
}

#[tokio::test]
async fn thousands_of_cancelled_calls_leave_the_connection_alone() {
    let (_sockets, relay, proxy, mut events) = relayed(Act::Hang).await;
    for _ in 0..3 {
        let calls = join_all((0..1000).map(|group| proxy.status(group)));
        let asked = async {
            for _ in 0..1000 {
                assert!(matches!(events.next().await, Event::Asked(_)));
            }
        };
        match select(calls, std::pin::pin!(asked)).await {
            Either::Left((replies, _)) => panic!("calls that hang were answered: {replies:?}"),
            Either::Right(((), calls)) => drop(calls),
        }
        for _ in 0..1000 {
            assert_eq!(events.next().await, Event::Dropped);
        }
    }
    assert_eq!(relay.connections(), 1);
}

#[tokio::test]
async fn a_connection_that_does_not_carry_replies_breaks_and_the_next_one_serves() {
    let (_sockets, relay, proxy, mut events) = relayed(Act::Answer).await;
    soon(proxy.status(0)).await.unwrap();
    events.asked("status", &0).await;
    let mut stream = soon(proxy.append(route(), pending().boxed())).await.unwrap();
    events.next().await;

    relay.set(true, false);
    let status = soon(proxy.status(1)).await;
    assert!(is_broken(&status), "{status:?}");
    events.asked("status", &1).await;
    let reply = soon(stream.next()).await.unwrap();
    assert!(is_broken(&reply), "{reply:?}");

    // A fresh connection is no better, and breaks as well.
    let status = soon(proxy.status(2)).await;
    assert!(is_broken(&status), "{status:?}");

    relay.set(true, true);
    soon(proxy.status(3)).await.unwrap();
}

#[tokio::test]
async fn a_connection_that_does_not_carry_requests_ends_at_the_server_too() {
    let (_sockets, relay, proxy, mut events) = relayed(Act::Answer).await;
    let mut stream = soon(proxy.append(route(), pending().boxed())).await.unwrap();
    events.next().await;

    relay.set(false, true);
    // The handler hears of it by the server's own signs of life: what the client says does not arrive.
    events.dropped().await;
    let reply = soon(stream.next()).await.unwrap();
    assert!(is_broken(&reply), "{reply:?}");
}

#[tokio::test]
async fn a_server_that_accepts_and_hangs_up_is_broken_not_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let hangs_up = runtime::spawn(async move {
        loop {
            drop(listener.accept().await.unwrap());
        }
    });
    let status = soon(GrpcTransport::new().endpoint(&address).status(1)).await;
    assert!(is_broken(&status), "{status:?}");
    hangs_up.abort();
}

#[tokio::test]
async fn a_connection_that_cannot_be_made_in_time_is_unreachable() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // Nobody accepts. Once the queue is full, the system leaves further connections waiting.
    let mut queue = Vec::new();
    while let Ok(stream) = runtime::timeout(Duration::from_millis(300), TcpStream::connect(&address)).await {
        queue.push(stream.unwrap());
        assert!(queue.len() < 100, "the queue of the listener is never full");
    }
    let proxy = GrpcTransport::with_connect_timeout(Duration::from_millis(200)).endpoint(&address);
    let status = soon(proxy.status(1)).await;
    assert!(matches!(status, Err(TransportError::Unreachable { .. })), "{status:?}");
}

#[tokio::test]
async fn an_address_that_is_none_is_unreachable_and_says_so() {
    for address in ["", "a b:1", "host:port"] {
        match soon(GrpcTransport::new().endpoint(address).status(1)).await {
            Err(TransportError::Unreachable { reason, .. }) => {
                assert!(reason.contains("host:port"), "{reason}")
            }
            other => panic!("'{address}' was taken for an address: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_server_ends_in_time_whatever_is_open() {
    let (mut sockets, relay, proxy, mut events) = relayed(Act::Answer).await;
    let mut stream = soon(proxy.append(route(), pending().boxed())).await.unwrap();
    events.next().await;
    let address = sockets.servers.keys().next().unwrap().clone();
    let begun = Instant::now();
    soon(sockets.stop(&address)).await;
    let took = begun.until(Instant::now());
    assert!(took < SHUTDOWN_GRACE * 3, "the shutdown took {took:?}");
    events.dropped().await;
    let reply = soon(stream.next()).await.unwrap();
    assert!(is_broken(&reply), "{reply:?}");
    assert_eq!(relay.connections(), 1);
}

#[tokio::test]
async fn a_call_under_way_is_answered_during_a_shutdown() {
    let mut sockets = Sockets::new();
    let (script, mut events) = Script::new(Act::Gather(2));
    let address = sockets.start(script).await;
    let (requests, source) = mpsc::unbounded_channel();
    let source = unfold(source, |mut source| async move { Some((source.recv().await?, source)) });
    let proxy = sockets.transport.endpoint(&address);
    let mut replies = soon(proxy.append(route(), source.boxed())).await.unwrap();
    requests.send(append()).unwrap();
    events.next().await;
    events.next().await;
    let (stop, server) = sockets.servers.remove(&address).unwrap();
    drop(stop);
    // No new connection is taken any more: the shutdown has begun.
    while soon(TcpStream::connect(&address)).await.is_ok() {}
    requests.send(append()).unwrap();
    assert!(soon(replies.next()).await.unwrap().is_ok());
    assert!(soon(replies.next()).await.unwrap().is_ok());
    drop(requests);
    assert!(soon(replies.next()).await.is_none());
    soon(server.ended()).await;
}

#[tokio::test]
async fn what_another_implementation_sends_over_the_limit_is_refused() {
    let mut sockets = Sockets::new();
    let (script, _events) = Script::new(Act::Answer);
    let address = sockets.start(script).await;
    let channel =
        tonic::transport::Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy();
    let open = proto::ProposeMessage { kind: Some(proto::propose_message::Kind::Open(Default::default())) };
    let large = proto::ProposeRequest { run: vec![0; MESSAGE_BYTES_MAX].into(), ..Default::default() };
    let large = proto::ProposeMessage { kind: Some(proto::propose_message::Kind::Request(large)) };
    let requests = iter([open, large]);
    let mut replies = soon(ClientsClient::new(channel).propose(requests)).await.unwrap().into_inner();
    let status = soon(replies.next()).await.unwrap().unwrap_err();
    assert_eq!(status.code(), tonic::Code::FailedPrecondition, "{status}");
}

fn route() -> Route {
    Route { cluster: ClusterId(1), group: 0, from: RaftId::new(1, 1), to: RaftId::new(2, 2) }
}

fn append() -> AppendRequest {
    let vote = Vote { term: 1, node: RaftId::new(1, 1), committed: true };
    AppendRequest { vote, previous: None, entries: Vec::new(), committed: None }
}
