//! A whole log, damaged and opened.
//!
//! The input writes a log in two groups, ends it in one of several ways, damages its files and opens what is left. What
//! must be found follows from what can still be seen on the disk:
//!
//! - It is always some state of the past, of both groups at the same moment; never a mixture, never anything else.
//! - It is none older than any frame, header or footer that is still good proves: the stream up to there was durable, so its
//!   loss would be noticed. (The last frame itself is proven by nothing, and may go with the tail.)
//! - If only what nobody was told of is damaged, or what costs no data, then the log opens, with all that was acknowledged.
//! - Where it opens, it can be written to, and is found again.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lovebird_core::entry::EntryId;
use lovebird_core::identity::RaftId;
use lovebird_core::log_store::{Completion, Vote};
use lovebird_storage::log::{Check, Drive, Log, Missing, Options, Prepare};
use lovebird_storage::{Disk, MemoryDisk};

use super::image::{Image, Touched};
use super::layout::*;
use super::model::Model;
use super::program::Program;

const DIR: &str = "/log";
const OPERATIONS_MAX: usize = 48;
const DAMAGES_MAX: usize = 8;

/// Both groups at one moment.
type Version = [Model; 2];

/// See the module.
pub fn run(input: &[u8]) {
    let mut program = Program::new(input);
    let mut writing = Writing::new(&mut program);
    for _ in 0..program.below(OPERATIONS_MAX) {
        writing.act(&mut program);
    }
    let (past, mut image) = writing.end(&mut program);
    let mut harmless = true;
    for _ in 0..DAMAGES_MAX {
        if program.is_over() {
            break;
        }
        harmless &= match image.damage(&mut program) {
            Touched::Nothing => true,
            Touched::Bytes(name, range) => past.is_harmless(&name, range),
            Touched::Names => false,
        };
    }
    for check in [Check::LastSegment, Check::Everything] {
        past.judge(&image, check, harmless);
    }
}

/// A log that is being written.
struct Writing {
    disk: MemoryDisk,
    options: Options,
    log: Log,
    term: u64,
    versions: Vec<Version>,
    /// The last version that someone was told of, or that the log itself has relied on.
    acknowledged: Arc<AtomicUsize>,
    /// The version that each frame led to, heads left out.
    frames: Vec<usize>,
    /// Whether a commit point waits for the next frame.
    riding: bool,
    /// The name of the first segment.
    first: Option<String>,
}

fn open(disk: &MemoryDisk, options: &Options) -> std::io::Result<Log> {
    Log::open(Arc::new(disk.mount()), Path::new(DIR), options)
}

impl Writing {
    fn new(program: &mut Program<'_>) -> Writing {
        let options = Options {
            segment_bytes: 2048 << (program.byte() % 4),
            cache_bytes: 4096,
            missing: Missing::Create,
            check: Check::Everything,
            prepare: Prepare::Reserve,
            drive: Drive::InPlace,
        };
        let disk = MemoryDisk::new();
        let log = open(&disk, &options).expect("an empty disk");
        Writing {
            disk,
            options,
            log,
            term: 1,
            versions: vec![Version::default()],
            acknowledged: Arc::default(),
            frames: Vec::new(),
            riding: false,
            first: Some("0000000000000001.segment".to_owned()),
        }
    }

    fn act(&mut self, program: &mut Program<'_>) {
        let code = program.byte();
        if code % 16 == 15 {
            return self.restart();
        }
        let group = usize::from(code >> 7);
        let log = self.log.group(group as u32);
        let mut model = self.versions[self.versions.len() - 1][group].clone();
        match code % 16 {
            0..6 => {
                let mut entries = Vec::new();
                for _ in 0..=program.below(3) {
                    let (kind, bytes) = (program.byte(), usize::from(program.byte()));
                    let entry = model.next(self.term, kind, bytes << (kind >> 6));
                    entries.push(entry.clone());
                    model.append(entry);
                }
                self.note(group, model);
                self.write(|done| log.append(entries, done));
            }
            6 => self.term += 1,
            7 | 8 => {
                let keep = model.entries.len().saturating_sub(program.below(6));
                if keep < model.entries.len() {
                    model.entries.truncate(keep);
                    let last = model.last();
                    self.note(group, model);
                    self.frame(log.truncate_after(last));
                }
            }
            9 | 10 => {
                let Some(last) = program.below(8).min(model.entries.len()).checked_sub(1) else { return };
                let upto = model.entries[last].id();
                model.purged = Some((upto, model.numberings()[last]));
                model.entries.drain(..=last);
                self.note(group, model);
                self.frame(log.purge(upto));
            }
            11 => {
                let number = model.last().map_or(0, |last| last.number) + 1 + u64::from(program.byte());
                let last = EntryId::new(self.term, number);
                let mut numbering = model.end();
                numbering.last_index += 1000;
                model = Model { purged: Some((last, numbering)), entries: Vec::new(), ..model };
                self.note(group, model);
                log.install(last, numbering).expect("a log that has not failed");
                self.frame(log.purge(last));
            }
            12 | 13 => {
                let vote =
                    Vote { term: self.term, node: RaftId::new(1, code.into()), committed: code & 64 == 0 };
                model.vote = Some(vote);
                self.note(group, model);
                self.write(|done| log.save_vote(vote, done));
            }
            _ => {
                model.committed = model.last();
                log.save_committed(model.committed).expect("a log that has not failed");
                self.note(group, model);
                self.riding = true;
            }
        }
    }

    fn note(&mut self, group: usize, model: Model) {
        let mut version = self.versions[self.versions.len() - 1].clone();
        version[group] = model;
        self.versions.push(version);
    }

    /// A write that someone waits for.
    fn write(&mut self, write: impl FnOnce(Completion) -> std::io::Result<()>) {
        let (version, acknowledged) = (self.versions.len() - 1, self.acknowledged.clone());
        self.frame(write(Box::new(move |result| {
            result.expect("a disk that does not fail");
            acknowledged.store(version, Ordering::Relaxed);
        })));
    }

    /// What was just queued has been written.
    fn frame(&mut self, result: std::io::Result<()>) {
        result.expect("a log that has not failed");
        self.frames.push(self.versions.len() - 1);
        self.riding = false;
        let first =
            self.disk.list(Path::new(DIR)).expect("a disk in memory does not fail").into_iter().next();
        if first != self.first {
            // Segments were removed because of what was written, which must have been synced before.
            self.acknowledged.store(self.versions.len() - 1, Ordering::Relaxed);
            self.first = first;
        }
    }

    fn restart(&mut self) {
        let elsewhere = open(&MemoryDisk::new(), &self.options).expect("an empty disk");
        drop(std::mem::replace(&mut self.log, elsewhere));
        self.closed();
        self.log = open(&self.disk, &self.options).expect("a log that was closed");
        assert!(found(&self.log, &self.versions[self.versions.len() - 1]), "a restart has changed the log");
    }

    /// The log was closed, and has written and synced all.
    fn closed(&mut self) {
        if std::mem::take(&mut self.riding) {
            self.frames.push(self.versions.len() - 1);
        }
        self.acknowledged.store(self.versions.len() - 1, Ordering::Relaxed);
    }

    /// Ends it: closed, or in a crash that takes some of what was not synced.
    fn end(mut self, program: &mut Program<'_>) -> (Past, Image) {
        let dir = Path::new(DIR);
        let crash = program.byte();
        let written = match crash {
            0..64 => {
                self.restart();
                Image::of(&self.disk, dir)
            }
            _ => {
                let written = Image::of(&self.disk, dir);
                let mut fates = u64::from(crash) << 56 | program.long();
                self.disk.crash_keeping(&mut || {
                    fates = fates.rotate_left(1);
                    fates & 1 == 1
                });
                written
            }
        };
        let image = Image::of(&self.disk, dir);
        let past = Past::new(self.options, self.versions, &self.frames, &self.acknowledged, &written);
        (past, image)
    }
}

/// Whether the log is this version, as far as it can be read.
fn found(log: &Log, version: &Version) -> bool {
    version.iter().zip(0..).all(|(model, group)| model.is(&*log.group(group)))
}

/// A frame as it was written, and the version up to it.
struct Written {
    frame: Placed,
    version: usize,
    bytes: Vec<u8>,
}

/// A segment as it was written.
struct Segment {
    header: Vec<u8>,
    frames: Vec<Written>,
    /// From the footer on, if it has one: it says that all before is durable.
    footer: Option<Vec<u8>>,
    /// Damage behind this offset costs nothing that anyone was told of.
    harmless_from: usize,
}

/// All that is known of a log.
struct Past {
    options: Options,
    versions: Vec<Version>,
    acknowledged: usize,
    segments: BTreeMap<String, Segment>,
}

impl Past {
    fn new(
        options: Options,
        versions: Vec<Version>,
        frames: &[usize],
        acknowledged: &AtomicUsize,
        written: &Image,
    ) -> Past {
        let acknowledged = acknowledged.load(Ordering::Relaxed);
        let placed: Vec<(&String, &Vec<u8>, Vec<Placed>)> =
            written.files.iter().map(|(name, bytes)| (name, bytes, layout(bytes))).collect();
        // Marks lead to no version of their own.
        let leads = |at: usize, frame: &Placed| at > 0 && frame.bytes > FRAME_HEADER_BYTES;
        let present: usize = placed
            .iter()
            .map(|(_, _, frames)| frames.iter().enumerate().filter(|(at, frame)| leads(*at, frame)).count())
            .sum();
        // Earlier segments may be gone; the last frames are there.
        let gone = frames.len().checked_sub(present).expect("a frame that nobody has written");
        let mut version = gone.checked_sub(1).map_or(0, |last| frames[last]);
        let mut rest = frames[gone..].iter();
        let synced = placed.iter().flat_map(|(_, _, frames)| frames).map(|frame| frame.durable).max();
        let mut segments = BTreeMap::new();
        let last = placed.len() - 1;
        for (at, (name, bytes, frames)) in placed.into_iter().enumerate() {
            let mut harmless_from = 0;
            let frames: Vec<Written> = frames
                .into_iter()
                .enumerate()
                .map(|(at_frame, frame)| {
                    if leads(at_frame, &frame) {
                        version = *rest.next().expect("as many as were counted");
                    }
                    let durable = frame.stream < synced.unwrap_or(0) || at_frame == 0 || at < last;
                    if version <= acknowledged || durable {
                        harmless_from = frame.end();
                    }
                    Written { frame, version, bytes: bytes[frame.at..frame.at + frame.bytes].to_vec() }
                })
                .collect();
            let footer = bytes.ends_with(b"LBIRDEOS").then(|| bytes[harmless_from..].to_vec());
            let header = bytes[..SEGMENT_HEADER_BYTES].to_vec();
            segments.insert(name.clone(), Segment { header, frames, footer, harmless_from });
        }
        Past { options, versions, acknowledged, segments }
    }

    fn is_harmless(&self, name: &str, touched: Range<usize>) -> bool {
        self.segments.get(name).is_none_or(|segment| touched.start >= segment.harmless_from)
    }

    /// The oldest version that may be found, by what is still good.
    fn proven(&self, image: &Image) -> usize {
        let mut durable = 0;
        for (name, segment) in &self.segments {
            let Some(file) = image.files.get(name) else { continue };
            if !file.starts_with(&segment.header) {
                continue;
            }
            // A segment is only begun when all before it is durable.
            durable = durable.max(u64_at(&segment.header, 32));
            for Written { frame, bytes, .. } in &segment.frames {
                if file.get(frame.at..).is_some_and(|rest| rest.starts_with(bytes)) {
                    durable = durable.max(frame.durable);
                }
            }
            if let (Some(footer), Some(last)) = (&segment.footer, segment.frames.last())
                && file.get(last.frame.end()..) == Some(footer)
            {
                durable = durable.max(last.frame.stream + last.frame.room() as u64);
            }
        }
        let frames = self.segments.values().flat_map(|segment| &segment.frames);
        let before = frames.filter(|written| written.frame.stream + written.frame.room() as u64 <= durable);
        before.map(|written| written.version).max().unwrap_or(0)
    }

    fn judge(&self, image: &Image, check: Check, harmless: bool) {
        let disk = image.disk(Path::new(DIR));
        let options = Options { check, missing: Missing::Refuse, ..self.options.clone() };
        let log = match open(&disk, &options) {
            Ok(log) => log,
            Err(error) => {
                assert!(!harmless, "nothing is lost, but the log is not opened: {error}");
                assert_eq!(error.kind(), ErrorKind::InvalidData, "not a refusal: {error}");
                assert_eq!(Image::of(&disk, Path::new(DIR)), *image, "a refusal has changed something");
                return;
            }
        };
        let oldest = if harmless { self.acknowledged } else { 0 }.max(self.proven(image));
        let is_found = |version: &usize| found(&log, &self.versions[*version]);
        let version = (oldest..self.versions.len()).rev().find(is_found).unwrap_or_else(|| {
            let states: Vec<_> = [0, 1].map(|group| log.group(group).state()).into();
            let older = (0..oldest).rev().find(is_found);
            panic!("{states:?} is no version from {oldest} on; of those before it is {older:?}")
        });
        if harmless || check == Check::Everything {
            let readable = |(model, group): (&Model, u32)| model.is_readable(&*log.group(group));
            assert!(self.versions[version].iter().zip(0..).all(readable), "what was checked cannot be read");
        }
        self.go_on(&disk, log, &options, version);
    }

    /// What was opened takes another entry, and has it after a crash.
    fn go_on(&self, disk: &MemoryDisk, log: Log, options: &Options, version: usize) {
        let mut version = self.versions[version].clone();
        let entry = version[0].next(1 << 40, 0, 0);
        version[0].append(entry.clone());
        let done: Completion = Box::new(|result| result.expect("a disk that does not fail"));
        log.group(0).append(vec![entry], done).expect("an entry that follows");
        disk.crash();
        drop(log);
        let again = open(disk, options).unwrap_or_else(|e| panic!("the log is not opened again: {e}"));
        assert!(found(&again, &version), "what was opened and written to is not found again");
    }
}

/// The frames of a segment that nobody has damaged.
fn layout(bytes: &[u8]) -> Vec<Placed> {
    let placed = frames(bytes);
    assert!(!placed.is_empty(), "a segment without a head");
    placed
}
