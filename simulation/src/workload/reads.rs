//! The ways to read.

use std::sync::atomic::Ordering;

use lovebird_core::client::Client;
use lovebird_core::transport::Read;

use super::{Caller, Shared};
use crate::check::Asked;
use crate::counter::{Answer, Query, Subject};

impl<S: Subject> Shared<S> {
    /// Asks for the client's variable. Gives the log index at which it was read.
    async fn ask(&self, client: &Client<S>, read: Read, kind: &'static str, least: u64) -> Option<u64> {
        let asked = Asked { kind, client: self.id, least };
        match client.query(Query::Value { client: self.id }, read).await {
            Ok(answered) => match answered.answer {
                Answer::Value(value) => {
                    self.checker.read(asked, answered.index, value);
                    return Some(answered.index);
                }
                Answer::State(_) => {
                    self.checker.violation(format!("client {} was told another answer", self.id));
                }
            },
            Err(_) => self.checker.read_failed(asked),
        }
        None
    }
}

impl<S: Subject> Caller<S> {
    /// One read, of any kind; each is checked for its own promise.
    pub(super) async fn read(&mut self) {
        let shared = &self.shared;
        let (told, seen) = (shared.checker.highest_told(), shared.seen.load(Ordering::Relaxed));
        let Shared { client, monotonic, other, .. } = &**shared;
        match self.chance.below(8) {
            0 | 1 => {
                shared.ask(client, Read::Linearizable, "linearizable", told).await;
            }
            // With clocks that drift a lease promises nothing; the answer must be what once was, all the same.
            2 => {
                let least = if shared.clocks_are_right { told } else { 0 };
                shared.ask(client, Read::Lease, "lease", least).await;
            }
            // Nobody may have come so far yet.
            3 => {
                let least = told + self.chance.below(4);
                shared.ask(other, Read::AtLeast(least), "at least", least).await;
            }
            // What one handle has seen, another can be held to.
            4 => {
                shared.ask(other, Read::AtLeast(monotonic.seen()), "handed on", seen).await;
            }
            5 => {
                shared.ask(client, Read::Stale, "stale", 0).await;
            }
            chosen => {
                let (read, kind, least) = match chosen {
                    6 => (Read::Stale, "monotonic", seen),
                    _ => (Read::Linearizable, "monotonic linearizable", told.max(seen)),
                };
                if let Some(index) = shared.ask(monotonic, read, kind, least).await {
                    shared.see(index);
                }
            }
        }
    }
}
