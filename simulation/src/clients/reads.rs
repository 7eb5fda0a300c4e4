//! The ways to read.

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;
use lovebird_core::client::Client;
use lovebird_core::runtime;
use lovebird_core::transport::Read;

use super::{Caller, Shared};
use crate::check::{Asked, Invariant};
use crate::plan::Reading;
use crate::watched::{Answer, Question, Subject, encode};
use crate::workload::{QueryOf, Workload};

impl<S: Subject> Shared<S> {
    /// Asks something. Gives the log index at which it was read.
    async fn ask(
        &self,
        client: &Client<S::Service>,
        read: Read,
        asked: Asked,
        query: QueryOf<S::Load>,
    ) -> Option<u64> {
        let number = self.checker.asks(&asked);
        match client.query(Question::Users(query), read).await {
            Ok(answered) => match answered.answer {
                Answer::Users(answer) => {
                    self.checker.read(number, asked, answered.index, encode(&answer));
                    return Some(answered.index);
                }
                Answer::Digest(..) => {
                    let sentence = format!("client {} was given the answer to another question", self.id);
                    self.checker.violation(Invariant::Linearizable, sentence);
                }
            },
            Err(error) => self.checker.read_failed(number, &asked, &error),
        }
        None
    }
}

impl<S: Subject> Caller<S> {
    /// Several reads through one node, each of which may meet the ones before it on their way to the leader.
    pub(super) async fn read_burst(&mut self, reads: u64) {
        let queries: Vec<_> = (0..reads).map(|_| S::Load::query(self.shared.id, &mut self.chance)).collect();
        let shared = &self.shared;
        let asked = (0..).zip(queries).map(|(place, query)| async move {
            runtime::sleep(Duration::from_millis(place)).await;
            let (kind, least) = (Reading::Linearizable.kind(), shared.checker.highest_told());
            let promise = Invariant::Linearizable;
            let asked = Asked { kind, client: shared.id, query: encode(&query), least, promise };
            shared.ask(&shared.other, Read::Linearizable, asked, query).await;
        });
        join_all(asked).await;
    }

    /// One read; each kind is checked for its own promise.
    pub(super) async fn read(&mut self, reading: Reading) {
        let shared = &self.shared;
        let (told, seen) = (shared.checker.highest_told(), shared.seen.load(Ordering::Relaxed));
        let Shared { client, monotonic, other, .. } = &**shared;
        let (handle, read, least) = match reading {
            Reading::Linearizable => (client, Read::Linearizable, told),
            // With clocks that drift a lease promises nothing; the answer must be what once was, all the same.
            Reading::Lease => (client, Read::Lease, if shared.clocks_are_right { told } else { 0 }),
            Reading::AtLeast(ahead) => (other, Read::AtLeast(told + ahead), told + ahead),
            // What one handle has seen, another can be held to.
            Reading::HandedOn => (other, Read::AtLeast(monotonic.seen()), seen),
            Reading::Stale => (client, Read::Stale, 0),
            Reading::Monotonic => (monotonic, Read::Stale, seen),
            Reading::MonotonicLinearizable => (monotonic, Read::Linearizable, told.max(seen)),
        };
        let promise = match reading {
            Reading::Linearizable | Reading::Lease | Reading::MonotonicLinearizable => {
                Invariant::Linearizable
            }
            _ => Invariant::ReadsNeverGoBack,
        };
        let query = S::Load::query(shared.id, &mut self.chance);
        let asked = Asked { kind: reading.kind(), client: shared.id, query: encode(&query), least, promise };
        let index = shared.ask(handle, read, asked, query).await;
        if let (Reading::Monotonic | Reading::MonotonicLinearizable, Some(index)) = (reading, index) {
            shared.see(index);
        }
    }
}
