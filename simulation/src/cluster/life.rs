//! One life of a node.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use lovebird_core::error::{StartError, Stopped};
use lovebird_core::formation::IfEmpty;
use lovebird_core::node::{Node, Options, Parts};
use lovebird_core::planted::{self, Bug};
use lovebird_core::runtime;
use lovebird_core::service::Service;
use lovebird_storage::log::Prepare;
use lovebird_storage::{
    DataDirectory, Expected, Log, LogOptions, Origin, SnapshotDirectory, SnapshotOptions,
};
use lovebird_transport::Host;
use madsim::runtime::Handle;
use tokio::sync::Notify;

use super::{Replica, Setting, Stand, address, lock};
use crate::chance::Chance;
use crate::check::Invariant;
use crate::pace::take_turns;
use crate::story::Turn;
use crate::watched::{self, Subject, Watched};

const GROUP: u32 = 0;

/// The model of a subject.
const fn model<S: Subject>() -> lovebird_core::service::Model {
    <S::Service as Service>::MODEL
}

/// Small numbers, so that a run of seconds has elections, segments, snapshots and purges. Lives after the first may have
/// others: a restart may change the configuration.
fn options(seed: u64, node: u64, life: u64) -> Options {
    let mut chance = Chance::new(seed, 1_000_000 * node + life);
    let usual = life == 1 || chance.half();
    let (snapshot_records, keep_records) =
        if usual { (150, 40) } else { (chance.between(20, 400), chance.below(100)) };
    Options {
        snapshot_records,
        keep_records,
        heartbeat: Duration::from_millis(50),
        election: Duration::from_millis(250),
        ..Options::default()
    }
}

pub(super) async fn live<S: Subject>(setting: Arc<Setting>, stand: Arc<Stand<S>>) {
    let id = stand.id;
    let life = stand.lives.fetch_add(1, Ordering::Relaxed) + 1;
    setting.checker.life(id, life, Turn::Starts, String::new);
    match open(&setting, &stand, life).await {
        Ok(replica) => {
            setting.checker.life(id, life, Turn::Serves, String::new);
            let reason = replica.node.stopped().await;
            setting.checker.life(id, life, Turn::Stopped, || reason.to_string());
            let removed = matches!(reason, Stopped::Removed(_) | Stopped::Refused(_));
            if !stand.is_removed(removed) && !stand.may_stop() {
                let sentence = format!("node {id} stopped by itself in life {life}: {reason}");
                setting.checker.violation(Invariant::Steadfast, sentence);
            }
        }
        Err(error) => {
            setting.checker.life(id, life, Turn::Refused, || error.to_string());
            let removed = matches!(error, StartError::Removed { .. });
            if !stand.is_removed(removed) && !stand.may_stop() {
                let sentence = format!("node {id} did not start its life {life}: {error}");
                setting.checker.violation(Invariant::Steadfast, sentence);
            }
            // What was refused is shut down again, as the facade does.
            let refused = stand.running().take();
            if let Some(refused) = refused {
                setting.network.unregister(&address(id));
                refused.node.abort().await;
            }
        }
    }
    stand.ended.store(true, Ordering::Relaxed);
    // The end of this task would be the end of the node, which is the plan's to decide.
    std::future::pending::<()>().await;
}

/// The life of a disk that is new.
fn incarnation<S: Subject>(stand: &Stand<S>) -> u64 {
    let (random, former) = (runtime::random_u64(), stand.former.load(Ordering::Relaxed));
    if planted::is(Bug::ReuseLife) && former > 0 { former } else { random }
}

/// The members that a node is started with: those that the cluster began with, unless it is to be added.
fn members<S: Subject>(setting: &Setting, stand: &Stand<S>) -> BTreeMap<u64, String> {
    if setting.members.contains_key(&stand.id) && *lock(&stand.if_empty) != IfEmpty::Wait {
        return setting.members.clone();
    }
    BTreeMap::from([(stand.id, address(stand.id))])
}

/// Whoever started a node on a new disk may say so at the next start, or not: by then the log tells.
fn if_empty<S: Subject>(stand: &Stand<S>, seed: u64, life: u64, is_empty: bool) -> IfEmpty {
    match *lock(&stand.if_empty) {
        IfEmpty::Replace if !is_empty && Chance::new(seed, 2_000_000 * stand.id + life).half() => {
            IfEmpty::Form
        }
        if_empty => if_empty,
    }
}

/// A node goes on in no earlier term than it was seen to be in before.
fn check_vote<S: Subject>(setting: &Setting, stand: &Stand<S>, term: u64) {
    let seen = stand.term.load(Ordering::Relaxed);
    if term < seen && !stand.lost.load(Ordering::Relaxed) {
        let sentence =
            format!("node {} was in term {seen}, and its disk says that it is in {term}", stand.id);
        setting.checker.violation(Invariant::VoteIsKept, sentence);
    }
}

/// Puts a node together, as the facade does.
async fn open<S: Subject>(setting: &Setting, stand: &Stand<S>, life: u64) -> Result<Replica<S>, StartError> {
    let own = address(stand.id);
    let path = Path::new("/data");
    let disk = stand.mount();
    let expected = Expected {
        cluster_name: "simulated".to_owned(),
        node: stand.id,
        origin: Origin::Initial(setting.members.keys().copied().collect()),
        model: model::<S>(),
    };
    let mut directory = DataDirectory::open(disk.clone(), path, &expected, incarnation(stand))?;
    stand.incarnation.store(directory.identity().id.incarnation, Ordering::Relaxed);
    let log_options = LogOptions {
        segment_bytes: 64 << 10,
        cache_bytes: 16 << 10,
        missing: directory.missing_log(),
        prepare: Prepare::Reserve,
        ..LogOptions::default()
    };
    let work = Arc::new(Notify::new());
    let more = work.clone();
    let opened = Log::open_in_turns(disk.clone(), &path.join("log"), &log_options, move || more.notify_one());
    let (log, turns) = opened.map_err(StartError::Storage)?;
    runtime::spawn(take_turns(turns, work, stand.pace.clone()));
    let snapshots = SnapshotDirectory::open(disk, &path.join("snapshots"), GROUP, SnapshotOptions::default())
        .map_err(StartError::Storage)?;
    directory.count_start()?;
    let group = log.group(GROUP);
    check_vote(setting, stand, group.state().vote.map_or(0, |vote| vote.term));
    let parts = Parts {
        identity: directory.identity().clone(),
        group: GROUP,
        members: members(setting, stand),
        contacts: setting.contacts.iter().filter(|id| **id != stand.id).map(|id| address(*id)).collect(),
        if_empty: if_empty(stand, setting.seed, life, group.state().last.is_none()),
        log: group.clone(),
        snapshots,
        transport: Arc::new(setting.network.transport(&own)),
        guard: Box::new((log, directory)),
    };
    let replica = watched::Replica { node: stand.id, life, model: model::<S>() };
    let service = S::service(Watched::new(setting.checker.clone(), replica));
    let node = Node::open(service, parts, options(setting.seed, stand.id, life)).await?;
    let here = Handle::current().get_node(madsim::plugin::node()).unwrap_or_else(|| {
        panic!("the task of node {} runs on no node", stand.id);
    });
    let host: Arc<dyn Host> = Arc::new(move |task| drop(here.spawn(task)));
    setting.network.register_on(&own, node.endpoint(), host);
    let replica = Replica { node, log: group };
    *stand.running() = Some(replica.clone());
    replica.node.join().await?;
    Ok(replica)
}
