//! A system that is measured, whatever it is: one object for each, so that a round can go through all of them.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use lovebird_benchmark::Latencies;
use tokio::sync::Mutex;

use crate::load::{Closed, Measured, Paced, Value, closed, paced};
use crate::system::{Facts, Outcome, Place, System};

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clients {
    /// All callers share one client, which talks to the leader.
    Shared,
    /// Each caller has a client with a connection of its own to the leader.
    Each,
    /// The callers share three clients, each of which talks to another node.
    Spread,
}

/// A system that runs, as the parts of the benchmark see it.
#[async_trait]
pub(crate) trait Subject: Send + Sync {
    /// What it is.
    fn facts(&self) -> Facts;

    /// Runs a closed loop, and checks that nothing is lost.
    async fn closed(&self, clients: Clients, load: Closed) -> Outcome<Measured>;

    /// Runs an open loop over one client that talks to the leader, and checks that nothing is lost.
    async fn paced(&self, load: Paced) -> Outcome<Latencies>;
}

/// A running system, and what it has acknowledged.
pub(crate) struct Running<S> {
    system: S,
    /// Below this all of its nodes keep their data.
    dir: PathBuf,
    acknowledged: Mutex<Vec<Value>>,
}

impl<S> Running<S> {
    pub(crate) fn new(system: S, dir: &Path) -> Self {
        Running { system, dir: dir.to_owned(), acknowledged: Mutex::default() }
    }
}

impl<S: System> Running<S> {
    /// What a load comes to; an error that names the system if that is one, or does not come.
    async fn within<T>(&self, longest: Duration, load: impl Future<Output = Outcome<T>>) -> Outcome<T> {
        let result = match tokio::time::timeout(longest, load).await {
            Ok(result) => result,
            Err(_) => Err("calls were not answered within a minute".into()),
        };
        result.map_err(|error| format!("{}: {error}", self.system.facts().name).into())
    }
}

#[async_trait]
impl<S: System> Subject for Running<S> {
    fn facts(&self) -> Facts {
        self.system.facts()
    }

    async fn closed(&self, clients: Clients, load: Closed) -> Outcome<Measured> {
        let places = match clients {
            Clients::Shared => vec![Place::Leader],
            Clients::Each => vec![Place::Leader; load.callers],
            Clients::Spread => (0..3).map(Place::Node).collect(),
        };
        let mut connected = Vec::with_capacity(places.len());
        for place in places {
            connected.push(self.system.connect(place).await?);
        }
        let mut acknowledged = self.acknowledged.lock().await;
        let processes = self.system.processes();
        // Whoever does not answer for so long has failed.
        let longest = load.warm_up + load.time + Duration::from_secs(60);
        let running = closed(&connected, &processes, &self.dir, load, &mut acknowledged);
        self.within(longest, running).await
    }

    async fn paced(&self, load: Paced) -> Outcome<Latencies> {
        let client = self.system.connect(Place::Leader).await?;
        let mut acknowledged = self.acknowledged.lock().await;
        let longest = load.warm_up + load.time + Duration::from_secs(60);
        self.within(longest, paced(&client, load, &mut acknowledged)).await
    }
}
