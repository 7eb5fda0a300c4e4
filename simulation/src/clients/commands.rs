//! The ways to propose a command.

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::{join, join_all};
use lovebird_core::client::{Client, Committed, Key};
use lovebird_core::error::ProposeError;
use lovebird_core::runtime::{self, Instant};
use serde::Serialize;

use super::{Caller, ProposalOf, Shared, wait};
use crate::check::{Checker, Way};
use crate::watched::{Subject, encode};

/// How often a caller asks again for the same command.
const TRIES: u32 = 5;

/// Proposes one command and tells the checker what became of it: gives its log index if that is known. Nothing waits before it
/// is sent, so that what is sent first in a run is sent first on its line.
pub(crate) async fn propose<S: Subject>(
    client: &Client<S::Service>,
    checker: &Checker,
    proposal: ProposalOf<S>,
    way: Way,
    patience: Duration,
) -> Option<u64> {
    let name = proposal.name;
    checker.sent(name, way, || format!("{:?}", proposal.content));
    let began = Instant::now();
    let result = client.propose(proposal).await;
    checker.told(name, wait(began, patience), &plain(&result));
    result.ok().map(|committed| committed.index)
}

/// What the checker is told.
fn plain<R: Serialize>(result: &Result<Committed<R>, ProposeError>) -> crate::check::Told {
    match result {
        Ok(committed) => Ok((committed.index, encode(&committed.reply))),
        Err(error) => Err(error.clone()),
    }
}

impl<S: Subject> Shared<S> {
    /// One attempt under a key.
    async fn propose_as(
        &self,
        client: &Client<S::Service>,
        key: &Key,
        proposal: ProposalOf<S>,
    ) -> Result<(), ProposeError> {
        let (name, began) = (proposal.name, Instant::now());
        let result = client.propose_as(key, proposal).await;
        self.checker.told(name, wait(began, self.patience), &plain(&result));
        result.map(|_| ())
    }

    /// Asks for one command until its caller is told what it came to, or has asked often enough.
    async fn insist(&self, client: &Client<S::Service>, way: Way, proposal: ProposalOf<S>) {
        let (name, said) = (proposal.name, format!("{:?}", proposal.content));
        let mut attempt = match client.attempt(proposal) {
            Ok(attempt) => attempt,
            Err(error) => panic!("{said} cannot even be attempted: {error}"),
        };
        self.checker.sent(name, way, || said.clone());
        let mut began = Instant::now();
        for tries_left in (0..TRIES).rev() {
            let result = attempt.outcome().await;
            self.checker.told(name, wait(began, self.patience), &plain(&result));
            match result {
                Err(ProposeError::NotCommitted { .. }) if tries_left > 0 => {
                    self.checker.sent(name, way, || format!("{said} again"));
                    began = Instant::now();
                }
                Err(ProposeError::Unknown { .. }) => {}
                _ => return,
            }
        }
    }
}

impl<S: Subject> Caller<S> {
    /// A command in the client's session.
    pub(super) async fn once(&mut self, monotonic: bool) {
        let proposal = self.next();
        let shared = &self.shared;
        let client = if monotonic { &shared.monotonic } else { &shared.client };
        let way = Way::Session(shared.line);
        let index = propose::<S>(client, &shared.checker, proposal, way, shared.patience).await;
        if let (true, Some(index)) = (monotonic, index) {
            shared.see(index);
        }
    }

    /// A command for which its caller waits longer than the client does.
    pub(super) async fn insist(&mut self) {
        let (proposal, other) = (self.next(), self.chance.half());
        let shared = &self.shared;
        let (client, line) =
            if other { (&shared.other, shared.other_line) } else { (&shared.client, shared.line) };
        shared.insist(client, Way::Session(line), proposal).await;
    }

    /// A command whose caller does not wait to be told.
    pub(super) async fn walk_away(&mut self, after: Duration) {
        let proposal = self.next();
        let name = proposal.name;
        let shared = &self.shared;
        let way = Way::Session(shared.line);
        let proposed = propose::<S>(&shared.client, &shared.checker, proposal, way, shared.patience);
        if runtime::timeout(after, proposed).await.is_err() {
            shared.checker.dropped(name);
        }
    }

    /// A command in no session, which nobody proposes again.
    pub(super) async fn alone(&mut self) {
        let proposal = self.next();
        let shared = &self.shared;
        let client = shared.client.without_session();
        propose::<S>(&client, &shared.checker, proposal, Way::Alone, shared.patience).await;
    }

    /// A command under a key: through one handle or the other, through both at once, and again though it is settled.
    pub(super) async fn keyed(&mut self) {
        let proposal = self.next();
        let shared = self.shared.clone();
        let number = shared.keys.fetch_add(1, Ordering::Relaxed);
        let key = Key { name: format!("client {}", shared.id), number };
        shared.checker.sent(proposal.name, Way::Key { lapses: shared.keys_lapse }, || {
            format!("{:?}", proposal.content)
        });
        if self.chance.once_in(4) {
            let first = shared.propose_as(&shared.client, &key, proposal.clone());
            let _ = join(first, shared.propose_as(&shared.other, &key, proposal.clone())).await;
        }
        for _ in 0..TRIES {
            let client = if self.chance.half() { &shared.client } else { &shared.other };
            match shared.propose_as(client, &key, proposal.clone()).await {
                Ok(()) if !self.chance.once_in(3) => return,
                Ok(()) | Err(ProposeError::Unknown { .. } | ProposeError::NotCommitted { .. }) => {}
                Err(_) => return,
            }
        }
    }

    /// Commands through a handle of their own, in a session that is opened for them.
    pub(super) async fn newcomer(&mut self, commands: u64) {
        let first = self.chance.any();
        let proposals: Vec<_> = (0..commands).map(|_| self.next()).collect();
        let shared = &self.shared;
        let (client, line) = (shared.handles.handle(first), shared.checker.line(shared.lapses));
        for proposal in proposals {
            propose::<S>(&client, &shared.checker, proposal, Way::Session(line), shared.patience).await;
        }
    }

    /// Several commands at once, none of which waits for the one before it.
    pub(super) async fn burst(&mut self, commands: u64) {
        let proposals: Vec<_> = (0..commands).map(|_| self.next()).collect();
        let shared = &self.shared;
        let way = Way::Session(shared.line);
        let proposed = proposals
            .into_iter()
            .map(|proposal| propose::<S>(&shared.client, &shared.checker, proposal, way, shared.patience));
        join_all(proposed).await;
    }
}
