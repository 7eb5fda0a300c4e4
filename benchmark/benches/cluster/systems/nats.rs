//! NATS: three servers, and a stream of JetStream that they replicate by raft.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_nats::ConnectOptions;
use async_nats::jetstream::context::{Context, ContextBuilder};
use async_nats::jetstream::stream::{
    Config, DirectGetErrorKind, LastRawMessageErrorKind, StorageType, Stream,
};
use bytes::Bytes;

use super::nodes::{CALL_MAX, Nodes, Start, bounded, command, find, until_it_serves};
use crate::process::free_ports;
use crate::system::{Client, Facts, Fresh, Outcome, Place, System};

const PROGRAM: &str = "nats-server";
const STREAM: &str = "benchmark";

/// How many writes of a client may be under way: more than any run has callers.
const WRITES_MAX: usize = 1 << 14;

/// Three servers, with what is default: a server syncs its files every other minute.
#[derive(Debug)]
pub(crate) struct Nats {
    nodes: Nodes,
    /// Of their clients' ports.
    addresses: [String; 3],
    version: String,
}

impl Nats {
    /// Whether the program is there.
    pub(super) fn installed() -> bool {
        find(PROGRAM).is_some()
    }

    /// Starts the servers below `dir`, and waits until they serve.
    pub(super) async fn start(dir: &Path) -> Outcome<Nats> {
        let [a, b, c, d, e, f] = free_ports()?;
        let addresses = [a, b, c].map(|port| format!("127.0.0.1:{port}"));
        let peers = [d, e, f].map(|port| format!("127.0.0.1:{port}"));
        let routes = peers.each_ref().map(|peer| format!("\"nats-route://{peer}\"")).join(", ");
        let mut commands = Vec::new();
        for (place, (address, peer)) in addresses.iter().zip(&peers).enumerate() {
            let name = name(place);
            let store = dir.join(&name);
            let file = dir.join(format!("{name}.conf"));
            let configuration = format!(
                "server_name: {name}\nlisten: \"{address}\"\njetstream {{ store_dir: \"{}\" }}\n\
                 cluster {{ name: benchmark, listen: \"{peer}\", routes: [{routes}] }}\n",
                store.display()
            );
            fs::write(&file, configuration)?;
            let mut command = command(PROGRAM)?;
            command.arg("--config").arg(file);
            commands.push(command);
        }
        let nodes = Nodes::start("nats", commands, dir)?;
        until_it_serves(Nats { nodes, addresses, version: String::new() }).await
    }

    /// A connection to the server with this place, and to no other of which it tells.
    async fn context(&self, place: usize) -> Outcome<Context> {
        let options = ConnectOptions::new().ignore_discovered_servers().request_timeout(Some(CALL_MAX));
        let client = bounded(options.connect(&self.addresses[place])).await?;
        Ok(ContextBuilder::new().timeout(CALL_MAX).max_ack_inflight(WRITES_MAX).build(client))
    }

    /// The place of the server that leads the stream, as that says itself.
    async fn leader(&self) -> Outcome<usize> {
        let stream = self.context(0).await?.get_stream(STREAM).await?;
        let leader = stream.cached_info().cluster.as_ref().and_then(|cluster| cluster.leader.as_ref());
        let place = (0..self.addresses.len()).find(|place| leader == Some(&name(*place)));
        Ok(place.ok_or("no server of NATS leads the stream")?)
    }
}

fn name(place: usize) -> String {
    format!("nats-{}", place + 1)
}

impl Start for Nats {
    fn nodes(&mut self) -> &mut Nodes {
        &mut self.nodes
    }

    /// Creates the stream, in which the last message of a subject is the value of a key.
    async fn prepare(&mut self) -> Outcome<()> {
        let context = self.context(0).await?;
        self.version = context.client().server_info().version.clone();
        let stream = Config {
            name: STREAM.to_owned(),
            subjects: vec![format!("{STREAM}.*")],
            storage: StorageType::File,
            num_replicas: self.addresses.len(),
            max_messages_per_subject: 1,
            allow_direct: true,
            ..Config::default()
        };
        context.get_or_create_stream(stream).await?;
        Ok(())
    }
}

impl System for Nats {
    type Client = Handle;

    fn facts(&self) -> Facts {
        Facts {
            name: format!("NATS JetStream {}", self.version),
            acknowledges: "three, acknowledged before it is synced",
        }
    }

    fn processes(&self) -> Vec<u32> {
        self.nodes.ids()
    }

    async fn connect(&self, place: Place) -> Outcome<Handle> {
        let place = place.among(self.addresses.len(), self.leader()).await?;
        let context = self.context(place).await?;
        let stream = context.get_stream_no_info(STREAM).await?;
        Ok(Handle(Arc::new(Connection { context, stream, acknowledged: Mutex::default() })))
    }
}

/// A connection to one server. Clones share it: what they publish goes out without waiting for the acknowledgments before.
#[derive(Clone)]
pub(crate) struct Handle(Arc<Connection>);

struct Connection {
    context: Context,
    stream: Stream<()>,
    /// Where in the stream the last write of a key is that was acknowledged to this client.
    acknowledged: Mutex<HashMap<u32, u64>>,
}

impl Client for Handle {
    /// The time that an acknowledgment may take is limited by the context.
    async fn write(&self, key: u32, value: Bytes) -> Outcome<()> {
        let acknowledged = self.0.context.publish(subject(key), value).await?.await?;
        let mut all = self.0.acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
        // Acknowledgments may overtake one another.
        let last = all.entry(key).or_default();
        *last = acknowledged.sequence.max(*last);
        Ok(())
    }

    /// The leader answers from what it has applied; it does not make sure that it still leads, so that this is linearizable only as
    /// long as nobody else leads.
    ///
    /// What was acknowledged to this client is read from any server, mostly the one that it is connected to. This may lag behind
    /// what the client was told, which the place in the stream shows: then the leader is asked.
    async fn read(&self, key: u32, fresh: Fresh) -> Outcome<Option<Bytes>> {
        let subject = subject(key);
        if fresh == Fresh::OwnWrites {
            let known = self.0.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).get(&key).copied();
            match self.0.stream.direct_get_last_for_subject(&subject).await {
                Ok(found) if Some(found.sequence) >= known => return Ok(Some(found.payload)),
                Err(error) if error.kind() == DirectGetErrorKind::NotFound && known.is_none() => {
                    return Ok(None);
                }
                Err(error) if error.kind() != DirectGetErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        match self.0.stream.get_last_raw_message_by_subject(&subject).await {
            Ok(found) => Ok(Some(found.payload)),
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

fn subject(key: u32) -> String {
    format!("{STREAM}.{key}")
}
