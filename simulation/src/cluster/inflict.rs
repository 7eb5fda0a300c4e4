//! Doing what the plan says.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use lovebird_core::runtime::{self, Clocks};
use lovebird_storage::MemoryDisk;
use lovebird_storage::disk::{Fault as DiskFault, Lost, Space};
use madsim::runtime::Handle;

use super::{Cluster, Ends, Stand, lock};
use crate::chance::Chance;
use crate::pace::Latency;
use crate::plan::{Direction, Fault, Survives, Who};
use crate::watched::Subject;

impl<S: Subject> Cluster<S> {
    /// Does what the plan says.
    pub(crate) fn inflict(&self, fault: &Fault) {
        let struck = self.struck(fault);
        self.setting.checker.fault(fault.kind(), struck.clone(), || format!("{fault:?}"));
        match fault {
            Fault::Kill { .. } => struck.iter().for_each(|node| self.kill(*node, Ends::Process)),
            Fault::PowerLoss { survives, .. } => self.lose_power(&struck, *survives),
            Fault::CrashInDisk { operation, survives, .. } => {
                struck.iter().for_each(|node| self.crash_in_disk(*node, *operation, *survives));
            }
            Fault::Restart { node } => self.restart(*node),
            Fault::Revive => self.ids().into_iter().for_each(|id| self.restart(id)),
            Fault::Pause { for_ms, .. } => struck.iter().for_each(|node| self.pause(*node, *for_ms)),
            Fault::Cut { from, to } => self.links().cut(*from, *to),
            Fault::Heal { from, to } => self.links().heal(*from, *to),
            Fault::Isolate { direction, .. } => {
                struck.iter().for_each(|node| self.isolate(*node, *direction))
            }
            Fault::Rejoin => self.rejoin(),
            Fault::Weather { .. } => self.weather(fault),
            Fault::Drift { node, ppm } => self.with_clock(*node, |clocks, id| clocks.set_drift(id, *ppm)),
            Fault::Leap { node, ahead_ms } => {
                self.with_clock(*node, |clocks, id| clocks.set_wall_error(id, ahead_ms * 1_000_000));
            }
            Fault::SlowDisk { node, sync_ms } => {
                self.with_stand(*node, |stand| stand.pace.set(latency(*sync_ms)));
            }
            Fault::SyncFails { nth, .. } => {
                struck.iter().for_each(|node| self.with_running(*node, |stand| stand.fail_a_sync(*nth)));
            }
            Fault::Full { node } => self.with_stand(*node, |stand| stand.set_space(Space::Full)),
            Fault::Space { node } => self.with_stand(*node, |stand| stand.set_space(Space::Free)),
            Fault::FlipBit { node, choice } => self.damage(*node, |disk| {
                let which = |path: &Path| path.starts_with(part(*choice));
                match choice / 8 % 4 {
                    0 => disk.lose_sector(choice / 32, Lost::Garbage, which),
                    _ => disk.flip_bit(choice / 32, which),
                };
            }),
            Fault::Wipe { node } => self.damage(*node, MemoryDisk::wipe),
            Fault::Join { node } => self.join(*node),
            Fault::Renew { node } => self.renew(*node),
            Fault::Ask { request, patience_ms } => self.ask(*request, *patience_ms),
        }
    }

    /// The nodes that it strikes.
    fn struck(&self, fault: &Fault) -> Vec<u64> {
        match fault {
            Fault::PowerLoss { nodes, .. } => nodes.clone(),
            Fault::Kill { who }
            | Fault::CrashInDisk { who, .. }
            | Fault::Pause { who, .. }
            | Fault::Isolate { who, .. }
            | Fault::SyncFails { who, .. } => self.who(*who).into_iter().collect(),
            fault => fault.node().and_then(|node| self.who(Who::Node(node))).into_iter().collect(),
        }
    }

    fn lose_power(&self, nodes: &[u64], survives: Survives) {
        let mut keep = keeping(survives);
        for node in nodes {
            self.kill(*node, Ends::Machine(&mut keep));
        }
    }

    fn crash_in_disk(&self, node: u64, operation: u64, survives: Survives) {
        let Some(place) = self.places.get(&node) else { return };
        if Handle::current().is_exit(place.handle.id()) {
            // In the middle of its start, then.
            *lock(&place.stand.crash_at_start) = Some((operation, survives));
        } else {
            self.arm(&place.stand, operation, survives);
        }
    }

    /// In this life, the machine loses power in the middle of an operation of its disk.
    pub(super) fn arm(&self, stand: &Arc<Stand<S>>, operation: u64, survives: Survives) {
        if stand.is_damaged_unseen() {
            // See `kill`.
            return;
        }
        stand.excuse();
        let (of_node, struck) = (stand.clone(), self.struck.clone());
        stand.disk.crash_at(operation, keeping(survives), move || {
            of_node.revoke();
            // An error says that the run is over.
            let _ = struck.send(of_node.id);
        });
    }

    /// Ends a node that runs, and damages its disk. One that is down is spared: it may have lost power, and then the end of its
    /// log may rest on nothing but what would be damaged.
    fn damage(&self, node: u64, damage: impl FnOnce(&MemoryDisk)) {
        self.with_stand(node, |stand| {
            // A cluster that has not formed yet needs every one of its first members.
            let formed =
                stand.running().as_ref().is_some_and(|replica| replica.log.state().committed.is_some());
            if formed && !stand.may_stop() {
                stand.lost.store(true, Ordering::Relaxed);
                self.kill(node, Ends::Process);
                damage(&stand.disk);
            }
        });
    }

    /// If the process runs: what is to happen to its disk later is to happen in this life.
    fn with_running(&self, node: u64, act: impl FnOnce(&Arc<Stand<S>>)) {
        let runs = self.places.get(&node).is_some_and(|place| !Handle::current().is_exit(place.handle.id()));
        if runs {
            self.with_stand(node, act);
        }
    }

    fn with_stand(&self, node: u64, act: impl FnOnce(&Arc<Stand<S>>)) {
        if let Some(place) = self.places.get(&node) {
            act(&place.stand);
        }
    }

    fn pause(&self, node: u64, for_ms: u64) {
        let id = self.places[&node].handle.id();
        if Handle::current().is_exit(id) {
            return;
        }
        let life = self.places[&node].stand.life();
        let stand = self.places[&node].stand.clone();
        Handle::current().pause(id);
        madsim::task::spawn(async move {
            runtime::sleep(Duration::from_millis(for_ms)).await;
            if stand.lives.load(Ordering::Relaxed) == life {
                Handle::current().resume(id);
            }
        });
    }

    fn isolate(&self, node: u64, direction: Direction) {
        for other in self.ids().into_iter().filter(|other| *other != node) {
            if direction != Direction::Inwards {
                self.links().cut(node, other);
            }
            if direction != Direction::Outwards {
                self.links().cut(other, node);
            }
        }
    }

    fn rejoin(&self) {
        let ids = self.ids();
        for (from, to) in ids.iter().flat_map(|from| ids.iter().map(move |to| (*from, *to))) {
            self.links().heal(from, to);
        }
    }

    /// What all links are like, those to and from who is outside, too.
    fn weather(&self, weather: &Fault) {
        let Fault::Weather { lost_per_mille, doubled_per_mille, reset_per_mille, slow_ms } = *weather else {
            return;
        };
        let ids = self.ids();
        let everyone: Vec<u64> = ids.iter().copied().chain(self.outsiders.iter().copied()).collect();
        for (node, other) in ids.iter().flat_map(|node| everyone.iter().map(move |other| (*node, *other))) {
            for (from, to) in [(node, other), (other, node)] {
                self.links().set(from, to, |link| {
                    link.loss_per_mille = lost_per_mille.into();
                    link.doubling_per_mille = doubled_per_mille.into();
                    link.resets_per_mille = reset_per_mille.into();
                    link.slow = Duration::from_millis(slow_ms);
                });
            }
        }
    }

    fn with_clock(&self, node: u64, set: impl FnOnce(&Clocks, madsim::task::NodeId)) {
        if let Some(place) = self.places.get(&node) {
            set(&Clocks::current(), place.handle.id());
        }
    }

    /// No operator asks for anything any more, all links carry, all clocks are right, all disks do what they say, all nodes run.
    pub(crate) fn heal(&self) {
        self.setting.checker.fault("heal everything", Vec::new(), String::new);
        self.links().heal_all();
        self.dismiss_operators();
        for node in self.ids() {
            self.with_clock(node, |clocks, id| clocks.set_drift(id, 0));
            self.with_clock(node, |clocks, id| clocks.set_wall_error(id, 0));
            Handle::current().resume(self.places[&node].handle.id());
            let stand = &self.places[&node].stand;
            stand.pace.set(Latency::default());
            stand.set_space(Space::Free);
            *lock(&stand.crash_at_start) = None;
            // Whose disk is still to fail begins anew, without that before it.
            if stand.excused.load(Ordering::Relaxed) {
                self.kill(node, Ends::Process);
            }
            self.restart(node);
        }
    }
}

impl<S: Subject> Stand<S> {
    fn fail_a_sync(&self, nth: u64) {
        self.excuse();
        self.disk.fail(DiskFault::Sync, nth, io::ErrorKind::Other);
    }

    /// A life that has met with a full disk is excused, also when there is space again.
    fn set_space(&self, space: Space) {
        if self.full.swap(space == Space::Full, Ordering::Relaxed) || space == Space::Full {
            self.excuse();
        }
        self.disk.set_space(space);
    }
}

/// What of a data directory is damaged. Most of what a disk holds is snapshots, and most of what matters is the log.
fn part(choice: u64) -> &'static str {
    match choice % 8 {
        0..=3 => "/data/log",
        4 | 5 => "/data/snapshots",
        6 => "/data/identity",
        _ => "/data",
    }
}

/// Syncs that last at least so long, or as usual.
fn latency(sync_ms: u64) -> Latency {
    match sync_ms {
        0 => Latency::default(),
        _ => Latency { base: Duration::from_millis(sync_ms), jitter: Duration::from_millis(sync_ms / 2) },
    }
}

/// Which of the unsynced sectors are kept.
fn keeping(survives: Survives) -> impl FnMut() -> bool + Send + 'static {
    let mut chance = match survives {
        Survives::Nothing => None,
        Survives::Subset(number) => Some(Chance::new(number, 0)),
    };
    move || chance.as_mut().is_some_and(Chance::half)
}
