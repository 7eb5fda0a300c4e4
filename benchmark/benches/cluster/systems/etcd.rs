//! etcd: three nodes over raft, asked by gRPC.

use std::path::Path;

use bytes::Bytes;

use super::etcd_api::{Api, PutRequest, RangeRequest, StatusResponse};
use super::nodes::{Nodes, Start, bounded, command, find, until_it_serves};
use crate::process::free_ports;
use crate::system::{Client, Facts, Fresh, Outcome, Place, System};

const PROGRAM: &str = "etcd";

/// etcd keeps every version of a value until it is told to compact, and refuses to write when this is full. It is the most that it
/// takes without a warning; 2 GiB, the default, is reached within minutes here.
const QUOTA_BYTES: u64 = 8 << 30;

/// Three nodes, with what is default: the raft log is synced before anything is acknowledged.
#[derive(Debug)]
pub(crate) struct Etcd {
    nodes: Nodes,
    /// Of their clients' ports.
    addresses: [String; 3],
    version: String,
}

impl Etcd {
    /// Whether the program is there.
    pub(super) fn installed() -> bool {
        find(PROGRAM).is_some()
    }

    /// Starts the nodes below `dir`, and waits until they serve.
    pub(super) async fn start(dir: &Path) -> Outcome<Etcd> {
        let [a, b, c, d, e, f] = free_ports()?;
        let addresses = [a, b, c].map(|port| format!("http://127.0.0.1:{port}"));
        let peers = [d, e, f].map(|port| format!("http://127.0.0.1:{port}"));
        let cluster: Vec<String> =
            peers.iter().enumerate().map(|(place, peer)| format!("etcd-{}={peer}", place + 1)).collect();
        let mut commands = Vec::new();
        for (place, (address, peer)) in addresses.iter().zip(&peers).enumerate() {
            let name = format!("etcd-{}", place + 1);
            let mut command = command(PROGRAM)?;
            command.arg("--data-dir").arg(dir.join(&name)).args(["--name", &name]);
            command.args(["--listen-client-urls", address, "--advertise-client-urls", address]);
            command.args(["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer]);
            command.args(["--initial-cluster", &cluster.join(",")]);
            command.args(["--quota-backend-bytes", &QUOTA_BYTES.to_string()]);
            command.args(["--logger", "zap", "--log-outputs", "stderr", "--log-level", "warn"]);
            commands.push(command);
        }
        let nodes = Nodes::start(PROGRAM, commands, dir)?;
        until_it_serves(Etcd { nodes, addresses, version: String::new() }).await
    }

    /// The place of the node that leads, as it says itself.
    async fn leader(&self) -> Outcome<usize> {
        for (place, address) in self.addresses.iter().enumerate() {
            let status = status(address).await?;
            if status.header.is_some_and(|header| header.member == status.leader) {
                return Ok(place);
            }
        }
        Err("no node of etcd leads".into())
    }
}

/// What the node at this address says of itself.
async fn status(address: &str) -> Outcome<StatusResponse> {
    let api = bounded(Api::connect(address)).await?;
    bounded(api.status()).await
}

impl Start for Etcd {
    fn nodes(&mut self) -> &mut Nodes {
        &mut self.nodes
    }

    async fn prepare(&mut self) -> Outcome<()> {
        self.version = status(&self.addresses[0]).await?.version;
        Ok(())
    }
}

impl System for Etcd {
    type Client = Handle;

    fn facts(&self) -> Facts {
        Facts { name: format!("etcd {}", self.version), acknowledges: "synced by two of three" }
    }

    fn processes(&self) -> Vec<u32> {
        self.nodes.ids()
    }

    async fn connect(&self, place: Place) -> Outcome<Handle> {
        let place = place.among(self.addresses.len(), self.leader()).await?;
        Ok(Handle(bounded(Api::connect(&self.addresses[place])).await?))
    }
}

/// A connection to one node. Clones share it.
#[derive(Clone)]
pub(crate) struct Handle(Api);

impl Client for Handle {
    async fn write(&self, key: u32, value: Bytes) -> Outcome<()> {
        bounded(self.0.put(PutRequest { key: bytes(key), value })).await?;
        Ok(())
    }

    /// A node acknowledges a write that it was asked for when it has applied it itself, so that what it has is what its clients
    /// have been answered before.
    async fn read(&self, key: u32, fresh: Fresh) -> Outcome<Option<Bytes>> {
        let request = RangeRequest { key: bytes(key), serializable: fresh == Fresh::OwnWrites };
        let found = bounded(self.0.range(request)).await?;
        Ok(found.pairs.into_iter().next().map(|pair| pair.value))
    }
}

fn bytes(key: u32) -> Bytes {
    Bytes::copy_from_slice(&key.to_be_bytes())
}
