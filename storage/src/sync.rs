//! Locks, the one way in which this crate takes them.

use std::sync::{Mutex, MutexGuard};

/// Takes a lock.
///
/// # Panics
/// If a thread panicked while it held it: what the lock guards may then be half changed, and must not be believed.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("a thread panicked while it held this lock; what it guards may be half changed")
}
