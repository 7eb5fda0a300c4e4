//! The default wiring: log and snapshots on the local disk, gRPC between nodes.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lovebird_core::client::{Client, ClientOptions};
use lovebird_core::error::StartError;
use lovebird_core::formation::IfEmpty;
use lovebird_core::identity::NodeId;
use lovebird_core::node::{Node, Options, Parts};
use lovebird_core::operator::Operator;
use lovebird_core::runtime;
use lovebird_core::service::{Model, Service};
use lovebird_core::transport::ClusterInfo;
use lovebird_storage::{
    Compression, DataDirectory, Expected, Log, LogOptions, Origin, RealDisk, SnapshotDirectory,
    SnapshotOptions,
};
use lovebird_transport::{GrpcTransport, serve};
use tokio::net::TcpListener;

use crate::contacts;

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
    contacts: Vec<String>,
    replaces: bool,
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
            contacts: Vec::new(),
            replaces: false,
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

    /// Joins a cluster that runs already, in place of forming one: the addresses of some of its nodes, one of which must answer at the
    /// first start. The node then waits until somebody adds it ([`Operator::change`](crate::Operator::change), or the tool
    /// `lovebird`). No [`NodeBuilder::member`] is named but, if it is not where the node listens, the node itself.
    pub fn join(mut self, addresses: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.contacts.extend(addresses.into_iter().map(Into::into));
        self
    }

    /// The node's disk is lost for good, and it takes its own place again with the new one: if its data directory is empty, it gets a new
    /// incarnation, catches up as a learner, and takes the place of its former self by one change of the members, all by itself. A
    /// directory that is not empty is used as ever, so this may stay.
    ///
    /// The others must be reached for it, as members or by [`NodeBuilder::join`]; and a majority of the voters, without this one,
    /// must be there. Say it only of a disk that is lost: what this node alone held is then given up.
    pub fn replace(mut self) -> Self {
        self.replaces = true;
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
        let NodeBuilder {
            machine,
            cluster,
            id,
            mut members,
            listen,
            data_dir,
            snapshot_options,
            options,
            ..
        } = self;
        let NodeBuilder { mut contacts, replaces, .. } = self;
        check(&cluster, &data_dir, id, &members, &contacts)?;
        let if_empty = match (replaces, contacts.is_empty()) {
            (true, _) => IfEmpty::Replace,
            (false, true) => IfEmpty::Form,
            (false, false) => IfEmpty::Wait,
        };
        let transport = Arc::new(GrpcTransport::new());
        let joins = !contacts.is_empty();
        if joins {
            members.entry(id).or_insert_with(|| listen.clone());
        } else {
            contacts.extend(
                members.iter().filter(|(member, _)| **member != id).map(|(_, address)| address.clone()),
            );
        }
        let listener = TcpListener::bind(&listen)
            .await
            .map_err(|source| StartError::Listen { address: listen.clone(), source })?;
        let path = data_dir.clone();
        let is_new = !runtime::blocking(move || DataDirectory::exists(&RealDisk, &path)).await?;
        let origin = match (is_new && if_empty != IfEmpty::Form, joins) {
            (true, _) => told(contacts::ask(&*transport, &contacts, GROUP).await?, &cluster, S::MODEL)?,
            (false, true) => Origin::Found,
            (false, false) => Origin::Initial(members.keys().copied().collect()),
        };
        let expected = Expected { cluster_name: cluster, node: id, model: S::MODEL, origin };
        let incarnation = runtime::random_u64();
        let storage = move || open_storage(&data_dir, &expected, incarnation, snapshot_options);
        let (directory, log, snapshots) = runtime::blocking(storage).await?;
        let parts = Parts {
            identity: directory.identity().clone(),
            group: GROUP,
            members,
            contacts,
            if_empty,
            log: log.group(GROUP),
            snapshots,
            transport,
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

fn check(
    cluster: &str,
    data_dir: &Path,
    id: NodeId,
    members: &BTreeMap<NodeId, String>,
    contacts: &[String],
) -> Result<(), StartError> {
    let refused = |text: String| Err(StartError::Config(text));
    if cluster.is_empty() {
        return refused("the cluster has no name: give it one".to_owned());
    }
    if data_dir.as_os_str().is_empty() {
        return refused("the node has no data directory: name one".to_owned());
    }
    if contacts.is_empty() && !members.contains_key(&id) {
        return refused(format!("node {id} is not among its own initial members: name it with its address"));
    }
    if !contacts.is_empty() && members.keys().any(|member| *member != id) {
        return refused(
            "a node that joins a cluster is told its members by it: name either nodes to join, or the initial members"
                .to_owned(),
        );
    }
    Ok(())
}

/// The cluster that a new directory is to be of, as one of its nodes has told.
fn told(info: ClusterInfo, name: &str, model: Model) -> Result<Origin, StartError> {
    if info.name != name {
        return Err(StartError::Config(format!(
            "the cluster there is called {:?}, and this node was to join {name:?}: correct the name or the addresses",
            info.name
        )));
    }
    if info.model != model {
        return Err(StartError::Config(format!(
            "the cluster there runs the service in the {} model, this node in the {model} model: start it in the same",
            info.model
        )));
    }
    Ok(Origin::Told { cluster: info.id, initial_members: info.initial_members })
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

/// An operator's handle on the cluster of the nodes at `addresses`.
///
/// Must be called within a tokio runtime.
///
/// # Panics
/// If there is no address.
pub fn operate(addresses: impl IntoIterator<Item = String>) -> Operator {
    Operator::over(&GrpcTransport::new(), addresses)
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
