//! Looking at a log without opening it: while a node writes to it, after a crash, on a disk that cannot be written.
//!
//! - [`verify`] reads all of every segment and judges it by the very functions that open a log, so that it says of a log what
//!   an opening would; what opening never compares, the footers and the frames, it compares too.
//! - [`Segments`] goes through segments, frames, operations, entries and records as far as their bytes verify, also in a log
//!   that would not be opened.
//!
//! # Invariants
//!
//! 1. Nothing is made, changed, removed or locked. Of a [`Disk`](crate::Disk) only `open`, `exists` and `list` are called, of
//!    its files only `read_at` and `len`.
//! 2. What a writer does meanwhile is never taken for damage: what is wrong counts when two looks in a row find it.
//!
//! # Why a writer at work is told from damage
//!
//! - Segments before the last one do not change any more, but for the footer that ends them, which nobody needs. They go
//!   from the first on, so a segment that is gone while the one before it is there was lost.
//! - The last one grows behind what was read of it. A look may then see a frame that proves an earlier one as synced, and not
//!   that one; the next look sees it, for it was written before. If it does not, it is damaged.
//! - A mark gives way to the next frame. A look that has still seen it may take what stands behind that frame for damage; the
//!   next look sees the frame.
//! - A footer says that there is a next segment. A look that began before it was named does not know it; the next one does.
//! - A frame that is half written looks like one that a crash has left: that is said to be torn, and means no harm.
//!
//! # What it does not do
//!
//! It does not look whether a node is running, since that would take its lock, and mends nothing.

// Whether the log is in order.
mod report;
mod held;
mod verify;

// What is in it.
mod segments;
mod stream;

pub(crate) use held::Held;
pub use report::{GroupReport, Report, Seal, SegmentReport, Verdict};
pub use segments::{SegmentView, Segments};
pub use stream::{Change, EntryView, FrameView, OperationView, RecordView};
pub use verify::verify;
pub(crate) use verify::{Examined, examine};
