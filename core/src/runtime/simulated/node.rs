//! What each simulated node has for itself: a clock that may drift, and a stream of random numbers.
//!
//! A clock is a straight line over true (virtual) time, and [`Clocks::set_drift`] bends it where it stands, so that it never
//! goes back or leaps. The generator is the node's own, so that what one node draws neither moves what another draws nor
//! the order in which tasks run. Both outlive a kill: a restarted node must not draw its old numbers again.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use madsim::plugin::{self, Simulator};
use madsim::rand::{GlobalRng, RngCore};
use madsim::task::NodeId;
use madsim::time::TimeHandle;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

use super::Instant;

const MILLION: i64 = 1_000_000;

thread_local! {
    /// The nodes of this thread's run that were asked for already: everything that is done asks for its node, many times, and
    /// the way through madsim's registry is long.
    static KNOWN: RefCell<BTreeMap<NodeId, Arc<Node>>> = const { RefCell::new(BTreeMap::new()) };
}

/// The node whose task runs now.
///
/// # Panics
/// Outside [`Simulation::block_on`](super::Simulation::block_on).
pub(super) fn current() -> Arc<Node> {
    let id = plugin::node();
    let known = KNOWN.with_borrow(|known| known.get(&id).cloned());
    known.unwrap_or_else(|| {
        let node = plugin::simulator::<Nodes>().get(id);
        KNOWN.with_borrow_mut(|known| known.insert(id, node.clone()));
        node
    })
}

/// Another run begins on this thread, whose nodes have the same numbers.
pub(super) fn forget_known() {
    KNOWN.with_borrow_mut(BTreeMap::clear);
}

/// All nodes of a run. madsim tells it of each node that is made.
pub(super) struct Nodes {
    time: TimeHandle,
    /// From it and a node's place in the order of creation comes the seed of that node's generator.
    seed: u64,
    nodes: Mutex<BTreeMap<NodeId, Arc<Node>>>,
}

impl Nodes {
    fn get(&self, id: NodeId) -> Arc<Node> {
        match lock(&self.nodes).get(&id) {
            Some(node) => node.clone(),
            None => panic!("node {id} does not belong to this simulation"),
        }
    }
}

impl Simulator for Nodes {
    fn new(rand: &GlobalRng, time: &TimeHandle, _config: &madsim::Config) -> Self {
        Nodes { time: time.clone(), seed: rand.clone().next_u64(), nodes: Mutex::default() }
    }

    fn create_node(&self, id: NodeId) {
        let mut nodes = lock(&self.nodes);
        let place = nodes.len() as u64;
        let seed = self.seed ^ place.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        nodes.insert(id, Arc::new(Node::new(self.time.clone(), seed)));
    }
}

/// One node.
pub(super) struct Node {
    time: TimeHandle,
    line: Mutex<Line>,
    generator: Mutex<Xoshiro256PlusPlus>,
}

/// A clock's time as a function of true time, both in nanoseconds: a point and a slope.
#[derive(Clone, Copy)]
struct Line {
    true_nanos: u64,
    own_nanos: u64,
    /// Parts per million by which the clock is fast.
    drift_ppm: i64,
    /// How far the wall clock is ahead of the truth, drift aside.
    wall_error_nanos: i64,
}

impl Line {
    fn own(&self, true_nanos: u64) -> u64 {
        let passed = i128::from(true_nanos - self.true_nanos) * i128::from(MILLION + self.drift_ppm);
        self.own_nanos.saturating_add((passed / i128::from(MILLION)) as u64)
    }

    /// The first true time at which the clock shows `own_nanos` or more.
    fn true_time(&self, own_nanos: u64) -> u64 {
        let missing = i128::from(own_nanos.saturating_sub(self.own_nanos)) * i128::from(MILLION);
        let slope = i128::from(MILLION + self.drift_ppm);
        let passes = u64::try_from((missing + slope - 1) / slope).unwrap_or(u64::MAX);
        self.true_nanos.saturating_add(passes)
    }
}

impl Node {
    fn new(time: TimeHandle, seed: u64) -> Self {
        let true_nanos = nanos(time.elapsed());
        let line = Line {
            true_nanos,
            own_nanos: Instant::START.nanos() + true_nanos,
            drift_ppm: 0,
            wall_error_nanos: 0,
        };
        let generator = Mutex::new(Xoshiro256PlusPlus::seed_from_u64(seed));
        Node { time, line: Mutex::new(line), generator }
    }

    pub(super) fn now(&self) -> Instant {
        Instant::from_nanos(lock(&self.line).own(nanos(self.time.elapsed())))
    }

    /// How long in true time until this clock shows `deadline`, if its rate stays as it is.
    pub(super) fn true_time_until(&self, deadline: Instant) -> Duration {
        let then = lock(&self.line).true_time(deadline.nanos());
        Duration::from_nanos(then.saturating_sub(nanos(self.time.elapsed())))
    }

    pub(super) fn time(&self) -> &TimeHandle {
        &self.time
    }

    pub(super) fn unix_time(&self) -> u64 {
        let elapsed = self.time.elapsed();
        let beginning = self.time.now_time() - elapsed;
        let beginning = nanos(beginning.duration_since(UNIX_EPOCH).unwrap_or_default());
        let line = lock(&self.line);
        (beginning + line.own(nanos(elapsed)) - Instant::START.nanos())
            .saturating_add_signed(line.wall_error_nanos)
    }

    pub(super) fn random_u64(&self) -> u64 {
        lock(&self.generator).next_u64()
    }

    pub(super) fn fill(&self, bytes: &mut [u8]) {
        lock(&self.generator).fill_bytes(bytes);
    }
}

/// The hand on the nodes' clocks. Cheap to clone; works inside and outside the run.
#[derive(Clone)]
pub struct Clocks(Arc<Nodes>);

impl Clocks {
    /// Those of the run that this task belongs to.
    ///
    /// # Panics
    /// Outside [`Simulation::block_on`](super::Simulation::block_on).
    pub fn current() -> Self {
        Clocks(plugin::simulator::<Nodes>())
    }

    /// From now on the clock of `node` runs fast by `ppm` parts per million, or slow if that is negative. 100 is a poor
    /// quartz; 100,000 finds what rests on clocks.
    ///
    /// A sleep that is under way when its clock slows down lasts until the clock shows its deadline; when the clock speeds
    /// up, it keeps the true time at which it was going to end.
    ///
    /// # Panics
    /// If the clock would run at less than half or more than one and a half times the true rate.
    pub fn set_drift(&self, node: NodeId, ppm: i32) {
        assert!(ppm.abs() <= 500_000, "a clock cannot be off by {ppm} ppm; at most 500000 are simulated");
        let node = self.0.get(node);
        let now = nanos(node.time.elapsed());
        let mut line = lock(&node.line);
        line.own_nanos = line.own(now);
        line.true_nanos = now;
        line.drift_ppm = i64::from(ppm);
    }

    /// Sets the wall clock of `node` ahead of the truth by `nanos`, or behind it if that is negative: it leaps there at
    /// once. Only [`unix_time`](crate::runtime::unix_time) sees it.
    pub fn set_wall_error(&self, node: NodeId, nanos: i64) {
        lock(&self.0.get(node).line).wall_error_nanos = nanos;
    }
}

impl fmt::Debug for Clocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(lock(&self.0.nodes).iter().map(|(id, node)| (id, lock(&node.line).drift_ppm)))
            .finish()
    }
}

fn nanos(duration: Duration) -> u64 {
    // 584 years of virtual time: no run gets there.
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it holds one of these, so a poisoned one is still whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
