//! The default wiring: log and snapshots on the local disk, gRPC between nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lovebird_core::client::{Client, ClientOptions};
use lovebird_core::error::StartError;
use lovebird_core::identity::NodeId;
use lovebird_core::node::{Node, Options, Parts};
use lovebird_core::runtime;
use lovebird_core::service::Service;
use lovebird_storage::{
    Compression, DataDirectory, Expected, Log, LogOptions, RealDisk, SnapshotDirectory, SnapshotOptions,
};
use lovebird_transport::{GrpcTransport, serve};
use tokio::net::TcpListener;

/// The one group of a node that is built here.
const GROUP: u32 = 0;

/// Describes a node, and starts it.
///
/// All nodes of a cluster are given the same cluster name and the same initial members; they then form the cluster by
/// themselves, in whatever order they start.
#[derive(Clone, Debug)]
pub struct NodeBuilder<S> {
    machine: S,
    cluster: String,
    id: NodeId,
    members: BTreeMap<NodeId, String>,
    listen: String,
    data_dir: PathBuf,
    snapshot_options: SnapshotOptions,
    options: Options,
}

impl<S: Service> NodeBuilder<S> {
    /// A node for `machine`, which is in the state before the first command: a [`StateMachine`](crate::StateMachine), or
    /// [`Primary`](crate::Primary) around one for the primary-backup model.
    pub fn new(machine: S) -> Self {
        NodeBuilder {
            machine,
            cluster: String::new(),
            id: 0,
            members: BTreeMap::new(),
            listen: String::new(),
            data_dir: PathBuf::new(),
            snapshot_options: SnapshotOptions::default(),
            options: Options::default(),
        }
    }

    /// The cluster's name.
    pub fn cluster(mut self, name: impl Into<String>) -> Self {
        self.cluster = name.into();
        self
    }

    /// This node's id, at least 1.
    pub fn id(mut self, id: NodeId) -> Self {
        self.id = id;
        self
    }

    /// An initial member and the address at which the others reach it. Once for each, this node included.
    ///
    /// The ids are part of the cluster's identity; addresses may differ from start to start.
    pub fn member(mut self, id: NodeId, address: impl Into<String>) -> Self {
        self.members.insert(id, address.into());
        self
    }

    /// The address on which this node listens to peers and clients.
    pub fn listen(mut self, address: impl Into<String>) -> Self {
        self.listen = address.into();
        self
    }

    /// Where the node keeps its log and snapshots. Made if it does not exist; used by one process at a time.
    pub fn data_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.data_dir = path.into();
        self
    }

    /// Takes a snapshot after so many records or bytes, whichever comes first. By default 100,000 and 64 MiB.
    pub fn snapshot_every(mut self, records: u64, bytes: u64) -> Self {
        self.options.snapshot_records = records;
        self.options.snapshot_bytes = bytes;
        self
    }

    /// Whether the files of new snapshots are compressed. By default they are, by LZ4. Nodes of one cluster may differ in it,
    /// and a node may change its mind: all files are read.
    pub fn compress_snapshots(mut self, compression: Compression) -> Self {
        self.snapshot_options.compression = compression;
        self
    }

    /// How many records are kept behind a snapshot, so that a follower that was away for a moment is not sent the whole of it.
    /// By default 10,000.
    pub fn keep_records(mut self, records: u64) -> Self {
        self.options.keep_records = records;
        self
    }

    /// How often a leader shows that it is there. By default 100 ms.
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.options.heartbeat = interval;
        self
    }

    /// How long a follower waits for the leader at least, and by chance up to twice as long. By default 500 ms.
    pub fn election_timeout(mut self, timeout: Duration) -> Self {
        self.options.election = timeout;
        self
    }

    /// How long the node's own clients wait, and after how long a rest their sessions expire.
    pub fn client_options(mut self, options: ClientOptions) -> Self {
        self.options.client = options;
        self
    }

    /// Opens the data directory, starts the node, and asks every member once. The node is then listening, and forms or joins
    /// its cluster in the background; what is proposed meanwhile waits.
    ///
    /// Must be called within a tokio runtime with time and I/O.
    ///
    /// # Errors
    /// A [`StartError`] says what is wrong and what to do about it. Nothing in the directory has then been lost.
    pub async fn start(self) -> Result<Node<S>, StartError> {
        let NodeBuilder { machine, cluster, id, members, listen, data_dir, snapshot_options, options } = self;
        if cluster.is_empty() {
            return Err(StartError::Config("the cluster has no name: give it one".to_owned()));
        }
        if data_dir.as_os_str().is_empty() {
            return Err(StartError::Config("the node has no data directory: name one".to_owned()));
        }
        let expected = Expected {
            cluster_name: cluster,
            node: id,
            initial_members: members.keys().copied().collect::<BTreeSet<_>>(),
            model: S::MODEL,
        };
        if !expected.initial_members.contains(&id) {
            return Err(StartError::Config(format!(
                "node {id} is not among its own initial members: name it with its address"
            )));
        }
        let listener = TcpListener::bind(&listen)
            .await
            .map_err(|source| StartError::Listen { address: listen.clone(), source })?;
        let incarnation = runtime::random_u64();
        let storage = move || open_storage(&data_dir, &expected, incarnation, snapshot_options);
        let (directory, log, snapshots) = runtime::blocking(storage).await?;
        let parts = Parts {
            identity: directory.identity().clone(),
            group: GROUP,
            members,
            log: log.group(GROUP),
            snapshots,
            transport: Arc::new(GrpcTransport::new()),
            guard: Box::new((log, directory)),
        };
        let node = Node::open(machine, parts, options).await?;
        let (endpoint, served) = (node.endpoint(), node.clone());
        node.attach(runtime::spawn(async move {
            let stopped = async {
                served.stopped().await;
            };
            if let Err(error) = serve(listener, endpoint, stopped).await {
                served.fail(format!("it can no longer listen on {listen}: {error}"));
            }
        }));
        if let Err(error) = node.join().await {
            node.shutdown().await;
            return Err(error);
        }
        Ok(node)
    }
}

type Storage = (DataDirectory, Log, Arc<dyn lovebird_core::snapshot_store::SnapshotStore>);

fn open_storage(
    path: &Path,
    expected: &Expected,
    incarnation: u64,
    snapshot_options: SnapshotOptions,
) -> Result<Storage, StartError> {
    let disk = Arc::new(RealDisk);
    let mut directory = DataDirectory::open(disk.clone(), path, expected, incarnation)?;
    let options = LogOptions { missing: directory.missing_log(), ..LogOptions::default() };
    let log = Log::open(disk.clone(), &path.join("log"), &options).map_err(StartError::Storage)?;
    let snapshots = SnapshotDirectory::open(disk, &path.join("snapshots"), GROUP, snapshot_options)
        .map_err(StartError::Storage)?;
    directory.count_start()?;
    Ok((directory, log, snapshots))
}

/// A client that reaches the cluster through the nodes at `addresses`.
///
/// Must be called within a tokio runtime.
///
/// # Panics
/// If there is no address.
pub fn connect<S: Service>(addresses: impl IntoIterator<Item = String>) -> Client<S> {
    Client::over(&GrpcTransport::new(), addresses)
}

/// Deletes a node's data for good.
///
/// # Errors
/// If `path` holds anything but a node's data directory, or if the directory is in use. Nothing is deleted then.
pub fn remove_data(path: &Path) -> io::Result<()> {
    DataDirectory::remove(&RealDisk, path)
}
