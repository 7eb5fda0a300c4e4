//! The systems of others in one list.

use std::path::Path;

use super::{etcd, nats, redis, zookeeper};
use crate::subject::{Running, Subject};
use crate::system::Outcome;

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
    pub(crate) async fn start(self, dir: &Path) -> Outcome<Box<dyn Subject>> {
        Ok(match self {
            PeerKind::Etcd => Box::new(Running::new(etcd::Etcd::start(dir).await?, dir)),
            PeerKind::ZooKeeper => Box::new(Running::new(zookeeper::ZooKeeper::start(dir).await?, dir)),
            PeerKind::Nats => Box::new(Running::new(nats::Nats::start(dir).await?, dir)),
            PeerKind::Redis => Box::new(Running::new(redis::Redis::start(dir).await?, dir)),
        })
    }
}
