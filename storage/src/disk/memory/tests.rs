use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::disk::SECTOR_BYTES;

const DIR: &str = "/d";
const SECTOR: u64 = SECTOR_BYTES as u64;

fn path(name: &str) -> PathBuf {
    Path::new(DIR).join(name)
}

/// A disk with a directory, in which the file `a` has four durable sectors of ones.
fn disk() -> (MemoryDisk, Arc<dyn DiskFile>) {
    let disk = MemoryDisk::new();
    disk.create_dir(Path::new(DIR)).unwrap();
    let file = disk.create(&path("a")).unwrap();
    file.write_at(0, &[1; 4 * SECTOR_BYTES]).unwrap();
    file.sync_data().unwrap();
    disk.sync_dir(Path::new(DIR)).unwrap();
    (disk, file)
}

fn contents(disk: &MemoryDisk, name: &str) -> Vec<u8> {
    let file = disk.open(&path(name)).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_at(0, &mut bytes).unwrap();
    bytes
}

/// The first byte of each sector.
fn firsts(disk: &MemoryDisk, name: &str) -> Vec<u8> {
    contents(disk, name).iter().step_by(SECTOR_BYTES).copied().collect()
}

/// Answers in turn, and with no when there are no more.
fn answers(answers: impl IntoIterator<Item = bool, IntoIter: Send + 'static>) -> impl FnMut() -> bool + Send {
    let mut answers = answers.into_iter();
    move || answers.next().unwrap_or(false)
}

#[test]
fn power_lost_in_the_middle_of_a_write_leaves_any_subset_of_its_sectors() {
    // Four sectors are asked whether they came to be pending, then those that did whether they are kept.
    let cases: [(&[bool], [u8; 4]); 4] = [
        (&[], [1, 1, 1, 1]),
        (&[true, true, true, true], [1, 1, 1, 1]),
        (&[true, false, true, true, true, false, true], [2, 1, 1, 2]),
        (&[true; 8], [2, 2, 2, 2]),
    ];
    for (kept, expected) in cases {
        let (disk, file) = disk();
        disk.crash_at(1, answers(kept.to_vec()), || ());
        file.write_at(0, &[2; 4 * SECTOR_BYTES]).unwrap_err();
        assert_eq!(firsts(&disk, "a"), expected, "{kept:?}");
    }
}

#[test]
fn write_that_the_power_cut_short_makes_the_file_only_as_long_as_what_is_kept_of_it() {
    let (disk, file) = disk();
    disk.crash_at(1, answers([true, false, true, true]), || ());
    file.write_at(4 * SECTOR, &[2; 2 * SECTOR_BYTES]).unwrap_err();
    assert_eq!(firsts(&disk, "a"), [1, 1, 1, 1, 2]);
}

#[test]
fn power_is_lost_at_the_call_that_was_named_and_everything_open_is_dead() {
    let (disk, file) = disk();
    let mounted = disk.mount();
    let told = Arc::new(AtomicU64::new(0));
    let (counter, again) = (told.clone(), disk.clone());
    disk.crash_at(
        3,
        || true,
        move || {
            // The disk is whole again: the one who is told may look at it.
            assert!(again.exists(&path("a")).unwrap());
            counter.fetch_add(1, Ordering::Relaxed);
        },
    );
    file.write_at(0, &[2]).unwrap();
    mounted.create(&path("b")).unwrap();
    assert_eq!(told.load(Ordering::Relaxed), 0);
    mounted.rename(&path("b"), &path("c")).unwrap_err();
    assert_eq!(told.load(Ordering::Relaxed), 1);
    file.write_at(0, &[3]).unwrap_err();
    file.len().unwrap_err();
    mounted.exists(&path("a")).unwrap_err();
    assert_eq!(disk.list(Path::new(DIR)).unwrap(), ["a", "c"], "all that was under way was kept");
    assert_eq!(firsts(&disk, "a")[0], 2);
    // It strikes once.
    disk.create(&path("d")).unwrap();
}

#[test]
fn call_in_which_power_is_lost_may_have_had_no_effect() {
    type Change = fn(&MemoryDisk, &dyn DiskFile) -> io::Result<()>;
    let changes: [(&str, Change); 7] = [
        ("create", |disk, _| disk.create(&path("b")).map(drop)),
        ("rename", |disk, _| disk.rename(&path("a"), &path("b"))),
        ("remove", |disk, _| disk.remove(&path("a"))),
        ("remove_dir", |disk, _| disk.remove_dir(Path::new(DIR))),
        ("set_len", |_, file| file.set_len(SECTOR)),
        ("allocate", |_, file| file.allocate(99 * SECTOR)),
        ("sync_dir", |disk, _| disk.sync_dir(Path::new(DIR))),
    ];
    for (name, change) in changes {
        let (disk, file) = disk();
        disk.crash_at(1, || false, || ());
        change(&disk, &*file).expect_err(name);
        assert_eq!(disk.list(Path::new(DIR)).unwrap(), ["a"], "{name}");
        assert_eq!(firsts(&disk, "a"), [1, 1, 1, 1], "{name}");
    }
}

#[test]
fn sync_in_which_power_is_lost_makes_some_of_it_durable() {
    let (disk, file) = disk();
    file.write_at(0, &[2; 4 * SECTOR_BYTES]).unwrap();
    disk.crash_at(1, answers([false, true, true, false]), || ());
    file.sync_data().unwrap_err();
    assert_eq!(firsts(&disk, "a"), [1, 2, 2, 1]);
}

#[test]
fn life_that_ends_before_takes_its_plans_along() {
    for end in [MemoryDisk::crash, MemoryDisk::kill, MemoryDisk::wipe] {
        let (disk, _) = disk();
        disk.crash_at(1, || true, || panic!("another life was hit"));
        disk.fail(Fault::Create, 1, io::ErrorKind::Other);
        end(&disk);
        assert_eq!(disk.pending_failures(), 0);
        disk.create_dir(Path::new(DIR)).unwrap();
        disk.create(&path("b")).unwrap();
    }
}

#[test]
fn kill_leaves_to_a_later_crash_what_was_not_synced() {
    let (disk, file) = disk();
    let (mounted, lock) = (disk.mount(), disk.lock(&path("lock")).unwrap());
    file.write_at(0, &[2]).unwrap();
    mounted.create(&path("b")).unwrap();
    disk.kill();
    file.write_at(0, &[3]).unwrap_err();
    mounted.exists(&path("a")).unwrap_err();
    assert_eq!(firsts(&disk, "a")[0], 2);
    assert!(disk.exists(&path("b")).unwrap());
    let again = disk.lock(&path("lock")).unwrap();
    drop(lock);
    disk.lock(&path("lock")).expect_err("the lock of the dead is not that of the living");
    drop(again);
    disk.crash();
    assert_eq!(firsts(&disk, "a")[0], 1);
    assert_eq!(disk.list(Path::new(DIR)).unwrap(), ["a"]);
}

#[test]
fn full_disk_takes_only_what_has_its_place() {
    let (disk, file) = disk();
    disk.set_space(Space::Full);
    let full = |result: io::Result<()>| assert_eq!(result.unwrap_err().kind(), io::ErrorKind::StorageFull);
    file.write_at(SECTOR, &[2; SECTOR_BYTES]).unwrap();
    file.set_len(4 * SECTOR).unwrap();
    file.allocate(SECTOR).unwrap();
    full(file.write_at(3 * SECTOR, &[3; 2 * SECTOR_BYTES]));
    full(file.write_at(9 * SECTOR, &[3]));
    full(file.set_len(5 * SECTOR));
    full(file.allocate(5 * SECTOR));
    full(disk.create(&path("b")).map(drop));
    full(disk.create_dir(&path("dir")));
    disk.create_dir(Path::new(DIR)).unwrap();
    file.sync_data().unwrap();
    disk.rename(&path("a"), &path("c")).unwrap();
    disk.sync_dir(Path::new(DIR)).unwrap();
    disk.crash();
    assert_eq!(firsts(&disk, "c"), [1, 2, 1, 3]);
    full(disk.create(&path("b")).map(drop));
    disk.set_space(Space::Free);
    disk.create(&path("b")).unwrap();
    disk.open(&path("c")).unwrap().set_len(9 * SECTOR).unwrap();
}

#[test]
fn sync_that_failed_leaves_pages_that_later_syncs_take_for_clean() {
    let (disk, file) = disk();
    file.write_at(0, &[2; 2 * SECTOR_BYTES]).unwrap();
    disk.fail(Fault::Sync, 1, io::ErrorKind::Other);
    file.sync_data().unwrap_err();
    // What is written anew is dirty again, and so becomes durable; what is not does not.
    file.write_at(SECTOR, &[3; SECTOR_BYTES]).unwrap();
    file.sync_data().unwrap();
    assert_eq!(firsts(&disk, "a"), [2, 3, 1, 1], "until a crash it reads as it was written");
    disk.kill();
    assert_eq!(firsts(&disk, "a"), [2, 3, 1, 1]);
    disk.open(&path("a")).unwrap().sync_data().unwrap();
    disk.crash();
    assert_eq!(firsts(&disk, "a"), [1, 3, 1, 1]);
}

#[test]
fn failure_within_a_directory_lets_others_pass() {
    let (disk, file) = disk();
    disk.create_dir(Path::new("/e")).unwrap();
    disk.fail_within(Path::new("/e"), Fault::Sync, 2, io::ErrorKind::Other);
    let other = disk.create(Path::new("/e/a")).unwrap();
    file.sync_data().unwrap();
    other.sync_data().unwrap();
    file.sync_data().unwrap();
    other.sync_data().unwrap_err();
    assert_eq!(disk.pending_failures(), 0);
}

#[test]
fn removed_directory_stays_gone_once_its_parent_is_synced() {
    for (synced, left) in [(true, false), (false, true)] {
        let (disk, _) = disk();
        disk.remove_dir(Path::new(DIR)).unwrap();
        if synced {
            disk.sync_dir(Path::new("/")).unwrap();
        }
        disk.crash();
        assert_eq!((disk.exists(Path::new(DIR)).unwrap(), disk.exists(&path("a")).unwrap()), (left, left));
    }
}

#[test]
fn flipped_bit_is_one_bit_of_what_was_written_and_stays() {
    let (mut bytes_hit, before) = (BTreeMap::new(), vec![1; 4 * SECTOR_BYTES]);
    for choice in 0..1000 {
        let (disk, _) = disk();
        let ready = disk.create(&path("ready")).unwrap();
        ready.write_at(0, &[0; 8 * SECTOR_BYTES]).unwrap();
        ready.sync_data().unwrap();
        let (hit, offset) = disk.flip_bit(choice, |_| true).unwrap();
        assert_eq!(hit, path("a"), "files that are merely ready are spared");
        let after = contents(&disk, "a");
        disk.crash();
        assert_eq!(contents(&disk, "a"), after);
        let changed: Vec<usize> = (0..before.len()).filter(|at| before[*at] != after[*at]).collect();
        assert_eq!(changed, [offset as usize]);
        assert_eq!((before[changed[0]] ^ after[changed[0]]).count_ones(), 1);
        *bytes_hit.entry(offset / SECTOR).or_insert(0) += 1;
    }
    assert_eq!(bytes_hit.len(), 4, "every sector has its turn");
}

#[test]
fn damage_hits_what_is_chosen_and_nothing_that_waits_to_be_written() {
    let (disk, file) = disk();
    assert_eq!(disk.flip_bit(1, |path| path.ends_with("b")), None);
    file.write_at(0, &[2; 3 * SECTOR_BYTES]).unwrap();
    for choice in 0..20 {
        let (hit, offset) = disk.flip_bit(choice, |path| path.ends_with("a")).unwrap();
        assert!(hit == path("a") && offset >= 3 * SECTOR, "{offset}");
    }
    let ready = disk.create(&path("b")).unwrap();
    ready.allocate(8 * SECTOR).unwrap();
    ready.sync_data().unwrap();
    assert_eq!(disk.flip_bit(1, |path| path.ends_with("b")), None, "nothing was ever written there");
}

#[test]
fn damage_is_decided_by_its_number() {
    let run = |choice| {
        let (disk, _) = disk();
        let hits = (disk.flip_bit(choice, |_| true), disk.lose_sector(choice, Lost::Garbage, |_| true));
        (hits, contents(&disk, "a"))
    };
    assert_eq!(run(77), run(77));
    assert_ne!(run(77), run(78));
}

#[test]
fn lost_sector_reads_as_zeros_or_as_garbage() {
    for lost in [Lost::Zeros, Lost::Garbage] {
        let (disk, file) = disk();
        let (hit, offset) = disk.lose_sector(6, lost, |_| true).unwrap();
        assert_eq!((hit, offset), (path("a"), 2 * SECTOR));
        let mut sector = [9; SECTOR_BYTES];
        file.read_at(offset, &mut sector).unwrap();
        assert_eq!(sector.iter().all(|byte| *byte == 0), lost == Lost::Zeros);
        disk.crash();
        let mut after = contents(&disk, "a");
        assert_eq!(after[offset as usize..][..SECTOR_BYTES], sector);
        after[offset as usize..][..SECTOR_BYTES].fill(1);
        assert_eq!(after, [1; 4 * SECTOR_BYTES], "all others are as they were");
    }
}

#[test]
fn wiped_disk_is_empty_and_takes_files_again() {
    let (disk, file) = disk();
    let mounted = disk.mount();
    disk.set_space(Space::Full);
    disk.wipe();
    file.write_at(0, &[1]).unwrap_err();
    mounted.exists(Path::new(DIR)).unwrap_err();
    assert!(!disk.exists(Path::new(DIR)).unwrap());
    disk.create_dir(Path::new(DIR)).unwrap();
    disk.create(&path("a")).unwrap();
    assert_eq!(contents(&disk, "a"), []);
    file.write_at(0, &[1]).expect_err("the handle is of another file, of another disk");
}
