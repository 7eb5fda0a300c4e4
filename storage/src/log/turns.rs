//! The writer in turns, each of two halves that someone else calls: for a simulator, in which a sync is to take time.
//!
//! A turn is what [`Writer::step`] does at once, and nothing else: the first half takes what is queued and hands the disk one
//! frame, the second syncs it and tells those who wait. Between the two the frame is as a frame is while a disk is busy: it may
//! be found after a crash or not, nobody has been told of it, and what is queued meanwhile goes into the next one.

use std::sync::{Arc, Mutex};

use super::queue::Shared;
use super::writer::{Writer, Written};
use crate::sync::lock;

/// How one gives a log its turns. See [`super::Log::open_in_turns`].
///
/// Without it the log lives on, but nothing is written before it is closed.
pub struct Turns {
    pub(super) shared: Arc<Shared>,
    pub(super) turning: Arc<Mutex<Turning>>,
}

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// A frame is written and waits for its sync: call [`Turns::sync`] when the disk would be done.
    Sync,
    /// Nothing is queued: call [`Turns::write`] when there is something.
    Rest,
    /// The log is closed, and all that was queued is written.
    End,
}

/// The writer, and where in its turn it is.
pub(super) struct Turning {
    writer: Writer,
    /// The frame whose turn has begun.
    written: Option<Written>,
    finished: bool,
}

impl Turns {
    /// The first half of a turn. Frames for whose sync nobody waits are gone through at once. Does nothing while the last frame
    /// waits for its sync.
    pub fn write(&self) -> Turn {
        let mut turning = lock(&self.turning);
        if self.shared.is_closing() {
            turning.finish(&self.shared);
        }
        if turning.finished {
            return Turn::End;
        }
        let Turning { writer, written, .. } = &mut *turning;
        while written.is_none() {
            match writer.begin(&self.shared) {
                None => return Turn::Rest,
                Some(frame) if frame.to_sync => *written = Some(frame),
                Some(frame) => writer.complete(&self.shared, frame),
            }
        }
        Turn::Sync
    }

    /// The second half: syncs the frame that was written and calls its completions. Nothing if there is none.
    pub fn sync(&self) {
        lock(&self.turning).sync(&self.shared);
    }
}

impl std::fmt::Debug for Turns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Turns").field("failure", &self.shared.failure()).finish_non_exhaustive()
    }
}

impl Turning {
    pub(super) fn new(writer: Writer) -> Turning {
        Turning { writer, written: None, finished: false }
    }

    fn sync(&mut self, shared: &Shared) {
        if let Some(written) = self.written.take() {
            self.writer.complete(shared, written);
        }
    }

    /// Nothing more will be queued: ends the turn, writes what is left, and has no turns any more.
    pub(super) fn finish(&mut self, shared: &Shared) {
        if !self.finished {
            self.sync(shared);
            self.writer.finish(shared);
            self.finished = true;
        }
    }
}
