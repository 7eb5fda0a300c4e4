//! Plans drawn from a seed.
//!
//! Each class of faults is left out of a plan with probability one half ("swarm testing", Groce et al. 2012): a fault that is
//! always there hides what happens only without it. Each class draws from a stream of its own, so that a new one moves nothing
//! in the others.

use super::{Act, Client, Direction, Fault, Op, Plan, Reading, Step, Subscriber, Survives, Who};
use crate::chance::Chance;

/// The first client's address. All addresses below are nodes'.
const FIRST_CLIENT: u64 = 101;

/// The first subscriber's.
const FIRST_SUBSCRIBER: u64 = 151;

const CLIENTS: u64 = 4;

/// How many callers share a client.
const CALLERS: u64 = 3;

/// The classes of which half are left out. Their order is part of what a seed means: new ones are added at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Kill,
    PowerLossOfOne,
    PowerLossOfAll,
    CutOneWay,
    CutBothWays,
    Drift,
    CrashInDisk,
    CrashLoop,
    Leader,
    Bridge,
    Weather,
    Pause,
    Leap,
    SlowDisk,
    SyncFails,
    Full,
    Damage,
    LongOutage,
    Members,
}

const CLASSES: [Class; 19] = [
    Class::Kill,
    Class::PowerLossOfOne,
    Class::PowerLossOfAll,
    Class::CutOneWay,
    Class::CutBothWays,
    Class::Drift,
    Class::CrashInDisk,
    Class::CrashLoop,
    Class::Leader,
    Class::Bridge,
    Class::Weather,
    Class::Pause,
    Class::Leap,
    Class::SlowDisk,
    Class::SyncFails,
    Class::Full,
    Class::Damage,
    Class::LongOutage,
    Class::Members,
];

impl Class {
    /// Between two of its faults there lie at most so many times the pause that was drawn for the run.
    fn rarity(self) -> u64 {
        match self {
            Class::Kill | Class::PowerLossOfOne | Class::CutOneWay | Class::CutBothWays | Class::Leader => 6,
            Class::LongOutage | Class::Full => 40,
            _ => 12,
        }
    }
}

impl Plan {
    /// The plan of a seed, for the scenario of that name.
    pub fn of(seed: u64, scenario: &str) -> Plan {
        let mut chance = Chance::new(seed, 1);
        let nodes = *chance.one_of(&[3, 3, 3, 5]);
        let length_ms = chance.between(15_000, 25_000);
        let mut plan = Plan::calm(seed, scenario, nodes, length_ms);
        plan.clients = (0..CLIENTS).map(|place| plan.client(FIRST_CLIENT + place, CALLERS)).collect();
        plan.subscribers = plan.followers();
        // How dense the faults are differs between runs, too.
        let pause_max = *chance.one_of(&[400, 1500, 4000]);
        for class in CLASSES.into_iter().filter(|_| chance.half()) {
            let mut chance = Chance::new(seed, 100 + class as u64);
            if class == Class::Members {
                plan.change_members(&mut chance);
                continue;
            }
            let mut at = chance.below(pause_max * class.rarity());
            while at < length_ms {
                plan.inflict(class, at, &mut chance);
                at += 1 + chance.below(pause_max * class.rarity());
            }
        }
        plan.steps.sort_by_key(|step| step.at_ms);
        plan
    }

    /// The same with damage to a majority of the disks.
    pub fn beyond(mut self) -> Plan {
        self.beyond = true;
        self.steps.retain(|step| !step.fault.is_change());
        let mut chance = Chance::new(self.seed, 7);
        let first = chance.below(self.nodes);
        for place in 0..=self.nodes / 2 {
            let node = 1 + (first + place) % self.nodes;
            let at = chance.between(self.length_ms / 4, self.length_ms);
            let fault = damaging(node, &mut chance);
            self.down(at, fault, node, pause(&mut chance));
        }
        self.steps.sort_by_key(|step| step.at_ms);
        self
    }

    /// A plan in which nothing happens.
    pub fn calm(seed: u64, scenario: &str, nodes: u64, length_ms: u64) -> Plan {
        Plan {
            seed,
            scenario: scenario.to_owned(),
            nodes,
            length_ms,
            beyond: false,
            steps: Vec::new(),
            clients: Vec::new(),
            subscribers: Vec::new(),
        }
    }

    /// A plan to measure speed by: five nodes, faults, and so many commands a second by one client.
    pub fn measured(seed: u64, scenario: &str, commands_per_second: u64) -> Plan {
        let mut plan = Plan::calm(seed, scenario, 5, 60_000);
        let mut chance = Chance::new(seed, 3);
        let pause_ms = 1000 / commands_per_second;
        let ops = 0..plan.length_ms / pause_ms;
        let ops = ops.map(|_| Op { pause_ms, chance: chance.any(), act: Act::Propose }).collect();
        plan.clients.push(Client {
            address: FIRST_CLIENT,
            from_ms: 0,
            patience_ms: 1500,
            lapses: false,
            callers: vec![ops],
        });
        for class in [Class::Kill, Class::PowerLossOfOne, Class::CutOneWay, Class::CutBothWays] {
            let mut at = 0;
            while at < plan.length_ms {
                at += 1 + chance.below(20_000);
                plan.inflict(class, at, &mut chance);
            }
        }
        plan.steps.sort_by_key(|step| step.at_ms);
        plan
    }

    fn client(&self, address: u64, callers: u64) -> Client {
        let mut chance = Chance::new(self.seed, address * 1000);
        let lapses = chance.once_in(4);
        // Most clients are busy. Some rest for so long that their session expires.
        let pause_most = if lapses { 1200 } else { 120 };
        let from_ms = if chance.once_in(3) { chance.below(self.length_ms) } else { 0 };
        let patience_ms = *chance.one_of(&[1500, 1500, 6000]);
        let callers = (0..callers).map(|caller| {
            let mut chance = Chance::new(self.seed, address * 1000 + 1 + caller);
            let (mut ops, mut at_ms) = (Vec::new(), from_ms);
            while at_ms < self.length_ms {
                let pause_ms = chance.between(5, pause_most);
                // An operation takes a few milliseconds at least, or the last ones would never begin.
                at_ms += pause_ms + 3;
                ops.push(Op { pause_ms, chance: chance.any(), act: act(&mut chance) });
            }
            ops
        });
        Client { address, from_ms, patience_ms, lapses, callers: callers.collect() }
    }

    /// One who knows all nodes, and one who is bound to a single one.
    fn followers(&self) -> Vec<Subscriber> {
        let mut chance = Chance::new(self.seed, 2);
        let bound = 1 + chance.below(self.nodes);
        vec![
            Subscriber { address: FIRST_SUBSCRIBER, bound: None, chance: chance.any() },
            Subscriber { address: FIRST_SUBSCRIBER + 1, bound: Some(bound), chance: chance.any() },
        ]
    }

    pub(super) fn push(&mut self, at_ms: u64, fault: Fault) {
        self.steps.push(Step { at_ms, fault });
    }

    /// One fault, and what undoes it a while later.
    fn inflict(&mut self, class: Class, at: u64, chance: &mut Chance) {
        let node = 1 + chance.below(self.nodes);
        let who = Who::Node(node);
        match class {
            Class::Kill => self.down(at, Fault::Kill { who }, node, pause(chance)),
            Class::PowerLossOfOne => {
                let fault = Fault::PowerLoss { nodes: vec![node], survives: survives(chance) };
                self.down(at, fault, node, pause(chance));
            }
            Class::PowerLossOfAll => {
                let nodes: Vec<u64> = (1..=self.nodes).collect();
                self.push(at, Fault::PowerLoss { nodes: nodes.clone(), survives: survives(chance) });
                for node in nodes {
                    self.push(at + pause(chance), Fault::Restart { node });
                }
            }
            Class::CutOneWay => {
                let (others, outwards, until) =
                    (self.others(node, chance), chance.half(), at + pause(chance));
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
            Class::CrashLoop => self.crash_loop(node, at, chance),
            Class::Leader => self.against_the_leader(at, chance),
            Class::Bridge => self.bridge(node, at, at + pause(chance)),
            Class::Weather => self.weather(at, chance),
            Class::Pause => {
                let who = if chance.half() { Who::Leader } else { who };
                // Shorter than a lease, and longer than any.
                self.push(at, Fault::Pause { who, for_ms: chance.between(20, 2000) });
            }
            Class::Leap => {
                let ahead_ms = *chance.one_of(&[-86_400_000, -1000, 0, 1000, 86_400_000]);
                self.push(at, Fault::Leap { node, ahead_ms });
            }
            _ => self.inflict_on_disk(class, node, at, chance),
        }
    }

    /// The same for the classes that are about disks.
    fn inflict_on_disk(&mut self, class: Class, node: u64, at: u64, chance: &mut Chance) {
        let who = Who::Node(node);
        match class {
            Class::CrashInDisk => {
                let who = if chance.half() { Who::Leader } else { who };
                let operation = 1 + chance.below(40);
                self.push(at, Fault::CrashInDisk { who, operation, survives: survives(chance) });
                self.push(at + 500 + pause(chance), Fault::Revive);
            }
            Class::SlowDisk => {
                self.push(at, Fault::SlowDisk { node, sync_ms: *chance.one_of(&[5, 30, 200, 900]) });
                self.push(at + pause(chance), Fault::SlowDisk { node, sync_ms: 0 });
            }
            Class::SyncFails => {
                let who = if chance.half() { Who::Leader } else { who };
                self.push(at, Fault::SyncFails { who, nth: 1 + chance.below(10) });
                self.push(at + 300 + pause(chance), Fault::Revive);
            }
            Class::Full => {
                self.push(at, Fault::Full { node });
                let until = at + pause(chance);
                self.push(until, Fault::Space { node });
                self.push(until + 1, Fault::Restart { node });
            }
            Class::Damage => self.damage(node, at, chance),
            Class::LongOutage => {
                let fault = Fault::PowerLoss { nodes: vec![node], survives: survives(chance) };
                let for_ms = chance.between(5000, 12_000);
                self.down(at, fault, node, for_ms);
                if chance.half() {
                    // In the middle of whatever it is then given to catch up.
                    let (at, operation) = (at + for_ms + chance.below(400), 1 + chance.below(60));
                    self.push(at, Fault::CrashInDisk { who, operation, survives: survives(chance) });
                    self.push(at + 500 + pause(chance), Fault::Revive);
                }
            }
            other => unreachable!("{other:?} is not about disks"),
        }
    }

    pub(super) fn down(&mut self, at: u64, fault: Fault, node: u64, for_ms: u64) {
        self.push(at, fault);
        self.push(at + for_ms, Fault::Restart { node });
    }

    pub(super) fn cut(&mut self, from: u64, to: u64, at: u64, until: u64) {
        self.push(at, Fault::Cut { from, to });
        self.push(until, Fault::Heal { from, to });
    }

    fn crash_loop(&mut self, node: u64, mut at: u64, chance: &mut Chance) {
        for _ in 0..2 + chance.below(5) {
            let fault = Fault::PowerLoss { nodes: vec![node], survives: survives(chance) };
            self.down(at, fault, node, chance.between(1, 30));
            at += chance.between(40, 300);
        }
    }

    pub(super) fn against_the_leader(&mut self, at: u64, chance: &mut Chance) {
        if chance.half() {
            self.push(at, Fault::Kill { who: Who::Leader });
            return self.push(at + pause(chance), Fault::Revive);
        }
        let direction = *chance.one_of(&[Direction::Inwards, Direction::Outwards, Direction::Both]);
        self.push(at, Fault::Isolate { who: Who::Leader, direction });
        self.push(at + pause(chance), Fault::Rejoin);
    }

    /// Two halves that see each other only through one node.
    fn bridge(&mut self, bridge: u64, at: u64, until: u64) {
        let others: Vec<u64> = (1..=self.nodes).filter(|node| *node != bridge).collect();
        let (left, right) = others.split_at(others.len() / 2);
        for (from, to) in left.iter().flat_map(|from| right.iter().map(|to| (*from, *to))) {
            self.cut(from, to, at, until);
            self.cut(to, from, at, until);
        }
    }

    /// Bad weather often passes, and sometimes lasts for the rest of the run.
    fn weather(&mut self, at: u64, chance: &mut Chance) {
        let mut rate = |most: u64| if chance.half() { chance.below(most + 1) as u16 } else { 0 };
        let (lost_per_mille, doubled_per_mille, reset_per_mille) = (rate(20), rate(300), rate(20));
        let slow_ms = *chance.one_of(&[0, 0, 20, 150]);
        self.push(at, Fault::Weather { lost_per_mille, doubled_per_mille, reset_per_mille, slow_ms });
        if !chance.once_in(3) {
            let calm =
                Fault::Weather { lost_per_mille: 0, doubled_per_mille: 0, reset_per_mille: 0, slow_ms: 0 };
            self.push(at + pause(chance), calm);
        }
    }

    /// Only nodes that are a minority, the same throughout a run, are ever damaged.
    fn damage(&mut self, node: u64, at: u64, chance: &mut Chance) {
        let minority = (self.nodes - 1) / 2;
        if minority == 0 {
            return;
        }
        let first = Chance::new(self.seed, 4).below(self.nodes);
        let node = 1 + (first + node % minority) % self.nodes;
        let fault = damaging(node, chance);
        self.down(at, fault, node, pause(chance));
    }

    /// To whom the links of `node` are cut: all other nodes, one of them, or somebody outside.
    fn others(&self, node: u64, chance: &mut Chance) -> Vec<u64> {
        let others: Vec<u64> = (1..=self.nodes).filter(|other| *other != node).collect();
        let outsiders = self.outsiders();
        match chance.below(4) {
            2 => vec![*chance.one_of(&others)],
            3 if !outsiders.is_empty() => vec![*chance.one_of(&outsiders)],
            _ => others,
        }
    }
}

fn act(chance: &mut Chance) -> Act {
    match chance.below(18) {
        0..=4 => Act::Read(reading(chance)),
        5 | 6 => Act::Propose,
        7 => Act::ProposeMonotonic,
        8 | 9 => Act::Insist,
        10 | 11 => Act::Keyed,
        12 => Act::Alone,
        13 => Act::WalkAway { after_ms: chance.between(1, 40) },
        15 => Act::Newcomer { commands: 1 + chance.below(3) },
        14 => Act::ReadBurst { reads: 2 + chance.below(6) },
        _ => Act::Burst { commands: 2 + chance.below(5) },
    }
}

fn reading(chance: &mut Chance) -> Reading {
    match chance.below(8) {
        0 | 1 => Reading::Linearizable,
        2 => Reading::Lease,
        // Nobody may have come so far yet.
        3 => Reading::AtLeast(chance.below(4)),
        4 => Reading::HandedOn,
        5 => Reading::Stale,
        6 => Reading::Monotonic,
        _ => Reading::MonotonicLinearizable,
    }
}

fn damaging(node: u64, chance: &mut Chance) -> Fault {
    match chance.below(4) {
        0 => Fault::Wipe { node },
        _ => Fault::FlipBit { node, choice: chance.any() },
    }
}

/// How long something lasts, in milliseconds: often shorter than an election, sometimes much longer.
pub(super) fn pause(chance: &mut Chance) -> u64 {
    match chance.below(3) {
        0 => chance.between(1, 50),
        1 => chance.between(50, 600),
        _ => chance.between(600, 6000),
    }
}

pub(super) fn survives(chance: &mut Chance) -> Survives {
    if chance.half() { Survives::Nothing } else { Survives::Subset(chance.any()) }
}
