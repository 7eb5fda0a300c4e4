//! One simulated run.

use std::fmt;
use std::future::Future;

use madsim::runtime::{Handle, Runtime};

use super::node::{self, Nodes};

/// One run, decided by its seed.
///
/// Nodes are made with [`Simulation::handle`] (`create_node`), and killed and restarted with it; what a node's tasks spawn
/// belongs to that node. The future given to [`Simulation::block_on`] runs on a node of its own, which nobody kills.
///
/// A run is the same for the same seed in a fresh process. Within one process, give each run a fresh thread: madsim seeds
/// the order of hash tables a thread.
pub struct Simulation {
    runtime: Runtime,
}

impl Simulation {
    /// A run with `seed` in which nothing has happened yet.
    pub fn new(seed: u64) -> Self {
        let runtime = Runtime::with_seed_and_config(seed, madsim::Config::default());
        runtime.add_simulator::<Nodes>();
        Simulation { runtime }
    }

    /// Makes, kills and restarts nodes.
    pub fn handle(&self) -> &Handle {
        self.runtime.handle()
    }

    /// Runs until `future` is ready.
    ///
    /// # Panics
    /// If a task does, or if all tasks wait and no timer is left that could wake one.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        node::forget_known();
        self.runtime.block_on(future)
    }
}

impl fmt::Debug for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulation").field("seed", &self.handle().seed()).finish_non_exhaustive()
    }
}
