//! The points of a simulated build.

use std::sync::atomic::{AtomicU64, Ordering};

use linkme::distributed_slice;

#[doc(hidden)]
pub use linkme;

/// All points of the program, in no order.
#[doc(hidden)]
#[distributed_slice]
pub static POINTS: [&'static Point];

/// A point that a simulation must reach now and then.
#[derive(Debug)]
pub struct Point {
    what: &'static str,
    file: &'static str,
    reached: AtomicU64,
}

impl Point {
    /// A point that was not reached yet. What it is reads as a sentence without its full stop.
    #[doc(hidden)]
    pub const fn new(what: &'static str, file: &'static str) -> Self {
        Point { what, file, reached: AtomicU64::new(0) }
    }

    /// It is reached.
    #[doc(hidden)]
    pub fn reach(&self) {
        self.reached.fetch_add(1, Ordering::Relaxed);
    }

    /// What it is.
    pub fn what(&self) -> &'static str {
        self.what
    }

    /// In which file.
    pub fn file(&self) -> &'static str {
        self.file
    }

    /// How often this process has reached it.
    pub fn reached(&self) -> u64 {
        self.reached.load(Ordering::Relaxed)
    }
}

/// All points, in the order of their files and names.
pub fn points() -> Vec<&'static Point> {
    let mut points: Vec<&'static Point> = POINTS.iter().copied().collect();
    points.sort_by_key(|point| (point.file, point.what));
    points
}
