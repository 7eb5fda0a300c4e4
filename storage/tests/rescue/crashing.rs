//! Loss of power, failures and kills at every call of the disk: a directory is what it was, or what it is to be, or refused until the
//! same has been run again.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use lovebird_core::identity::ClusterId;
use lovebird_core::service::Model;
use lovebird_core::snapshot_store::SnapshotMeta;
use lovebird_storage::disk::Fault;
use lovebird_storage::rescue::{Import, import, rescue, survey};
use lovebird_storage::{DataDirectory, Disk, Expected, MemoryDisk, Origin};

use super::importing::{exported, is_imported, wanted};
use super::support::*;

const PATH: &str = "/data";

/// What is kept of what was not synced: nothing, all, or by chance a part.
fn keep(seed: u64) -> impl FnMut() -> bool + Send + 'static {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        match seed {
            0 => false,
            1 => true,
            _ => state & 1 == 1,
        }
    }
}

const SEEDS: u64 = 12;

/// What a directory may have of a survivor's, to be rescued: a log, and in the second case a snapshot that reaches further.
fn survivors() -> [fn(&Arc<dyn Disk>); 2] {
    let plain = |disk: &Arc<dyn Disk>| leave(disk, Path::new(PATH), 2, history(20), Some(id(1, 15)));
    let behind = |disk: &Arc<dyn Disk>| {
        leave(disk, Path::new("/whole"), 1, [history(9), vec![barrier(1, 10)]].concat(), None);
        let meta = meta_at(&*log(disk, Path::new("/whole")), 10, &members(&[1, 2, 3], &[]));
        leave(disk, Path::new(PATH), 2, history(6), None);
        take_snapshot(disk, Path::new(PATH), &meta);
    };
    [plain, behind]
}

/// What became of a rescue that was interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Found {
    Old,
    Unfinished,
    Rescued,
}

/// What the directory is, and that it is nothing between.
fn found(disk: &Arc<dyn Disk>, cluster: ClusterId) -> Found {
    let path = Path::new(PATH);
    let said = survey(&**disk, path).unwrap();
    assert!(said.is_sound(), "{:?}", said.problems);
    match identity(disk, path, 2) {
        Ok(identity) if identity.cluster == old() => {
            assert_eq!((said.membership, said.unfinished), (members(&[1, 2, 3], &[]), None));
            assert_eq!(said.vote.unwrap().node, life(1));
            Found::Old
        }
        Ok(identity) => {
            assert_eq!(identity.cluster, cluster);
            assert_eq!((said.membership, said.unfinished), (alone(2), None));
            assert_eq!((said.vote.unwrap().node, said.membership_at), (life(2), said.last));
            Found::Rescued
        }
        Err(refused) => {
            assert!(refused.contains("run the rescue again"), "{refused}");
            assert_eq!(said.unfinished, Some(cluster));
            Found::Unfinished
        }
    }
}

/// Runs the rescue again, with another id, and loses power once it has succeeded.
fn finish(memory: &MemoryDisk, disk: &Arc<dyn Disk>, before: Found, first: ClusterId) {
    let path = Path::new(PATH);
    let other = ClusterId(0xabc);
    let records = survey(&**disk, path).unwrap().last_index;
    let rescued = rescue(Arc::new(memory.mount()), path, other).unwrap();
    memory.crash();
    let cluster = if before == Found::Unfinished { first } else { other };
    assert_eq!(rescued.identity.cluster, cluster, "what was begun is finished");
    assert_eq!(found(disk, cluster), Found::Rescued);
    assert_eq!(last_entry(disk, path).id(), rescued.entry);
    assert_eq!(survey(&**disk, path).unwrap().last_index, records, "no record is lost or won");
}

#[test]
fn rescue_survives_a_loss_of_power_at_any_call() {
    let mut ends = BTreeMap::<Found, u64>::new();
    for prepare in survivors() {
        for seed in 0..SEEDS {
            for nth in 1.. {
                let memory = MemoryDisk::new();
                let disk: Arc<dyn Disk> = Arc::new(memory.clone());
                prepare(&disk);
                memory.crash_at(nth, keep(seed), || ());
                let result = rescue(Arc::new(memory.mount()), Path::new(PATH), NEW);
                if result.is_ok() {
                    // The call that was to be interrupted did not come any more.
                    memory.crash();
                    assert_eq!(found(&disk, NEW), Found::Rescued);
                    break;
                }
                let end = found(&disk, NEW);
                *ends.entry(end).or_default() += 1;
                finish(&memory, &disk, end, NEW);
            }
        }
    }
    // Otherwise nothing was shown.
    for end in [Found::Old, Found::Unfinished, Found::Rescued] {
        assert!(ends.get(&end).is_some_and(|count| *count > 10), "{ends:?}");
    }
}

/// The process is gone with the call that fails, the machine is not: what was written is seen, and may be lost later.
#[test]
fn rescue_survives_a_failure_or_a_kill_at_any_call() {
    for prepare in survivors() {
        for nth in 1.. {
            let memory = MemoryDisk::new();
            let disk: Arc<dyn Disk> = Arc::new(memory.clone());
            prepare(&disk);
            memory.fail(Fault::Any, nth, ErrorKind::Other);
            let result = rescue(Arc::new(memory.mount()), Path::new(PATH), NEW);
            let has_failed = memory.pending_failures() == 0;
            memory.kill();
            let end = found(&disk, NEW);
            if !has_failed {
                result.unwrap();
                assert_eq!(end, Found::Rescued);
                break;
            }
            finish(&memory, &disk, end, NEW);
        }
    }
}

/// What an import that was interrupted has left: nothing of a node's, something that is refused, or all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Left {
    Nothing,
    Unfinished,
    Imported,
}

fn left(disk: &Arc<dyn Disk>, meta: &SnapshotMeta, import: &Import) -> Left {
    let path = Path::new(PATH);
    let expected = Expected {
        cluster_name: "hawks".to_owned(),
        node: 9,
        origin: Origin::Found,
        model: Model::StateMachine,
    };
    match DataDirectory::open(disk.clone(), path, &expected, 1).map_err(|error| error.to_string()) {
        Ok(directory) => {
            drop(directory);
            is_imported(disk, path, meta, import);
            Left::Imported
        }
        Err(refused) if refused.contains("nothing says which cluster") => Left::Nothing,
        Err(refused) => {
            assert!(refused.contains("run the import again"), "{refused}");
            Left::Unfinished
        }
    }
}

#[test]
fn import_survives_a_loss_of_power_at_any_call() {
    let mut ends = BTreeMap::<Left, u64>::new();
    for seed in 0..SEEDS {
        for nth in 1.. {
            let memory = MemoryDisk::new();
            let disk: Arc<dyn Disk> = Arc::new(memory.clone());
            let (file, meta) = exported(&disk);
            disk.open(&file).unwrap().sync_data().unwrap();
            disk.sync_dir(Path::new("/")).unwrap();
            memory.crash_at(nth, keep(seed), || ());
            let attempt = |import_: &Import| {
                let machine = Arc::new(memory.mount());
                import(&*machine, &file, machine.clone(), Path::new(PATH), import_)
            };
            if attempt(&wanted()).is_ok() {
                // The call that was to be interrupted did not come any more.
                memory.crash();
                assert_eq!(left(&disk, &meta, &wanted()), Left::Imported);
                break;
            }
            let end = left(&disk, &meta, &wanted());
            *ends.entry(end).or_default() += 1;
            if end == Left::Imported {
                continue;
            }
            // Run again it draws other numbers.
            let again = Import { cluster: ClusterId(0xabc), incarnation: 0x98, ..wanted() };
            attempt(&again).unwrap();
            memory.crash();
            is_imported(&disk, Path::new(PATH), &meta, &again);
        }
    }
    // Otherwise nothing was shown.
    for end in [Left::Nothing, Left::Unfinished, Left::Imported] {
        assert!(ends.get(&end).is_some_and(|count| *count > 5), "{ends:?}");
    }
}
