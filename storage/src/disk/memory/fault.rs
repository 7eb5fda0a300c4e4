//! What a memory disk is told to do wrong at a later call.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::MutexGuard;

use super::{MemoryDisk, State};
#[cfg(doc)]
use crate::disk::{Disk, DiskFile};

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

/// How much room a disk has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Space {
    /// As much as is asked for.
    #[default]
    Free,
    /// None but what files have already.
    Full,
}

/// All that was asked for and has not happened yet.
#[derive(Default)]
pub(super) struct Plan {
    failures: Vec<Failure>,
    power_loss: Option<PowerLoss>,
    pub(super) while_reading: Option<Box<dyn FnOnce() + Send>>,
}

/// A call that is to fail.
struct Failure {
    kind: Fault,
    /// Calls on what lies elsewhere do not count.
    within: PathBuf,
    /// How many calls are left, it included.
    left: u64,
    error: io::ErrorKind,
}

/// A call in the middle of which the machine loses power.
pub(super) struct PowerLoss {
    left: u64,
    pub(super) keep: Box<dyn FnMut() -> bool + Send>,
    then: Box<dyn FnOnce() + Send>,
}

impl Plan {
    /// Counts a call down and fails it if its turn has come.
    pub(super) fn fault(&mut self, kind: Fault, path: &Path) -> io::Result<()> {
        for at in 0..self.failures.len() {
            let failure = &mut self.failures[at];
            // A write is asked about twice, as one that is cut short and as one that fails, and counts once.
            let any = failure.kind == Fault::Any && kind != Fault::ShortWrite;
            if (any || failure.kind == kind) && path.starts_with(&failure.within) {
                failure.left -= 1;
                if failure.left == 0 {
                    let error = self.failures.remove(at).error;
                    return Err(io::Error::new(error, format!("{kind:?} was told to fail")));
                }
            }
        }
        Ok(())
    }

    /// Counts a call down and gives the loss of power in the middle of it, if its turn has come.
    pub(super) fn power_loss(&mut self) -> Option<PowerLoss> {
        if let Some(loss) = &mut self.power_loss {
            loss.left -= 1;
        }
        self.power_loss.take_if(|loss| loss.left == 0)
    }

    /// What was to happen to a life that is over does not happen to the next one.
    pub(super) fn forget(&mut self) {
        self.failures.clear();
        self.power_loss = None;
    }
}

impl PowerLoss {
    /// The power goes, and whoever asked for it is told, when the disk can be used again.
    pub(super) fn strike(mut self, mut state: MutexGuard<'_, State>) -> io::Error {
        state.crash(&mut *self.keep);
        drop(state);
        (self.then)();
        io::Error::other("the machine lost power in the middle of this call")
    }
}

impl MemoryDisk {
    /// Makes the `nth` call of this kind from now fail once with `error`; 1 is the next one.
    ///
    /// # Panics
    /// If `nth` is 0.
    pub fn fail(&self, kind: Fault, nth: u64, error: io::ErrorKind) {
        self.fail_within(Path::new(""), kind, nth, error);
    }

    /// As [`MemoryDisk::fail`], but only calls on `dir` or what lies in it count and fail.
    ///
    /// # Panics
    /// If `nth` is 0.
    pub fn fail_within(&self, dir: &Path, kind: Fault, nth: u64, error: io::ErrorKind) {
        assert!(nth > 0, "the next call is number 1");
        self.state().plan.failures.push(Failure { kind, within: dir.into(), left: nth, error });
    }

    /// How many of the failures that were asked for have not happened yet. The end of a life forgets them.
    pub fn pending_failures(&self) -> usize {
        self.state().plan.failures.len()
    }

    /// The machine loses power in the middle of the `nth` call that changes something, counted from now as [`Fault::Any`] does;
    /// 1 is the next one. That call fails, as do all others through what is open or mounted by then.
    ///
    /// What of the call itself has happened is for `keep` to say, which is asked as in [`MemoryDisk::crash_keeping`], and before
    /// that, if it is a write, for each sector whether it came so far as to be pending. `then` is called when all that is
    /// over, from within the call that fails: it may use the disk, and end the process that made the call or have it ended.
    ///
    /// There is one such plan at a time. If that life ends before, it is forgotten, and `then` is not called.
    ///
    /// # Panics
    /// If `nth` is 0.
    pub fn crash_at(
        &self,
        nth: u64,
        keep: impl FnMut() -> bool + Send + 'static,
        then: impl FnOnce() + Send + 'static,
    ) {
        assert!(nth > 0, "the next call is number 1");
        let loss = PowerLoss { left: nth, keep: Box::new(keep), then: Box::new(then) };
        self.state().plan.power_loss = Some(loss);
    }

    /// Says how much room there is from now on.
    ///
    /// While a disk is full, [`Disk::create`] and new directories fail with `StorageFull`, as does what would make a file longer
    /// ([`DiskFile::write_at`], [`DiskFile::set_len`], [`DiskFile::allocate`]); of such a write, the part that has its place
    /// already is carried out. A file has its place up to its length, however it came by it. No crash changes this.
    pub fn set_space(&self, space: Space) {
        self.state().space = space;
    }

    /// Calls `act` once, in the middle of the next read: when the bytes were read, and before they are given.
    pub fn while_reading(&self, act: impl FnOnce() + Send + 'static) {
        self.state().plan.while_reading = Some(Box::new(act));
    }
}
