//! Who calls the writer. In production a thread of its own; under simulation, where threads do not exist, and in tests
//! that want every step in its place, whoever queues something. This is the one file of the log that starts threads.

use std::io;
use std::sync::{Arc, Mutex};

use super::Drive;
#[cfg(not(madsim))]
use super::queue::Demand;
use super::queue::Shared;
use super::writer::Writer;
#[cfg(not(madsim))]
use crate::sync::lock;

/// See the module.
pub(super) enum Driver {
    #[cfg(not(madsim))]
    Thread(Mutex<Option<std::thread::JoinHandle<()>>>),
    InPlace(Mutex<Writer>),
}

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
            _ => Ok(Driver::InPlace(Mutex::new(writer))),
        }
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
