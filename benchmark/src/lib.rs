//! What Lovebird measures of itself, and of others beside it: the parts that all of its benchmarks share.
//!
//! The benchmarks are under `benches/`, one folder each, and run one by one:
//!
//! ```sh
//! cargo bench -p lovebird-benchmark --bench log
//! cargo bench -p lovebird-benchmark --bench cluster
//! cargo bench -p lovebird-benchmark --bench cluster --features peers
//! ```
//!
//! The last one also measures etcd, ZooKeeper, NATS and Redis, as far as they are installed.
//!
//! # How they measure
//!
//! - Whoever is compared is measured in **rounds that interleave**: in each round everyone has a slice of time, in an order
//!   that rotates. So a machine that slows down slows all of them, and a ratio within a round means something where
//!   the figures themselves do not.
//! - A figure is the **median over the rounds**, printed with the smallest and the largest, so that nobody has to guess how
//!   much of it is noise. Latencies are of single operations, all of them, in a histogram.
//! - Nobody is believed: what a store has acknowledged is **read back and compared** before its figures count. Of a cluster it is
//!   the last write of each caller, since later ones replace earlier ones.
//! - What is written is the same for all and comes from a seed, so that it neither compresses nor changes between runs.
//!
//! # What they print
//!
//! Markdown, to be pasted into a README as it is, with a last table that sets what was measured against the goals. A missed
//! goal is marked and fails nothing: the machine decides as much as the code does. Progress goes to the standard error.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

// What is written.
mod chance;

// What is measured.
mod latencies;
mod machine;
mod memory;
mod spread;

// What is printed.
mod goal;
mod number;
mod table;

pub use chance::Chance;
pub use goal::{Goal, goals};
pub use latencies::Latencies;
pub use machine::{cores, file_system, load};
pub use memory::{peak_bytes, resident_bytes};
pub use number::{duration, grouped, mebibytes, short, times};
pub use spread::Spread;
pub use table::Table;
