//! The node's side of a propose stream: commands in, outcomes back as they are known.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use tokio::sync::mpsc;

use crate::codec::{Bincode, Codec};
use crate::queue::{Done, Proposal, Queue};
use crate::raft::Consensus;
use crate::record::check_run;
use crate::runtime::{self, Instant};
use crate::transport::{Outcome, ProposeOpen, ProposeReply, ProposeRequest, Replies, Role};

/// Takes proposals from elsewhere into the node's queue.
#[derive(Clone)]
pub(crate) struct Intake {
    pub(crate) queue: Arc<Queue>,
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
        runtime::spawn(async move {
            while let Some(request) = requests.next().await {
                let id = request.id;
                if let Err(outcome) = self.take(open, request, &replies) {
                    // Whoever sent it has gone if this fails.
                    let _ = replies.send(ProposeReply { id, outcome });
                }
            }
        });
        stream::unfold(outgoing, async |mut outgoing| {
            outgoing.recv().await.map(|reply| (Ok(reply), outgoing))
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
        check_run(&request.run, request.count).map_err(|e| malformed(e.to_string()))?;
        // What another node forwards is for the leader. Taken here and forwarded on, it could travel in circles.
        let now = self.consensus.leadership();
        if open.forwarded && now.role != Role::Leader {
            return Err(Outcome::NotCommitted {
                reason: "the node that it was forwarded to does not lead".to_owned(),
                retry: true,
                leader: now.leader.map(|id| id.node),
            });
        }
        self.queue.push(Proposal {
            run: request.run,
            count: request.count,
            codec: request.codec,
            deadline: Instant::now() + Duration::from_millis(request.timeout_ms),
            ticket: Arc::default(),
            done: Done::Stream { id: request.id, replies: replies.clone() },
        });
        Ok(())
    }
}
