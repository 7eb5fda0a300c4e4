//! The checkers' own test: what is planted here, the simulation must find.
#![cfg(madsim)]
#![allow(clippy::unwrap_used)]

use std::io;
use std::marker::PhantomData;
use std::path::Path;
use std::sync::{Arc, Mutex};

use lovebird_core::context::Context;
use lovebird_core::primary_backup::{Primary, PrimaryBackup};
use lovebird_core::runtime;
use lovebird_core::state_machine::StateMachine;
use lovebird_simulation::counter::{Add, Answer, Command, Counter, Query, State, Tested};
use lovebird_simulation::run::{Outcome, Run};
use lovebird_simulation::schedule::{Fault, Survives};
use lovebird_storage::disk::DiskLock;
use lovebird_storage::{Disk, DiskFile, MemoryDisk};

/// Within how many seeds a bug must be found.
const SEEDS: u64 = 5;

/// A disk that only says that it syncs the log, except when a file is made or removed there. So if it loses all that was not
/// synced, that is just the end of what was acknowledged, and nothing on the disk shows that there was more. Holes in the
/// middle would be no test of the checkers: the log finds them by itself, and refuses to start.
struct LyingDisk {
    disk: MemoryDisk,
    files: Mutex<Vec<Arc<dyn DiskFile>>>,
}

struct LyingFile(Arc<dyn DiskFile>);

impl LyingDisk {
    fn seen(&self, path: &Path, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        if !path.starts_with("/data/log") {
            return file;
        }
        self.files.lock().unwrap().push(file.clone());
        Arc::new(LyingFile(file))
    }

    fn flush(&self) {
        for file in &*self.files.lock().unwrap() {
            // Those of an earlier life fail, and have nothing left to sync.
            let _ = file.sync_data();
        }
    }
}

impl Disk for LyingDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.flush();
        Ok(self.seen(path, self.disk.create(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.seen(path, self.disk.open(path)?))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.disk.exists(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.flush();
        self.disk.remove(path)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.remove_dir(dir)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<DiskLock> {
        self.disk.lock(path)
    }
}

impl DiskFile for LyingFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_at(offset, bytes)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(offset, buffer)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        self.0.allocate(bytes)
    }

    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
}

/// The run of a seed on lying disks that lose, with the power, everything that was not synced.
fn lying_run(seed: u64) -> Run {
    let mut run =
        Run::of(seed).with_disks(Arc::new(|disk| Arc::new(LyingDisk { disk, files: Mutex::default() })));
    for step in &mut run.schedule.steps {
        if let Fault::PowerLoss { survives, .. } = &mut step.fault {
            *survives = Survives::Nothing;
        }
    }
    run
}

/// Something that a service does wrong.
trait Slip: Send + 'static {
    fn apply(counter: &mut Counter, context: &Context, command: Command) -> u64 {
        counter.apply(context, command)
    }

    fn query(counter: &Counter, query: Query) -> Answer {
        counter.query(query)
    }

    /// What a primary works on.
    fn copy(counter: &Counter) -> Counter {
        counter.clone()
    }
}

/// A service that slips.
struct Slipping<L>(Counter, PhantomData<fn() -> L>);

impl<L: Slip> Clone for Slipping<L> {
    fn clone(&self) -> Self {
        Slipping(L::copy(&self.0), PhantomData)
    }
}

impl<L: Slip> StateMachine for Slipping<L> {
    type Command = Command;
    type Reply = u64;
    type Query = Query;
    type Answer = Answer;
    type Snapshot = State;

    fn apply(&mut self, context: &Context, command: Command) -> u64 {
        L::apply(&mut self.0, context, command)
    }

    fn query(&self, query: Query) -> Answer {
        L::query(&self.0, query)
    }

    fn snapshot(&self) -> State {
        self.0.snapshot()
    }

    fn restore(&mut self, snapshot: State) {
        self.0.restore(snapshot);
    }
}

impl<L: Slip> PrimaryBackup for Slipping<L> {
    type Request = Add;

    fn execute(&self, context: &Context, add: Add) -> Command {
        self.0.execute(context, add)
    }
}

impl<L: Slip> Tested for Slipping<L> {
    fn around(counter: Counter) -> Self {
        Slipping(counter, PhantomData)
    }
}

/// A replica that looks at its own clock, now and then.
struct OwnClock;

impl Slip for OwnClock {
    fn apply(counter: &mut Counter, context: &Context, command: Command) -> u64 {
        match command {
            Command::Request(add) if runtime::unix_time().is_multiple_of(50) => {
                counter.apply(context, Command::Request(Add { amount: add.amount + 1, ..add }))
            }
            command => counter.apply(context, command),
        }
    }
}

/// A primary that begins on what was there one command ago.
struct LateCopy;

impl Slip for LateCopy {
    fn copy(counter: &Counter) -> Counter {
        let mut copy = counter.clone();
        let mut state = copy.snapshot();
        if let Some((_, add)) = state.history.pop() {
            *state.values.get_mut(&add.client).unwrap() -= add.amount;
        }
        state.digest = 0;
        copy.restore(state);
        copy
    }
}

/// A replica that answers from what it has not come to yet.
struct Foresight;

impl Slip for Foresight {
    fn query(counter: &Counter, query: Query) -> Answer {
        match counter.query(query) {
            Answer::Value(value) if value > 0 => Answer::Value(value + 1),
            answer => answer,
        }
    }
}

/// Runs seeds until one tells of a violation in these words.
fn must_find(words: &str, run: impl Fn(u64) -> Outcome) {
    let mut told = Vec::new();
    for seed in 1..=SEEDS {
        let outcome = run(seed);
        if outcome.tally.violations.iter().any(|violation| violation.contains(words)) {
            return;
        }
        told.extend(outcome.tally.violations);
    }
    panic!("{SEEDS} seeds did not find that {words:?}; they found {told:#?}");
}

#[test]
fn disk_that_lies_about_syncs_is_found_to_lose_acknowledged_commands() {
    must_find("was acknowledged with", |seed| lying_run(seed).run());
}

#[test]
fn state_machine_that_looks_at_its_own_clock_is_found_to_diverge() {
    must_find("another one", |seed| Run::of(seed).run_service::<Slipping<OwnClock>>());
}

#[test]
fn primary_that_works_on_a_state_that_has_passed_is_found() {
    must_find("was computed on", |seed| Run::of(seed).run_service::<Primary<Slipping<LateCopy>>>());
}

#[test]
fn answer_that_no_log_index_had_is_found() {
    must_find("the history says", |seed| Run::of(seed).run_service::<Slipping<Foresight>>());
}
