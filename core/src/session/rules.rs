//! Whether a command may enter the log: a pure function of what has entered before.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use crate::planted::{self, Bug};

use super::{COMMANDS_MAX, GONE_NAMES_MAX, Number, Opened, Opening, Order, SESSIONS_MAX};

/// What becomes of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It enters.
    New,
    /// It has entered before, and its reply may still be asked for.
    Duplicate,
    /// Its client has said that it would not ask for it any more: it has entered before, or never will.
    Settled,
    /// Commands before it have not entered yet.
    Early,
    /// The session has expired.
    Expired,
    /// There never was such a session.
    Unheard,
}

/// One session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Session {
    name: String,
    order: Order,
    /// In nanoseconds.
    patience: u64,
    /// When it was used last, in log time.
    used: u64,
    /// Nothing below this may still be asked for.
    lowest: u64,
    /// The highest sequence that has entered.
    last: u64,
    /// What has entered from `lowest` on, where the order does not tell.
    entered: BTreeSet<u64>,
}

impl Session {
    /// When it expires, in log time, unless it is used before.
    fn expires(&self) -> u64 {
        self.used.saturating_add(self.patience)
    }

    /// How many commands are remembered that may still be asked for.
    fn held(&self) -> usize {
        match self.order {
            Order::Ordered => (self.last + 1 - self.lowest) as usize,
            Order::Unordered => self.entered.len(),
        }
    }
}

/// What entering came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entered {
    /// The lowest sequence of the session that may still be asked for.
    pub(crate) lowest: u64,
    /// The sessions that had to go for it.
    pub(crate) evicted: Vec<u64>,
}

/// All sessions, as of one point in the log; see the module above.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sessions {
    /// How many were ever opened, which is also the id of the last.
    opened: u64,
    live: BTreeMap<u64, Session>,
    /// How many commands are remembered in all of them.
    held: usize,
    names: BTreeMap<String, u64>,
    /// (when it expires, which).
    expiries: BTreeSet<(u64, u64)>,
    /// (when it was used last, which): the first one has rested longest.
    uses: BTreeSet<(u64, u64)>,
    gone: BTreeSet<String>,
    /// The same in the order in which they went.
    gone_in_order: VecDeque<String>,
}

impl Sessions {
    /// Log time moves on. Gives those that have expired.
    pub(crate) fn advance(&mut self, time: u64) -> Vec<u64> {
        let mut expired = Vec::new();
        while let Some((expires, session)) = self.expiries.first().copied() {
            if expires >= time {
                break;
            }
            crate::sometimes!("a session expires");
            self.end(session);
            expired.push(session);
        }
        expired
    }

    /// Opens a session at log time `time`, or finds it by its name. Also gives the one that had to go for it.
    pub(crate) fn open(&mut self, opening: &Opening, time: u64) -> (Opened, Option<u64>) {
        if !opening.name.is_empty() {
            if let Some(session) = self.names.get(&opening.name).copied() {
                crate::sometimes!("a session is found again by its name");
                self.touch(session, time);
                return (Opened::Session(session), None);
            }
            if self.gone.contains(&opening.name) {
                crate::sometimes!("the name of a session that has expired is refused");
                return (Opened::Gone, None);
            }
        }
        let evicted = match self.uses.first() {
            Some((_, first)) if self.live.len() >= SESSIONS_MAX => Some(*first),
            _ => None,
        };
        if let Some(session) = evicted {
            crate::sometimes!("a session is evicted to make room for another");
            self.end(session);
        }
        self.opened += 1;
        let patience = opening.patience_ms.saturating_mul(1_000_000);
        let session = Session {
            name: opening.name.clone(),
            order: opening.order,
            patience,
            used: time,
            lowest: 1,
            last: 0,
            entered: BTreeSet::new(),
        };
        if !session.name.is_empty() {
            self.names.insert(session.name.clone(), self.opened);
        }
        self.expiries.insert((session.expires(), self.opened));
        self.uses.insert((session.used, self.opened));
        self.live.insert(self.opened, session);
        (Opened::Session(self.opened), evicted)
    }

    /// Whether a command of a session may enter now.
    pub(crate) fn admit(&self, number: Number) -> Admission {
        let Some(session) = self.live.get(&number.session) else {
            return if number.session <= self.opened { Admission::Expired } else { Admission::Unheard };
        };
        let sequence = number.sequence;
        if sequence < session.lowest {
            return Admission::Settled;
        }
        match session.order {
            _ if planted::is(Bug::AdmitDuplicates) && sequence <= session.last => Admission::New,
            Order::Ordered if sequence <= session.last => Admission::Duplicate,
            Order::Ordered if sequence == (session.last + 1).max(number.lowest()) => Admission::New,
            Order::Ordered => Admission::Early,
            Order::Unordered if session.entered.contains(&sequence) => Admission::Duplicate,
            Order::Unordered => Admission::New,
        }
    }

    /// A command that was admitted enters at log time `time`.
    ///
    /// # Panics
    /// If it was not admitted.
    pub(crate) fn enter(&mut self, number: Number, time: u64) -> Entered {
        self.touch(number.session, time);
        let session = self.live.get_mut(&number.session).expect("a command enters an open session");
        let before = session.held();
        session.last = session.last.max(number.sequence);
        session.lowest = session.lowest.max(number.lowest());
        if planted::is(Bug::SettleEarly) {
            session.lowest = session.last;
        }
        if session.order == Order::Unordered {
            session.entered.insert(number.sequence);
            while session.entered.first().is_some_and(|first| *first < session.lowest) {
                session.entered.pop_first();
            }
        }
        let lowest = session.lowest;
        self.held = self.held + session.held() - before;
        let mut evicted = Vec::new();
        while self.held > COMMANDS_MAX {
            // A window is far smaller than what all may hold together, so there is another one.
            let Some(other) = self.by_rest().find(|other| *other != number.session) else { break };
            crate::sometimes!("a session is evicted since all hold too many commands");
            self.end(other);
            evicted.push(other);
        }
        Entered { lowest, evicted }
    }

    /// The sessions, from the one that has rested longest to the one that was used last.
    pub(crate) fn by_rest(&self) -> impl Iterator<Item = u64> {
        self.uses.iter().map(|(_, session)| *session)
    }

    fn touch(&mut self, id: u64, time: u64) {
        let Some(session) = self.live.get_mut(&id) else { return };
        if time != session.used {
            self.expiries.remove(&(session.expires(), id));
            self.uses.remove(&(session.used, id));
            session.used = time;
            self.expiries.insert((session.expires(), id));
            self.uses.insert((session.used, id));
        }
    }

    fn end(&mut self, id: u64) {
        let Some(session) = self.live.remove(&id) else { return };
        self.expiries.remove(&(session.expires(), id));
        self.uses.remove(&(session.used, id));
        self.held -= session.held();
        if session.name.is_empty() {
            return;
        }
        self.names.remove(&session.name);
        self.gone.insert(session.name.clone());
        self.gone_in_order.push_back(session.name);
        if self.gone_in_order.len() > GONE_NAMES_MAX
            && let Some(name) = self.gone_in_order.pop_front()
        {
            self.gone.remove(&name);
        }
    }
}
