//! A log whose turns someone else calls: what holds between a write and its sync.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use lovebird_core::log_store::LogStore;
use lovebird_storage::MemoryDisk;
use lovebird_storage::disk::{Call, Fault};
use lovebird_storage::log::{Log, Turn, Turns};

use crate::support::*;

/// A log, its turns, and how often there was said to be something to do.
struct Turned {
    disk: MemoryDisk,
    log: Log,
    turns: Turns,
    wakes: Arc<AtomicU64>,
}

impl Turned {
    fn open(disk: &MemoryDisk) -> Turned {
        let wakes = Arc::new(AtomicU64::new(0));
        let counter = wakes.clone();
        let wake = move || {
            counter.fetch_add(1, Ordering::Relaxed);
        };
        let (log, turns) =
            Log::open_in_turns(Arc::new(disk.mount()), Path::new(DIR), &options(), wake).unwrap();
        Turned { disk: disk.clone(), log, turns, wakes }
    }

    fn group(&self) -> Arc<dyn LogStore> {
        self.log.group(0)
    }

    fn wakes(&self) -> u64 {
        self.wakes.load(Ordering::Relaxed)
    }

    fn rest(&self) {
        while self.turns.write() == Turn::Sync {
            self.turns.sync();
        }
    }

    /// How many writes and syncs there were.
    fn calls(&self) -> (usize, usize) {
        let calls = self.disk.take_calls();
        let count = |wanted: fn(&Call) -> bool| calls.iter().filter(|call| wanted(call)).count();
        (count(|call| matches!(call, Call::Write { .. })), count(|call| matches!(call, Call::Sync(_))))
    }
}

#[test]
fn nobody_is_told_before_the_second_half() {
    let turned = Turned::open(&MemoryDisk::new());
    let (group, ends) = (turned.group(), Ends::default());
    turned.disk.start_recording();
    assert_eq!(turned.turns.write(), Turn::Rest);
    assert_eq!(turned.wakes(), 0);
    turned.disk.take_calls();

    group.append(vec![barrier(1, 0)], ends.of(0)).unwrap();
    assert_eq!(
        (turned.wakes(), turned.calls()),
        (1, (0, 0)),
        "it is only said that there is something to do"
    );
    assert_eq!(turned.turns.write(), Turn::Sync);
    assert_eq!(turned.turns.write(), Turn::Sync, "the frame still waits, and no other one is written");
    assert_eq!((turned.calls(), ends.all()), ((1, 0), vec![]));
    assert_eq!(ids(&group.read(0..9, 1000).unwrap()), [(1, 0)], "it can be read meanwhile");
    turned.turns.sync();
    assert_eq!((turned.calls(), ends.all()), ((0, 1), vec![(0, Ok(()))]));
    turned.turns.sync();
    assert_eq!(turned.calls(), (0, 0));
}

#[test]
fn what_is_queued_between_the_halves_is_the_next_frame() {
    let turned = Turned::open(&MemoryDisk::new());
    let (group, ends) = (turned.group(), Ends::default());
    turned.disk.start_recording();
    group.append(vec![blank(1, 0)], ends.of(0)).unwrap();
    assert_eq!(turned.turns.write(), Turn::Sync);
    for number in 1..=50 {
        group.append(vec![blank(1, number)], ends.of(number)).unwrap();
    }
    turned.turns.sync();
    assert_eq!((turned.calls(), ends.all()), ((1, 1), vec![(0, Ok(()))]));
    assert_eq!(turned.turns.write(), Turn::Sync);
    turned.turns.sync();
    assert_eq!(turned.calls(), (1, 1), "fifty writes share one sync");
    assert_eq!(ends.all(), (0..=50).map(|write| (write, Ok(()))).collect::<Vec<_>>());
    assert_eq!(turned.turns.write(), Turn::Rest);
    assert_eq!(turned.calls(), (1, 0), "a log that rests leaves its mark");
}

#[test]
fn commit_points_and_purges_wait_for_no_second_half() {
    let turned = Turned::open(&MemoryDisk::new());
    let group = turned.group();
    stretch(&*group, 5, 10);
    turned.rest();
    let wakes = turned.wakes();
    group.save_committed(Some(id(1, 3))).unwrap();
    assert_eq!(turned.wakes(), wakes, "a commit point alone wakes nobody");
    group.purge(id(1, 2)).unwrap();
    assert_eq!((turned.turns.write(), turned.wakes()), (Turn::Rest, wakes + 1));
    drop((group, turned.log));
    assert_eq!(open(&turned.disk).group(0).state().committed, Some(id(1, 3)));
}

#[test]
fn loss_of_power_between_the_halves_takes_or_leaves_the_frame_and_nobody_was_told() {
    for (kept, last) in [(false, 1), (true, 2)] {
        let turned = Turned::open(&MemoryDisk::new());
        let (group, ends) = (turned.group(), Ends::default());
        stretch(&*group, 1, 10);
        turned.rest();
        group.append(vec![commands(1, 2, 2, 1, 10)], ends.of(2)).unwrap();
        assert_eq!(turned.turns.write(), Turn::Sync);
        group.append(vec![commands(1, 3, 3, 1, 10)], ends.of(3)).unwrap();
        turned.disk.crash_keeping(&mut || kept);
        turned.turns.sync();
        let ends = ends.all();
        assert!(ends.len() == 2 && ends.iter().all(|(_, end)| end.is_err()), "{ends:?}");
        assert_eq!(turned.turns.write(), Turn::Rest, "after a failure nothing is written");
        drop((group, turned.log));
        assert_eq!(open(&turned.disk).group(0).state().last, Some(id(1, last)));
    }
}

#[test]
fn log_that_is_closed_between_the_halves_writes_all_that_is_left() {
    let turned = Turned::open(&MemoryDisk::new());
    let (group, ends) = (turned.group(), Ends::default());
    group.append(vec![blank(1, 0)], ends.of(0)).unwrap();
    assert_eq!(turned.turns.write(), Turn::Sync);
    group.append(vec![blank(1, 1)], ends.of(1)).unwrap();
    group.save_committed(Some(id(1, 1))).unwrap();
    let wakes = turned.wakes();
    drop((group, turned.log));
    assert_eq!(ends.all(), [(0, Ok(())), (1, Ok(()))]);
    assert_eq!(
        turned.wakes.load(Ordering::Relaxed),
        wakes + 1,
        "whoever takes the turns must hear of the end"
    );
    assert_eq!(turned.turns.write(), Turn::End);
    turned.turns.sync();
    turned.disk.crash();
    let state = open(&turned.disk).group(0).state();
    assert_eq!((state.last, state.committed), (Some(id(1, 1)), Some(id(1, 1))));
}

#[test]
fn log_that_a_completion_closes_is_finished_by_the_next_turn() {
    let turned = Turned::open(&MemoryDisk::new());
    let (group, ends) = (turned.group(), Ends::default());
    let last = Arc::new(Mutex::new(None));
    let held = last.clone();
    let done = Box::new(move |_| drop(held.lock().unwrap().take()));
    group.append(vec![blank(1, 0)], done).unwrap();
    assert_eq!(turned.turns.write(), Turn::Sync);
    group.append(vec![blank(1, 1)], ends.of(1)).unwrap();
    *last.lock().unwrap() = Some((group, turned.log));
    turned.turns.sync();
    assert_eq!(ends.all(), []);
    assert_eq!(turned.turns.write(), Turn::End);
    assert_eq!(ends.all(), [(1, Ok(()))]);
    turned.disk.crash();
    assert_eq!(open(&turned.disk).group(0).state().last, Some(id(1, 1)));
}

#[test]
fn sync_that_fails_in_the_second_half_poisons_the_log() {
    let turned = Turned::open(&MemoryDisk::new());
    let (group, ends) = (turned.group(), Ends::default());
    group.append(vec![blank(1, 0)], ends.of(0)).unwrap();
    assert_eq!(turned.turns.write(), Turn::Sync);
    group.append(vec![blank(1, 1)], ends.of(1)).unwrap();
    turned.disk.fail(Fault::Sync, 1, std::io::ErrorKind::Other);
    turned.turns.sync();
    assert_eq!(
        ends.all().iter().map(|(write, end)| (*write, end.is_err())).collect::<Vec<_>>(),
        [(0, true), (1, true)]
    );
    assert!(group.failure().is_some());
    group.append(vec![blank(1, 2)], Box::new(|_| ())).unwrap_err();
    assert_eq!(turned.turns.write(), Turn::Rest);
}

#[test]
fn segments_fill_and_go_in_turns_as_they_do_in_place() {
    let (turned, place) = (Turned::open(&MemoryDisk::new()), MemoryDisk::new());
    let in_place = open(&place);
    for group in [turned.group(), in_place.group(0)] {
        group.append(vec![barrier(1, 0)], ignore()).unwrap();
        turned.rest();
        for number in 1..=40 {
            group.append(vec![commands(1, number, number, 1, 3000)], ignore()).unwrap();
            turned.rest();
        }
        group.purge(id(1, 30)).unwrap();
        turned.rest();
    }
    assert!(segments(&turned.disk).len() > 1);
    assert_eq!(segments(&turned.disk), segments(&place));
}
