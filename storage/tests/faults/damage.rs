//! What a log finds on its disk.

use std::path::Path;

use lovebird_core::entry::Entry;
use lovebird_core::identity::RaftId;
use lovebird_core::log_store::Vote;
use lovebird_storage::log::{Check, Missing, Options};
use lovebird_storage::{Disk, MemoryDisk};

use crate::support::*;
use crate::verdict::{Row, Verdict, on_the_real_disk, same, verdict};

/// How a log came to rest.
#[derive(Clone, Copy, PartialEq)]
enum End {
    /// Its node ended as it should.
    Closed,
    /// Its process was killed.
    Killed,
    /// Its machine lost power.
    PowerLoss,
}

/// A log in one segment, with its head in the first 512 bytes behind the header and then a frame of 512 bytes for each entry: a
/// barrier and entries 1 to 5.
fn small(end: End) -> (MemoryDisk, Vec<Entry>) {
    let disk = MemoryDisk::new();
    let log = open(&disk);
    stretch(&*log.group(0), 5, 10);
    let entries = log.group(0).read(0..99, usize::MAX).unwrap();
    match end {
        End::Closed => drop(log),
        End::Killed => disk.crash_keeping(&mut || true),
        End::PowerLoss => disk.crash(),
    }
    (disk, entries)
}

/// Where the frame of an entry begins in the segment of a small log.
fn frame_of(number: u64) -> u64 {
    512 * (number + 2)
}

/// A log in several segments.
fn large() -> (MemoryDisk, Vec<Entry>) {
    let disk = MemoryDisk::new();
    let log = open(&disk);
    stretch(&*log.group(0), 100, 500);
    let entries = log.group(0).read(0..999, usize::MAX).unwrap();
    drop(log);
    assert!(segments(&disk).len() > 3);
    (disk, entries)
}

/// Damages a log and judges it, also on the real disk.
fn judged((disk, entries): (MemoryDisk, Vec<Entry>), damage: impl FnOnce(&MemoryDisk)) -> Verdict {
    damage(&disk);
    let real = on_the_real_disk(&disk, &options());
    let verdict = verdict(&disk, &entries, &options());
    match &verdict {
        Verdict::Refused(why) => assert_eq!(real.as_ref(), Err(why)),
        _ => assert_eq!(real, Ok(())),
    }
    verdict
}

fn segment(disk: &MemoryDisk, at: usize) -> std::sync::Arc<dyn lovebird_storage::DiskFile> {
    file(disk, &segments(disk)[at])
}

fn overwrite(disk: &MemoryDisk, offset: u64, bytes: &[u8]) {
    segment(disk, 0).write_at(offset, bytes).unwrap();
}

/// A write that a power loss has cut at this byte: the frame of a sixth entry, which nobody was told of.
fn cut_write(cut: usize) -> Verdict {
    let (disk, entries) = small(End::PowerLoss);
    let log = open(&disk);
    log.group(0).append(vec![commands(1, 6, 6, 1, 10)], ignore()).unwrap();
    let frame = frame_of(6) as usize;
    let written = contents(&*segment(&disk, 0))[frame..frame + 512].to_vec();
    disk.crash();
    overwrite(&disk, frame_of(6), &[0; 512]);
    overwrite(&disk, frame_of(6), &written[..cut]);
    verdict(&disk, &entries, &options())
}

/// Flips one bit of each of some bytes, one after another.
fn flips(make: impl Fn() -> (MemoryDisk, Vec<Entry>), at: u64, bytes: &[u64]) -> Verdict {
    same(bytes.iter().map(|byte| judged(make(), |disk| flip(&*segment(disk, 0), at + byte))))
}

/// Where in the first segment of a large log the last frame begins, and where its footer does.
fn ends() -> (u64, u64) {
    let bytes = contents(&*segment(&large().0, 0));
    let last = |magic: &[u8]| (0..bytes.len()).step_by(512).rfind(|at| bytes[*at..].starts_with(magic));
    (last(b"LBFR").unwrap() as u64, last(b"LBIRDFTR").unwrap() as u64)
}

fn renamed(disk: &MemoryDisk, from: usize, to: &str) {
    let name = segments(disk)[from].clone();
    disk.rename(&Path::new(DIR).join(name), &Path::new(DIR).join(to)).unwrap();
}

fn removed(at: usize) -> Verdict {
    judged(large(), |disk| {
        let at = at.min(segments(disk).len() - 1);
        disk.remove(&Path::new(DIR).join(&segments(disk)[at])).unwrap();
    })
}

/// Bytes of a frame: magic, checksum, version, log, sequence, stream, durable, operation, entry.
const FRAME: [u64; 10] = [0, 5, 8, 16, 24, 32, 40, 64, 80, 150];

pub fn rows() -> Vec<Row> {
    let mut rows = of_the_last_segment();
    rows.extend(of_sealed_segments());
    rows.extend(of_files());
    let row = |(fault, verdict): (_, Verdict)| Row { fault, verdict: verdict.to_string() };
    rows.into_iter().map(row).collect()
}

fn of_the_last_segment() -> Vec<(&'static str, Verdict)> {
    let garbage: Vec<u8> = (0..2000u32).map(|at| ((at * 7919) >> 3) as u8).collect();
    vec![
        ("the last write, not acknowledged, cut at any byte", same((0..512).map(cut_write))),
        (
            "garbage behind the last frame",
            judged(small(End::PowerLoss), |disk| overwrite(disk, frame_of(6), &garbage)),
        ),
        (
            "after a power loss in the seconds behind it: the last frame zeroed, or a bit of it flipped. Until the system has \
             written the mark behind it, nothing on the disk tells that it was acknowledged",
            same([
                judged(small(End::PowerLoss), |disk| overwrite(disk, frame_of(5), &[0; 512])),
                flips(|| small(End::PowerLoss), frame_of(5), &FRAME),
            ]),
        ),
        (
            "after a clean end, or when the process was killed: the last frame zeroed, or a bit of it flipped",
            same([End::Closed, End::Killed].map(|end| {
                same([
                    judged(small(end), |disk| overwrite(disk, frame_of(5), &[0; 512])),
                    flips(|| small(end), frame_of(5), &FRAME),
                ])
            })),
        ),
        (
            "any frame before the last one zeroed, or a bit of it flipped",
            same((2..5).map(|number| {
                same([
                    judged(small(End::PowerLoss), |disk| overwrite(disk, frame_of(number), &[0; 512])),
                    flips(|| small(End::PowerLoss), frame_of(number), &FRAME),
                ])
            })),
        ),
        (
            "two frames swapped",
            judged(small(End::PowerLoss), |disk| {
                let bytes = contents(&*segment(disk, 0));
                let frame = |number| &bytes[frame_of(number) as usize..][..512];
                overwrite(disk, frame_of(2), frame(3));
                overwrite(disk, frame_of(3), frame(2));
            }),
        ),
        (
            "a frame repeated behind the last one",
            judged(small(End::PowerLoss), |disk| {
                let bytes = contents(&*segment(disk, 0));
                overwrite(disk, frame_of(6), &bytes[frame_of(5) as usize..][..512]);
            }),
        ),
    ]
}

fn of_sealed_segments() -> Vec<(&'static str, Verdict)> {
    let (last, footer) = ends();
    let everything = Options { check: Check::Everything, ..options() };
    let (disk, entries) = large();
    flip(&*segment(&disk, 0), last + 100);
    let checked = verdict(&disk, &entries, &everything);
    vec![
        ("a bit of a segment's header flipped", flips(large, 0, &[0, 7, 12, 16, 24, 32, 40, 47])),
        ("a segment's header zeroed", judged(large(), |disk| overwrite(disk, 0, &[0; 512]))),
        ("a bit of a segment's head flipped", flips(large, 512, &[0, 5, 8, 16, 24, 32, 40])),
        ("a bit of a sealed segment's frames flipped", flips(large, last, &[64 + 12 + 5, 64 + 12 + 100])),
        ("the same, opened with `Check::Everything`", checked),
        (
            "an entry of a sealed segment in the place of another",
            judged(large(), |disk| {
                let bytes = contents(&*segment(disk, 0));
                let frames: Vec<usize> =
                    (0..bytes.len()).step_by(512).filter(|at| bytes[*at..].starts_with(b"LBFR")).collect();
                let (from, to) = (frames[4] + 76, frames[5] + 76);
                overwrite(disk, to as u64, &bytes[from..from + 88 + 20 + 500]);
            }),
        ),
        ("a bit of a footer flipped", flips(large, footer, &[0, 8, 12, 16, 24, 32, 48, 56, 64, 130, 200])),
        (
            "a sealed segment cut short, footer and last frame gone",
            judged(large(), |disk| segment(disk, 0).set_len(last).unwrap()),
        ),
    ]
}

/// A log whose second segment comes from a copy of it. Both have gone on from the same entries: the log with a vote in term 5
/// and entries of 500 bytes, the copy with a vote and entries of its own.
fn of_a_copy(bytes: usize, term: u64) -> Verdict {
    let start = MemoryDisk::new();
    stretch(&*open(&start).group(0), 5, 500);
    let go_on = |bytes: usize, term: u64| {
        let disk = MemoryDisk::new();
        disk.create_dir(Path::new(DIR)).unwrap();
        for name in segments(&start) {
            let copy = disk.create(&Path::new(DIR).join(&name)).unwrap();
            copy.write_at(0, &contents(&*file(&start, &name))).unwrap();
        }
        let log = open(&disk);
        let group = log.group(0);
        group.save_vote(Vote { term, node: RaftId::new(1, 7), committed: true }, ignore()).unwrap();
        for number in 6..60 {
            group.append(vec![commands(1, number, number, 1, bytes)], ignore()).unwrap();
        }
        let entries = group.read(0..99, usize::MAX).unwrap();
        drop((group, log));
        (disk, entries)
    };
    let copy = contents(&*segment(&go_on(bytes, term).0, 1));
    judged(go_on(500, 5), |disk| {
        let ours = segment(disk, 1);
        ours.set_len(copy.len() as u64).unwrap();
        ours.write_at(0, &copy).unwrap();
    })
}

fn of_files() -> Vec<(&'static str, Verdict)> {
    let (gone, entries) = large();
    for name in segments(&gone) {
        gone.remove(&Path::new(DIR).join(name)).unwrap();
    }
    let refuse = Options { missing: Missing::Refuse, ..options() };
    let gone = verdict(&gone, &entries, &refuse);
    vec![
        ("the first segment missing", removed(0)),
        ("a segment in the middle missing", removed(2)),
        ("the last segment missing", removed(usize::MAX)),
        ("all segments missing, where the data directory knows that there was a log", gone),
        (
            "two segments swapped",
            judged(large(), |disk| {
                let names = segments(disk);
                renamed(disk, 1, "aside");
                renamed(disk, 1, &names[1]);
                disk.rename(&Path::new(DIR).join("aside"), &Path::new(DIR).join(&names[2])).unwrap();
            }),
        ),
        (
            "a segment of another log among the others",
            judged(large(), |disk| {
                let other = contents(&*segment(&large().0, 1));
                let ours = segment(disk, 1);
                ours.write_at(0, &other).unwrap();
                ours.set_len(other.len() as u64).unwrap();
            }),
        ),
        ("a segment of a copy of the directory that has gone another way", of_a_copy(300, 5)),
        ("the same, where all its frames have the same lengths", of_a_copy(500, 6)),
        ("a directory of something else", judged(small(End::Closed), |disk| renamed(disk, 0, "notes.txt"))),
        (
            "a segment's name on a file of something else",
            judged(small(End::Closed), |disk| {
                overwrite(disk, 0, b"Dear diary, today I lost a disk. It was all I had.")
            }),
        ),
        ("a segment of a later version", judged(small(End::Closed), |disk| overwrite(disk, 8, &[2]))),
        (
            "a file that was to become a segment, left by a crash",
            judged(small(End::PowerLoss), |disk| {
                let spare = disk.create(&Path::new(DIR).join("0000000000000001.spare")).unwrap();
                spare.write_at(0, b"LBIRDLOG").unwrap();
            }),
        ),
    ]
}
