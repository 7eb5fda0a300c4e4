//! Three nodes and what may happen to them, step by step.
//!
//! Consensus is modelled as raft promises it and no better: votes go to logs that are up to date, followers take a leader's
//! entries and drop what conflicts, a leader commits entries of its own term that a majority holds durably. On top stand
//! leaders as Lovebird drives them: a barrier with a new token, a working state taken when it is applied, proposals that
//! carry token and position. Proposals are delayed at will, overtake one another, are refused, or outlive the
//! leadership that they were made under; notices of all that come late; a crash loses what was not synced.

use lovebird_core::entry::{EntryKind, Header};
use lovebird_core::fence::{Fence, Numbering, Token, count};

pub(crate) const NODES: usize = 3;

/// What is planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variant {
    /// Nothing: the rule as it is.
    True,
    /// An entry counts whatever its token.
    TokenUnchecked,
    /// An entry counts whatever its position.
    PositionUnchecked,
    /// An entry counts whatever its term.
    TermUnchecked,
    /// A leader whose proposal was refused gives its position to the next one.
    PositionReused,
}

/// How far a model goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) terms: u8,
    pub(crate) log: usize,
    pub(crate) tokens: u8,
    pub(crate) commands: u8,
    pub(crate) pending: usize,
    pub(crate) crashes: u8,
}

/// Commands in order, each a digit: cheap to copy, hash and compare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct History(u32);

impl History {
    fn with(self, command: u8) -> Self {
        History(self.0 * 8 + u32::from(command))
    }

    fn has(self, command: u8) -> bool {
        let mut rest = self.0;
        while rest > 0 && rest % 8 != u32::from(command) {
            rest /= 8;
        }
        rest > 0
    }

    fn len(self) -> usize {
        (0..).take_while(|digit| self.0 >> (3 * digit) > 0).count()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Content {
    Blank,
    Barrier { token: u8 },
    Command { token: u8, position: u8, command: u8, on: History, on_term: u8 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Entry {
    term: u8,
    content: Content,
}

/// What a leader has computed in advance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Working {
    token: u8,
    term: u8,
    position: u8,
    history: History,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Node {
    term: u8,
    leads: bool,
    log: Vec<Entry>,
    synced: usize,
    committed: usize,
    /// The token of the barrier that was proposed and has not been applied.
    awaited: Option<u8>,
    working: Option<Working>,
    /// Proposed, and not yet appended or refused.
    pending: Vec<Content>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct State {
    nodes: [Node; NODES],
    term: u8,
    tokens: u8,
    crashes: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Elect { node: usize, by: usize },
    Replicate { from: usize, to: usize },
    Sync { node: usize },
    Commit { node: usize },
    Begin { node: usize },
    Append { node: usize, pending: usize },
    Refuse { node: usize, pending: usize },
    ApplyBarrier { node: usize },
    Propose { node: usize, command: u8 },
    Reset { node: usize },
    Crash { node: usize },
}

impl Step {
    /// Whether it undoes more than it does. Walks take these less often, or they would get nowhere.
    pub(crate) fn is_setback(self) -> bool {
        matches!(self, Step::Elect { .. } | Step::Refuse { .. } | Step::Reset { .. } | Step::Crash { .. })
    }
}

fn header_of(entry: &Entry) -> Header {
    let (kind, token, position, record_count) = match entry.content {
        Content::Blank => (EntryKind::Blank, 0, 0, 0),
        Content::Barrier { token } => (EntryKind::Barrier, token, 0, 0),
        Content::Command { token, position, command, .. } => {
            (kind_of(command), token, position, records_of(command))
        }
    };
    let node = u64::from(token > 0);
    Header {
        kind,
        codec: 0,
        group: 0,
        term: u64::from(entry.term),
        number: 0,
        first_index: 0,
        record_count,
        body_bytes: 0,
        time: 0,
        fence: Fence {
            token: Token { node, incarnation: node, counter: u64::from(token) },
            position: u64::from(position),
        },
        body_crc: 0,
    }
}

/// Every kind of entry that a leader proposes. The fence is the same for all of them.
fn kind_of(command: u8) -> EntryKind {
    match command % 3 {
        0 => EntryKind::Outcomes,
        1 => EntryKind::Commands,
        _ => EntryKind::Sessions,
    }
}

/// Batches of different sizes, so that counting entries in place of records would show. Openings of sessions are no records.
fn records_of(command: u8) -> u32 {
    match kind_of(command) {
        EntryKind::Sessions => 0,
        _ => 1 + u32::from(command % 2),
    }
}

fn counted(before: Numbering, entry: &Entry, variant: Variant) -> (Numbering, Option<u64>) {
    let mut header = header_of(entry);
    if matches!(entry.content, Content::Command { .. }) {
        match variant {
            Variant::TokenUnchecked => header.fence.token = before.token,
            Variant::PositionUnchecked => header.fence.position = before.position + 1,
            Variant::TermUnchecked => header.term = before.term,
            Variant::True | Variant::PositionReused => {}
        }
    }
    count(before, &header)
}

/// Reads a log as every replica does. An error says which promise it breaks.
fn read(log: &[Entry], variant: Variant) -> Result<History, String> {
    let mut numbering = Numbering::default();
    let mut history = History::default();
    let mut records = 0;
    let mut names = Vec::new();
    for entry in log {
        let before = numbering;
        let (after, first) = counted(before, entry, variant);
        numbering = after;
        let Content::Command { token, position, command, on, on_term } = entry.content else {
            if let Some(first) = first {
                return Err(format!("{entry:?} holds no records, and counts from {first}"));
            }
            continue;
        };
        // Whatever counts moves the position, also what takes no log index.
        let counts = after.position != before.position;
        let due = (counts && records_of(command) > 0).then_some(records + 1);
        if first != due {
            return Err(format!("{entry:?} counts from {first:?} behind {records} records"));
        }
        if !counts {
            continue;
        }
        records += u64::from(records_of(command));
        if numbering.last_index != records {
            return Err(format!("{records} records have counted, and the last is {}", numbering.last_index));
        }
        if on != history || on_term != entry.term {
            return Err(format!("{entry:?} meets {history:?} in term {}", entry.term));
        }
        if names.contains(&(token, position)) {
            return Err(format!("({token}, {position}) counts twice"));
        }
        names.push((token, position));
        if history.has(command) {
            return Err(format!("command {command} counts twice"));
        }
        history = history.with(command);
    }
    Ok(history)
}

impl State {
    /// How many commands count in the longest log.
    pub(crate) fn commands_counted(&self) -> usize {
        let counted = |node: &Node| read(&node.log, Variant::True).map_or(0, History::len);
        self.nodes.iter().map(counted).max().unwrap_or(0)
    }

    /// Whether every promise is kept.
    pub(crate) fn check(&self, variant: Variant) -> Result<(), String> {
        for node in &self.nodes {
            read(&node.log, variant)?;
        }
        for (a, b) in [(0, 1), (0, 2), (1, 2)] {
            let (a, b) = (&self.nodes[a], &self.nodes[b]);
            let common = a.committed.min(b.committed);
            if a.log[..common] != b.log[..common] {
                return Err(format!(
                    "the model is wrong: committed logs differ: {:?} and {:?}",
                    a.log, b.log
                ));
            }
            if a.log.iter().zip(&b.log).any(|(a, b)| a.term == b.term && a != b) {
                return Err(format!("the model is wrong: logs do not match: {:?} and {:?}", a.log, b.log));
            }
        }
        Ok(())
    }

    /// All that may happen next.
    pub(crate) fn steps(&self, bounds: &Bounds) -> Vec<Step> {
        let mut steps = Vec::new();
        for node in 0..NODES {
            self.consensus_steps(node, bounds, &mut steps);
            self.leader_steps(node, bounds, &mut steps);
        }
        steps
    }

    fn consensus_steps(&self, node: usize, bounds: &Bounds, steps: &mut Vec<Step>) {
        let this = &self.nodes[node];
        let last = |node: &Node| (node.log.last().map_or(0, |entry| entry.term), node.log.len());
        for other in (0..NODES).filter(|other| *other != node) {
            let that = &self.nodes[other];
            let room = self.term < bounds.terms && this.log.len() < bounds.log;
            if room && !this.leads && last(this) >= last(that) {
                steps.push(Step::Elect { node, by: other });
            }
            if this.leads && that.term <= this.term {
                let step = Step::Replicate { from: node, to: other };
                if self.take(step, Variant::True) != *self {
                    steps.push(step);
                }
            }
        }
        if this.synced < this.log.len() {
            steps.push(Step::Sync { node });
        }
        if this.leads && self.committable(node) > this.committed {
            steps.push(Step::Commit { node });
        }
        if self.crashes < bounds.crashes && this.leads {
            steps.push(Step::Crash { node });
        }
    }

    fn leader_steps(&self, node: usize, bounds: &Bounds, steps: &mut Vec<Step>) {
        let this = &self.nodes[node];
        let begun = this.awaited.is_some() || this.working.is_some();
        let room = this.pending.len() < bounds.pending;
        if this.leads && !begun && room && self.tokens < bounds.tokens {
            steps.push(Step::Begin { node });
        }
        for pending in 0..this.pending.len() {
            if this.leads && this.log.len() < bounds.log {
                steps.push(Step::Append { node, pending });
            }
            steps.push(Step::Refuse { node, pending });
        }
        if self.barrier(node).is_some() {
            steps.push(Step::ApplyBarrier { node });
        }
        if let Some(working) = this.working.filter(|_| room) {
            let fresh = (1..=bounds.commands).filter(|command| !working.history.has(*command));
            steps.extend(fresh.map(|command| Step::Propose { node, command }));
        }
        if begun {
            steps.push(Step::Reset { node });
        }
    }

    /// How far `node` may commit: to its last entry of its own term that a majority holds durably.
    fn committable(&self, node: usize) -> usize {
        let this = &self.nodes[node];
        let held = |length: usize| {
            let same = |other: &&Node| {
                other.term == this.term
                    && other.synced >= length
                    && other.log[length - 1] == this.log[length - 1]
            };
            self.nodes.iter().filter(same).count() * 2 > NODES
        };
        let mut lengths = (1..=this.log.len()).rev();
        lengths.find(|length| this.log[length - 1].term == this.term && held(*length)).unwrap_or(0)
    }

    /// Where the barrier that `node` awaits is committed, if it is.
    fn barrier(&self, node: usize) -> Option<usize> {
        let this = &self.nodes[node];
        let token = this.awaited?;
        this.log[..this.committed].iter().position(|entry| entry.content == Content::Barrier { token })
    }

    /// The state after a step.
    pub(crate) fn take(&self, step: Step, variant: Variant) -> State {
        let mut next = self.clone();
        match step {
            Step::Elect { node, by } => {
                next.term += 1;
                let term = next.term;
                next.nodes[by].term = term;
                next.nodes[by].leads = false;
                let this = &mut next.nodes[node];
                this.term = term;
                this.leads = true;
                this.log.push(Entry { term, content: Content::Blank });
            }
            Step::Replicate { from, to } => next.replicate(from, to),
            Step::Sync { node } => next.nodes[node].synced = next.nodes[node].log.len(),
            Step::Commit { node } => next.nodes[node].committed = self.committable(node),
            Step::Begin { node } => {
                next.tokens += 1;
                let token = next.tokens;
                next.nodes[node].awaited = Some(token);
                next.nodes[node].pending.push(Content::Barrier { token });
            }
            Step::Append { node, pending } => {
                let this = &mut next.nodes[node];
                let content = this.pending.remove(pending);
                this.log.push(Entry { term: this.term, content });
            }
            Step::Refuse { node, pending } => next.nodes[node].refuse(pending, variant),
            Step::ApplyBarrier { node } => next.apply_barrier(node, variant),
            Step::Propose { node, command } => next.nodes[node].propose(command),
            Step::Reset { node } => {
                next.nodes[node].awaited = None;
                next.nodes[node].working = None;
            }
            Step::Crash { node } => {
                next.crashes += 1;
                let this = &mut next.nodes[node];
                this.log.truncate(this.synced);
                this.committed = this.committed.min(this.synced);
                this.leads = false;
                this.awaited = None;
                this.working = None;
                this.pending.clear();
            }
        }
        next
    }

    /// The leader gives a follower its next entry, which the follower syncs at once, and what it knows to be committed.
    fn replicate(&mut self, from: usize, to: usize) {
        let leader = self.nodes[from].clone();
        let follower = &mut self.nodes[to];
        follower.term = leader.term;
        follower.leads = false;
        let same = leader.log.iter().zip(&follower.log).take_while(|(ours, theirs)| ours == theirs).count();
        if let Some(entry) = leader.log.get(same) {
            follower.log.truncate(same);
            follower.log.push(*entry);
            follower.synced = same + 1;
        }
        let known = follower.log.len().min(same + 1);
        follower.committed = follower.committed.max(leader.committed.min(known));
    }

    fn apply_barrier(&mut self, node: usize, variant: Variant) {
        let Some(at) = self.barrier(node) else { return };
        let this = &mut self.nodes[node];
        // A log that breaks a promise was reported when it came about, so this reading cannot fail.
        let history = read(&this.log[..at], variant).unwrap_or_default();
        let (token, term) = (this.awaited.take().unwrap_or(0), this.log[at].term);
        this.working = Some(Working { token, term, position: 1, history });
    }
}

impl Node {
    fn propose(&mut self, command: u8) {
        let Some(working) = &mut self.working else { return };
        self.pending.push(Content::Command {
            token: working.token,
            position: working.position,
            command,
            on: working.history,
            on_term: working.term,
        });
        working.position += 1;
        working.history = working.history.with(command);
    }

    fn refuse(&mut self, pending: usize, variant: Variant) {
        let refused = self.pending.remove(pending);
        if variant != Variant::PositionReused {
            return;
        }
        // The slip: go back to before the refused one, though what was computed behind it may still be under way.
        if let (Content::Command { token, position, on, .. }, Some(working)) = (refused, &mut self.working)
            && token == working.token
            && position < working.position
        {
            working.position = position;
            working.history = on;
        }
    }
}
