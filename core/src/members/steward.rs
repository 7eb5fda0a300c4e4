//! Follows the membership on every node: keeps the addresses, finishes what was left half-way, goes on to take the node's former place if
//! the log says that it has begun to, and notices when the node was removed.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::changer::Changer;
use super::enlist::{enlist, is_half_way};
use crate::error::Stopped;
use crate::formation::Formation;
use crate::identity::GroupId;
use crate::peers::Peers;
use crate::raft::Consensus;
use crate::runtime::{self, Instant};
use crate::stop::Stop;
use crate::transport::Role;

/// When a leader was last heard.
#[derive(Debug)]
pub(crate) struct Heard(Mutex<Instant>);

impl Default for Heard {
    fn default() -> Self {
        Heard(Mutex::new(Instant::now()))
    }
}

impl Heard {
    /// It is heard now.
    pub(crate) fn now(&self) {
        *self.0.lock().expect("no code panics while it holds this lock") = Instant::now();
    }

    fn silence(&self) -> Duration {
        self.0.lock().expect("no code panics while it holds this lock").until(Instant::now())
    }
}

/// See the module.
pub(crate) struct Steward {
    pub(crate) group: GroupId,
    pub(crate) consensus: Consensus,
    pub(crate) peers: Arc<Peers>,
    pub(crate) changer: Arc<Changer>,
    pub(crate) formation: Arc<Formation>,
    pub(crate) heard: Arc<Heard>,
    pub(crate) stop: Arc<Stop>,
    pub(crate) election: Duration,
}

impl Steward {
    /// Works until consensus has stopped.
    pub(crate) async fn run(self) {
        let mut watch = self.consensus.watch();
        let mut enlists = self.formation.replaces();
        let mut was_member = false;
        loop {
            let membership = self.consensus.membership();
            self.peers.record(&membership);
            if !enlists && is_half_way(self.peers.local(), &membership) {
                crate::sometimes!("a node that has begun to take its former place goes on after a restart");
                enlists = true;
                runtime::spawn(enlist(self.consensus.clone(), self.peers.clone(), self.group));
            }
            if !was_member && let Ok((_, committed)) = self.consensus.membership_committed().await {
                was_member = committed.members.contains_key(&self.peers.local());
            }
            match watch.now().role {
                Role::Leader => self.changer.finish().await,
                // Three election timeouts are enough to elect another leader, if this node is one of those who do.
                _ if self.heard.silence() > self.election * 3 => {
                    if let Some(removal) =
                        self.formation.removal(&self.consensus, &self.peers, was_member).await
                    {
                        crate::sometimes!("a node finds out that it was removed");
                        return self.stop.set(Stopped::Removed(removal));
                    }
                    self.heard.now();
                }
                _ => {}
            }
            // What is announced are changes of the leadership and of the membership.
            let _ = runtime::timeout(self.election, watch.changed()).await;
            if watch.has_ended() || self.consensus.fatal().is_some() {
                return;
            }
        }
    }
}
