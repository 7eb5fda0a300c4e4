//! The ways to propose a command.

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::{join, join_all};
use lovebird_core::client::{Client, Committed, Key};
use lovebird_core::error::ProposeError;
use lovebird_core::runtime::{self, Instant};

use super::{Caller, PATIENCE, Shared, wait};
use crate::check::{Checker, Way};
use crate::counter::{Add, Subject};

/// How often a caller asks again for the same command.
const TRIES: u32 = 5;

/// Proposes one command and tells the checker what became of it. Nothing waits before it is sent, so that what is sent first
/// in a run is sent first on its line.
pub(crate) async fn propose<S: Subject>(
    client: &Client<S>,
    checker: &Checker,
    add: Add,
    way: Way,
    patience: Duration,
) -> Option<Committed<u64>> {
    checker.sent(add, way);
    let began = Instant::now();
    let result = client.propose(S::proposal(add)).await;
    checker.told(add, wait(began, patience), &result);
    result.ok()
}

impl<S: Subject> Shared<S> {
    /// One attempt under a key.
    async fn propose_as(&self, client: &Client<S>, key: &Key, add: Add) -> Result<(), ProposeError> {
        let began = Instant::now();
        let result = client.propose_as(key, S::proposal(add)).await;
        self.checker.told(add, wait(began, PATIENCE), &result);
        result.map(|_| ())
    }

    /// Asks for one command until its caller is told what it came to, or has asked often enough.
    async fn insist(&self, client: &Client<S>, way: Way, add: Add) {
        let mut attempt = match client.attempt(S::proposal(add)) {
            Ok(attempt) => attempt,
            Err(error) => {
                return self.checker.violation(format!("{add:?} cannot even be attempted: {error}"));
            }
        };
        self.checker.sent(add, way);
        let mut began = Instant::now();
        for tries_left in (0..TRIES).rev() {
            let result = attempt.outcome().await;
            self.checker.told(add, wait(began, PATIENCE), &result);
            match result {
                Err(ProposeError::NotCommitted { .. }) if tries_left > 0 => {
                    self.checker.sent(add, way);
                    began = Instant::now();
                }
                Err(ProposeError::Unknown { .. }) => {}
                _ => return,
            }
        }
    }
}

impl<S: Subject> Caller<S> {
    /// A command in the client's session; through the handle that never goes back, now and then.
    pub(super) async fn once(&mut self) {
        let (add, monotonic) = (self.add(), self.chance.half());
        let shared = &self.shared;
        let client = if monotonic { &shared.monotonic } else { &shared.client };
        let committed = propose(client, &shared.checker, add, Way::Session(shared.line), PATIENCE).await;
        if let (true, Some(committed)) = (monotonic, committed) {
            shared.see(committed.index);
        }
    }

    /// A command for which its caller waits longer than the client does.
    pub(super) async fn insist(&mut self) {
        let (add, other) = (self.add(), self.chance.half());
        let shared = &self.shared;
        let (client, line) =
            if other { (&shared.other, shared.other_line) } else { (&shared.client, shared.line) };
        shared.insist(client, Way::Session(line), add).await;
    }

    /// A command whose caller does not wait to be told.
    pub(super) async fn walk_away(&mut self) {
        let (add, patience) = (self.add(), self.chance.millis(1, 40));
        let shared = &self.shared;
        let way = Way::Session(shared.line);
        let proposed = propose(&shared.client, &shared.checker, add, way, PATIENCE);
        if runtime::timeout(patience, proposed).await.is_err() {
            shared.checker.dropped(add);
        }
    }

    /// A command in no session, which nobody proposes again.
    pub(super) async fn alone(&mut self) {
        let add = self.add();
        let Shared { client, checker, .. } = &*self.shared;
        propose(&client.without_session(), checker, add, Way::Alone, PATIENCE).await;
    }

    /// A command under a key: through one handle or the other, through both at once, and again though it is settled.
    pub(super) async fn keyed(&mut self) {
        let add = self.add();
        let shared = self.shared.clone();
        let number = shared.keys.fetch_add(1, Ordering::Relaxed);
        let key = Key { name: format!("client {}", shared.id), number };
        shared.checker.sent(add, Way::Key);
        if self.chance.below(4) == 0 {
            let first = shared.propose_as(&shared.client, &key, add);
            let _ = join(first, shared.propose_as(&shared.other, &key, add)).await;
        }
        for _ in 0..TRIES {
            let client = if self.chance.half() { &shared.client } else { &shared.other };
            match shared.propose_as(client, &key, add).await {
                Ok(()) if self.chance.below(3) > 0 => return,
                Ok(()) | Err(ProposeError::Unknown { .. } | ProposeError::NotCommitted { .. }) => {}
                Err(_) => return,
            }
        }
    }

    /// Several commands at once, none of which waits for the one before it.
    pub(super) async fn burst(&mut self) {
        let adds: Vec<Add> = (0..2 + self.chance.below(5)).map(|_| self.add()).collect();
        let shared = &self.shared;
        let way = Way::Session(shared.line);
        join_all(adds.into_iter().map(|add| propose(&shared.client, &shared.checker, add, way, PATIENCE)))
            .await;
    }
}
