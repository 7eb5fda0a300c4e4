//! The systems of others as one type, so that they can be put into one list.

use std::path::Path;

use bytes::Bytes;

use super::{etcd, nats, redis, zookeeper};
use crate::system::{Client, Facts, Fresh, Outcome, Place, System};

/// Which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PeerKind {
    Etcd,
    ZooKeeper,
    Nats,
    Redis,
}

impl PeerKind {
    /// All of them.
    pub(crate) const ALL: [PeerKind; 4] =
        [PeerKind::Etcd, PeerKind::ZooKeeper, PeerKind::Nats, PeerKind::Redis];

    /// Its name, in small letters.
    pub(crate) fn name(self) -> &'static str {
        match self {
            PeerKind::Etcd => "etcd",
            PeerKind::ZooKeeper => "zookeeper",
            PeerKind::Nats => "nats",
            PeerKind::Redis => "redis",
        }
    }

    /// Whether it can be started here.
    pub(crate) fn installed(self) -> bool {
        match self {
            PeerKind::Etcd => etcd::Etcd::installed(),
            PeerKind::ZooKeeper => zookeeper::ZooKeeper::installed(),
            PeerKind::Nats => nats::Nats::installed(),
            PeerKind::Redis => redis::Redis::installed(),
        }
    }

    /// Starts it below `dir`, where nothing of its kind has been before, and waits until it serves.
    pub(crate) async fn start(self, dir: &Path) -> Outcome<Peer> {
        Ok(match self {
            PeerKind::Etcd => Peer::Etcd(etcd::Etcd::start(dir).await?),
            PeerKind::ZooKeeper => Peer::ZooKeeper(zookeeper::ZooKeeper::start(dir).await?),
            PeerKind::Nats => Peer::Nats(nats::Nats::start(dir).await?),
            PeerKind::Redis => Peer::Redis(redis::Redis::start(dir).await?),
        })
    }
}

/// One that runs.
#[derive(Debug)]
pub(crate) enum Peer {
    Etcd(etcd::Etcd),
    ZooKeeper(zookeeper::ZooKeeper),
    Nats(nats::Nats),
    Redis(redis::Redis),
}

impl System for Peer {
    type Client = PeerClient;

    fn facts(&self) -> Facts {
        match self {
            Peer::Etcd(system) => system.facts(),
            Peer::ZooKeeper(system) => system.facts(),
            Peer::Nats(system) => system.facts(),
            Peer::Redis(system) => system.facts(),
        }
    }

    fn processes(&self) -> Vec<u32> {
        match self {
            Peer::Etcd(system) => system.processes(),
            Peer::ZooKeeper(system) => system.processes(),
            Peer::Nats(system) => system.processes(),
            Peer::Redis(system) => system.processes(),
        }
    }

    async fn connect(&self, place: Place) -> Outcome<PeerClient> {
        Ok(match self {
            Peer::Etcd(system) => PeerClient::Etcd(system.connect(place).await?),
            Peer::ZooKeeper(system) => PeerClient::ZooKeeper(system.connect(place).await?),
            Peer::Nats(system) => PeerClient::Nats(system.connect(place).await?),
            Peer::Redis(system) => PeerClient::Redis(system.connect(place).await?),
        })
    }
}

/// Its client.
#[derive(Clone)]
pub(crate) enum PeerClient {
    Etcd(etcd::Handle),
    ZooKeeper(zookeeper::Handle),
    Nats(nats::Handle),
    Redis(redis::Handle),
}

impl Client for PeerClient {
    async fn write(&self, key: u32, value: Bytes) -> Outcome<()> {
        match self {
            PeerClient::Etcd(client) => client.write(key, value).await,
            PeerClient::ZooKeeper(client) => client.write(key, value).await,
            PeerClient::Nats(client) => client.write(key, value).await,
            PeerClient::Redis(client) => client.write(key, value).await,
        }
    }

    async fn read(&self, key: u32, fresh: Fresh) -> Outcome<Option<Bytes>> {
        match self {
            PeerClient::Etcd(client) => client.read(key, fresh).await,
            PeerClient::ZooKeeper(client) => client.read(key, fresh).await,
            PeerClient::Nats(client) => client.read(key, fresh).await,
            PeerClient::Redis(client) => client.read(key, fresh).await,
        }
    }
}
