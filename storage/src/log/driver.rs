//! Who calls the writer. In production a thread of its own; in tests that want every step in its place, whoever queues
//! something; under simulation, where threads do not exist, a task that lets time pass between the halves of a turn. This is
//! the one file of the log that starts threads.

use std::io;
use std::sync::{Arc, Mutex};

use super::Drive;
#[cfg(not(madsim))]
use super::queue::Demand;
use super::queue::Shared;
use super::turns::{Turning, Turns};
use super::writer::Writer;
#[cfg(not(madsim))]
use crate::sync::lock;

/// See the module.
pub(super) enum Driver {
    #[cfg(not(madsim))]
    Thread(Mutex<Option<std::thread::JoinHandle<()>>>),
    /// Boxed: it is far larger than a handle of a thread.
    InPlace(Box<Mutex<Writer>>),
    /// Whoever holds the log's [`Turns`]; `wake` tells them that there is something to do.
    Turns { turning: Arc<Mutex<Turning>>, wake: Wake },
}

pub(super) type Wake = Box<dyn Fn() + Send + Sync>;

impl Driver {
    #[cfg_attr(madsim, expect(unused_variables, reason = "only a thread has to be given the queue"))]
    pub(super) fn start(shared: &Arc<Shared>, writer: Writer, drive: Drive) -> io::Result<Driver> {
        match drive {
            #[cfg(not(madsim))]
            Drive::Thread => {
                let shared = shared.clone();
                let thread = std::thread::Builder::new().name("log-writer".to_owned());
                Ok(Driver::Thread(Mutex::new(Some(thread.spawn(move || run(&shared, writer))?))))
            }
            _ => Ok(Driver::InPlace(Box::new(Mutex::new(writer)))),
        }
    }

    pub(super) fn in_turns(shared: &Arc<Shared>, writer: Writer, wake: Wake) -> (Driver, Turns) {
        let turning = Arc::new(Mutex::new(Turning::new(writer)));
        let turns = Turns { shared: shared.clone(), turning: turning.clone() };
        (Driver::Turns { turning, wake }, turns)
    }

    /// Something was queued.
    pub(super) fn wake(&self, shared: &Shared) {
        match self {
            // Queuing has signalled it.
            #[cfg(not(madsim))]
            Driver::Thread(_) => {}
            Driver::InPlace(writer) => {
                // Whoever finds the writer busy, as a completion that queues again does, leaves its work to the one who
                // is; and that one looks again after it has let go.
                while shared.has_work() {
                    let Ok(mut writer) = writer.try_lock() else { break };
                    while writer.step(shared) {}
                }
            }
            Driver::Turns { wake, .. } => {
                if shared.has_work() {
                    wake();
                }
            }
        }
    }

    /// Nothing more will be queued: writes what is left and ends.
    pub(super) fn stop(&self, shared: &Shared) {
        shared.close();
        match self {
            #[cfg(not(madsim))]
            Driver::Thread(thread) => {
                let thread = lock(thread).take();
                // The last handle may have been dropped by a completion, on the very thread that would be waited for.
                if let Some(thread) = thread.filter(|t| t.thread().id() != std::thread::current().id())
                    && thread.join().is_err()
                {
                    tracing::error!("the log's writer thread had panicked");
                }
            }
            Driver::InPlace(writer) => {
                if let Ok(mut writer) = writer.try_lock() {
                    writer.finish(shared);
                }
            }
            Driver::Turns { turning, wake } => {
                // Whoever is in the middle of a half, as a completion is that drops the last handle, comes here by the wake.
                if let Ok(mut turning) = turning.try_lock() {
                    turning.finish(shared);
                }
                wake();
            }
        }
    }
}

#[cfg(not(madsim))]
fn run(shared: &Shared, mut writer: Writer) {
    let _guard = PoisonOnPanic(shared);
    while shared.wait() == Demand::Work {
        while writer.step(shared) {}
    }
    writer.finish(shared);
}

/// Whoever waits for the thread must hear of its end.
#[cfg(not(madsim))]
struct PoisonOnPanic<'a>(&'a Shared);

#[cfg(not(madsim))]
impl Drop for PoisonOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.poison("the log's writer thread panicked", Vec::new());
        }
    }
}

/// Work of the log's that goes on beside the writer, or was done at once where there are no threads.
pub(super) enum Background<T> {
    #[cfg(not(madsim))]
    Thread(std::thread::JoinHandle<io::Result<T>>),
    Done(io::Result<T>),
}

impl<T: Send + 'static> Background<T> {
    pub(super) fn begin(drive: Drive, work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Self {
        match drive {
            #[cfg(not(madsim))]
            Drive::Thread => {
                let thread = std::thread::Builder::new().name("log-spare".to_owned());
                thread.spawn(work).map_or_else(|error| Background::Done(Err(error)), Background::Thread)
            }
            _ => Background::Done(work()),
        }
    }

    pub(super) fn is_done(&self) -> bool {
        match self {
            #[cfg(not(madsim))]
            Background::Thread(thread) => thread.is_finished(),
            Background::Done(_) => true,
        }
    }

    /// Waits until it is done.
    pub(super) fn wait(self) -> io::Result<T> {
        match self {
            #[cfg(not(madsim))]
            Background::Thread(thread) => {
                thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread for it panicked")))
            }
            Background::Done(result) => result,
        }
    }
}
