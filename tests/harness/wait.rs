//! Waiting for a condition, with an end to patience.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a test waits for what must happen sooner or later. Far above what it takes: only failing tests wait this long.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How often a condition is looked at.
const INTERVAL: Duration = Duration::from_millis(5);

/// Waits until `condition` gives something, and returns it.
///
/// # Panics
/// If it gives nothing for [`PATIENCE`]; `what` says what was awaited.
#[track_caller]
pub fn until<T>(what: &str, condition: impl FnMut() -> Option<T>) -> T {
    match within(PATIENCE, condition) {
        Some(value) => value,
        None => panic!("waited {PATIENCE:?} in vain until {what}"),
    }
}

/// Waits until `condition` gives something, for `patience` at most.
pub fn within<T>(patience: Duration, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(value) = condition() {
            return Some(value);
        }
        if Instant::now() >= deadline {
            return None;
        }
        sleep(INTERVAL);
    }
}
