//! Data directories as nodes of a cluster of three leave them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use lovebird_core::codec::{Bincode, Codec};
use lovebird_core::entry::{Entry, EntryId, EntryKind};
use lovebird_core::fence::{Fence, Token};
use lovebird_core::identity::{ClusterId, Identity, Membership, RaftId};
use lovebird_core::log_store::{Completion, LogState, LogStore, Vote};
use lovebird_core::record::{Number, push_record};
use lovebird_core::service::Model;
use lovebird_core::snapshot_store::{SnapshotFile, SnapshotMeta};
use lovebird_storage::log::{Drive, Missing, Prepare};
use lovebird_storage::{
    DataDirectory, Disk, Expected, Log, LogOptions, Origin, SnapshotDirectory, SnapshotOptions,
};

pub const NAME: &str = "doves";
pub const NEW: ClusterId = ClusterId(0xfeed_beef);
/// Log time of the entry 0, in nanoseconds.
pub const TIME: u64 = 1_700_000_000_000_000_000;

pub fn initial_members() -> BTreeSet<u64> {
    BTreeSet::from([1, 2, 3])
}

/// The cluster that all begin in.
pub fn old() -> ClusterId {
    ClusterId::of(NAME, &initial_members())
}

/// The one life of a node.
pub fn life(node: u64) -> RaftId {
    RaftId::new(node, node * 0x11)
}

pub fn address(node: u64) -> String {
    format!("host-{node}:7000")
}

/// One set of voters, and learners beside them.
pub fn members(voters: &[u64], learners: &[u64]) -> Membership {
    Membership {
        voters: vec![voters.iter().map(|node| life(*node)).collect()],
        members: voters.iter().chain(learners).map(|node| (life(*node), address(*node))).collect(),
    }
}

pub fn alone(node: u64) -> Membership {
    Membership {
        voters: vec![BTreeSet::from([life(node)])],
        members: BTreeMap::from([(life(node), address(node))]),
    }
}

pub fn expected(node: u64) -> Expected {
    let origin = Origin::Initial(initial_members());
    Expected { cluster_name: NAME.to_owned(), node, origin, model: Model::StateMachine }
}

fn token(term: u64) -> Token {
    Token { node: 1, incarnation: life(1).incarnation, counter: term }
}

fn placed(mut entry: Entry, term: u64, number: u64) -> Entry {
    (entry.header.term, entry.header.number) = (term, number);
    entry
}

pub fn membership(term: u64, number: u64, membership: &Membership) -> Entry {
    let mut entry = Entry::new(EntryKind::Membership, Bincode::encode(membership).unwrap().into());
    entry.header.codec = Bincode::ID;
    placed(entry, term, number)
}

pub fn barrier(term: u64, number: u64) -> Entry {
    let mut entry = placed(Entry::new(EntryKind::Barrier, Bytes::new()), term, number);
    (entry.header.time, entry.header.fence.token) = (TIME + number, token(term));
    entry
}

/// One command, the `position`th of its leader: ten times the number of its entry.
pub fn command(term: u64, number: u64, position: u64) -> Entry {
    let mut run = BytesMut::new();
    push_record(&mut run, Number::NONE, &Bincode::encode(&(number * 10)).unwrap());
    let mut entry = placed(Entry::new(EntryKind::Commands, run.freeze()), term, number);
    (entry.header.codec, entry.header.record_count) = (Bincode::ID, 1);
    (entry.header.time, entry.header.fence) = (TIME + number, Fence { token: token(term), position });
    entry
}

/// A log in which the three members form the cluster and command `last - 1` things, all in term 1.
pub fn history(last: u64) -> Vec<Entry> {
    let beginning = [membership(1, 0, &members(&[1, 2, 3], &[])), barrier(1, 1)];
    beginning.into_iter().chain((2..=last).map(|number| command(1, number, number - 1))).collect()
}

/// Small segments, so that logs have several.
pub fn options(missing: Missing) -> LogOptions {
    LogOptions {
        segment_bytes: 4 << 10,
        drive: Drive::InPlace,
        prepare: Prepare::Reserve,
        missing,
        ..LogOptions::default()
    }
}

pub fn durable() -> Completion {
    Box::new(|result| result.unwrap())
}

/// The directory of a node that has started once, has appended `entries` one by one, has voted for node 1 in their first term,
/// and knows `committed`.
pub fn leave(disk: &Arc<dyn Disk>, path: &Path, node: u64, entries: Vec<Entry>, committed: Option<EntryId>) {
    let mut directory =
        DataDirectory::open(disk.clone(), path, &expected(node), life(node).incarnation).unwrap();
    let log = Log::open(disk.clone(), &path.join("log"), &options(Missing::Create)).unwrap().group(0);
    directory.count_start().unwrap();
    let term = entries.first().map_or(1, |entry| entry.header.term);
    log.save_vote(Vote { term, node: life(1), committed: true }, durable()).unwrap();
    for entry in entries {
        log.append(vec![entry], durable()).unwrap();
    }
    log.save_committed(committed).unwrap();
}

/// The log of a directory that is there, to be changed behind its node's back.
pub fn log(disk: &Arc<dyn Disk>, path: &Path) -> Arc<dyn LogStore> {
    Log::open(disk.clone(), &path.join("log"), &options(Missing::Refuse)).unwrap().group(0)
}

pub fn log_state(disk: &Arc<dyn Disk>, path: &Path) -> LogState {
    log(disk, path).state()
}

/// The last entry of the log.
pub fn last_entry(disk: &Arc<dyn Disk>, path: &Path) -> Entry {
    let log = log(disk, path);
    let last = log.state().last.unwrap().number;
    log.read(last..last + 1, usize::MAX).unwrap().pop().unwrap()
}

/// What a directory says when its node starts on it as ever.
pub fn identity(disk: &Arc<dyn Disk>, path: &Path, node: u64) -> Result<Identity, String> {
    let opened = DataDirectory::open(disk.clone(), path, &expected(node), 0xbad);
    opened.map(|directory| directory.identity().clone()).map_err(|error| error.to_string())
}

/// A snapshot of group 0 as of an entry that a log holds.
pub fn meta_at(log: &dyn LogStore, number: u64, membership: &Membership) -> SnapshotMeta {
    let id = log.read(number..number + 1, usize::MAX).unwrap()[0].id();
    SnapshotMeta {
        cluster: old(),
        group: 0,
        last: (id.term, id.number),
        numbering: log.numbering_at(number).unwrap(),
        membership_at: Some((1, 0)),
        membership: membership.clone(),
        sessions_bytes: 0,
    }
}

pub const CONTENT: &[u8] = b"the state, as its machine wrote it";

pub fn take_snapshot(disk: &Arc<dyn Disk>, path: &Path, meta: &SnapshotMeta) -> Arc<dyn SnapshotFile> {
    let store = SnapshotDirectory::open(disk.clone(), &path.join("snapshots"), 0, SnapshotOptions::default())
        .unwrap();
    let mut writer = store.create(meta).unwrap();
    writer.write_all(CONTENT).unwrap();
    writer.finish().unwrap()
}

pub fn id(term: u64, number: u64) -> EntryId {
    EntryId::new(term, number)
}
