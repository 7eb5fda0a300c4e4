//! What is inflicted on a cluster, and when: data, made from the seed alone, so that it can be read, shrunk and kept.
//!
//! Each class of faults is left out of a schedule with probability one half ("swarm testing", Groce et al. 2012): a fault
//! that is always there hides what happens only without it.

use std::time::Duration;

use lovebird_core::service::Model;

use crate::chance::Chance;

/// What a disk keeps, in a power loss, of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survives {
    /// All of it is lost.
    Nothing,
    /// Any subset of sectors is kept, chosen by this number.
    Subset(u64),
}

/// Something that is done to the cluster, or undone. Nodes are named by id; what does not fit (killing the dead) does nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The node's process ends at once. Its disk keeps all that was written, synced or not.
    Kill {
        /// Which.
        node: u64,
    },
    /// The machines of these nodes lose power in the same instant.
    PowerLoss {
        /// Which.
        nodes: Vec<u64>,
        /// What becomes of what was not synced.
        survives: Survives,
    },
    /// The node starts on what its disk holds.
    Restart {
        /// Which.
        node: u64,
    },
    /// What is sent from one address to the other vanishes.
    Cut {
        /// The sender: a node, or a client (see [`Schedule::clients`]).
        from: u64,
        /// The receiver.
        to: u64,
    },
    /// The link carries again.
    Heal {
        /// The sender.
        from: u64,
        /// The receiver.
        to: u64,
    },
    /// The node's clock runs fast by so many parts per million from now on, or slow if that is negative.
    Drift {
        /// Which.
        node: u64,
        /// By how much.
        ppm: i32,
    },
}

impl Fault {
    /// Its kind, for counting.
    pub fn kind(&self) -> &'static str {
        match self {
            Fault::Kill { .. } => "kill",
            Fault::PowerLoss { nodes, .. } if nodes.len() == 1 => "power loss of one",
            Fault::PowerLoss { .. } => "power loss of all",
            Fault::Restart { .. } => "restart",
            Fault::Cut { .. } => "cut",
            Fault::Heal { .. } => "heal",
            Fault::Drift { .. } => "drift",
        }
    }
}

/// A fault and its time, counted from the start of the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// When.
    pub at: Duration,
    /// What.
    pub fault: Fault,
}

/// All that is inflicted in one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// In which model the service runs.
    pub model: Model,
    /// How many nodes there are: 1, 2, …
    pub nodes: u64,
    /// The addresses of the clients; they share a number space with the nodes.
    pub clients: Vec<u64>,
    /// In the order of their times.
    pub steps: Vec<Step>,
    /// When the faults end and everything is healed.
    pub length: Duration,
}

/// The classes of which half are left out.
#[derive(Clone, Copy, Debug)]
enum Class {
    Kill,
    PowerLossOfOne,
    PowerLossOfAll,
    CutOneWay,
    CutBothWays,
    Drift,
}

const CLASSES: [Class; 6] = [
    Class::Kill,
    Class::PowerLossOfOne,
    Class::PowerLossOfAll,
    Class::CutOneWay,
    Class::CutBothWays,
    Class::Drift,
];

/// The first client's address.
const FIRST_CLIENT: u64 = 101;

const CLIENTS: u64 = 4;

impl Schedule {
    /// The schedule of a seed.
    pub fn of(seed: u64) -> Schedule {
        let mut chance = Chance::new(seed, 1);
        let nodes = *chance.one_of(&[3, 3, 3, 5]);
        let clients = (FIRST_CLIENT..FIRST_CLIENT + CLIENTS).collect();
        let length = chance.millis(15_000, 25_000);
        // Drawn apart, so that it moved nothing when it was added.
        let model = *Chance::new(seed, 2).one_of(&[Model::StateMachine, Model::PrimaryBackup]);
        let mut schedule = Schedule { model, nodes, clients, steps: Vec::new(), length };
        let classes: Vec<Class> = CLASSES.into_iter().filter(|_| chance.half()).collect();
        if classes.is_empty() {
            return schedule;
        }
        // How dense the faults are differs between runs, too.
        let pause_max = *chance.one_of(&[400, 1500, 4000]);
        let mut at = chance.millis(0, 1500);
        while at < length {
            let class = *chance.one_of(&classes);
            schedule.add(class, at, &mut chance);
            at += chance.millis(1, pause_max);
        }
        schedule.steps.sort_by_key(|step| step.at);
        schedule
    }

    /// Whether any clock is ever wrong.
    pub fn has_drift(&self) -> bool {
        self.steps.iter().any(|step| matches!(step.fault, Fault::Drift { .. }))
    }

    fn push(&mut self, at: Duration, fault: Fault) {
        self.steps.push(Step { at, fault });
    }

    /// One fault, and what undoes it a while later.
    fn add(&mut self, class: Class, at: Duration, chance: &mut Chance) {
        let node = 1 + chance.below(self.nodes);
        match class {
            Class::Kill => {
                self.push(at, Fault::Kill { node });
                self.push(at + pause(chance), Fault::Restart { node });
            }
            Class::PowerLossOfOne => {
                self.push(at, Fault::PowerLoss { nodes: vec![node], survives: survives(chance) });
                self.push(at + pause(chance), Fault::Restart { node });
            }
            Class::PowerLossOfAll => {
                let nodes: Vec<u64> = (1..=self.nodes).collect();
                self.push(at, Fault::PowerLoss { nodes: nodes.clone(), survives: survives(chance) });
                for node in nodes {
                    self.push(at + pause(chance), Fault::Restart { node });
                }
            }
            Class::CutOneWay => {
                let others = self.others(node, chance);
                let outwards = chance.half();
                let until = at + pause(chance);
                for other in others {
                    let (from, to) = if outwards { (node, other) } else { (other, node) };
                    self.cut(from, to, at, until);
                }
            }
            Class::CutBothWays => {
                let until = at + pause(chance);
                for other in self.others(node, chance) {
                    self.cut(node, other, at, until);
                    self.cut(other, node, at, until);
                }
            }
            Class::Drift => {
                let most = *chance.one_of(&[100, 10_000, 200_000]);
                let ppm = chance.below(2 * most + 1) as i32 - most as i32;
                self.push(at, Fault::Drift { node, ppm });
            }
        }
    }

    fn cut(&mut self, from: u64, to: u64, at: Duration, until: Duration) {
        self.push(at, Fault::Cut { from, to });
        self.push(until, Fault::Heal { from, to });
    }

    /// To whom the links of `node` are cut: all other nodes, one of them, or a client.
    fn others(&self, node: u64, chance: &mut Chance) -> Vec<u64> {
        let others: Vec<u64> = (1..=self.nodes).filter(|other| *other != node).collect();
        match chance.below(4) {
            0 | 1 => others,
            2 => vec![*chance.one_of(&others)],
            _ => vec![*chance.one_of(&self.clients)],
        }
    }
}

/// How long something lasts: often shorter than an election, sometimes much longer.
fn pause(chance: &mut Chance) -> Duration {
    match chance.below(3) {
        0 => chance.millis(1, 50),
        1 => chance.millis(50, 600),
        _ => chance.millis(600, 6000),
    }
}

fn survives(chance: &mut Chance) -> Survives {
    if chance.half() { Survives::Nothing } else { Survives::Subset(chance.any()) }
}
