//! Clients that never rest, and the account of what they were told.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::cluster::Cluster;
use super::http::{Http, NoReply};
use super::wait::{PATIENCE, until};

/// The deadline of one request: short, so that a client whose node lost its leader soon tries another.
const TIMEOUT: Duration = Duration::from_secs(1);

/// A client's rest after a failure, so that refused connections do not become a busy loop.
const REST: Duration = Duration::from_millis(5);

/// What one client was told. Its commands are all `+=1` to a variable that nobody else writes.
#[derive(Debug)]
pub struct History {
    pub variable: String,
    /// (log index, value) of each acknowledged command, and how many had an unknown outcome before it.
    pub acknowledged: Vec<(u64, i64, u64)>,
    pub unknown: u64,
    pub not_committed: u64,
    /// How many requests a node has answered with a failure; the others were never answered, or never taken.
    pub failed: u64,
}

/// What the clients of one load, or of several, were told.
#[derive(Debug, Default)]
pub struct Account(Vec<History>);

/// Counts loads, so that each has variables of its own.
static LOADS: AtomicU64 = AtomicU64::new(0);

/// Several clients under way.
pub struct Load {
    /// The variables that they change, one each.
    pub variables: Vec<String>,
    clients: Vec<JoinHandle<History>>,
    shared: Arc<Shared>,
}

struct Shared {
    stop: AtomicBool,
    begin: Instant,
    acknowledged: AtomicU64,
    /// When the youngest acknowledged request was begun, in nanoseconds since `begin`.
    youngest: AtomicU64,
    /// When the last one was acknowledged.
    last: AtomicU64,
    /// The longest time between two acknowledgements since it was last asked for.
    gap: AtomicU64,
    /// How many commands of each client are acknowledged.
    of_client: Vec<AtomicU64>,
}

impl Load {
    /// Starts `clients` clients; they begin at different nodes, and go on to the next node at each failure.
    pub fn start(cluster: &Cluster, clients: usize) -> Load {
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            begin: Instant::now(),
            acknowledged: AtomicU64::new(0),
            youngest: AtomicU64::new(0),
            last: AtomicU64::new(0),
            gap: AtomicU64::new(0),
            of_client: (0..clients).map(|_| AtomicU64::new(0)).collect(),
        });
        let addresses: Vec<String> =
            cluster.nodes.iter().map(|node| node.http.address().to_owned()).collect();
        let load = LOADS.fetch_add(1, Ordering::SeqCst);
        let variables: Vec<String> =
            (0..clients).map(|number| format!("load_{load}_client_{number}")).collect();
        let clients = variables.iter().cloned().enumerate().map(|(number, variable)| {
            let nodes = addresses.iter().map(Http::keeping_alive).collect();
            let shared = shared.clone();
            thread::spawn(move || client(number, variable, nodes, &shared))
        });
        Load { clients: clients.collect(), variables, shared }
    }

    /// How many commands were acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.shared.acknowledged.load(Ordering::SeqCst)
    }

    /// How many commands of one client are acknowledged, each of which has made its variable one more.
    pub fn acknowledged_of(&self, client: usize) -> u64 {
        self.shared.of_client[client].load(Ordering::SeqCst)
    }

    /// The longest time between two acknowledgements since this was last asked for.
    pub fn worst_gap(&self) -> Duration {
        Duration::from_nanos(self.shared.gap.swap(0, Ordering::SeqCst))
    }

    /// Waits until as many more commands are acknowledged.
    #[track_caller]
    pub fn run(&self, more: u64) {
        let goal = self.acknowledged() + more;
        until(&format!("{more} more commands are acknowledged"), || {
            (self.acknowledged() >= goal).then_some(())
        });
    }

    /// Lets the load go on for so long: for stories in which time must pass.
    #[track_caller]
    pub fn run_for(&self, duration: Duration) {
        let end = Instant::now() + duration;
        while Instant::now() < end {
            self.run(1);
        }
    }

    /// Waits until a request is acknowledged that was begun after `event`. Returns how long after `event` that was.
    #[track_caller]
    pub fn resumed_after(&self, event: Instant) -> Duration {
        let event_nanos = event.duration_since(self.shared.begin).as_nanos() as u64;
        until("service resumes", || {
            (self.shared.youngest.load(Ordering::SeqCst) > event_nanos).then(|| event.elapsed())
        })
    }

    /// Ends the load and returns what each client was told.
    pub fn stop(mut self) -> Account {
        self.shared.stop.store(true, Ordering::SeqCst);
        let histories =
            self.clients.drain(..).map(|client| client.join().expect("a client was told nonsense"));
        Account(histories.collect())
    }

    /// Ends the load, and checks its account.
    #[track_caller]
    pub fn check(self, cluster: &Cluster) {
        self.stop().check(cluster);
    }
}

impl Account {
    /// Adds another load's.
    pub fn add(&mut self, other: Account) {
        self.0.extend(other.0);
    }

    /// How many requests were answered with a failure.
    pub fn failed(&self) -> u64 {
        self.0.iter().map(|history| history.failed).sum()
    }

    /// How many requests have an unknown outcome, or were not carried out.
    pub fn unsuccessful(&self) -> u64 {
        self.0.iter().map(|history| history.unknown + history.not_committed).sum()
    }

    /// Waits for all nodes to agree, and checks every promise that was made.
    #[track_caller]
    pub fn check(&self, cluster: &Cluster) {
        let variables: Vec<String> = self.0.iter().map(|history| history.variable.clone()).collect();
        let (applied, values) = cluster.agree(&variables);
        let mut indexes = BTreeSet::new();
        for (history, value) in self.0.iter().zip(values) {
            history.check(value);
            for (index, ..) in &history.acknowledged {
                assert!(indexes.insert(*index), "log index {index} was given to two commands");
                assert!(
                    *index <= applied,
                    "log index {index} was acknowledged, but the log ends at {applied}"
                );
            }
        }
        let sum = |count: fn(&History) -> u64| self.0.iter().map(count).sum::<u64>();
        println!(
            "measured: {} acknowledged, {} unknown, {} not committed",
            indexes.len(),
            sum(|history| history.unknown),
            sum(|history| history.not_committed),
        );
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // Clients end by themselves; a test that fails does not wait for them.
        self.shared.stop.store(true, Ordering::SeqCst);
    }
}

impl History {
    /// Checks the promises against the variable's value in the end.
    #[track_caller]
    pub fn check(&self, value: i64) {
        let History { variable, acknowledged, unknown, .. } = self;
        let least = acknowledged.len() as i64;
        let most = least + *unknown as i64;
        assert!(
            (least..=most).contains(&value),
            "{variable} is {value}; {least} commands were acknowledged and {unknown} have an unknown outcome"
        );
        let mut previous = (0, 0);
        for (before, (index, value, unknown_before)) in acknowledged.iter().enumerate() {
            assert!(
                *index > previous.0 && *value > previous.1,
                "{variable}: (log index, value) {previous:?} was acknowledged before {:?}",
                (index, value)
            );
            let least = before as i64 + 1;
            let most = least + *unknown_before as i64;
            assert!(
                (least..=most).contains(value),
                "{variable} was {value} at log index {index}, after {before} acknowledged and {unknown_before} unknown"
            );
            previous = (*index, *value);
        }
    }
}

fn client(number: usize, variable: String, nodes: Vec<Http>, shared: &Shared) -> History {
    let statement = format!("{variable}+=1");
    let mut history = History { variable, acknowledged: Vec::new(), unknown: 0, not_committed: 0, failed: 0 };
    let mut at = number % nodes.len();
    let mut last_success = Instant::now();
    while !shared.stop.load(Ordering::SeqCst) {
        let begun = shared.begin.elapsed().as_nanos() as u64;
        let reply = nodes[at].statement_within(&statement, TIMEOUT);
        match &reply {
            Ok(reply) if reply.status == 200 => {
                let (index, value) = reply.ok();
                history.acknowledged.push((index, value, history.unknown));
                shared.acknowledged.fetch_add(1, Ordering::SeqCst);
                shared.youngest.fetch_max(begun, Ordering::SeqCst);
                shared.of_client[number].fetch_add(1, Ordering::SeqCst);
                let now = shared.begin.elapsed().as_nanos() as u64;
                let before = shared.last.fetch_max(now, Ordering::SeqCst);
                shared.gap.fetch_max(now.saturating_sub(before), Ordering::SeqCst);
                last_success = Instant::now();
                continue;
            }
            Ok(reply) if reply.status == 503 => {
                history.failed += 1;
                match reply.text("outcome") {
                    "not-committed" => history.not_committed += 1,
                    "unknown" => history.unknown += 1,
                    other => panic!("{other:?} is no outcome"),
                }
            }
            Ok(reply) => panic!("{statement} was answered {reply:?}"),
            Err(NoReply::Refused) => history.not_committed += 1,
            Err(NoReply::Broken(_)) => history.unknown += 1,
        }
        assert!(last_success.elapsed() < 2 * PATIENCE, "{statement}: no success for long, and now {reply:?}");
        at = (at + 1) % nodes.len();
        thread::sleep(REST);
    }
    history
}
