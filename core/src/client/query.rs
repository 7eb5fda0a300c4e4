//! Queries: each is asked of one node after the other until one answers, or the time is over.

use std::time::Duration;

use bytes::Bytes;

use super::{Answered, Client, GRACE, millis};
use crate::codec::{Bincode, Codec};
use crate::error::QueryError;
use crate::runtime::{self, Instant};
use crate::service::Service;
use crate::transport::{Freshness, QueryReply, QueryRequest, Read};

/// Between attempts when no node can be reached.
const PAUSE: Duration = Duration::from_millis(20);

impl<S: Service> Client<S> {
    /// Asks a question about the state.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if no node could answer as freshly as was asked before the timeout,
    /// [`QueryError::Codec`] if client and replica disagree on the types.
    pub async fn query(&self, query: S::Query, read: Read) -> Result<Answered<S::Answer>, QueryError> {
        let _calling = self.core.calling();
        let query = Bincode::encode(&query).map_err(|e| QueryError::Codec { reason: e.to_string() })?;
        let query = Bytes::from(query);
        let (freshness, index) = match read {
            Read::Linearizable => (Freshness::Quorum, 0),
            Read::Lease => (Freshness::Lease, 0),
            Read::AtLeast(index) => (Freshness::Any, index),
            Read::Stale => (Freshness::Any, 0),
        };
        let at_least = index.max(self.seen());
        let deadline = Instant::now() + self.timeout;
        let (mut reason, mut applied) = ("no node can be reached".to_owned(), None);
        loop {
            let left = Instant::now().until(deadline);
            if left.is_zero() {
                return Err(QueryError::Unavailable { reason, applied });
            }
            let request = QueryRequest {
                group: 0,
                freshness,
                at_least,
                timeout_ms: millis(left),
                query: query.clone(),
            };
            let nodes = self.core.nodes();
            let (turn, node) = nodes.preferred();
            match runtime::timeout(left + GRACE, node.query(request)).await {
                Ok(Ok(QueryReply::Answer { index, answer })) => {
                    self.see(index);
                    let answer =
                        Bincode::decode(&answer).map_err(|e| QueryError::Codec { reason: e.to_string() })?;
                    return Ok(Answered { index, answer });
                }
                Ok(Ok(QueryReply::Failed { reason, malformed: true, .. })) => {
                    return Err(QueryError::Codec { reason });
                }
                // Usually its time is over, but the next query need not wait for a node that is cut off.
                Ok(Ok(QueryReply::Failed { reason: why, malformed: false, applied: index })) => {
                    (reason, applied) = (why, Some(index));
                    if nodes.is_single() {
                        return Err(QueryError::Unavailable { reason, applied });
                    }
                }
                // Asking again is harmless, so another node gets its chance.
                Ok(Err(error)) => (reason, applied) = (error.to_string(), None),
                Err(_) => (reason, applied) = ("the node does not answer".to_owned(), None),
            }
            nodes.leave(turn);
            runtime::sleep(PAUSE).await;
        }
    }
}
