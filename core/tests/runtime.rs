//! What both runtimes promise alike: one set of stories, run on tokio in the ordinary build and on madsim with
//! `--cfg madsim`.
#![allow(clippy::unwrap_used)]

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use lovebird_core::runtime::{self, Elapsed, Instant, Raft, Worker};
use openraft_rt::AsyncRuntime;
use tokio::sync::oneshot;

fn run<F: Future>(future: F) -> F::Output {
    Raft::run(future)
}

const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

#[test]
fn sleep_lasts_as_long_as_it_was_asked_to() {
    run(async {
        let start = Instant::now();
        let end = start + ms(20);
        runtime::sleep(ms(20)).await;
        let now = Instant::now();
        assert!(now >= end, "woke {:?} early", now.until(end));
        assert_eq!(now.until(start), Duration::ZERO, "time that has passed is not ahead");
        assert!(start.until(now) >= ms(20));
    });
}

#[test]
fn timeout_gives_up_and_drops_what_it_waited_for() {
    run(async {
        let (held, mut dropped) = oneshot::channel::<()>();
        let outcome = runtime::timeout(ms(5), async move {
            let _held = held;
            std::future::pending::<()>().await;
        })
        .await;
        assert_eq!(outcome, Err(Elapsed));
        assert!(dropped.try_recv().is_err(), "the sender is gone, nothing was sent");
        assert_eq!(runtime::timeout(ms(500), async { 7 }).await, Ok(7));
    });
}

#[test]
fn aborted_task_ends_and_drops_what_it_holds() {
    run(async {
        let (held, dropped) = oneshot::channel::<()>();
        let task = runtime::spawn(async move {
            let _held = held;
            std::future::pending::<()>().await;
        });
        task.abort();
        task.ended().await;
        assert!(dropped.await.is_err());
    });
}

#[test]
fn task_goes_on_when_its_handle_is_dropped() {
    run(async {
        let (send, receive) = oneshot::channel();
        drop(runtime::spawn(async move {
            runtime::yield_now().await;
            send.send(5).unwrap();
        }));
        assert_eq!(receive.await, Ok(5));
    });
}

#[test]
fn worker_runs_jobs_in_order_and_finishes_them_after_its_last_handle() {
    run(async {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let worker = Worker::start("worker");
        let (send, done) = oneshot::channel();
        for job in 0..50 {
            let seen = seen.clone();
            let worker = if job % 2 == 0 { worker.clone() } else { worker.clone().clone() };
            worker.submit(move || seen.lock().unwrap().push(job));
        }
        worker.submit(move || send.send(()).unwrap());
        drop(worker);
        done.await.unwrap();
        assert_eq!(*seen.lock().unwrap(), (0..50).collect::<Vec<_>>());
    });
}

#[test]
fn job_that_panics_ends_its_worker_and_drops_what_later_jobs_hold() {
    run(async {
        let worker = Worker::start("worker");
        let (send, later) = oneshot::channel::<()>();
        worker.submit(|| panic!("this panic belongs to the test"));
        worker.submit(move || send.send(()).unwrap());
        assert!(later.await.is_err(), "a job ran behind one that panicked");
    });
}

#[test]
fn blocking_job_runs_although_its_caller_is_gone() {
    run(async {
        let (send, receive) = oneshot::channel();
        // Polled once, so that the job is on its way, and dropped, done or not.
        let _ = runtime::blocking(move || send.send(3).unwrap()).now_or_never();
        assert_eq!(receive.await, Ok(3));
        assert_eq!(runtime::blocking(|| 4).await, 4);
    });
}

#[test]
fn panic_of_a_blocking_job_reaches_its_caller() {
    let after = Arc::new(AtomicBool::new(false));
    let seen = after.clone();
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        run(async move {
            runtime::blocking(|| panic!("this panic belongs to the test")).await;
            seen.store(true, Ordering::Relaxed);
        })
    }));
    let panic = outcome.unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"this panic belongs to the test"));
    assert!(!after.load(Ordering::Relaxed), "the caller went on");
}

#[test]
fn wall_clock_and_chance_are_there() {
    run(async {
        const YEAR_2020: u64 = 1_577_836_800_000_000_000;
        assert!(runtime::unix_time() > YEAR_2020);
        let drawn: std::collections::BTreeSet<u64> = (0..100).map(|_| runtime::random_u64()).collect();
        assert_eq!(drawn.len(), 100);
    });
}
