//! Whatever is done to a log, and wherever it crashes: it is found again as a prefix of what was done, with everything that
//! was acknowledged, and it counts as counting from scratch does.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use lovebird_core::entry::{Entry, EntryId};
use lovebird_core::fence::{Numbering, count};
use lovebird_core::identity::RaftId;
use lovebird_core::log_store::{LogState, LogStore, Vote};
use lovebird_storage::MemoryDisk;
use lovebird_storage::disk::Fault;
use lovebird_storage::log::inspect::{Verdict, verify};
use lovebird_storage::log::{Check, Log, Options};
use proptest::prelude::*;

use crate::support::*;

/// What a test does, in numbers that make sense whatever the log holds.
#[derive(Clone, Debug)]
enum Act {
    /// Entries of the present term: how many, and what kind each is.
    Append(Vec<u8>),
    /// A new term begins.
    Term,
    /// Cuts so many entries off the end.
    Truncate(u8),
    /// Purges so many entries.
    Purge(u8),
    /// A snapshot takes the log's place, so many entries beyond its end.
    Install(u8),
    Vote,
    Committed,
    /// The machine loses power; the seed decides which unsynced sectors survive.
    Crash(u64),
    /// Entries, or a vote if there are none; at one of the calls to the disk that they take the machine loses power.
    CrashWithin(Vec<u8>, u64),
    /// A clean end and a new start.
    Restart,
}

fn acts() -> impl Strategy<Value = Vec<(u8, Act)>> {
    let act = prop_oneof![
        6 => prop::collection::vec(any::<u8>(), 0..6).prop_map(Act::Append),
        1 => Just(Act::Term),
        2 => (0..6u8).prop_map(Act::Truncate),
        2 => (0..12u8).prop_map(Act::Purge),
        1 => (1..9u8).prop_map(Act::Install),
        1 => Just(Act::Vote),
        1 => Just(Act::Committed),
        1 => any::<u64>().prop_map(Act::Crash),
        2 => (prop::collection::vec(any::<u8>(), 0..6), any::<u64>())
            .prop_map(|(kinds, seed)| Act::CrashWithin(kinds, seed)),
        1 => Just(Act::Restart),
    ];
    prop::collection::vec((0..2u8, act), 1..80)
}

/// A log as simple as can be: what a group should hold.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    purged: Option<(EntryId, Numbering)>,
    entries: Vec<Entry>,
    vote: Option<Vote>,
    committed: Option<EntryId>,
}

impl Model {
    fn of(log: &dyn LogStore) -> Model {
        let state = log.state();
        Model {
            purged: state.purged.map(|id| (id, log.numbering_at(id.number).unwrap())),
            entries: log.read(0..u64::MAX, usize::MAX).unwrap(),
            vote: state.vote,
            committed: state.committed,
        }
    }

    fn last(&self) -> Option<EntryId> {
        self.entries.last().map(Entry::id).or(self.purged.map(|(id, _)| id))
    }

    fn first(&self) -> u64 {
        self.purged.map_or(0, |(id, _)| id.number + 1)
    }

    fn base(&self) -> Numbering {
        self.purged.map_or(Numbering::default(), |(_, numbering)| numbering)
    }

    /// Counts from scratch, after each entry.
    fn numberings(&self) -> Vec<Numbering> {
        let mut numbering = self.base();
        self.entries
            .iter()
            .map(|entry| {
                numbering = count(numbering, &entry.header).0;
                numbering
            })
            .collect()
    }

    fn end(&self) -> Numbering {
        self.numberings().last().copied().unwrap_or(self.base())
    }

    /// Stamps as the fence says.
    fn append(&mut self, mut entry: Entry) {
        entry.header.first_index = count(self.end(), &entry.header).1.unwrap_or(0);
        self.entries.push(entry);
    }
}

/// One group's way through a test.
#[derive(Default)]
struct Group {
    /// What it was after each write, from the first.
    versions: Vec<Model>,
    /// The last version known to be durable.
    acknowledged: Arc<Mutex<usize>>,
}

impl Group {
    fn now(&self) -> Model {
        self.versions.last().cloned().unwrap_or_default()
    }

    /// Everything up to the version that is about to be made is durable when this is called.
    fn acknowledge(&self) -> lovebird_core::log_store::Completion {
        let (version, acknowledged) = (self.versions.len(), self.acknowledged.clone());
        Box::new(move |result| {
            if result.is_ok() {
                *acknowledged.lock().unwrap() = version;
            }
        })
    }
}

struct Test {
    disk: MemoryDisk,
    log: Option<Log>,
    groups: BTreeMap<u32, Group>,
    term: u64,
}

impl Test {
    fn new() -> Test {
        let disk = MemoryDisk::new();
        let log = Some(open(&disk));
        let group = || Group { versions: vec![Model::default()], ..Group::default() };
        Test { disk, log, groups: BTreeMap::from([(0, group()), (1, group())]), term: 1 }
    }

    fn act(&mut self, group: u32, act: &Act) {
        match act {
            Act::Term => self.term += 1,
            Act::Restart => {
                self.log = None;
                self.check_whole();
                self.log = Some(open(&self.disk));
                self.groups.values().for_each(|group| {
                    *group.acknowledged.lock().unwrap() = group.versions.len() - 1;
                });
            }
            Act::Crash(seed) => {
                let mut chance = *seed;
                self.disk.crash_keeping(&mut || {
                    // xorshift64, by Marsaglia; never 0.
                    chance = (chance | 1) ^ (chance << 13);
                    chance ^= chance >> 7;
                    chance ^= chance << 17;
                    chance.is_multiple_of(2)
                });
                self.log = Some(open(&self.disk));
                self.check_crash();
            }
            Act::CrashWithin(kinds, seed) => {
                // One of the next calls to the disk; a write that begins no segment has two or three.
                self.disk.fail(Fault::Any, seed % 6 + 1, std::io::ErrorKind::Other);
                let write = if kinds.is_empty() { Act::Vote } else { Act::Append(kinds.clone()) };
                self.write(group, &write);
                self.act(group, &Act::Crash(*seed));
            }
            act => self.write(group, act),
        }
        self.check();
    }

    fn write(&mut self, number: u32, act: &Act) {
        let log = self.log.as_ref().unwrap().group(number);
        let term = self.term;
        let group = self.groups.get_mut(&number).unwrap();
        let mut model = group.now();
        match act {
            Act::Append(kinds) => {
                let mut entries = Vec::new();
                for kind in kinds {
                    let entry = next_entry(&model, term, *kind);
                    entries.push(entry.clone());
                    model.append(entry);
                }
                log.append(entries, group.acknowledge()).unwrap();
            }
            Act::Truncate(entries) => {
                let keep = model.entries.len().saturating_sub(usize::from(*entries));
                model.entries.truncate(keep);
                log.truncate_after(model.last()).unwrap();
            }
            Act::Purge(entries) => {
                let drop = usize::from(*entries).min(model.entries.len());
                let Some(last) = drop.checked_sub(1) else { return };
                model.purged = Some((model.entries[last].id(), model.numberings()[last]));
                model.entries.drain(..drop);
                log.purge(model.purged.unwrap().0).unwrap();
            }
            Act::Install(ahead) => {
                let last = EntryId::new(term, model.last().map_or(0, |last| last.number) + u64::from(*ahead));
                let mut numbering = model.end();
                numbering.last_index += 1000;
                model.purged = Some((last, numbering));
                model.entries.clear();
                log.install(last, numbering).unwrap();
                log.purge(last).unwrap();
            }
            Act::Vote => {
                let vote = Vote { term, node: RaftId::new(number.into(), 3), committed: false };
                model.vote = Some(vote);
                log.save_vote(vote, group.acknowledge()).unwrap();
            }
            Act::Committed => {
                model.committed = model.last();
                log.save_committed(model.committed).unwrap();
            }
            Act::Term | Act::Crash(_) | Act::CrashWithin(..) | Act::Restart => unreachable!("not a write"),
        }
        group.versions.push(model);
    }

    /// Each group is one of its versions, none older than the last one acknowledged; that one it is from now on.
    fn check_crash(&mut self) {
        for (number, group) in &mut self.groups {
            let found = Model::of(&*self.log.as_ref().unwrap().group(*number));
            let acknowledged = *group.acknowledged.lock().unwrap();
            let version = group.versions[acknowledged..].iter().rposition(|version| *version == found);
            let Some(version) = version else {
                panic!(
                    "group {number} is {found:#?}, which is none of {:#?}",
                    &group.versions[acknowledged..]
                );
            };
            group.versions.truncate(acknowledged + version + 1);
            *group.acknowledged.lock().unwrap() = acknowledged + version;
        }
    }

    /// Who reads all of every segment finds what the footers say.
    fn check_whole(&self) {
        let everything = Options { check: Check::Everything, ..options() };
        let log = Log::open(Arc::new(self.disk.mount()), Path::new(DIR), &everything).unwrap();
        for (number, group) in &self.groups {
            assert_eq!(Model::of(&*log.group(*number)), group.now());
        }
    }

    /// Who only looks finds what the log says of itself, and footers that say what the frames do.
    fn check_inspected(&self) {
        let report = verify(&self.disk, Path::new(DIR)).unwrap();
        assert_eq!(report.verdict, Verdict::Good);
        for found in report.groups {
            let state = self.log.as_ref().unwrap().group(found.group).state();
            // A commit point alone is written with whatever comes next.
            assert_eq!(found.state, LogState { committed: found.state.committed, ..state });
        }
    }

    /// The log is what the model says, and counts as it does.
    fn check(&self) {
        self.check_inspected();
        for (number, group) in &self.groups {
            let log = self.log.as_ref().unwrap().group(*number);
            let model = group.now();
            assert_eq!(Model::of(&*log), model);
            let state = log.state();
            assert_eq!(state.last, model.last());
            assert_eq!(
                (state.first_index, state.last_index),
                (model.base().last_index + 1, model.end().last_index)
            );
            for (at, numbering) in model.numberings().into_iter().enumerate() {
                assert_eq!(log.numbering_at(model.entries[at].header.number), Some(numbering));
            }
            for entry in model.entries.iter().filter(|entry| entry.header.first_index > 0) {
                let last = entry.header.first_index + u64::from(entry.header.record_count) - 1;
                assert_eq!(log.find(last), Some(entry.header.number));
            }
        }
    }
}

/// A blank, a barrier, or a batch of any kind that stands in its leader's order or does not.
fn next_entry(model: &Model, term: u64, kind: u8) -> Entry {
    let number = model.last().map_or(model.first(), |last| last.number + 1);
    let (end, bytes) = (model.end(), usize::from(kind) * 4);
    match kind % 8 {
        0 => blank(term, number),
        1 | 2 => barrier(term, number),
        3 if kind < 128 => commands(term, number, end.position + 2, 1, bytes),
        3 => sessions(term, number, end.position + 2, bytes),
        4 => sessions(term, number, end.position + 1, bytes),
        5 => outcomes(term, number, end.position + 1, u32::from(kind % 5) + 1, bytes),
        _ => commands(term, number, end.position + 1, u32::from(kind % 5) + 1, bytes),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn log_is_always_a_prefix_that_holds_what_was_acknowledged(acts in acts()) {
        let mut test = Test::new();
        for (group, act) in &acts {
            test.act(u32::from(*group), act);
        }
        test.act(0, &Act::Restart);
    }
}
