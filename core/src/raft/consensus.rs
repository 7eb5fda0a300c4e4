//! The one handle on openraft that the rest of the crate holds.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};
use openraft::alias::{OneshotReceiverOf, WatchReceiverOf};
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{ClientWriteError, Fatal, ForwardReason, LinearizableReadError, RaftError};
use openraft::impls::ProgressResponder;
use openraft::metrics::RaftServerMetrics;
use openraft::vote::leader_id_std::CommittedLeaderId;

use openraft::raft::{
    AppendEntriesRequest, ClientWriteResult, StreamAppendError, TransferLeaderRequest,
    VoteRequest as RaftVoteRequest, VoteResponse,
};
use openraft::{Config, Raft, ReadPolicy, ServerState, SnapshotPolicy};

use super::log::LogAdapter;
use super::machine::{MachineAdapter, SnapshotHandle, to_raft_snapshot};
use super::network::Network;
use super::types::{Applied, Draft, LogEntry, Types, from_log_id, from_raft_vote, to_log_id, to_raft_vote};
use crate::apply::Replica;
use crate::entry::{Entry, EntryId};
use crate::error::StartError;
use crate::identity::{GroupId, RaftId};
use crate::log_store::{LogStore, Vote};
use crate::peers::Peers;
use crate::planted::{self, Bug};
use crate::runtime;
use crate::snapshot_store::SnapshotStore;
use crate::transport::{
    AppendReply, AppendRequest, Confirm, Replies, Role, TransferRequest, TransportError, TransportResult,
    VoteReply, VoteRequest,
};

/// How consensus keeps time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConsensusConfig {
    /// How often a leader shows that it is there.
    pub(crate) heartbeat: Duration,
    /// How long a leader that is not heard from is certain to be left alone; twice that later another one stands.
    pub(crate) election: Duration,
}

impl ConsensusConfig {
    /// How long a stream may show no progress.
    fn stall(&self) -> Duration {
        (self.election * 2).max(Duration::from_secs(1))
    }

    fn to_raft(self, cluster: String) -> Result<Config, StartError> {
        let millis = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        let (heartbeat, election) = (millis(self.heartbeat), millis(self.election));
        let config = Config {
            cluster_name: cluster,
            heartbeat_interval: heartbeat,
            // A follower of openraft waits for the leader's lease, which is `election_timeout_max`, and then for a random
            // time between the two: all in all, one and a half times `election`, and by chance up to twice. The lower one
            // is also how long openraft waits for a vote, which takes a sync on the other side.
            election_timeout_min: (election / 2).max(heartbeat + 1),
            election_timeout_max: election,
            enable_pre_vote: Some(true),
            enable_leader_restore: Some(planted::is(Bug::RestoreLeader)),
            // The least that openraft accepts: the lease and the longest election timeout.
            quorum_loss_probe_interval: Some(election * 2),
            install_snapshot_timeout: millis(self.stall()),
            snapshot_policy: SnapshotPolicy::Never,
            max_in_snapshot_log_to_keep: u64::MAX,
            // A follower is sent entries as long as the leader has them; purging decides, not distance.
            replication_lag_threshold: u64::MAX,
            // What counts are bytes, which the log adapter bounds.
            max_payload_entries: 1024,
            backoff: "20ms 50ms 100ms 200ms ...500ms".to_owned(),
            ..Config::default()
        };
        config
            .validate()
            .map_err(|e| StartError::Config(format!("heartbeat and election timeout do not fit: {e}")))
    }
}

/// Who leads, as this node sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leadership {
    pub(crate) role: Role,
    pub(crate) term: u64,
    pub(crate) leader: Option<RaftId>,
}

/// Why a proposal failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ProposeFailure {
    /// Refused before it was appended.
    Refused(String),
    /// The same, and only for a moment: a new leader waits for its first quorum.
    NotYet,
    /// Appended, and then lost sight of.
    Discarded(String),
    /// Consensus has stopped.
    Stopped,
}

/// What a proposal is waited for by.
pub(crate) struct Proposed(OneshotReceiverOf<Types, ClientWriteResult<Types>>);

impl Proposed {
    pub(crate) async fn outcome(self) -> Result<Applied, ProposeFailure> {
        match self.0.await {
            Ok(Ok(response)) => Ok(response.data),
            Ok(Err(ClientWriteError::ForwardToLeader(forward)))
                if forward.reason == ForwardReason::LeaseExpired =>
            {
                Err(ProposeFailure::NotYet)
            }
            Ok(Err(error @ ClientWriteError::LogEntryDiscarded(_))) => {
                Err(ProposeFailure::Discarded(error.to_string()))
            }
            Ok(Err(error)) => Err(ProposeFailure::Refused(error.to_string())),
            Err(_) => Err(ProposeFailure::Stopped),
        }
    }
}

/// openraft, running.
#[derive(Clone)]
pub(crate) struct Consensus {
    raft: Raft<Types, MachineAdapter>,
}

impl Consensus {
    /// Opens consensus on what log and snapshots hold, and starts it.
    pub(crate) async fn start(
        cluster_name: String,
        group: GroupId,
        config: ConsensusConfig,
        peers: Arc<Peers>,
        log: Arc<dyn LogStore>,
        snapshots: Arc<dyn SnapshotStore>,
        replica: Arc<Replica>,
    ) -> Result<Self, StartError> {
        reconcile(&log, &snapshots).await.map_err(StartError::Storage)?;
        let id = peers.local();
        let network = Network::new(peers, config.stall());
        let machine = MachineAdapter::new(replica, snapshots, log.clone());
        let config = Arc::new(config.to_raft(cluster_name)?);
        let raft = Raft::new(id, config, network, LogAdapter::new(log, group), machine)
            .await
            .map_err(|e| StartError::Storage(io::Error::other(e.to_string())))?;
        Ok(Consensus { raft })
    }

    pub(super) fn raft(&self) -> &Raft<Types, MachineAdapter> {
        &self.raft
    }

    /// Stops it and waits until it has stopped.
    pub(crate) async fn shutdown(&self) {
        if let Err(error) = self.raft.shutdown().await {
            tracing::warn!(%error, "consensus ended by a panic");
        }
    }

    /// Why consensus stopped, if it has.
    pub(crate) fn fatal(&self) -> Option<String> {
        self.raft.metrics().borrow_watched().running_state.as_ref().err().map(ToString::to_string)
    }

    /// Waits until consensus has stopped, and says why.
    pub(crate) async fn stopped(&self) -> String {
        let mut metrics = self.raft.metrics();
        loop {
            if let Err(fatal) = &metrics.borrow_watched().running_state {
                return fatal.to_string();
            }
            if metrics.changed().await.is_err() {
                return self.fatal().unwrap_or_else(|| Fatal::<Types>::Stopped.to_string());
            }
        }
    }

    // ----- the cluster -----

    /// Writes the first membership. Only where the log is empty.
    pub(crate) async fn initialize(&self, members: BTreeMap<RaftId, String>) -> Result<(), String> {
        self.raft.initialize(members).await.map_err(|e| e.to_string())
    }

    pub(crate) fn leadership(&self) -> Leadership {
        leadership_of(&self.raft.server_metrics().borrow_watched())
    }

    /// A view of the leadership that can be waited on.
    pub(crate) fn watch(&self) -> LeadershipWatch {
        LeadershipWatch { metrics: self.raft.server_metrics(), ended: false }
    }

    /// The entry up to which this node knows the log to be committed.
    pub(crate) fn committed(&self) -> Option<EntryId> {
        self.raft.metrics().borrow_watched().local_committed.map(from_log_id)
    }

    // ----- the leader -----

    /// Proposes an entry, if this node still leads in `term`. Order of calls is order in the log.
    pub(crate) async fn propose(&self, term: u64, entry: Entry) -> Result<Proposed, ProposeFailure> {
        let (responder, outcome) = ProgressResponder::complete_only();
        let write =
            self.raft.write(Draft(entry)).with_leader(CommittedLeaderId::new(term)).responder(responder);
        match write.await {
            Ok(()) => Ok(Proposed(outcome)),
            Err(_) => Err(ProposeFailure::Stopped),
        }
    }

    /// Makes sure that this node still leads: the number of the entry at which a linearizable read may be answered.
    pub(crate) async fn read_number(&self, confirm: Confirm) -> Result<u64, String> {
        let unconfirmed = match confirm {
            Confirm::Quorum => planted::is(Bug::UnconfirmedRead),
            Confirm::Lease => planted::is(Bug::EndlessLease),
        };
        if unconfirmed && self.leadership().role == Role::Leader {
            return self.committed().map(|id| id.number).ok_or("nothing is committed yet".to_owned());
        }
        let policy = match confirm {
            Confirm::Quorum => ReadPolicy::ReadIndex,
            Confirm::Lease => ReadPolicy::LeaseRead,
        };
        match self.raft.get_read_log_id(policy).await {
            Ok((read, _)) => {
                crate::sometimes!(confirm == Confirm::Lease, "a leader trusts its lease");
                Ok(read.index())
            }
            Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(_))) => {
                crate::sometimes!(confirm == Confirm::Lease, "a read by lease is refused");
                Err("this node does not lead".to_owned())
            }
            Err(error) => Err(error.to_string()),
        }
    }

    // ----- snapshots -----

    pub(crate) async fn trigger_snapshot(&self) -> Result<(), ProposeFailure> {
        self.raft.trigger().snapshot().await.map_err(|_| ProposeFailure::Stopped)
    }

    pub(crate) async fn purge(&self, number: u64) -> Result<(), ProposeFailure> {
        self.raft.trigger().purge_log(number).await.map_err(|_| ProposeFailure::Stopped)
    }

    /// The last entry of the newest snapshot that consensus knows.
    pub(crate) fn snapshot(&self) -> Option<EntryId> {
        self.raft.metrics().borrow_watched().snapshot.map(from_log_id)
    }

    /// Waits for a newer snapshot than `before`. `None` if consensus has stopped.
    pub(crate) async fn snapshot_after(&self, before: Option<EntryId>) -> Option<EntryId> {
        let mut metrics = self.raft.metrics();
        loop {
            let newest = metrics.borrow_watched().snapshot.map(from_log_id);
            if newest > before {
                return newest;
            }
            if self.fatal().is_some() || metrics.changed().await.is_err() {
                return None;
            }
        }
    }

    /// Installs a snapshot that a leader with this vote has sent; gives this node's vote.
    pub(crate) async fn install(&self, vote: Vote, file: SnapshotHandle) -> Result<Vote, String> {
        self.raft
            .install_full_snapshot(to_raft_vote(vote), to_raft_snapshot(file))
            .await
            .map(|response| from_raft_vote(&response.vote))
            .map_err(|e| e.to_string())
    }

    // ----- what peers say -----

    pub(crate) fn append(&self, requests: BoxStream<'static, AppendRequest>) -> Replies<AppendReply> {
        self.raft
            .stream_append(requests.map(to_raft_append))
            .map(|reply| match reply {
                Ok(Ok(accepted)) => Ok(AppendReply::Accepted(accepted.map(from_log_id))),
                Ok(Err(StreamAppendError::Conflict(id))) if planted::is(Bug::AcceptConflict) => {
                    Ok(AppendReply::Accepted(Some(from_log_id(id))))
                }
                Ok(Err(StreamAppendError::Conflict(id))) => {
                    crate::sometimes!("a follower does not hold what a leader's entries follow on");
                    Ok(AppendReply::Conflict(from_log_id(id)))
                }
                Ok(Err(StreamAppendError::HigherVote(vote))) => {
                    crate::sometimes!("a leader that was deposed is told of a higher vote");
                    Ok(AppendReply::HigherVote(from_raft_vote(&vote)))
                }
                Err(fatal) => Err(stopped(fatal)),
            })
            .boxed()
    }

    pub(crate) async fn vote(&self, request: VoteRequest) -> TransportResult<VoteReply> {
        let reply = self.raft.vote(to_raft_vote_request(request)).await.map(from_vote_response);
        crate::sometimes!(reply.as_ref().is_ok_and(|reply| !reply.granted), "a vote is refused");
        reply.map_err(stopped)
    }

    pub(crate) async fn pre_vote(&self, request: VoteRequest) -> TransportResult<VoteReply> {
        let reply = self.raft.pre_vote(to_raft_vote_request(request)).await.map(from_vote_response);
        crate::sometimes!(reply.as_ref().is_ok_and(|reply| !reply.granted), "a pre-vote is refused");
        reply.map_err(stopped)
    }

    pub(crate) async fn transfer(&self, request: TransferRequest) -> TransportResult<()> {
        let request = TransferLeaderRequest::<Types>::new(
            to_raft_vote(request.from_leader),
            request.to,
            request.last.map(to_log_id),
        );
        match self.raft.handle_transfer_leader(request).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(TransportError::Refused(error.to_string())),
            Err(fatal) => Err(stopped(fatal)),
        }
    }
}

/// Drops entries that contradict the newest snapshot.
///
/// A snapshot that was received is durable a moment before the log is cut and purged for it. Where the log ends in entries
/// that were never committed, a crash between the two leaves another entry at the place of the snapshot's last one, which
/// openraft takes for damage. What a snapshot holds was committed, so that entry was not, nor was anything behind it; and
/// what was committed before it the snapshot holds.
async fn reconcile(log: &Arc<dyn LogStore>, snapshots: &Arc<dyn SnapshotStore>) -> io::Result<()> {
    let (log, snapshots) = (log.clone(), snapshots.clone());
    runtime::blocking(move || {
        let Some(snapshot) = snapshots.latest()? else { return Ok(()) };
        let last = snapshot.meta().last_entry();
        crate::sometimes!(
            log.state().last > Some(last),
            "a node recovers from a snapshot and the log behind it"
        );
        crate::sometimes!(
            log.state().last < Some(last),
            "a node recovers from a snapshot that its log does not reach"
        );
        let held = log.read(last.number..last.number + 1, 0)?.first().map(Entry::id);
        match held.filter(|held| *held != last && !planted::is(Bug::KeepContradiction)) {
            Some(held) => {
                crate::sometimes!("a log ends in what contradicts a snapshot, and is cut at the start");
                tracing::warn!(snapshot = %last, %held, "drops the log's uncommitted end, which contradicts a snapshot");
                log.truncate_after(log.state().purged)
            }
            None => Ok(()),
        }
    })
    .await
}

/// Follows the leadership.
pub(crate) struct LeadershipWatch {
    metrics: WatchReceiverOf<Types, RaftServerMetrics<Types>>,
    ended: bool,
}

impl LeadershipWatch {
    /// The leadership now; a change after this is what [`LeadershipWatch::changed`] waits for.
    pub(crate) fn now(&mut self) -> Leadership {
        // Mark what is there as seen before it is read, so that no change between the two is missed.
        if let Some(Err(_)) = self.metrics.changed().now_or_never() {
            self.ended = true;
        }
        leadership_of(&self.metrics.borrow_watched())
    }

    /// Waits for a change; `false` if consensus has stopped.
    pub(crate) async fn changed(&mut self) -> bool {
        self.ended = self.metrics.changed().await.is_err();
        !self.ended
    }

    /// Whether consensus has ended, as far as this watch has been told. A panic of openraft's core shows here and not in
    /// [`Consensus::fatal`], since who panics publishes nothing; the leadership then stays what it was.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }
}

fn leadership_of(metrics: &RaftServerMetrics<Types>) -> Leadership {
    let vote = from_raft_vote(&metrics.vote);
    let role = match metrics.state {
        ServerState::Leader => Role::Leader,
        ServerState::Candidate => Role::Candidate,
        ServerState::Learner => Role::Learner,
        ServerState::Follower | ServerState::Shutdown => Role::Follower,
    };
    Leadership { role, term: vote.term, leader: metrics.current_leader }
}

fn stopped(error: impl std::fmt::Display) -> TransportError {
    TransportError::Refused(format!("consensus has stopped on this node: {error}"))
}

fn to_raft_append(mut request: AppendRequest) -> AppendEntriesRequest<Types> {
    if planted::is(Bug::ApplyBeforeCommit) {
        request.committed = request.entries.last().map(Entry::id).or(request.committed);
    }
    AppendEntriesRequest {
        vote: to_raft_vote(request.vote),
        prev_log_id: request.previous.map(to_log_id),
        entries: request.entries.into_iter().map(LogEntry::new).collect(),
        leader_commit: request.committed.map(to_log_id),
    }
}

fn to_raft_vote_request(request: VoteRequest) -> RaftVoteRequest<Types> {
    let mut raft = RaftVoteRequest::<Types>::new(to_raft_vote(request.vote), request.last.map(to_log_id));
    raft.leadership_transfer = request.leadership_transfer;
    raft
}

fn from_vote_response(response: VoteResponse<Types>) -> VoteReply {
    VoteReply {
        vote: from_raft_vote(&response.vote),
        granted: response.vote_granted,
        last: response.last_log_id.map(from_log_id),
    }
}
