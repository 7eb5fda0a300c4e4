use std::path::Path;
use std::sync::Arc;

use lovebird_storage::disk::Call;
use lovebird_storage::log::{Check, Log, Missing, Options, Prepare};
use lovebird_storage::{Disk, DiskFile, MemoryDisk};

use crate::support::*;

fn refusal(disk: &MemoryDisk) -> String {
    let error = try_open(disk).expect_err("this log must not be opened");
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
    error.to_string()
}

/// A log whose last segment holds the head and then frames of 512 bytes each: a barrier and entries 1 to `entries`. Its
/// machine has crashed, so that nothing closes it.
fn small_log(entries: u64) -> MemoryDisk {
    let disk = MemoryDisk::new();
    let log = open(&disk);
    stretch(&*log.group(0), entries, 10);
    disk.crash();
    disk
}

/// The file offset of the frame that holds entry `number` of a [`small_log`].
fn frame_of(number: u64) -> u64 {
    512 * (number + 2)
}

#[test]
fn torn_tail_is_cut_at_every_byte_of_the_last_frame() {
    let whole = small_log(5);
    let name = segments(&whole)[0].clone();
    let bytes = contents(&*file(&whole, &name));
    let (start, end) = (frame_of(5) as usize, frame_of(6) as usize);
    assert!(bytes[end..].iter().all(|byte| *byte == 0));
    let used = (start..end).rfind(|at| bytes[*at] != 0).unwrap() + 1;
    for cut in start..used {
        let disk = small_log(4);
        let torn = file(&disk, &name);
        // Another log has another random number: take all the bytes of the first one, up to the cut.
        torn.write_at(0, &bytes[..cut]).unwrap();
        torn.sync_data().unwrap();
        let group = open(&disk).group(0);
        assert_eq!(group.state().last, Some(id(1, 4)), "cut at byte {cut}");
        let rest = contents(&*torn);
        assert!(
            rest[start..].iter().all(|byte| *byte == 0),
            "cut at byte {cut}: something is left behind the tail"
        );
        group.append(vec![commands(1, 5, 5, 1, 10)], ignore()).unwrap();
        drop(group);
        disk.crash();
        assert_eq!(open(&disk).group(0).state().last_index, 5);
    }
}

/// That the last frame had been synced is known from the mark behind it, for which nobody waits, and which is not synced. Found by
/// the simulator: a node refused a damaged log, its machine lost power, and then it opened the log without what was damaged.
#[test]
fn damage_that_was_refused_is_refused_after_a_power_loss_too() {
    let disk = MemoryDisk::new();
    let log = open(&disk);
    stretch(&*log.group(0), 5, 10);
    disk.kill();
    drop(log);
    // Of the eight sectors that are synced the last is the one of entry 5.
    let (_, damaged) = disk.flip_bit(7, |_| true).unwrap();
    assert!((frame_of(5)..frame_of(6)).contains(&damaged), "byte {damaged} was damaged");
    let refused = refusal(&disk);
    disk.crash();
    assert_eq!(refusal(&disk), refused);
}

#[test]
fn file_that_was_cut_within_the_padding_of_its_last_frame_has_lost_nothing() {
    let disk = small_log(5);
    let name = segments(&disk)[0].clone();
    let cut = file(&disk, &name);
    cut.set_len(frame_of(6) - 1).unwrap();
    cut.sync_data().unwrap();
    let group = open(&disk).group(0);
    assert_eq!(group.state().last, Some(id(1, 5)));
    group.append(vec![commands(1, 6, 6, 1, 10)], ignore()).unwrap();
    drop(group);
    disk.crash();
    assert_eq!(open(&disk).group(0).state().last, Some(id(1, 6)));
}

#[test]
fn flipped_bit_in_the_last_frame_cuts_it() {
    for byte in [0, 5, 8, 16, 24, 32, 40, 64, 80, 193] {
        let disk = small_log(5);
        let damaged = file(&disk, &segments(&disk)[0]);
        flip(&*damaged, frame_of(5) + byte);
        assert_eq!(open(&disk).group(0).state().last, Some(id(1, 4)), "bit of byte {byte}");
    }
}

#[test]
fn flipped_bit_in_the_last_frame_of_a_log_that_was_closed_is_refused() {
    let disk = small_log(5);
    drop(open(&disk));
    let closed = contents(&*file(&disk, &segments(&disk)[0]));
    drop(open(&disk));
    assert_eq!(contents(&*file(&disk, &segments(&disk)[0])), closed, "what is closed is not closed again");
    for byte in [0, 5, 8, 16, 24, 32, 40, 64, 80, 193] {
        let disk = small_log(5);
        drop(open(&disk));
        flip(&*file(&disk, &segments(&disk)[0]), frame_of(5) + byte);
        let text = refusal(&disk);
        assert!(text.contains(&format!("at byte {}", frame_of(5))), "{text}");
        assert!(text.contains("group 0 from log index 5 on."), "{text}");
    }
}

#[test]
fn flipped_bit_before_acknowledged_data_is_refused() {
    for number in 0..5 {
        for byte in [0, 5, 8, 16, 24, 32, 40, 64, 80, 150] {
            let disk = small_log(5);
            let name = segments(&disk)[0].clone();
            let at = frame_of(number);
            flip(&*file(&disk, &name), at + byte);
            let before = contents(&*file(&disk, &name));
            let text = refusal(&disk);
            assert!(text.contains(&name) && text.contains(&format!("at byte {at}")), "{text}");
            let lost = match number {
                // The group was not known before.
                0 => "group 0 from log index 1 to 5 at least".to_owned(),
                _ => format!("group 0 from log index {number} to 5 at least"),
            };
            assert!(text.contains(&lost), "{text}");
            assert!(text.contains("replace this replica"), "{text}");
            assert_eq!(contents(&*file(&disk, &name)), before, "a refusal touches nothing");
        }
    }
}

/// The first segment of a log of several, and where in it the last frame begins.
fn sealed(disk: &MemoryDisk) -> (Arc<dyn DiskFile>, u64) {
    stretch(&*open(disk).group(0), 100, 500);
    let names = segments(disk);
    assert!(names.len() > 3, "{names:?}");
    let first = file(disk, &names[0]);
    let bytes = contents(&*first);
    let last = (0..bytes.len()).step_by(512).rfind(|at| bytes[*at..].starts_with(b"LBFR")).unwrap();
    (first, last as u64)
}

#[test]
fn flipped_bit_in_a_sealed_segment_is_refused_when_it_is_read() {
    let disk = MemoryDisk::new();
    let (first, last) = sealed(&disk);
    flip(&*first, last + 100);
    let group = open(&disk).group(0);
    let mut refused = 0;
    for number in 0..=100 {
        match group.read(number..number + 1, 1) {
            Ok(entries) => assert_eq!(ids(&entries), [(1, number)]),
            Err(error) => {
                let text = error.to_string();
                assert!(text.contains("0000000000000001.segment is damaged at byte"), "{text}");
                assert!(text.contains("replace this replica"), "{text}");
                refused += 1;
            }
        }
    }
    assert_eq!(refused, 1, "one entry is damaged");
}

#[test]
fn flipped_bit_in_a_sealed_segment_is_refused_at_once_if_everything_is_checked() {
    let disk = MemoryDisk::new();
    let (first, last) = sealed(&disk);
    let everything = Options { check: Check::Everything, ..options() };
    let opened = || Log::open(Arc::new(disk.clone()), Path::new(DIR), &everything);
    assert_eq!(opened().unwrap().group(0).state().last, Some(id(1, 100)));
    // Only the next segment proves that this frame, the last of its own, was synced.
    flip(&*first, last + 100);
    let text = opened().unwrap_err().to_string();
    assert!(text.contains("0000000000000001.segment") && text.contains("segment behind it"), "{text}");
}

#[test]
fn damaged_footer_costs_nothing_but_time() {
    let disk = MemoryDisk::new();
    let (first, last) = sealed(&disk);
    let entries = open(&disk).group(0).read(0..999, usize::MAX).unwrap();
    let footer =
        (last..first.len().unwrap()).find(|at| contents(&*first)[*at as usize..].starts_with(b"LBIRDFTR"));
    for offset in [0, 8, 12, 16, 24, 32, 48, 56, 64, 130, 200] {
        flip(&*first, footer.unwrap() + offset);
        assert_eq!(open(&disk).group(0).read(0..999, usize::MAX).unwrap(), entries, "byte {offset}");
        flip(&*first, footer.unwrap() + offset);
    }
    first.set_len(first.len().unwrap() - 512).unwrap();
    assert_eq!(open(&disk).group(0).read(0..999, usize::MAX).unwrap(), entries, "cut short");
}

#[test]
fn segment_that_lost_its_header_is_refused() {
    for entries in [0, 1] {
        let disk = small_log(entries);
        file(&disk, &segments(&disk)[0]).write_at(0, &[0; 512]).unwrap();
        assert!(refusal(&disk).contains("its header was synced before it got its name"));
        let disk = small_log(entries);
        file(&disk, &segments(&disk)[0]).write_at(512, &[0; 512]).unwrap();
        assert!(refusal(&disk).contains("had been synced"));
    }
    let disk = MemoryDisk::new();
    let log = open(&disk);
    disk.crash();
    drop(log);
    file(&disk, &segments(&disk)[0]).write_at(512, &[0; 512]).unwrap();
    assert!(refusal(&disk).contains("its head was synced before it got its name"));
}

#[test]
fn frame_of_a_cut_tail_never_comes_back() {
    let disk = small_log(2);
    let log = open(&disk);
    let group = log.group(0);
    // Three frames that are written, but not synced: nobody was told of them.
    for number in [0, 1, 2] {
        group.purge(id(1, number)).unwrap();
    }
    // The first of them is lost in the crash, the other two reach the disk.
    let mut asked = 0;
    disk.crash_keeping(&mut || {
        asked += 1;
        asked > 1
    });
    let group = open(&disk).group(0);
    assert_eq!(group.state().purged, None, "what stands behind a lost frame is lost with it");
    group.save_committed(None).unwrap();
    group.append(vec![commands(1, 3, 3, 1, 10)], ignore()).unwrap();
    disk.crash();
    let group = open(&disk).group(0);
    assert_eq!(group.state().purged, None, "a frame of the cut tail came back behind the new one");
    assert_eq!(group.state().last, Some(id(1, 3)));
}

#[test]
fn frame_behind_a_lost_one_does_not_follow_on_the_mark_that_was_there_before() {
    let disk = small_log(3);
    let log = open(&disk);
    let group = log.group(0);
    group.append(vec![commands(1, 4, 4, 1, 10)], ignore()).unwrap();
    let name = segments(&disk)[0].clone();
    // The mark has a sector of its own, which the system has written in the meantime.
    let rested = contents(&*file(&disk, &name));
    let mark = frame_of(5) as usize;
    assert!(rested[mark..].starts_with(b"LBFR"));
    // Two frames of 512 bytes that are not synced, the first in the mark's place. Of them the second alone reaches the disk.
    group.purge(id(1, 1)).unwrap();
    group.purge(id(1, 2)).unwrap();
    let written = contents(&*file(&disk, &name));
    assert!(
        written[mark + 512..].starts_with(b"LBFR") && written[mark..mark + 512] != rested[mark..mark + 512]
    );
    disk.crash();
    let torn = file(&disk, &name);
    torn.write_at(mark as u64, &rested[mark..mark + 512]).unwrap();
    torn.write_at(mark as u64 + 512, &written[mark + 512..mark + 1024]).unwrap();
    torn.sync_data().unwrap();
    let group = open(&disk).group(0);
    assert_eq!(group.state().purged, None, "what stands behind a lost frame is lost with it");
    assert_eq!(group.state().last, Some(id(1, 4)));
}

#[test]
fn missing_segments_are_noticed() {
    let disk = MemoryDisk::new();
    stretch(&*open(&disk).group(0), 100, 500);
    let names = segments(&disk);
    let middle = Path::new(DIR).join(&names[2]);
    let aside = Path::new(DIR).join("0000000000009999.segment");
    disk.rename(&middle, &aside).unwrap();
    let text = refusal(&disk);
    assert!(text.contains(&names[2]) && text.contains("missing"), "{text}");
    disk.rename(&aside, &middle).unwrap();
    open(&disk);
    let last = Path::new(DIR).join(names.last().unwrap());
    disk.rename(&last, Path::new("/data/aside")).unwrap();
    let text = refusal(&disk);
    assert!(text.contains(names.last().unwrap()) && text.contains("missing"), "{text}");
    disk.rename(Path::new("/data/aside"), &last).unwrap();
    open(&disk);
    disk.remove(&Path::new(DIR).join(&names[0])).unwrap();
    let text = refusal(&disk);
    assert!(text.contains("earlier segments are missing"), "{text}");
}

#[test]
fn spare_segments_that_were_left_are_removed() {
    let disk = small_log(3);
    disk.create(&Path::new(DIR).join("0000000000000001.spare")).unwrap().write_at(0, b"LBIRDLOG").unwrap();
    let group = open(&disk).group(0);
    assert_eq!(group.state().last, Some(id(1, 3)));
    assert_eq!(segments(&disk), ["0000000000000001.segment"]);
}

#[test]
fn segments_that_were_written_beforehand_are_used_and_leave_nothing_behind() {
    let disk = MemoryDisk::new();
    let options = Options { prepare: Prepare::Zeros, ..options() };
    let log = Log::open(Arc::new(disk.clone()), Path::new(DIR), &options).unwrap();
    disk.start_recording();
    stretch(&*log.group(0), 100, 500);
    drop(log);
    let calls = disk.take_calls();
    let renamed = calls.iter().filter(|call| matches!(call, Call::Rename(..))).count();
    assert!(renamed > 3, "{renamed} segments were begun");
    let filled = |call: &&Call| matches!(call, Call::Write { path, bytes, .. } if *bytes == 16 << 10 && path.extension().is_some_and(|e| e == "spare"));
    let filled = calls.iter().filter(filled).count();
    assert!(filled >= renamed, "{filled} were written beforehand, {renamed} were begun");
    assert!(segments(&disk).iter().all(|name| name.ends_with(".segment")), "{:?}", segments(&disk));
    assert_eq!(open(&disk).group(0).read(0..999, usize::MAX).unwrap().len(), 101);
}

#[test]
fn swapped_and_foreign_files_are_refused() {
    let disk = MemoryDisk::new();
    stretch(&*open(&disk).group(0), 100, 500);
    let names = segments(&disk);
    let path = |at: usize| Path::new(DIR).join(&names[at]);
    let aside = Path::new("/data/aside");
    disk.rename(&path(1), aside).unwrap();
    disk.rename(&path(2), &path(1)).unwrap();
    disk.rename(aside, &path(2)).unwrap();
    assert!(refusal(&disk).contains("swapped"));

    let other = MemoryDisk::new();
    stretch(&*open(&other).group(0), 100, 500);
    let theirs = contents(&*file(&other, &names[1]));
    file(&other, &names[1]).write_at(0, &theirs).unwrap();
    file(&other, &names[0]).write_at(0, &contents(&*file(&small_log(1), &names[0]))).unwrap();
    assert!(refusal(&other).contains("another log"));

    let stray = small_log(1);
    stray.create(&Path::new(DIR).join("notes.txt")).unwrap();
    assert!(refusal(&stray).contains("notes.txt"));

    let text = small_log(1);
    file(&text, &names[0]).write_at(0, b"Dear diary, today I had a log").unwrap();
    assert!(refusal(&text).contains("no segment of a log"));

    let newer = small_log(1);
    file(&newer, &names[0]).write_at(8, &[2]).unwrap();
    assert!(refusal(&newer).contains("upgrade this node"));
}

#[test]
fn log_that_is_gone_is_not_made_anew_where_one_must_be() {
    let disk = MemoryDisk::new();
    let options = Options { missing: Missing::Refuse, ..options() };
    let opened = Log::open(Arc::new(disk.clone()), Path::new(DIR), &options);
    assert!(opened.unwrap_err().to_string().contains("there is no log"));
}
