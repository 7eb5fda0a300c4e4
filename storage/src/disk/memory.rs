//! The in-memory twin of the disk: it records what is asked of it, fails when told to, and forgets in a crash what was
//! not synced.

mod sectors;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use super::{Disk, DiskFile, DiskLock};
use sectors::File;

/// One call, as it reached the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// A file was made.
    Create(PathBuf),
    /// Bytes were written.
    Write {
        /// The file, by the name under which it was opened.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// How many.
        bytes: usize,
    },
    /// A file was synced.
    Sync(PathBuf),
    /// A file got another length.
    SetLen(PathBuf, u64),
    /// A file was renamed.
    Rename(PathBuf, PathBuf),
    /// A file was removed.
    Remove(PathBuf),
    /// A directory was synced.
    SyncDir(PathBuf),
    /// Not a call: what a test wants to find in order among them, such as an acknowledgement.
    Note(String),
}

/// The kinds of calls that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Any call that changes something: the n-th of all kinds.
    Any,
    /// [`DiskFile::write_at`].
    Write,
    /// [`DiskFile::write_at`], of which the first half is carried out, to the byte.
    ShortWrite,
    /// [`DiskFile::sync_data`]. Later syncs take what was to be synced for clean, though it may not have reached the disk.
    Sync,
    /// [`Disk::rename`].
    Rename,
    /// [`Disk::create`].
    Create,
    /// [`Disk::sync_dir`].
    SyncDir,
    /// [`Disk::remove`] and [`Disk::remove_dir`].
    Remove,
    /// [`DiskFile::set_len`] and [`DiskFile::allocate`].
    SetLen,
}

/// A disk in memory. Clones are the same disk.
///
/// What uses the disk and is to die in a crash of its machine, as an engine does, is given [`MemoryDisk::mount`]; the one
/// who makes it crash keeps the disk itself.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk {
    shared: Arc<Mutex<State>>,
    /// The generation that this handle dies with; none for the one who stands outside of the machine.
    mounted: Option<u64>,
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<u64, File>,
    next_file: u64,
    names: BTreeMap<PathBuf, u64>,
    /// Names as they are after a crash, and by directory what has happened since, in order.
    durable_names: BTreeMap<PathBuf, u64>,
    pending_names: Vec<NameChange>,
    dirs: BTreeSet<PathBuf>,
    locks: BTreeSet<PathBuf>,
    /// Handles of an earlier generation were open when the machine crashed.
    generation: u64,
    calls: Option<Vec<Call>>,
    faults: Vec<(Fault, u64, io::ErrorKind)>,
    while_reading: WhileReading,
}

/// What is to be done in the middle of the next read.
#[derive(Default)]
struct WhileReading(Option<Box<dyn FnOnce() + Send>>);

impl std::fmt::Debug for WhileReading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("WhileReading").field(&self.0.is_some()).finish()
    }
}

#[derive(Clone, Debug)]
enum NameChange {
    Link(PathBuf, u64),
    Unlink(PathBuf),
    Rename(PathBuf, PathBuf),
}

impl NameChange {
    fn dir(&self) -> &Path {
        let (NameChange::Link(path, _) | NameChange::Unlink(path) | NameChange::Rename(path, _)) = self;
        path.parent().unwrap_or(Path::new(""))
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, u64>) {
        match self {
            NameChange::Link(path, file) => {
                names.insert(path.clone(), *file);
            }
            NameChange::Unlink(path) => {
                names.remove(path);
            }
            NameChange::Rename(from, to) => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
        }
    }
}

impl State {
    fn note(&mut self, call: Call) {
        if let Some(calls) = &mut self.calls {
            calls.push(call);
        }
    }

    /// Counts a call down and fails it if its turn has come.
    fn fault(&mut self, kind: Fault) -> io::Result<()> {
        for at in 0..self.faults.len() {
            // A write is asked about twice, as one that is cut short and as one that fails, and counts once.
            let any = self.faults[at].0 == Fault::Any && kind != Fault::ShortWrite;
            if any || self.faults[at].0 == kind {
                self.faults[at].1 -= 1;
                if self.faults[at].1 == 0 {
                    let (_, _, error) = self.faults.remove(at);
                    return Err(io::Error::new(error, format!("{kind:?} was told to fail")));
                }
            }
        }
        Ok(())
    }

    fn change_name(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.pending_names.push(change);
    }

    fn handle(&self, disk: &MemoryDisk, path: &Path, file: u64) -> Arc<dyn DiskFile> {
        Arc::new(MemoryFile { disk: disk.clone(), path: path.into(), file, generation: self.generation })
    }
}

impl MemoryDisk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        crate::sync::lock(&self.shared)
    }

    /// The disk as the machine has it that runs now: after the next crash nothing works through it any more.
    pub fn mount(&self) -> MemoryDisk {
        let generation = self.state().generation;
        MemoryDisk { shared: self.shared.clone(), mounted: Some(generation) }
    }

    /// For the calls of a machine, which a crash has ended.
    fn alive(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.state();
        if self.mounted.is_some_and(|generation| generation != state.generation) {
            return Err(io::Error::other("the machine has crashed"));
        }
        Ok(state)
    }

    /// Begins to record calls.
    pub fn start_recording(&self) {
        self.state().calls = Some(Vec::new());
    }

    /// The calls since recording began or since this was last asked.
    pub fn take_calls(&self) -> Vec<Call> {
        self.state().calls.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Puts a test's own word among the recorded calls.
    pub fn note(&self, text: impl Into<String>) {
        self.state().note(Call::Note(text.into()));
    }

    /// Makes the `nth` call of this kind from now fail once with `error`; 1 is the next one.
    ///
    /// # Panics
    /// If `nth` is 0.
    pub fn fail(&self, kind: Fault, nth: u64, error: io::ErrorKind) {
        assert!(nth > 0, "the next call is number 1");
        self.state().faults.push((kind, nth, error));
    }

    /// Calls `act` once, in the middle of the next read: when the bytes were read, and before they are given.
    pub fn while_reading(&self, act: impl FnOnce() + Send + 'static) {
        self.state().while_reading = WhileReading(Some(Box::new(act)));
    }

    /// How many of the failures that were asked for have not happened yet. A crash forgets them.
    pub fn pending_failures(&self) -> usize {
        self.state().faults.len()
    }

    /// The machine loses power: nothing that was not synced survives, and all open handles are dead.
    pub fn crash(&self) {
        self.crash_keeping(&mut || false);
    }

    /// As [`MemoryDisk::crash`], but `keep` is asked for every unsynced sector, length and change of a name whether it
    /// reached the disk. Names of one directory are kept as a prefix, as journalling file systems do.
    pub fn crash_keeping(&self, keep: &mut dyn FnMut() -> bool) {
        let mut state = self.state();
        let mut lost = BTreeSet::new();
        for change in std::mem::take(&mut state.pending_names) {
            if !lost.contains(change.dir()) && keep() {
                change.apply(&mut state.durable_names);
            } else {
                lost.insert(change.dir().to_owned());
            }
        }
        state.names = state.durable_names.clone();
        let named: BTreeSet<u64> = state.names.values().copied().collect();
        state.files.retain(|number, _| named.contains(number));
        for file in state.files.values_mut() {
            file.crash(keep);
        }
        state.locks.clear();
        state.faults.clear();
        state.generation += 1;
    }
}

impl Disk for MemoryDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.alive()?;
        state.note(Call::Create(path.into()));
        state.fault(Fault::Create)?;
        if state.names.contains_key(path) {
            return Err(error_at(path, io::ErrorKind::AlreadyExists));
        }
        if !path.parent().is_none_or(|dir| state.dirs.contains(dir)) {
            return Err(error_at(path, io::ErrorKind::NotFound));
        }
        let file = state.next_file;
        state.next_file += 1;
        state.files.insert(file, File::default());
        state.change_name(NameChange::Link(path.into(), file));
        Ok(state.handle(self, path, file))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let state = self.alive()?;
        let file = *state.names.get(path).ok_or_else(|| error_at(path, io::ErrorKind::NotFound))?;
        Ok(state.handle(self, path, file))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let state = self.alive()?;
        Ok(state.names.contains_key(path) || state.dirs.contains(path))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.alive()?;
        if !state.dirs.contains(dir) {
            return Err(error_at(dir, io::ErrorKind::NotFound));
        }
        let inside = state.names.keys().chain(&state.dirs).filter(|path| path.parent() == Some(dir));
        let mut names: Vec<String> = inside
            .filter_map(|path| path.file_name())
            .map(|name| name.to_string_lossy().into_owned())
            .collect();
        names.sort();
        Ok(names)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.alive()?;
        state.note(Call::Rename(from.into(), to.into()));
        state.fault(Fault::Rename)?;
        if !state.names.contains_key(from) {
            return Err(error_at(from, io::ErrorKind::NotFound));
        }
        state.change_name(NameChange::Rename(from.into(), to.into()));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.alive()?;
        state.note(Call::Remove(path.into()));
        state.fault(Fault::Remove)?;
        if !state.names.contains_key(path) {
            return Err(error_at(path, io::ErrorKind::NotFound));
        }
        state.change_name(NameChange::Unlink(path.into()));
        Ok(())
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.alive()?;
        state.fault(Fault::Remove)?;
        let inside: Vec<PathBuf> = state.names.keys().filter(|path| path.starts_with(dir)).cloned().collect();
        for path in inside {
            state.change_name(NameChange::Unlink(path));
        }
        state.dirs.retain(|path| !path.starts_with(dir));
        Ok(())
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.alive()?;
        state.dirs.extend(dir.ancestors().map(Path::to_owned));
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.alive()?;
        state.note(Call::SyncDir(dir.into()));
        state.fault(Fault::SyncDir)?;
        let (ours, others) =
            std::mem::take(&mut state.pending_names).into_iter().partition(|change| change.dir() == dir);
        state.pending_names = others;
        let ours: Vec<NameChange> = ours;
        for change in ours {
            change.apply(&mut state.durable_names);
        }
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<DiskLock> {
        if !self.exists(path)? {
            self.create(path)?;
        }
        let mut state = self.alive()?;
        if !state.locks.insert(path.into()) {
            return Err(error_at(path, io::ErrorKind::WouldBlock));
        }
        let generation = state.generation;
        Ok(DiskLock::new(MemoryLock { disk: self.clone(), path: path.into(), generation }))
    }
}

struct MemoryLock {
    disk: MemoryDisk,
    path: PathBuf,
    generation: u64,
}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        // A crash has released the lock already, and it may be another's by now.
        if state.generation == self.generation {
            state.locks.remove(&self.path);
        }
    }
}

struct MemoryFile {
    disk: MemoryDisk,
    path: PathBuf,
    file: u64,
    generation: u64,
}

impl MemoryFile {
    fn with<T>(&self, act: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.disk.state();
        if state.generation != self.generation {
            return Err(io::Error::other(format!("{}: the machine has crashed", self.path.display())));
        }
        act(&mut state)
    }

    fn file<'a>(&self, state: &'a mut State) -> &'a mut File {
        state.files.get_mut(&self.file).expect("files live as long as their generation")
    }
}

impl DiskFile for MemoryFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.with(|state| {
            state.note(Call::Write { path: self.path.clone(), offset, bytes: bytes.len() });
            if let Err(e) = state.fault(Fault::ShortWrite) {
                self.file(state).write(offset, &bytes[..bytes.len() / 2]);
                return Err(e);
            }
            state.fault(Fault::Write)?;
            self.file(state).write(offset, bytes);
            Ok(())
        })
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let (read, act) =
            self.with(|state| Ok((self.file(state).read(offset, buffer), state.while_reading.0.take())))?;
        if let Some(act) = act {
            act();
        }
        Ok(read)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.with(|state| {
            state.note(Call::Sync(self.path.clone()));
            if let Err(e) = state.fault(Fault::Sync) {
                // As Linux does: the pages count as clean from now on, whether they reached the disk or not.
                self.file(state).fail_sync();
                return Err(e);
            }
            self.file(state).sync();
            Ok(())
        })
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.with(|state| {
            state.note(Call::SetLen(self.path.clone(), bytes));
            state.fault(Fault::SetLen)?;
            self.file(state).set_len(bytes);
            Ok(())
        })
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        if bytes > self.len()? { self.set_len(bytes) } else { Ok(()) }
    }

    fn len(&self) -> io::Result<u64> {
        self.with(|state| Ok(self.file(state).len()))
    }
}

fn error_at(path: &Path, kind: io::ErrorKind) -> io::Error {
    io::Error::new(kind, format!("{}: {kind}", path.display()))
}
