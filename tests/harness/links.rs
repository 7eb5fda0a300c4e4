//! Links between nodes that can be cut in one direction.
//!
//! Each node reaches each other node through a small proxy of its own, whose address it is given as the peer's. A cut holds
//! what is under way, as a network does that loses packets of a connection which keeps sending them again; mending lets it go
//! on.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};

use super::cluster::Cluster;

/// All links of a cluster.
pub struct Links {
    /// By (who opens the connections, who accepts them).
    proxies: BTreeMap<(u64, u64), Proxy>,
}

impl Links {
    /// Puts a proxy between each two nodes of a cluster that does not run yet.
    pub fn new(cluster: &mut Cluster) -> Links {
        let rafts: Vec<(u64, String)> =
            cluster.nodes.iter().map(|node| (node.id, node.raft.clone())).collect();
        let mut proxies = BTreeMap::new();
        for node in &mut cluster.nodes {
            for (peer, address) in &mut node.peers {
                if *peer != node.id {
                    let target = rafts.iter().find(|(id, _)| id == peer).unwrap().1.parse().unwrap();
                    let proxy = Proxy::start(target);
                    *address = proxy.address.to_string();
                    proxies.insert((node.id, *peer), proxy);
                }
            }
        }
        Links { proxies }
    }

    /// From now on, nothing that `from` sends arrives at `to`.
    pub fn cut(&self, from: u64, to: u64) {
        self.set(from, to, State::Held);
    }

    /// What `from` sends arrives at `to` again.
    pub fn mend(&self, from: u64, to: u64) {
        self.set(from, to, State::Open);
    }

    /// Everything arrives again.
    pub fn mend_all(&self) {
        for (from, to) in self.proxies.keys() {
            self.mend(*from, *to);
        }
    }

    fn set(&self, from: u64, to: u64, state: State) {
        // Its requests on the connections that it opened, and its answers on those that the other opened.
        self.proxies[&(from, to)].requests.set(state);
        self.proxies[&(to, from)].answers.set(state);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Held,
    Closed,
}

/// Lets bytes pass in one direction, or not.
struct Valve {
    state: Mutex<State>,
    changed: Condvar,
}

impl Valve {
    fn new() -> Arc<Valve> {
        Arc::new(Valve { state: Mutex::new(State::Open), changed: Condvar::new() })
    }

    fn set(&self, state: State) {
        *self.state.lock().unwrap() = state;
        self.changed.notify_all();
    }

    /// Waits while bytes are held. Returns whether they may pass now.
    fn pass(&self) -> bool {
        let state =
            self.changed.wait_while(self.state.lock().unwrap(), |state| *state == State::Held).unwrap();
        *state == State::Open
    }
}

/// Listens at `address` and passes connections on to its target.
struct Proxy {
    address: SocketAddr,
    requests: Arc<Valve>,
    answers: Arc<Valve>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
    accepting: Option<JoinHandle<()>>,
}

impl Proxy {
    fn start(target: SocketAddr) -> Proxy {
        let listener = TcpListener::bind(("127.0.0.1", super::ports::free())).unwrap();
        let address = listener.local_addr().unwrap();
        let (requests, answers) = (Valve::new(), Valve::new());
        let streams = Arc::new(Mutex::new(Vec::new()));
        let accepting = thread::spawn({
            let (requests, answers, streams) = (requests.clone(), answers.clone(), streams.clone());
            move || {
                for client in listener.incoming() {
                    // Closed for good: the connection that was made by `drop` wakes this thread to see it.
                    if *requests.state.lock().unwrap() == State::Closed {
                        return;
                    }
                    // A node that does not run: the client's connection closes as it is dropped here.
                    let (Ok(client), Ok(server)) = (client, TcpStream::connect(target)) else { continue };
                    for stream in [&client, &server] {
                        stream.set_nodelay(true).unwrap();
                        streams.lock().unwrap().push(stream.try_clone().unwrap());
                    }
                    pump(client.try_clone().unwrap(), server.try_clone().unwrap(), requests.clone());
                    pump(server, client, answers.clone());
                }
            }
        });
        Proxy { address, requests, answers, streams, accepting: Some(accepting) }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.requests.set(State::Closed);
        self.answers.set(State::Closed);
        for stream in self.streams.lock().unwrap().drain(..) {
            // An error means that it is closed already.
            let _ = stream.shutdown(Shutdown::Both);
        }
        if TcpStream::connect(self.address).is_ok()
            && let Some(accepting) = self.accepting.take()
        {
            // Its panic would have failed the test already, by a link that does not work.
            let _ = accepting.join();
        }
    }
}

/// Passes bytes from `from` to `to` while `valve` is open, on a thread that ends when either side does.
fn pump(mut from: TcpStream, mut to: TcpStream, valve: Arc<Valve>) {
    thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(bytes @ 1..) = from.read(&mut buffer) {
            if !valve.pass() || to.write_all(&buffer[..bytes]).is_err() {
                break;
            }
        }
        for stream in [from, to] {
            let _ = stream.shutdown(Shutdown::Both);
        }
    });
}
