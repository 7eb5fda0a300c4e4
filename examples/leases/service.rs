//! The service: leases that end by themselves, and a lottery. It needs a clock and chance, and has neither: it is told the time that
//! stands in the log, and draws from a generator that the log seeds, so that every replica, and every replay, does the same.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use lovebird::{Context, StateMachine};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// Asks for a lease, or for more time.
    Acquire { lease: String, holder: String, duration: Duration },
    /// Gives it back before its time.
    Release { lease: String, holder: String },
    /// Takes part in the next draw.
    Enter { holder: String },
    /// Draws one of those who take part; the next draw begins without anybody.
    Draw,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// The lease is the holder's until then. The token is higher than those of all leases before: whoever guards a resource
    /// refuses a lower one, which is how a holder is stopped that has not noticed that its time is over.
    Granted { until: SystemTime, token: u64 },
    /// It is somebody else's until then.
    Held { by: String, until: SystemTime },
    /// Done.
    Done,
    /// Who was drawn; nobody if nobody took part.
    Drawn(Option<String>),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    pub holder: String,
    pub until: SystemTime,
    pub token: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leases {
    leases: BTreeMap<String, Lease>,
    entered: BTreeSet<String>,
}

impl StateMachine for Leases {
    type Command = Command;
    type Reply = Reply;
    type Query = String;
    type Answer = Option<Lease>;
    type Snapshot = Leases;

    fn apply(&mut self, context: &Context, command: Command) -> Reply {
        match command {
            Command::Acquire { lease, holder, duration } => {
                let now = context.time();
                if let Some(held) =
                    self.leases.get(&lease).filter(|held| held.holder != holder && held.until > now)
                {
                    return Reply::Held { by: held.holder.clone(), until: held.until };
                }
                let (until, token) = (now + duration, context.index());
                self.leases.insert(lease, Lease { holder, until, token });
                Reply::Granted { until, token }
            }
            Command::Release { lease, holder } => {
                self.leases.retain(|name, held| *name != lease || held.holder != holder);
                Reply::Done
            }
            Command::Enter { holder } => {
                self.entered.insert(holder);
                Reply::Done
            }
            Command::Draw => {
                let entered = std::mem::take(&mut self.entered);
                if entered.is_empty() {
                    return Reply::Drawn(None);
                }
                let winner = context.random().below(entered.len() as u64) as usize;
                Reply::Drawn(entered.into_iter().nth(winner))
            }
        }
    }

    fn query(&self, lease: String) -> Option<Lease> {
        self.leases.get(&lease).cloned()
    }

    fn snapshot(&self) -> Leases {
        self.clone()
    }

    fn restore(&mut self, snapshot: Leases) {
        *self = snapshot;
    }
}
