//! What only the runtime of simulation promises: everything follows from the seed, and nodes are apart.
#![cfg(madsim)]
#![allow(clippy::unwrap_used)]

use std::collections::hash_map::DefaultHasher;
use std::future::Future;
use std::hash::{Hash, Hasher};
use std::pin::pin;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use lovebird_core::runtime::{self, Clocks, Instant, Raft, Simulation, Worker};
use madsim::runtime::Handle;
use openraft_rt::AsyncRuntime;
use tokio::sync::{mpsc, oneshot};

const SEED_VARIABLE: &str = "LOVEBIRD_TEST_SEED";
const MARK: &str = "trace: ";

const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// What happened in a run: who, when by its own clock, what.
type Trace = Arc<Mutex<Vec<(u64, u64, u64)>>>;

/// Three nodes whose tasks sleep, time out, draw, use workers and talk to one another, one of which is killed.
fn eventful_run(seed: u64) -> Vec<(u64, u64, u64)> {
    let simulation = Simulation::new(seed);
    let trace: Trace = Trace::default();
    let whole = trace.clone();
    simulation.block_on(async move {
        let (to_main, mut at_main) = mpsc::unbounded_channel();
        let mut nodes = Vec::new();
        for name in 0..3_u64 {
            let node = Handle::current().create_node().build();
            Clocks::current().set_drift(node.id(), 1000 * name as i32 - 1000);
            for task in 0..4_u64 {
                let (trace, to_main) = (trace.clone(), to_main.clone());
                node.spawn(async move {
                    let worker = Worker::start("worker");
                    for round in 0..20 {
                        let drawn = runtime::random_u64();
                        let outcome = runtime::timeout(ms(drawn % 7), runtime::sleep(ms(drawn % 11))).await;
                        trace.lock().unwrap().push((name * 10 + task, runtime::unix_time(), drawn));
                        let trace = trace.clone();
                        worker.submit(move || trace.lock().unwrap().push((name, round, 0)));
                        runtime::yield_now().await;
                        to_main.send((name, outcome.is_ok())).unwrap();
                    }
                });
            }
            nodes.push(node);
        }
        drop(to_main);
        let mut heard = 0;
        while let Some((name, in_time)) = at_main.recv().await {
            heard += 1;
            trace.lock().unwrap().push((100 + name, heard, u64::from(in_time)));
            if heard == 40 {
                Handle::current().kill(nodes[1].id());
            }
        }
    });
    let events = whole.lock().unwrap().clone();
    assert!(events.len() > 300, "the run is to be eventful, but had {} events", events.len());
    events
}

/// The hash of a run's trace, made in a process that does nothing else.
fn trace_of_a_fresh_process(seed: u64) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "run_of_the_seed_in_the_environment", "--nocapture"])
        .env(SEED_VARIABLE, seed.to_string())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}");
    let (_, rest) = text.split_once(MARK).unwrap();
    rest.split_whitespace().next().unwrap().to_owned()
}

/// One run of the seed that the environment names, or of 1. The tests below start it in processes of its own.
#[test]
fn run_of_the_seed_in_the_environment() {
    let seed = std::env::var(SEED_VARIABLE).map_or(1, |seed| seed.parse().unwrap());
    let mut hasher = DefaultHasher::new();
    eventful_run(seed).hash(&mut hasher);
    println!("{MARK}{:016x} ", hasher.finish());
}

#[test]
fn same_seed_gives_the_same_trace_in_fresh_processes() {
    for seed in [1, 2, 3] {
        assert_eq!(trace_of_a_fresh_process(seed), trace_of_a_fresh_process(seed), "seed {seed}");
    }
    assert_ne!(trace_of_a_fresh_process(1), trace_of_a_fresh_process(2), "the seed decides nothing");
}

#[test]
fn same_seed_gives_the_same_random_numbers() {
    let draw = |seed| Simulation::new(seed).block_on(async { [(); 20].map(|()| runtime::random_u64()) });
    assert_eq!(draw(5), draw(5));
    assert_ne!(draw(5), draw(6));
}

#[test]
fn sleeps_end_in_the_order_of_their_deadlines() {
    Simulation::new(3).block_on(async {
        let (woke, mut order) = mpsc::unbounded_channel();
        for delay in [90, 30, 60] {
            let woke = woke.clone();
            runtime::spawn(async move {
                runtime::sleep(ms(delay)).await;
                woke.send(delay).unwrap();
            });
        }
        drop(woke);
        let mut seen = Vec::new();
        while let Some(delay) = order.recv().await {
            seen.push(delay);
        }
        assert_eq!(seen, [30, 60, 90]);
    });
}

/// `count` numbers, drawn on a node of its own.
async fn drawn_on(node: &madsim::runtime::NodeHandle, count: usize) -> Vec<u64> {
    node.spawn(async move { (0..count).map(|_| runtime::random_u64()).collect() }).await.unwrap()
}

#[test]
fn nodes_draw_from_streams_of_their_own() {
    let draw = |first_draws: usize| {
        Simulation::new(9).block_on(async move {
            let first = Handle::current().create_node().build();
            let second = Handle::current().create_node().build();
            let of_first = drawn_on(&first, first_draws).await;
            (of_first, drawn_on(&second, 5).await)
        })
    };
    let (few, after_few) = draw(1);
    let (many, after_many) = draw(1000);
    assert_eq!(after_few, after_many, "what one node draws moved another");
    assert_eq!(few[0], many[0]);
    assert_ne!(few[0], after_few[0], "two nodes share a stream");
}

#[test]
fn restarted_node_does_not_draw_its_old_numbers() {
    Simulation::new(9).block_on(async {
        let (send, mut drawn) = mpsc::unbounded_channel();
        let node = Handle::current()
            .create_node()
            .init(move || {
                let send = send.clone();
                async move {
                    send.send(runtime::random_u64()).unwrap();
                    std::future::pending::<()>().await;
                }
            })
            .build();
        let first = drawn.recv().await.unwrap();
        Handle::current().kill(node.id());
        Handle::current().restart(node.id());
        assert_ne!(drawn.recv().await.unwrap(), first);
    });
}

#[test]
fn killed_node_takes_its_tasks_workers_and_jobs_along() {
    Simulation::new(4).block_on(async {
        let node = Handle::current().create_node().build();
        let (held, mut all_gone) = mpsc::unbounded_channel::<()>();
        let (begin, begun) = oneshot::channel();
        let steps = Arc::new(AtomicUsize::new(0));
        let counted = steps.clone();
        node.spawn(async move {
            let (in_worker, in_task, in_grandchild) = (held.clone(), held.clone(), held);
            let worker = Worker::start("worker");
            let inner = worker.clone();
            // A worker that is kept busy for ever.
            fn again(worker: Worker, held: mpsc::UnboundedSender<()>) {
                assert!(!held.is_closed(), "whoever waits for the end is still there");
                let next = worker.clone();
                worker.submit(move || again(next, held));
            }
            again(inner, in_worker);
            runtime::spawn(async move {
                runtime::spawn(async move {
                    let _held = in_grandchild;
                    std::future::pending::<()>().await;
                });
                loop {
                    runtime::sleep(ms(1)).await;
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            });
            runtime::sleep(ms(10)).await;
            begin.send(()).unwrap();
            let _held = in_task;
            std::future::pending::<()>().await;
        });
        begun.await.unwrap();
        assert!(steps.load(Ordering::Relaxed) > 0, "the task never ran");
        Handle::current().kill(node.id());
        assert_eq!(all_gone.recv().await, None);
        let at_the_kill = steps.load(Ordering::Relaxed);
        runtime::sleep(ms(50)).await;
        assert_eq!(steps.load(Ordering::Relaxed), at_the_kill, "a task of a killed node went on");
    });
}

#[test]
fn clock_that_runs_fast_wakes_its_node_early() {
    Simulation::new(7).block_on(async {
        let slept = |ppm: i32| async move {
            let node = Handle::current().create_node().build();
            Clocks::current().set_drift(node.id(), ppm);
            let start = Instant::now();
            let own = node.spawn(async {
                let start = Instant::now();
                runtime::sleep(Duration::from_secs(100)).await;
                start.until(Instant::now())
            });
            let own = own.await.unwrap();
            (own, start.until(Instant::now()))
        };
        for (ppm, true_secs) in [(0, 100.0), (250_000, 80.0), (-200_000, 125.0)] {
            let (own, truly) = slept(ppm).await;
            assert!(own >= Duration::from_secs(100), "by its own clock it slept {own:?} of 100 s");
            assert!(own < Duration::from_millis(100_001), "by its own clock it slept {own:?} of 100 s");
            let off = (truly.as_secs_f64() - true_secs).abs();
            assert!(off < 0.001, "{ppm} ppm fast, it slept {truly:?}, not {true_secs} s");
        }
    });
}

#[test]
fn clock_that_is_slowed_down_under_a_sleep_keeps_the_deadline_and_never_goes_back() {
    Simulation::new(7).block_on(async {
        let node = Handle::current().create_node().build();
        let id = node.id();
        let asleep = node.spawn(async {
            let start = Instant::now();
            runtime::sleep(Duration::from_secs(10)).await;
            start.until(Instant::now())
        });
        let watching = node.spawn(async {
            let mut last = Instant::now();
            for _ in 0..2000 {
                runtime::sleep(ms(7)).await;
                let now = Instant::now();
                assert!(now >= last + ms(7), "the clock went from {last:?} to {now:?}");
                last = now;
            }
        });
        let start = Instant::now();
        runtime::sleep(Duration::from_secs(5)).await;
        Clocks::current().set_drift(id, -500_000);
        let own = asleep.await.unwrap();
        assert!(own >= Duration::from_secs(10), "it woke after {own:?} of 10 s");
        let truly = start.until(Instant::now());
        assert!(truly >= ms(14_999), "five seconds at half the rate are ten, but it woke after {truly:?}");
        assert!(truly < ms(15_010), "the clock leapt when it was slowed down: it woke after {truly:?}");
        Clocks::current().set_drift(id, 500_000);
        watching.await.unwrap();
    });
}

#[test]
fn wall_clock_of_one_node_is_set_wrong() {
    Simulation::new(7).block_on(async {
        let node = Handle::current().create_node().build();
        let ours = runtime::unix_time();
        Clocks::current().set_wall_error(node.id(), -3_600_000_000_000);
        let theirs = node.spawn(async { runtime::unix_time() }).await.unwrap();
        let behind = Duration::from_nanos(ours - theirs);
        assert!(behind > Duration::from_secs(3599), "it is behind by {behind:?}");
        assert!(behind < Duration::from_secs(3601), "it is behind by {behind:?}");
    });
}

struct Counted(AtomicUsize);

impl Wake for Counted {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn sleep_wakes_its_last_poller_once_and_holds_nobody_after_it_is_dropped() {
    Simulation::new(2).block_on(async {
        let (first, second) = (Arc::new(Counted(0.into())), Arc::new(Counted(0.into())));
        let (waker_1, waker_2) = (Waker::from(first.clone()), Waker::from(second.clone()));
        {
            let mut sleep = pin!(Raft::sleep(ms(10)));
            for _ in 0..100 {
                assert!(sleep.as_mut().poll(&mut Context::from_waker(&waker_1)).is_pending());
            }
            assert!(sleep.as_mut().poll(&mut Context::from_waker(&waker_2)).is_pending());
            assert_eq!(Arc::strong_count(&first), 2, "an earlier poller is held by a timer");
            runtime::sleep(ms(20)).await;
            assert_eq!(first.0.load(Ordering::Relaxed), 0);
            assert_eq!(second.0.load(Ordering::Relaxed), 1);
            assert_eq!(sleep.as_mut().poll(&mut Context::from_waker(&waker_2)), Poll::Ready(()));
        }
        {
            let mut dropped = pin!(Raft::timeout(ms(10), std::future::pending::<()>()));
            assert!(dropped.as_mut().poll(&mut Context::from_waker(&waker_1)).is_pending());
            assert_eq!(Arc::strong_count(&first), 3);
        }
        assert_eq!(Arc::strong_count(&first), 2, "a sleep that is gone holds its waker");
        runtime::sleep(ms(20)).await;
        assert_eq!(first.0.load(Ordering::Relaxed), 0, "a sleep that is gone woke someone");
    });
}

#[test]
fn sleep_of_an_age_does_not_keep_others_awake() {
    Simulation::new(2).block_on(async {
        let age = runtime::spawn(runtime::sleep(Duration::MAX));
        runtime::sleep(Duration::from_secs(3600)).await;
        age.abort();
        age.ended().await;
    });
}
