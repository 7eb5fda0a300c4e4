//! Linearizable reads on any replica, by read index (Ongaro's thesis, section 6.4).
//!
//! A read that arrives now may be answered from any state that includes everything committed now. The leader knows how far
//! that is once a quorum has confirmed that it still leads; a follower asks it. One round serves every read that was there
//! before it began; what comes meanwhile is the next round. Then each read waits until its own replica has come that far.
//!
//! Reads by lease go the same way, in rounds of their own, in which the leader asks no quorum but trusts that no other can have
//! been elected yet (section 6.4.1).

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use crate::peers::Peers;
use crate::planted::{self, Bug};
use crate::raft::Consensus;
use crate::runtime::{self, Instant};
use crate::transport::{Confirm, Role};

/// How long one round may take before it is begun anew.
const ROUND: Duration = Duration::from_millis(500);

/// How long to wait after a round that failed.
const PAUSE: Duration = Duration::from_millis(10);

/// Reads that wait for a round.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    waiting: Mutex<Vec<Waiting>>,
    arrived: Notify,
}

#[derive(Debug)]
struct Waiting {
    deadline: Instant,
    found: oneshot::Sender<Result<u64, String>>,
}

impl Reads {
    /// The number of an entry that includes everything acknowledged before this call.
    pub(crate) async fn number(&self, deadline: Instant) -> Result<u64, String> {
        let (found, number) = oneshot::channel();
        self.waiting
            .lock()
            .expect("no code panics while it holds this lock")
            .push(Waiting { deadline, found });
        self.arrived.notify_one();
        number.await.unwrap_or_else(|_| Err("the node has stopped".to_owned()))
    }

    fn take(&self) -> Vec<Waiting> {
        std::mem::take(&mut *self.waiting.lock().expect("no code panics while it holds this lock"))
    }

    /// Serves rounds for ever. `ask` makes one: it finds the number of an entry that includes everything acknowledged before it was
    /// called, or says why it cannot.
    pub(crate) async fn run<F>(self: Arc<Self>, ask: impl Fn() -> F + Send)
    where
        F: Future<Output = Result<u64, String>> + Send,
    {
        loop {
            self.arrived.notified().await;
            runtime::yield_now().await;
            let mut round = self.take();
            while !round.is_empty() {
                crate::sometimes!(round.len() > 1, "several reads share a round");
                let result = match runtime::timeout(ROUND, ask()).await {
                    Ok(result) => result,
                    Err(_) => Err("no majority of the members answers".to_owned()),
                };
                match result {
                    Ok(number) => {
                        if planted::is(Bug::JoinRunningRound) {
                            round.append(&mut self.take());
                        }
                        for read in round.drain(..) {
                            let _ = read.found.send(Ok(number));
                        }
                    }
                    Err(reason) => {
                        crate::sometimes!("a read round fails, and its reads go into the next one");
                        runtime::sleep(PAUSE).await;
                        let now = Instant::now();
                        let (past, mut left): (Vec<_>, Vec<_>) = round
                            .into_iter()
                            .partition(|read| read.deadline <= now || read.found.is_closed());
                        for read in past {
                            let _ = read.found.send(Err(reason.clone()));
                        }
                        left.append(&mut self.take());
                        round = left;
                    }
                }
            }
        }
    }
}

/// Asks the leader, which may be this node.
pub(crate) async fn read_number(
    consensus: &Consensus,
    peers: &Peers,
    confirm: Confirm,
) -> Result<u64, String> {
    let now = consensus.leadership();
    if now.role == Role::Leader {
        return consensus.read_number(confirm).await;
    }
    let leader = now.leader.filter(|leader| *leader != peers.local()).ok_or("no leader is known")?;
    let membership = consensus.membership();
    if !membership.members.contains_key(&leader) {
        return Err("the leader is not a member that this node knows".to_owned());
    }
    let endpoint = peers.endpoint_of(leader, &membership);
    match endpoint.read_index(peers.route(leader), confirm).await {
        Ok(answer) => Ok(answer.number),
        Err(error) => {
            peers.failed(leader);
            Err(error.to_string())
        }
    }
}

#[cfg(all(test, not(madsim)))]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use futures_util::future::join_all;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn reads_that_are_there_share_one_round_and_later_ones_never_get_an_earlier_answer() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let reads = Arc::new(Reads::default());
            let rounds = Arc::new(AtomicU64::new(0));
            let counter = rounds.clone();
            let serving = tokio::spawn(reads.clone().run(move || {
                let round = counter.fetch_add(1, Ordering::SeqCst) + 1;
                async move {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    if round == 2 { Err("nobody leads".to_owned()) } else { Ok(round) }
                }
            }));
            let ask = || reads.number(Instant::now() + MINUTE);
            let first = join_all((0..100).map(|_| ask())).await;
            assert!(first.iter().all(|number| *number == Ok(1)), "{first:?}");
            // The second round fails, and whoever came meanwhile is of the third.
            let (second, later) = futures_util::join!(join_all((0..50).map(|_| ask())), async {
                tokio::time::sleep(Duration::from_millis(5)).await;
                join_all((0..50).map(|_| ask())).await
            });
            assert!(second.iter().chain(&later).all(|number| *number == Ok(3)), "{second:?} {later:?}");
            // One that comes while a round is under way is answered by the next: that round may have begun too early for it.
            let (fourth, fifth) = futures_util::join!(ask(), async {
                tokio::time::sleep(Duration::from_millis(5)).await;
                ask().await
            });
            assert_eq!((fourth, fifth), (Ok(4), Ok(5)));
            assert_eq!(rounds.load(Ordering::SeqCst), 5);
            serving.abort();
        });
    }
}
