//! Who only looks at a log finds what an opening would, and never takes a writer at work for damage.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use lovebird_core::log_store::LogStore;
use lovebird_storage::disk::Call;
use lovebird_storage::log::OpenError;
use lovebird_storage::log::inspect::{
    Change, EntryView, Report, Seal, SegmentView, Segments, Verdict, verify,
};
use lovebird_storage::{Disk, MemoryDisk};

use crate::meddled::{Meddled, Moment};
use crate::support::*;

fn look(disk: &dyn Disk) -> Report {
    verify(disk, Path::new(DIR)).unwrap()
}

fn refusal(disk: &dyn Disk) -> String {
    match look(disk).verdict {
        Verdict::Refused(error) => error.to_string(),
        other => panic!("the log is {other:?}"),
    }
}

fn walk(disk: &dyn Disk) -> Vec<SegmentView> {
    Segments::list(disk, Path::new(DIR)).unwrap().map(Result::unwrap).collect()
}

/// The log indexes of all records, as the stream has them.
fn indexes(segments: &[SegmentView]) -> Vec<u64> {
    let mut found = Vec::new();
    for operation in segments.iter().flat_map(|segment| &segment.frames).flat_map(|frame| frame.operations())
    {
        if let Change::Append(entries) = operation.unwrap().change {
            let records = entries.iter().flat_map(|entry| entry.records());
            found.extend(records.filter_map(|record| record.unwrap().log_index));
        }
    }
    found
}

/// A log of several segments, closed.
fn long_log() -> MemoryDisk {
    let disk = MemoryDisk::new();
    stretch(&*open(&disk).group(0), 100, 500);
    assert!(segments(&disk).len() > 3);
    disk
}

#[test]
fn good_log_is_told_as_it_tells_itself() {
    let disk = long_log();
    disk.start_recording();
    let report = look(&disk);
    let views = walk(&disk);
    assert_eq!(disk.take_calls(), [], "looking changes nothing");
    let state = open(&disk).group(0).state();
    assert_eq!(report.verdict, Verdict::Good);
    assert_eq!(report.groups.iter().map(|group| &group.state).collect::<Vec<_>>(), [&state]);
    assert_eq!(report.groups[0].first, Some(0));
    let (last, full) = report.segments.split_last().unwrap();
    assert!(last.seal == Seal::Open && full.iter().all(|segment| segment.seal == Seal::Footer), "{report:?}");
    let frames: u64 = report.segments.iter().map(|segment| segment.frames).sum();
    assert_eq!(frames, 101 + report.segments.len() as u64, "one for each append and for each head");
    // Every segment but the first has a checkpoint in its head.
    let operations: u64 = report.segments.iter().map(|segment| segment.operations).sum();
    assert_eq!(operations, 101 + full.len() as u64);

    assert_eq!(indexes(&views), (1..=100).collect::<Vec<u64>>());
    for (view, report) in views.iter().zip(&report.segments) {
        assert_eq!(
            (view.number, view.bytes_used, view.seal),
            (report.number, report.bytes_used, report.seal)
        );
        assert_eq!((view.torn_bytes, &view.problems[..]), (0, &[][..]));
    }
}

#[test]
fn outcomes_have_records_and_openings_of_sessions_have_none() {
    let disk = MemoryDisk::new();
    let entries = vec![barrier(1, 0), sessions(1, 1, 1, 9), outcomes(1, 2, 2, 3, 5), sessions(1, 3, 3, 9)];
    open(&disk).group(0).append(entries, ignore()).unwrap();
    let views = walk(&disk);
    assert_eq!(look(&disk).verdict, Verdict::Good);
    assert_eq!(indexes(&views), [1, 2, 3]);
    let mut operations = views[0].frames.iter().flat_map(|frame| frame.operations());
    let Change::Append(entries) = operations.next().unwrap().unwrap().change else {
        panic!("nothing was appended")
    };
    let numbers = |view: &EntryView| -> Vec<_> {
        let numbers = view.records().map(|record| record.unwrap().record.number);
        numbers.map(|number| (number.session, number.sequence, number.window)).collect()
    };
    assert_eq!(numbers(&entries[1]), []);
    assert_eq!(numbers(&entries[2]), [(5, 202, 1), (5, 203, 1), (5, 204, 1)]);
}

#[test]
fn offsets_are_where_things_are() {
    let disk = long_log();
    for view in walk(&disk) {
        let bytes = contents(&*disk.open(&view.path).unwrap());
        for frame in &view.frames {
            assert!(bytes[frame.offset as usize..].starts_with(b"LBFR"));
            for operation in frame.operations().map(Result::unwrap) {
                assert_eq!(bytes[operation.offset as usize + 4], operation.group as u8);
                let Change::Append(entries) = operation.change else { continue };
                for entry in entries {
                    assert!(bytes[entry.offset as usize..].starts_with(&entry.entry.header.encode()));
                    for record in entry.records().map(Result::unwrap) {
                        let payload = &bytes[record.offset as usize + 20..];
                        assert!(payload.starts_with(&record.record.payload));
                    }
                }
            }
        }
    }
}

#[test]
fn torn_tail_is_told_as_an_opening_cuts_it() {
    let disk = long_log();
    let last = Path::new(DIR).join(segments(&disk).last().unwrap());
    let file = disk.open(&last).unwrap();
    let end = walk(&disk).last().unwrap().bytes_used;
    file.write_at(end, b"LBFR, and then the power went").unwrap();
    let torn = Verdict::Torn { path: last.clone(), offset: end, bytes: 512 };
    assert_eq!(look(&disk).verdict, torn);
    assert_eq!(look(&disk).groups[0].state.last, Some(id(1, 100)), "what was acknowledged is told as ever");
    assert_eq!(walk(&disk).last().unwrap().torn_bytes, 512);
    open(&disk);
    assert_eq!(look(&disk).verdict, Verdict::Good);
    let garbage = b"and then the power went";
    let found = contents(&*file)[end as usize..].windows(garbage.len()).any(|bytes| bytes == garbage);
    assert!(!found, "the opening has cut it");
}

#[test]
fn damage_is_told_as_an_opening_tells_it_and_the_rest_is_shown() {
    let disk = long_log();
    let names = segments(&disk);
    let view = &walk(&disk)[1];
    let damaged = view.frames[3].offset;
    flip(&*file(&disk, &names[1]), damaged + 100);
    let text = refusal(&disk);
    assert!(text.contains(&names[1]) && text.contains(&format!("at byte {damaged}")), "{text}");
    assert_eq!(look(&disk).segments.len(), 1, "those before it are in order");
    let views = walk(&disk);
    assert_eq!((views[1].frames.len(), views[1].bytes_used), (3, damaged));
    let [problem] = &views[1].problems[..] else { panic!("{:?}", views[1].problems) };
    // How far the damage reaches is for those to say who have read the rest.
    let told = problem.to_string();
    let (before, behind) = told.split_once(". Do not").unwrap();
    assert!(text.starts_with(before) && text.ends_with(behind), "{told}, not {text}");
    let found = indexes(&views);
    assert!(found.contains(&1) && found.contains(&100) && found.len() < 100, "{found:?}");

    // A footer of the last segment, whose next one is not there.
    let disk = long_log();
    let last = Path::new(DIR).join(names.last().unwrap());
    disk.rename(&last, Path::new("/data/aside")).unwrap();
    assert!(refusal(&disk).contains("is missing from the log"));
    assert!(matches!(walk(&disk).last().unwrap().problems[..], [OpenError::Missing { .. }]));

    let disk = long_log();
    disk.remove(&Path::new(DIR).join(&names[2])).unwrap();
    assert!(refusal(&disk).contains(&names[2]));
    let problems: Vec<usize> = walk(&disk).iter().map(|view| view.problems.len()).collect();
    assert_eq!(problems[..3], [0, 0, 1]);

    let disk = long_log();
    file(&disk, &names[1]).write_at(0, &[0; 512]).unwrap();
    assert!(refusal(&disk).contains("its header was synced"));
    let views = walk(&disk);
    assert_eq!((views[1].problems.len(), views[1].frames.len(), views[2].problems.len()), (1, 0, 0));
}

#[test]
fn footer_that_contradicts_its_frames_is_found() {
    let disk = long_log();
    let first = file(&disk, &segments(&disk)[0]);
    let bytes = contents(&*first);
    let at = bytes.chunks(512).position(|sector| sector.starts_with(b"LBIRDFTR")).unwrap() * 512;
    let length = u64::from_le_bytes(bytes[at + 48..at + 56].try_into().unwrap()) as usize;
    let (mut found, mut harmless) = (BTreeMap::new(), 0);
    // A writer that made a mistake gives it a good checksum: change each byte that says something of the group.
    for changed in at + 64..at + 64 + length {
        let mut footer = bytes[at..].to_vec();
        footer[changed - at] ^= 1;
        let crc = crc32c::crc32c(&footer[16..64 + length]);
        footer[12..16].copy_from_slice(&crc.to_le_bytes());
        first.write_at(at as u64, &footer).unwrap();
        match look(&disk).verdict {
            // It makes no sense, so that no opening believes it, or it is a byte that nobody reads.
            Verdict::Good => harmless += 1,
            Verdict::Refused(OpenError::Contradiction { offset, reason, .. }) => {
                assert_eq!(offset, at as u64);
                *found.entry(reason.chars().take(28).collect::<String>()).or_insert(0) += 1;
            }
            other => panic!("byte {changed}: {other:?}"),
        }
    }
    assert_eq!(found.len(), 3, "{found:?}, and {harmless} harmless");
    first.write_at(at as u64, &bytes[at..]).unwrap();
    assert_eq!(look(&disk).verdict, Verdict::Good);
}

/// What a node does while someone looks.
#[derive(Clone, Copy, PartialEq)]
enum Work {
    /// Appends so many entries, each acknowledged.
    Append(u64),
    /// Appends as many as fill a segment, and purges almost everything.
    AppendAndPurge,
    /// Appends an entry for which the last segment has no room, so that it is sealed, and cut.
    AppendLarge,
    /// Purges all but the last entries.
    Purge,
}

impl Work {
    fn begin(self, group: &dyn LogStore) {
        let last = group.state().last.unwrap().number;
        let (entries, bytes) = match self {
            Work::Append(entries) => (entries, 500),
            Work::AppendAndPurge => (40, 500),
            Work::AppendLarge => (1, 15_000),
            Work::Purge => (0, 0),
        };
        for number in last + 1..=last + entries {
            group.append(vec![commands(1, number, number, 1, bytes)], ignore()).unwrap();
        }
        if matches!(self, Work::AppendAndPurge | Work::Purge) {
            group.purge(id(1, last + entries - 1)).unwrap();
        }
    }
}

/// Looks at a log whose node does some work at the `turn`th of the moments that `wanted` chooses. Says how many there were.
fn look_while(work: Work, turn: usize, wanted: fn(&Moment) -> bool, look: &dyn Fn(&dyn Disk)) -> usize {
    let disk = MemoryDisk::new();
    let group = open(&disk).group(0);
    stretch(&*group, 60, 500);
    let moments = Arc::new(Mutex::new(0));
    let counted = moments.clone();
    let meddler = move |moment: Moment| {
        if wanted(&moment) {
            let mut moments = counted.lock().unwrap();
            *moments += 1;
            if *moments == turn {
                work.begin(&*group);
            }
        }
    };
    look(&Meddled { disk, meddler: Arc::new(Mutex::new(meddler)) });
    *moments.lock().unwrap()
}

/// Lets the work happen at each moment in turn.
fn look_at_every_moment(work: Work, wanted: fn(&Moment) -> bool, look: &dyn Fn(&dyn Disk)) {
    let moments = look_while(work, 0, wanted, look);
    assert!(moments > 0, "there is such a moment");
    for turn in 1..=moments {
        look_while(work, turn, wanted, look);
    }
}

fn is_good(disk: &dyn Disk) {
    let report = look(disk);
    assert_eq!(report.verdict, Verdict::Good);
    assert!(report.groups[0].state.last_index >= 60);
    for view in walk(disk) {
        assert_eq!((&view.problems[..], view.torn_bytes), (&[][..], 0));
    }
}

fn walks_well(disk: &dyn Disk) {
    let views = walk(disk);
    for view in &views {
        assert_eq!((&view.problems[..], view.torn_bytes), (&[][..], 0), "segment {}", view.number);
    }
    let found = indexes(&views);
    // What was purged before its turn is left out.
    assert!(found.is_sorted_by(|a, b| a < b) && found.last() >= Some(&60), "{found:?}");
    is_good(disk);
}

#[test]
fn frames_written_while_their_segment_is_read_are_no_damage() {
    fn reading(moment: &Moment) -> bool {
        matches!(moment, Moment::Reading(..))
    }
    // The first frame was not there when its place was read, the second is, and proves that the first was synced.
    look_at_every_moment(Work::Append(2), reading, &is_good);
    look_at_every_moment(Work::Append(2), reading, &walks_well);
    look_at_every_moment(Work::Append(40), reading, &is_good);
    look_at_every_moment(Work::Append(40), reading, &walks_well);
}

#[test]
fn segments_that_come_and_go_at_any_moment_are_no_damage() {
    for wanted in [
        (|moment: &Moment| matches!(moment, Moment::Listed)) as fn(&Moment) -> bool,
        |moment| matches!(moment, Moment::Opened(_)),
        |moment| matches!(moment, Moment::Measured(_)),
        |moment| matches!(moment, Moment::Reading(..)),
    ] {
        for work in [Work::Append(40), Work::AppendAndPurge, Work::AppendLarge, Work::Purge] {
            look_at_every_moment(work, wanted, &is_good);
            look_at_every_moment(work, wanted, &walks_well);
        }
    }
}

#[test]
fn what_is_not_there_is_not_looked_for_again_and_again() {
    let disk = MemoryDisk::new();
    disk.start_recording();
    let error = verify(&disk, Path::new(DIR)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    disk.create_dir(Path::new(DIR)).unwrap();
    assert!(matches!(look(&disk).verdict, Verdict::Refused(OpenError::NoLog { .. })));
    assert_eq!(disk.take_calls(), Vec::<Call>::new());
}
