//! The in-memory twin of the disk: it records what is asked of it, fails when told to, and forgets in a crash what was
//! not synced.
//!
//! It draws nothing by itself: what survives, fails or is damaged is said, or chosen, by whoever asks for it.

mod names;
mod sectors;
mod fault;
mod damage;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use super::{Disk, DiskFile, DiskLock};
use fault::Plan;
use names::{NameChange, Names};
use sectors::File;

pub use damage::Lost;
pub use fault::{Fault, Space};

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

/// A disk in memory. Clones are the same disk.
///
/// What uses the disk and is to die in a crash of its machine, as an engine does, is given [`MemoryDisk::mount`]; the one
/// who makes it crash keeps the disk itself.
#[derive(Clone, Default)]
pub struct MemoryDisk {
    shared: Arc<Mutex<State>>,
    /// The generation that this handle dies with; none for the one who stands outside of the machine.
    mounted: Option<u64>,
}

#[derive(Default)]
struct State {
    files: BTreeMap<u64, File>,
    next_file: u64,
    names: Names,
    locks: BTreeSet<PathBuf>,
    /// How many lives have ended: handles of an earlier one are dead.
    generation: u64,
    calls: Option<Vec<Call>>,
    plan: Plan,
    space: Space,
}

impl State {
    fn note(&mut self, call: Call) {
        if let Some(calls) = &mut self.calls {
            calls.push(call);
        }
    }

    fn file(&mut self, number: u64) -> &mut File {
        self.files.get_mut(&number).expect("files live as long as their generation")
    }

    fn handle(&self, disk: &MemoryDisk, path: &Path, file: u64) -> Arc<dyn DiskFile> {
        Arc::new(MemoryFile { disk: disk.clone(), path: path.into(), file, generation: self.generation })
    }

    /// For what takes more space than there was.
    fn has_space(&self, path: &Path) -> io::Result<()> {
        match self.space {
            Space::Free => Ok(()),
            Space::Full => Err(error_at(path, io::ErrorKind::StorageFull)),
        }
    }

    fn crash(&mut self, keep: &mut dyn FnMut() -> bool) {
        self.names.crash(keep);
        let named: BTreeSet<u64> = self.names.iter().map(|(_, file)| file).collect();
        self.files.retain(|number, _| named.contains(number));
        for file in self.files.values_mut() {
            file.crash(keep);
        }
        self.end_life();
    }

    fn end_life(&mut self) {
        self.locks.clear();
        self.plan.forget();
        self.generation += 1;
    }
}

impl fmt::Debug for MemoryDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryDisk").field("mounted", &self.mounted).finish_non_exhaustive()
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

    /// The disk as the machine has it that runs now: after the next crash or kill nothing works through it any more.
    pub fn mount(&self) -> MemoryDisk {
        let generation = self.state().generation;
        MemoryDisk { shared: self.shared.clone(), mounted: Some(generation) }
    }

    /// For the calls of a life, which a crash or a kill has ended.
    fn alive(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.state();
        if self.mounted.is_some_and(|generation| generation != state.generation) {
            return Err(io::Error::other(DEAD));
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

    /// The machine loses power: nothing that was not synced survives, and all open handles are dead.
    pub fn crash(&self) {
        self.crash_keeping(&mut || false);
    }

    /// As [`MemoryDisk::crash`], but `keep` is asked for every unsynced sector, length and change of a name whether it
    /// reached the disk. Names of one directory are kept as a prefix, as journalling file systems do.
    pub fn crash_keeping(&self, keep: &mut dyn FnMut() -> bool) {
        self.state().crash(keep);
    }

    /// The process that uses the disk is killed, and the machine goes on: open handles are dead and locks are free, but what was
    /// written is as it was, unsynced what was unsynced. A later crash may still take it.
    pub fn kill(&self) {
        self.state().end_life();
    }

    /// A call that changes something. If power is lost in the middle of it, `act` does what then counts as not synced.
    fn change<T>(
        &self,
        mut state: MutexGuard<'_, State>,
        (kind, path): (Fault, &Path),
        act: impl FnOnce(&mut State) -> io::Result<T>,
    ) -> io::Result<T> {
        match state.plan.power_loss() {
            None => {
                state.plan.fault(kind, path)?;
                act(&mut state)
            }
            Some(loss) => {
                // Whether it would have succeeded is nothing that anybody hears.
                let _ = act(&mut state);
                Err(loss.strike(state))
            }
        }
    }
}

impl Disk for MemoryDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.alive()?;
        state.note(Call::Create(path.into()));
        self.change(state, (Fault::Create, path), |state| {
            if state.names.get(path).is_some() {
                return Err(error_at(path, io::ErrorKind::AlreadyExists));
            }
            if !path.parent().is_none_or(|dir| state.names.is_dir(dir)) {
                return Err(error_at(path, io::ErrorKind::NotFound));
            }
            state.has_space(path)?;
            let file = state.next_file;
            state.next_file += 1;
            state.files.insert(file, File::default());
            state.names.change(NameChange::Link(path.into(), file));
            Ok(state.handle(self, path, file))
        })
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let state = self.alive()?;
        let file = state.names.get(path).ok_or_else(|| error_at(path, io::ErrorKind::NotFound))?;
        Ok(state.handle(self, path, file))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let state = self.alive()?;
        Ok(state.names.get(path).is_some() || state.names.is_dir(path))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.alive()?;
        if !state.names.is_dir(dir) {
            return Err(error_at(dir, io::ErrorKind::NotFound));
        }
        Ok(state.names.list(dir))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.alive()?;
        state.note(Call::Rename(from.into(), to.into()));
        self.change(state, (Fault::Rename, from), |state| {
            if state.names.get(from).is_none() {
                return Err(error_at(from, io::ErrorKind::NotFound));
            }
            state.names.change(NameChange::Rename(from.into(), to.into()));
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.alive()?;
        state.note(Call::Remove(path.into()));
        self.change(state, (Fault::Remove, path), |state| {
            if state.names.get(path).is_none() {
                return Err(error_at(path, io::ErrorKind::NotFound));
            }
            state.names.change(NameChange::Unlink(path.into()));
            Ok(())
        })
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        let state = self.alive()?;
        self.change(state, (Fault::Remove, dir), |state| {
            state.names.remove_dir(dir);
            Ok(())
        })
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.alive()?;
        if !state.names.is_dir(dir) {
            state.has_space(dir)?;
            state.names.create_dir(dir);
        }
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.alive()?;
        state.note(Call::SyncDir(dir.into()));
        if let Some(loss) = state.plan.power_loss() {
            return Err(loss.strike(state));
        }
        state.plan.fault(Fault::SyncDir, dir)?;
        state.names.sync(dir);
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
    fn alive(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.state();
        if state.generation != self.generation {
            return Err(io::Error::other(format!("{}: {DEAD}", self.path.display())));
        }
        Ok(state)
    }
}

impl DiskFile for MemoryFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.alive()?;
        state.note(Call::Write { path: self.path.clone(), offset, bytes: bytes.len() });
        if let Some(mut loss) = state.plan.power_loss() {
            state.file(self.file).write_some(offset, bytes, &mut *loss.keep);
            return Err(loss.strike(state));
        }
        if let Err(e) = state.plan.fault(Fault::ShortWrite, &self.path) {
            state.file(self.file).write(offset, &bytes[..bytes.len() / 2]);
            return Err(e);
        }
        state.plan.fault(Fault::Write, &self.path)?;
        let space = state.has_space(&self.path);
        let file = state.file(self.file);
        let fits = file.len().saturating_sub(offset).min(bytes.len() as u64) as usize;
        if fits < bytes.len() && space.is_err() {
            file.write(offset, &bytes[..fits]);
            return space;
        }
        file.write(offset, bytes);
        Ok(())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.alive()?;
        let read = state.file(self.file).read(offset, buffer);
        let act = state.plan.while_reading.take();
        drop(state);
        if let Some(act) = act {
            act();
        }
        Ok(read)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.alive()?;
        state.note(Call::Sync(self.path.clone()));
        if let Some(loss) = state.plan.power_loss() {
            return Err(loss.strike(state));
        }
        if let Err(e) = state.plan.fault(Fault::Sync, &self.path) {
            // As Linux does: the pages count as clean from now on, whether they reached the disk or not.
            state.file(self.file).fail_sync();
            return Err(e);
        }
        state.file(self.file).sync();
        Ok(())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let mut state = self.alive()?;
        state.note(Call::SetLen(self.path.clone(), bytes));
        self.disk.change(state, (Fault::SetLen, &self.path), |state| {
            if bytes > state.file(self.file).len() {
                state.has_space(&self.path)?;
            }
            state.file(self.file).set_len(bytes);
            Ok(())
        })
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        if bytes > self.len()? { self.set_len(bytes) } else { Ok(()) }
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.alive()?.file(self.file).len())
    }
}

const DEAD: &str = "the machine has lost power, or the process that asks was killed";

fn error_at(path: &Path, kind: io::ErrorKind) -> io::Error {
    io::Error::new(kind, format!("{}: {kind}", path.display()))
}
