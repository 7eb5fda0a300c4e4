//! Queries: each is asked of one node after the other until one answers, or the time is over.
//!
//! A caller only waits: for the task that carries all queries of its client ([`super::asking`]), which also watches the deadlines.
//! So a query costs its caller no timer.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::{Answered, Client};
use crate::codec::{Bincode, Codec};
use crate::error::QueryError;
use crate::query_run::{QUERY_BYTES_MAX, QUERY_HEADER_BYTES};
use crate::queue::Queued;
use crate::reply::Reply;
use crate::runtime::Instant;
use crate::service::Service;
use crate::transport::{Freshness, Read};

impl<S: Service> Client<S> {
    /// Asks a question about the state.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if no node could answer as freshly as was asked before the timeout, or if more queries wait than
    /// this client accepts; [`QueryError::Codec`] if client and replica disagree on the types, or query or answer are too large.
    pub async fn query(&self, query: S::Query, read: Read) -> Result<Answered<S::Answer>, QueryError> {
        let _calling = self.core.calling();
        let disagree = |reason: String| QueryError::Codec { reason };
        let query = Bincode::encode(&query).map_err(|e| disagree(e.to_string()))?;
        if query.len() > QUERY_BYTES_MAX {
            let bytes = query.len();
            return Err(disagree(format!(
                "the query has {bytes} bytes, at most {QUERY_BYTES_MAX} are allowed"
            )));
        }
        let (freshness, index) = match read {
            Read::Linearizable => (Freshness::Quorum, 0),
            Read::Lease => (Freshness::Lease, 0),
            Read::AtLeast(index) => (Freshness::Any, index),
            Read::Stale => (Freshness::Any, 0),
        };
        let (done, told) = oneshot::channel();
        self.core.shared.queries.waiting.push(Question {
            freshness,
            at_least: index.max(self.seen()),
            query,
            deadline: Instant::now() + self.timeout,
            failure: None,
            done,
        });
        let (index, answer) = told.await.unwrap_or_else(|_| {
            let reason = "the node stopped while the query was under way".to_owned();
            Err(QueryError::Unavailable { reason, applied: None })
        })?;
        self.see(index);
        let answer = Bincode::decode(&answer).map_err(|e| disagree(e.to_string()))?;
        Ok(Answered { index, answer })
    }
}

/// One query, and who waits for its answer.
#[derive(Debug)]
pub(crate) struct Question {
    pub(super) freshness: Freshness,
    pub(super) at_least: u64,
    pub(super) query: Vec<u8>,
    pub(super) deadline: Instant,
    /// What the last attempt came to.
    pub(super) failure: Option<Failure>,
    pub(super) done: oneshot::Sender<Result<(u64, Bytes), QueryError>>,
}

/// Why a query was not answered.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) reason: Arc<str>,
    /// Up to where the replica that was asked had applied; none if it did not answer.
    pub(super) applied: Option<u64>,
}

impl Failure {
    pub(super) fn without_answer(reason: &str) -> Failure {
        Failure { reason: reason.into(), applied: None }
    }
}

impl Question {
    /// Whether nobody waits for the answer any more.
    pub(super) fn is_forgotten(&self) -> bool {
        self.done.is_closed()
    }

    /// Tells its caller what a replica said, read at this log index.
    pub(super) fn answer(self, index: u64, reply: Reply) {
        self.tell(match reply {
            Reply::Reply(answer) => Ok((index, answer)),
            Reply::Undecodable(reason) => Err(QueryError::Codec { reason }),
        });
    }

    fn tell(self, outcome: Result<(u64, Bytes), QueryError>) {
        // An error means that nobody waits any more.
        let _ = self.done.send(outcome);
    }
}

impl Queued for Question {
    const FULL: &str = "this client has more queries waiting than it accepts; try again later";

    fn bytes(&self) -> usize {
        QUERY_HEADER_BYTES + self.query.len()
    }

    fn deadline(&self) -> Instant {
        self.deadline
    }

    fn goes_with(&self, _: &Self) -> bool {
        true
    }

    fn leave(&self) -> bool {
        !self.is_forgotten()
    }

    fn refuse(self, reason: &str) {
        let applied = self.failure.as_ref().and_then(|failure| failure.applied);
        self.tell(Err(QueryError::Unavailable { reason: reason.to_owned(), applied }));
    }

    fn expire(mut self) {
        let failure = self.failure.take();
        let Failure { reason, applied } =
            failure.unwrap_or_else(|| Failure::without_answer("no node can be reached"));
        self.tell(Err(QueryError::Unavailable { reason: reason.to_string(), applied }));
    }
}
