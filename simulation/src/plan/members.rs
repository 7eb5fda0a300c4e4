//! Changes of the members, as a plan has them: newcomers, requests of an operator, and disks that are lost for good.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::draw::{pause, survives};
use super::{Fault, Plan, Who};
use crate::chance::Chance;

/// What an operator asks the cluster for. What does not fit (to promote who votes already) is refused, or done already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// A node becomes a voter.
    AddVoter {
        /// Which.
        node: u64,
    },
    /// A node becomes a learner, and stays one.
    AddLearner {
        /// Which.
        node: u64,
    },
    /// A learner becomes a voter.
    Promote {
        /// Which.
        node: u64,
    },
    /// A node is no member any more. Not asked for where fewer than three voters would be left.
    Remove {
        /// Which.
        who: Who,
    },
    /// One node takes the place of another. The same holds.
    Replace {
        /// Who goes.
        old: Who,
        /// Who comes.
        node: u64,
    },
    /// Another node leads.
    HandOver {
        /// Which; none for whoever is best at it.
        to: Option<u64>,
    },
}

impl Request {
    /// What it is called.
    pub fn kind(self) -> &'static str {
        match self {
            Request::AddVoter { .. } => "add a voter",
            Request::AddLearner { .. } => "add a learner",
            Request::Promote { .. } => "promote",
            Request::Remove { who: Who::Leader } => "remove the leader",
            Request::Remove { .. } => "remove",
            Request::Replace { old: Who::Leader, .. } => "replace the leader",
            Request::Replace { .. } => "replace",
            Request::HandOver { .. } => "hand over",
        }
    }
}

impl Plan {
    /// Whether the members change in it.
    pub fn has_changes(&self) -> bool {
        self.steps.iter().any(|step| step.fault.is_change())
    }

    /// The ids of all nodes that are there at any time.
    pub fn everyone(&self) -> BTreeSet<u64> {
        let joining = self.steps.iter().filter_map(|step| match step.fault {
            Fault::Join { node } => Some(node),
            _ => None,
        });
        (1..=self.nodes).chain(joining).collect()
    }

    /// Has the members change, and faults strike in the middle of that. Nothing is damaged then: a disk that is lost for good and
    /// a change that leaves few voters would together take more than the promises allow for.
    pub(super) fn change_members(&mut self, chance: &mut Chance) {
        self.steps.retain(|step| !matches!(step.fault, Fault::FlipBit { .. } | Fault::Wipe { .. }));
        let newcomers: Vec<u64> = (1..=2 + chance.below(2)).map(|place| self.nodes + place).collect();
        let all = self.nodes + newcomers.len() as u64;
        let mut at = chance.between(200, 3000);
        while at < self.length_ms {
            let newcomer = *chance.one_of(&newcomers);
            let any = 1 + chance.below(all);
            let who = if chance.once_in(3) { Who::Leader } else { Who::Node(any) };
            match chance.below(12) {
                0..=3 => {
                    let standing = match chance.below(3) {
                        0 => Request::AddLearner { node: newcomer },
                        _ => Request::AddVoter { node: newcomer },
                    };
                    self.join(newcomer, at, standing, chance);
                }
                4 => self.ask(at, Request::Promote { node: newcomer }, chance),
                5 | 6 => self.ask(at, Request::Remove { who }, chance),
                7 | 8 => self.join(newcomer, at, Request::Replace { old: who, node: newcomer }, chance),
                9 | 10 => self.down(at, Fault::Renew { node: any }, any, pause(chance)),
                _ => {
                    let to = chance.half().then_some(any);
                    self.ask(at, Request::HandOver { to }, chance);
                }
            }
            if chance.once_in(3) {
                self.against_the_leader(at + chance.between(1, 250), chance);
            }
            if chance.once_in(3) {
                self.strike(newcomer, at + chance.between(1, 400), chance);
            }
            at += chance.between(200, 4000);
        }
    }

    /// A node starts, and is asked for.
    fn join(&mut self, node: u64, at: u64, request: Request, chance: &mut Chance) {
        self.push(at, Fault::Join { node });
        self.ask(at + chance.between(1, 600), request, chance);
    }

    fn ask(&mut self, at: u64, request: Request, chance: &mut Chance) {
        self.push(at, Fault::Ask { request, patience_ms: chance.between(500, 6000) });
    }

    /// The usual faults know the first nodes alone.
    fn strike(&mut self, node: u64, at: u64, chance: &mut Chance) {
        let who = Who::Node(node);
        match chance.below(4) {
            0 => self.down(at, Fault::Kill { who }, node, pause(chance)),
            1 => {
                let fault = Fault::PowerLoss { nodes: vec![node], survives: survives(chance) };
                self.down(at, fault, node, pause(chance));
            }
            2 => {
                let (other, until) = (1 + chance.below(self.nodes), at + pause(chance));
                self.cut(node, other, at, until);
                self.cut(other, node, at, until);
            }
            _ => {
                let operation = 1 + chance.below(60);
                self.push(at, Fault::CrashInDisk { who, operation, survives: survives(chance) });
                self.push(at + 500 + pause(chance), Fault::Revive);
            }
        }
    }
}
