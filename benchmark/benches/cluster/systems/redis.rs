//! Redis: one process, whose log is synced before it answers. It shows what a system costs that does without copies.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd};

use super::nodes::{Nodes, Start, bounded, command, find, until_it_serves};
use crate::process::free_ports;
use crate::system::{Client, Facts, Fresh, Outcome, Place, System};

const PROGRAM: &str = "redis-server";

/// How many calls may wait until they are put into the connection's buffer. With its default, 50, most callers would wait for room.
const CALLS_WAITING_MAX: usize = 4_096;

/// One node.
#[derive(Debug)]
pub(crate) struct Redis {
    nodes: Nodes,
    port: u16,
    version: String,
}

impl Redis {
    /// Whether the program is there.
    pub(super) fn installed() -> bool {
        find(PROGRAM).is_some()
    }

    /// Starts the node below `dir`, and waits until it serves.
    pub(super) async fn start(dir: &Path) -> Outcome<Redis> {
        let [port] = free_ports()?;
        let data = dir.join("redis-1");
        std::fs::create_dir(&data)?;
        let mut command = command(PROGRAM)?;
        command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--dir"]).arg(data);
        // A log that is synced before any answer, and no snapshots beside it.
        command.args(["--appendonly", "yes", "--appendfsync", "always", "--save", ""]);
        let nodes = Nodes::start("redis", vec![command], dir)?;
        until_it_serves(Redis { nodes, port, version: String::new() }).await
    }

    async fn connection(&self) -> Outcome<MultiplexedConnection> {
        let client = redis::Client::open(("127.0.0.1", self.port))?;
        // The time that a call may take is limited here, for the whole of it.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(Duration::from_secs(1)))
            .set_response_timeout(None)
            .set_pipeline_buffer_size(CALLS_WAITING_MAX);
        Ok(client.get_multiplexed_async_connection_with_config(&config).await?)
    }
}

impl Start for Redis {
    fn nodes(&mut self) -> &mut Nodes {
        &mut self.nodes
    }

    async fn prepare(&mut self) -> Outcome<()> {
        let mut connection = self.connection().await?;
        let about: String = bounded(redis::cmd("INFO").arg("server").query_async(&mut connection)).await?;
        let version = about.lines().find_map(|line| line.strip_prefix("redis_version:"));
        self.version = version.ok_or("Redis does not say which version it is")?.to_owned();
        Ok(())
    }
}

impl System for Redis {
    type Client = Handle;

    fn facts(&self) -> Facts {
        Facts { name: format!("Redis {}", self.version), acknowledges: "one copy, synced" }
    }

    fn processes(&self) -> Vec<u32> {
        self.nodes.ids()
    }

    async fn connect(&self, _: Place) -> Outcome<Handle> {
        Ok(Handle(self.connection().await?))
    }
}

/// A connection. Clones share it: commands go out without waiting for the replies to those before.
#[derive(Clone)]
pub(crate) struct Handle(MultiplexedConnection);

impl Client for Handle {
    async fn write(&self, key: u32, value: Bytes) -> Outcome<()> {
        let mut connection = self.0.clone();
        bounded(Cmd::set(key, &value[..]).exec_async(&mut connection)).await
    }

    /// There is one copy: whatever is read is as fresh as can be.
    async fn read(&self, key: u32, _: Fresh) -> Outcome<Option<Bytes>> {
        let mut connection = self.0.clone();
        let found: Option<Vec<u8>> = bounded(Cmd::get(key).query_async(&mut connection)).await?;
        Ok(found.map(Bytes::from))
    }
}
