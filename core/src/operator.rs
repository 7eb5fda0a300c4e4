//! The operator's handle on a cluster: who the members are, and everything that changes that.
//!
//! It is given some nodes, any of them, and finds the leader by itself. Everything that it asks for may be asked for again: what is done
//! already is not done twice. So it asks again by itself where a leader was lost on the way, until its patience ends.
//!
//! ```text
//! let operator = Operator::over(&transport, addresses);
//! operator.change(Change::Add { node: 4, address, standing: Standing::Voter }, None, |progress| println!("{progress:?}")).await?;
//! ```

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use thiserror::Error;

use crate::identity::{GroupId, NodeId};
use crate::runtime::{self, Instant};
use crate::transport::{
    Change, ChangeReply, ChangeRequest, Endpoint, ExportPiece, Following, HandOverReply, HandOverRequest,
    MembershipVersion, Replies, Role, Status, Transport, TransportError, TransportResult,
};

/// How long one node may take to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// How long a node may be silent that hands over, or catches up and says how far it is.
const SILENCE: Duration = Duration::from_secs(40);

/// Between attempts.
const PAUSE: Duration = Duration::from_millis(100);

/// How long what may help to ask again is asked for again, unless told otherwise.
const PATIENCE: Duration = Duration::from_secs(30);

/// How far a node is that catches up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CatchingUp {
    /// The node.
    pub node: NodeId,
    /// What it holds.
    pub following: Following,
    /// The last record of the leader's log.
    pub last: u64,
    /// About how long it will take, if that can be told.
    pub remaining: Option<Duration>,
}

/// What was asked for was not done, or nobody knows.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OperatorError {
    /// It was not done. Asking again gives the same answer until something changes.
    #[error("{0}")]
    Refused(String),
    /// It was not done for as long as patience lasted, as far as is known. To ask again does no harm.
    #[error("{0}; the patience of this call is at its end, and asking again does no harm")]
    Unavailable(String),
}

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct Operator {
    nodes: Vec<(String, Arc<dyn Endpoint>)>,
    group: GroupId,
    patience: Duration,
}

impl std::fmt::Debug for Operator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let addresses: Vec<&String> = self.nodes.iter().map(|(address, _)| address).collect();
        f.debug_struct("Operator").field("nodes", &addresses).finish_non_exhaustive()
    }
}

impl Operator {
    /// A handle through the nodes at `addresses`, for group 0.
    ///
    /// # Panics
    /// If there is no address.
    pub fn over(transport: &dyn Transport, addresses: impl IntoIterator<Item = String>) -> Self {
        let nodes: Vec<_> =
            addresses.into_iter().map(|address| (address.clone(), transport.endpoint(&address))).collect();
        assert!(!nodes.is_empty(), "an operator needs the address of at least one node");
        Operator { nodes, group: 0, patience: PATIENCE }
    }

    /// The same, asking for so long again what may be tried again. By default 30 s.
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// What each of the nodes that were given says of itself, or why it does not.
    pub async fn statuses(&self) -> Vec<(String, Result<Status, TransportError>)> {
        let asked = self.nodes.iter().map(|(address, node)| async move {
            (address.clone(), in_time(address, node.status(self.group)).await)
        });
        futures_util::future::join_all(asked).await
    }

    /// What the leader says of the cluster: it alone knows how far the members are. Waits for one if there is none.
    ///
    /// # Errors
    /// [`OperatorError::Unavailable`] if no leader could be found.
    pub async fn leader(&self, transport: &dyn Transport) -> Result<Status, OperatorError> {
        let deadline = Instant::now() + self.patience;
        loop {
            let mut reason = "no node says who leads".to_owned();
            for (_, status) in self.statuses().await {
                let status = match status {
                    Ok(status) if status.role == Role::Leader => return Ok(status),
                    Ok(status) => status,
                    Err(error) => {
                        reason = error.to_string();
                        continue;
                    }
                };
                let leader = status.members.iter().find(|member| Some(member.id) == status.leader);
                let Some(leader) = leader else { continue };
                let endpoint = transport.endpoint(&leader.address);
                match in_time(&leader.address, endpoint.status(self.group)).await {
                    Ok(status) if status.role == Role::Leader => return Ok(status),
                    Ok(_) => {}
                    Err(error) => reason = error.to_string(),
                }
            }
            pause(deadline, reason).await?;
        }
    }

    /// Changes the members, and waits until that is done and cannot be lost. `progress` is told while a node catches up.
    ///
    /// If the future is dropped meanwhile, a node that was catching up stays a learner.
    ///
    /// # Errors
    /// [`OperatorError`]; its text says what to do.
    pub async fn change(
        &self,
        change: Change,
        expected: Option<MembershipVersion>,
        mut progress: impl FnMut(CatchingUp),
    ) -> Result<MembershipVersion, OperatorError> {
        let request = ChangeRequest { group: self.group, change, expected, forwarded: false };
        let mut deadline = Instant::now() + self.patience;
        let mut in_doubt = false;
        loop {
            let mut reason = String::new();
            for (address, node) in &self.nodes {
                let mut heard = |catching_up| {
                    // It goes on: patience is for those who make no progress.
                    deadline = Instant::now() + self.patience;
                    progress(catching_up);
                };
                let asked = in_time(address, node.change(request.clone())).await;
                match follow(address, asked, &mut heard).await {
                    // What stands in the way may be the change itself, asked for before an answer was lost.
                    Ok(Err(OperatorError::Refused(refused))) if in_doubt => reason = refused,
                    Ok(done) => return done,
                    Err(Again { reason: again, lost }) => {
                        reason = again;
                        in_doubt |= lost;
                    }
                }
            }
            pause(deadline, reason).await?;
        }
    }

    /// Has the leader hand over to `to`, or to whoever is best. Gives who leads then.
    ///
    /// # Errors
    /// [`OperatorError`]; its text says what to do.
    pub async fn hand_over(&self, to: Option<NodeId>) -> Result<NodeId, OperatorError> {
        let request = HandOverRequest { group: self.group, to, forwarded: false };
        let deadline = Instant::now() + self.patience;
        loop {
            let mut reason = String::new();
            for (address, node) in &self.nodes {
                match within(SILENCE, address, node.hand_over(request)).await {
                    Ok(HandOverReply::Done { leader }) => return Ok(leader),
                    Ok(HandOverReply::Refused { reason, retry: false }) => {
                        return Err(OperatorError::Refused(reason));
                    }
                    Ok(HandOverReply::Refused { reason: again, retry: true }) => reason = again,
                    Err(error) => reason = error.to_string(),
                }
            }
            pause(deadline, reason).await?;
        }
    }

    /// Has the first node that answers take a snapshot. Gives the log index that it covers.
    ///
    /// # Errors
    /// [`OperatorError`]; its text says what to do.
    pub async fn take_snapshot(&self) -> Result<u64, OperatorError> {
        let mut reason = String::new();
        for (address, node) in &self.nodes {
            // A large state takes long to write.
            match within(Duration::MAX, address, node.take_snapshot(self.group)).await {
                Ok(index) => return Ok(index),
                Err(error) => reason = error.to_string(),
            }
        }
        Err(OperatorError::Unavailable(reason))
    }

    /// The newest snapshot of the first node that answers, piece by piece: a file that a new cluster can begin from.
    ///
    /// # Errors
    /// [`OperatorError`]; its text says what to do.
    pub async fn export(&self) -> Result<Export, OperatorError> {
        let mut reason = String::new();
        for (address, node) in &self.nodes {
            match within(Duration::MAX, address, node.export(self.group)).await {
                Ok(pieces) => return Ok(Export { pieces, received: 0 }),
                Err(error) => reason = error.to_string(),
            }
        }
        Err(OperatorError::Unavailable(reason))
    }
}

/// A snapshot file on its way.
pub struct Export {
    pieces: Replies<ExportPiece>,
    received: u64,
}

impl std::fmt::Debug for Export {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Export").field("received", &self.received).finish_non_exhaustive()
    }
}

/// A piece of an [`Export`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The log index that the snapshot covers.
    pub index: u64,
    /// How much has come, this piece included, in bytes.
    pub received: u64,
    /// The whole length in bytes.
    pub length: u64,
    /// The next bytes.
    pub bytes: Bytes,
}

impl Export {
    /// The next piece; none behind the last.
    ///
    /// # Errors
    /// If the node or the way to it broke. What has come is then not the whole.
    pub async fn next(&mut self) -> Option<Result<Piece, OperatorError>> {
        let piece = match within(SILENCE, "the node", async { Ok(self.pieces.next().await) }).await {
            Ok(piece) => piece?,
            Err(error) => Err(error),
        };
        Some(match piece {
            Ok(ExportPiece { index, length, bytes }) => {
                self.received += bytes.len() as u64;
                Ok(Piece { index, received: self.received, length, bytes })
            }
            Err(error) => Err(OperatorError::Unavailable(error.to_string())),
        })
    }
}

/// Why to ask again, and whether the answer was lost to what was asked before.
struct Again {
    reason: String,
    lost: bool,
}

/// Follows a change to its end, or says why to ask again.
async fn follow(
    address: &str,
    asked: TransportResult<Replies<ChangeReply>>,
    progress: &mut impl FnMut(CatchingUp),
) -> Result<Result<MembershipVersion, OperatorError>, Again> {
    let lost = |reason: String| Again { reason, lost: true };
    let unasked = |error: TransportError| Again {
        reason: error.to_string(),
        lost: matches!(error, TransportError::Broken { .. }),
    };
    let mut replies = asked.map_err(unasked)?;
    loop {
        match within(SILENCE, address, async { Ok(replies.next().await) }).await {
            Ok(Some(Ok(ChangeReply::CatchingUp { node, following, last, remaining_ms }))) => {
                let remaining = remaining_ms.map(Duration::from_millis);
                progress(CatchingUp { node, following, last, remaining });
            }
            Ok(Some(Ok(ChangeReply::Done { version }))) => return Ok(Ok(version)),
            Ok(Some(Ok(ChangeReply::Refused { reason, retry: false }))) => {
                return Ok(Err(OperatorError::Refused(reason)));
            }
            Ok(Some(Ok(ChangeReply::Refused { reason, retry: true }))) => {
                return Err(Again { reason, lost: false });
            }
            Ok(Some(Err(error))) | Err(error) => return Err(lost(error.to_string())),
            Ok(None) => return Err(lost(format!("the answer of {address} broke off"))),
        }
    }
}

async fn in_time<T>(address: &str, call: impl Future<Output = TransportResult<T>>) -> TransportResult<T> {
    within(ANSWER, address, call).await
}

async fn within<T>(
    patience: Duration,
    address: &str,
    call: impl Future<Output = TransportResult<T>>,
) -> TransportResult<T> {
    let silent = |_| TransportError::Broken {
        address: address.to_owned(),
        reason: format!("it does not answer within {patience:?}"),
    };
    if patience == Duration::MAX {
        return call.await;
    }
    runtime::timeout(patience, call).await.map_err(silent)?
}

/// Rests before the next attempt, if there is to be one.
async fn pause(deadline: Instant, reason: String) -> Result<(), OperatorError> {
    if Instant::now() >= deadline {
        return Err(OperatorError::Unavailable(reason));
    }
    runtime::sleep(PAUSE).await;
    Ok(())
}
