//! The fuzz targets of the storage: what is read from disks and from peers, given bytes that nobody wrote.
//!
//! Each target is a function of an input. An input is a little program rather than the bytes themselves: nearly everything
//! stands behind a checksum, which mutated bytes would never pass. The program says what is written and how it is damaged,
//! and often that the checksums are made right again afterwards.
//!
//! A target panics where the engine panics, and where what the engine says contradicts what the target knows: by decoding
//! and encoding again, by a second implementation of the format's description ([`layout`]), or by a model.
//!
//! The fuzzer runs these functions with instrumentation; the tests of `lovebird-storage` run them without, on all inputs
//! that are kept.
//!
//! # What it finds
//!
//! Bugs that were planted one at a time, each looked for twice, from the first few seeds alone, on one core of a busy
//! machine:
//!
//! | planted | target | found after executions | seconds |
//! |---|---|---:|---:|
//! | a scan does not compare a frame's stream offset | `recover` | 68; 1,044 | 0.1 |
//! | `durable` proves nothing | `recover` | 32; 144 | 0.1 |
//! | the same | `open` | 19; 3,493 | 7 |
//! | a footer's length is believed | `footer` | 11,087; 22,638 | 2 |
//! | offsets in a footer's index may go back | `footer` | 1,112; 17,564 | 1 |
//! | a footer's index may end elsewhere than its group | `footer` | 24; 100 | 0.1 |
//! | a torn tail is not zeroed | `open` | 14,976; 15,414 | 19 |
//!
//! Not found within two minutes each, since another check stands behind the one that was taken out: the stream offset by
//! `open` (sequences differ as well), the order of anchors by `footer` (each step is checked), and whether a footer belongs
//! to the segment's header by `open` (its number does).
//!
//! # What it cannot see
//!
//! - Comparisons of integers guide the fuzzer, those of whole byte strings do not: marks come from the seeds and from
//!   [`repair`].
//! - Damage that leaves no proof of what was lost, such as a last segment that ends earlier, is allowed by `open`, as it is
//!   by the engine.
//! - What is wrong and yet matches its checksum is decoded here, but not opened as a log.
//! - Failing disks and threads: the tests of `lovebird-storage` have them.
#![forbid(unsafe_code)]

// What inputs and expectations are made of.
mod layout;
mod program;
mod repair;

// A file's parts, from the inside to the outside.
mod entry;
mod footer;
mod operation;
mod recover;

// Whole directories.
mod model;
mod image;
mod open;
mod snapshot;

/// A name and what is done with an input.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const ALL: &[Target] = &[
    ("entry", entry::run),
    ("operation", operation::run),
    ("footer", footer::run),
    ("recover", recover::run),
    ("open", open::run),
    ("snapshot", snapshot::run),
];
