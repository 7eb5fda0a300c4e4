//! Locks, the one way in which this crate takes them.

use std::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Takes a lock.
///
/// # Panics
/// If a thread panicked while it held it: what the lock guards may then be half changed, and must not be believed.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("a thread panicked while it held this lock; what it guards may be half changed")
}

/// Takes a lock that readers share, as a reader.
///
/// # Panics
/// As [`lock`].
pub(crate) fn read<T: ?Sized>(shared: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    shared.read().expect("a thread panicked while it held this lock; what it guards may be half changed")
}

/// Takes a lock that readers share, for a change.
///
/// # Panics
/// As [`lock`].
pub(crate) fn write<T: ?Sized>(shared: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    shared.write().expect("a thread panicked while it held this lock; what it guards may be half changed")
}
