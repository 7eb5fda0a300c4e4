//! ZooKeeper: three servers that broadcast in order (Zab), and sessions on which requests and replies follow one another.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use zookeeper_client::{Acls, CreateMode, Error};

use super::nodes::{Nodes, Start, bounded, command, find, until_it_serves};
use crate::process::free_ports;
use crate::system::{Client, Facts, Fresh, Outcome, Place, System};

/// Where the program may be. Debian's names in its manifest what else it needs.
const JARS: [&str; 2] = ["/usr/share/java/zookeeper.jar", "/usr/share/zookeeper/zookeeper.jar"];

/// Prints what is logged. Without it a server says nothing, and works all the same.
const LOGGING_JAR: &str = "/usr/share/java/slf4j-simple.jar";

/// What ZooKeeper's own script gives a server.
const HEAP: &str = "-Xmx1000m";

/// A server that is busy for a while does not end a session.
const SESSION_TIMEOUT: Duration = Duration::from_secs(30);

/// Three servers, with what is default: the log is synced before anything is acknowledged.
#[derive(Debug)]
pub(crate) struct ZooKeeper {
    nodes: Nodes,
    /// Of their clients' ports.
    addresses: [String; 3],
    version: String,
}

impl ZooKeeper {
    /// Whether the program is there, and what runs it.
    pub(super) fn installed() -> bool {
        find("java").is_some() && jar().is_ok()
    }

    /// Starts the servers below `dir`, and waits until they serve.
    pub(super) async fn start(dir: &Path) -> Outcome<ZooKeeper> {
        let [a, b, c, quorum @ ..] = free_ports::<9>()?;
        let addresses = [a, b, c].map(|port| format!("127.0.0.1:{port}"));
        let mut servers = String::new();
        for (place, ports) in quorum.chunks(2).enumerate() {
            // The port on which servers follow the leader, and the one on which they elect it.
            writeln!(servers, "server.{}=127.0.0.1:{}:{}", place + 1, ports[0], ports[1])?;
        }
        let mut commands = Vec::new();
        for (place, port) in [a, b, c].into_iter().enumerate() {
            let data = dir.join(format!("zookeeper-{}", place + 1));
            fs::create_dir(&data)?;
            fs::write(data.join("myid"), (place + 1).to_string())?;
            let file = data.join("zoo.cfg");
            fs::write(&file, configuration(&data, port, &servers))?;
            let mut command = command("java")?;
            command.args(["-cp", &format!("{}:{LOGGING_JAR}", jar()?), HEAP]);
            command.arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn");
            command.arg("org.apache.zookeeper.server.quorum.QuorumPeerMain").arg(file);
            commands.push(command);
        }
        let nodes = Nodes::start("zookeeper", commands, dir)?;
        until_it_serves(ZooKeeper { nodes, addresses, version: String::new() }).await
    }

    /// What the server with this place says of itself.
    async fn status(&self, place: usize) -> Outcome<String> {
        bounded(async {
            let mut stream = TcpStream::connect(&self.addresses[place]).await?;
            stream.write_all(b"srvr").await?;
            let mut status = String::new();
            stream.read_to_string(&mut status).await?;
            Outcome::Ok(status)
        })
        .await
    }

    /// The place of the server that leads, as it says itself.
    async fn leader(&self) -> Outcome<usize> {
        for place in 0..self.addresses.len() {
            if self.status(place).await?.contains("Mode: leader") {
                return Ok(place);
            }
        }
        Err("no server of ZooKeeper leads".into())
    }
}

/// The jar of the server.
fn jar() -> Outcome<&'static str> {
    JARS.into_iter().find(|jar| Path::new(jar).is_file()).ok_or_else(|| "ZooKeeper is not installed".into())
}

/// A server's configuration: the limits on time are those of ZooKeeper's example, and there are as many connections as we like.
fn configuration(data: &Path, port: u16, servers: &str) -> String {
    format!(
        "tickTime=2000\ninitLimit=10\nsyncLimit=5\ndataDir={}\nclientPortAddress=127.0.0.1\nclientPort={port}\n\
         maxClientCnxns=0\nadmin.enableServer=false\n4lw.commands.whitelist=srvr\n{servers}",
        data.display()
    )
}

impl Start for ZooKeeper {
    fn nodes(&mut self) -> &mut Nodes {
        &mut self.nodes
    }

    async fn prepare(&mut self) -> Outcome<()> {
        let status = self.status(0).await?;
        let version =
            status.strip_prefix("Zookeeper version: ").and_then(|rest| rest.split(['-', ',']).next());
        self.version = version.ok_or_else(|| format!("a server of ZooKeeper says {status:?}"))?.to_owned();
        Ok(())
    }
}

impl System for ZooKeeper {
    type Client = Handle;

    fn facts(&self) -> Facts {
        Facts { name: format!("ZooKeeper {}", self.version), acknowledges: "synced by two of three" }
    }

    fn processes(&self) -> Vec<u32> {
        self.nodes.ids()
    }

    async fn connect(&self, place: Place) -> Outcome<Handle> {
        let place = place.among(self.addresses.len(), self.leader()).await?;
        let connector = zookeeper_client::Client::connector().with_session_timeout(SESSION_TIMEOUT);
        Ok(Handle(Arc::new(bounded(connector.connect(&self.addresses[place])).await?)))
    }
}

/// A session with one server. Clones share it; requests go out in order, without waiting for the replies to those before.
#[derive(Clone)]
pub(crate) struct Handle(Arc<zookeeper_client::Client>);

impl Client for Handle {
    /// A key's node is made when it is first written: the reply that there is none costs less than remembering which there are.
    async fn write(&self, key: u32, value: Bytes) -> Outcome<()> {
        let path = path(key);
        match bounded(self.0.set_data(&path, &value, None)).await {
            Err(error) if error.downcast_ref() == Some(&Error::NoNode) => {
                let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
                bounded(self.0.create(&path, &value, &options)).await?;
            }
            outcome => {
                outcome?;
            }
        }
        Ok(())
    }

    /// A session sees what it was answered before. For more than that, the server catches up with the leader (`sync`), and the read
    /// waits behind this at the server, not here. It is what ZooKeeper has that comes closest to a linearizable read: the leader
    /// does not make sure that it still leads (ZOOKEEPER-1675).
    async fn read(&self, key: u32, fresh: Fresh) -> Outcome<Option<Bytes>> {
        let path = path(key);
        let found = bounded(async {
            // Requests are sent in the order of these calls, not of the waiting.
            let synced = match fresh {
                Fresh::Linearizable | Fresh::Lease => Some(self.0.sync(&path)),
                Fresh::OwnWrites => None,
            };
            let found = self.0.get_data(&path);
            if let Some(synced) = synced {
                synced.await?;
            }
            match found.await {
                Err(Error::NoNode) => Ok(None),
                found => found.map(|(bytes, _)| Some(Bytes::from(bytes))),
            }
        });
        found.await
    }
}

fn path(key: u32) -> String {
    format!("/{key}")
}
