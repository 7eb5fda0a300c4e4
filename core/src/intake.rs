//! The node's side of a propose stream: commands in, outcomes back as they are known.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use tokio::sync::{Semaphore, mpsc};

use crate::codec::{Bincode, Codec};
use crate::entry::BODY_BYTES_MAX;
use crate::proposal::{Proposal, Sender};
use crate::queue::Queue;
use crate::raft::Consensus;
use crate::record::{Number, check_run, records_in};
use crate::runtime::{self, Instant};
use crate::session::Opening;
use crate::transport::{Outcome, ProposalKind, ProposeOpen, ProposeReply, ProposeRequest, Replies, Role};

/// The longest run that is taken. It becomes the body of one entry, which must be decodable, and must fit into one append
/// message behind those that gathered before it: a longer one would be appended, and could never be replicated.
pub(crate) const RUN_BYTES_MAX: usize = BODY_BYTES_MAX / 2;

/// How many requests of one stream may be without an answer that the other side has taken; further ones wait in the
/// transport. It bounds what a sender that never reads can make this node hold.
const UNANSWERED_MAX: usize = 1024;

/// Takes proposals from elsewhere into the node's queue.
#[derive(Clone)]
pub(crate) struct Intake {
    pub(crate) queue: Arc<Queue<Proposal>>,
    pub(crate) consensus: Consensus,
}

impl Intake {
    /// Serves one stream until its sender ends it.
    pub(crate) fn serve(
        self,
        open: ProposeOpen,
        mut requests: BoxStream<'static, ProposeRequest>,
    ) -> Replies<ProposeReply> {
        let (replies, outgoing) = mpsc::unbounded_channel();
        let room = Arc::new(Semaphore::new(UNANSWERED_MAX));
        let made = room.clone();
        runtime::spawn(async move {
            loop {
                tokio::select! {
                    biased;
                    () = replies.closed() => return,
                    // The answer to the request makes room again.
                    room = room.acquire() => match room {
                        Ok(room) => room.forget(),
                        Err(_) => return,
                    },
                }
                let Some(request) = requests.next().await else { return };
                let id = request.id;
                if let Err(outcome) = self.take(open, request, &replies) {
                    // Whoever sent it has gone if this fails.
                    let _ = replies.send(ProposeReply { id, outcome });
                }
            }
        });
        stream::unfold((outgoing, made), async |(mut outgoing, made)| {
            let reply = outgoing.recv().await?;
            made.add_permits(1);
            Some((Ok(reply), (outgoing, made)))
        })
        .boxed()
    }

    /// Queues one request, or says at once why not.
    fn take(
        &self,
        open: ProposeOpen,
        request: ProposeRequest,
        replies: &mpsc::UnboundedSender<ProposeReply>,
    ) -> Result<(), Outcome> {
        let malformed = |reason: String| Outcome::NotCommitted { reason, retry: false, leader: None };
        if request.codec != Bincode::ID {
            return Err(malformed(format!("codec {} is not known here", request.codec)));
        }
        if request.count == 0 {
            return Err(malformed("a request holds at least one command".to_owned()));
        }
        if request.run.len() > RUN_BYTES_MAX {
            let bytes = request.run.len();
            return Err(malformed(format!(
                "a request of {bytes} bytes is too long, {RUN_BYTES_MAX} are allowed"
            )));
        }
        check_run(&request.run, request.count).map_err(|e| malformed(e.to_string()))?;
        if request.kind == ProposalKind::Openings {
            check_openings(&request.run).map_err(malformed)?;
        }
        // What another node forwards is for the leader. Taken here and forwarded on, it could travel in circles.
        let now = self.consensus.leadership();
        if open.forwarded && now.role != Role::Leader {
            crate::sometimes!("a command is forwarded to a node that does not lead");
            return Err(Outcome::NotCommitted {
                reason: "the node that it was forwarded to does not lead".to_owned(),
                retry: true,
                leader: now.leader.map(|id| id.node),
            });
        }
        self.queue.push(Proposal {
            kind: request.kind,
            run: request.run,
            count: request.count,
            codec: request.codec,
            deadline: Instant::now() + Duration::from_millis(request.timeout_ms),
            sender: Sender::new(request.id, replies.clone()),
        });
        Ok(())
    }
}

/// What does not open a session must not enter a log, where every replica has to make sense of it.
fn check_openings(run: &[u8]) -> Result<(), String> {
    for record in records_in(run) {
        let record = record.map_err(|e| e.to_string())?;
        if record.number != Number::NONE {
            return Err("an opening of a session is in no session".to_owned());
        }
        let opening = Bincode::decode::<Opening>(record.payload);
        opening.map_err(|e| format!("this opens no session: {e}"))?.check()?;
    }
    Ok(())
}
