//! Who only looks at snapshots finds them as they are, also while they are replaced. The tool's tests tell of damaged ones.
#![allow(clippy::unwrap_used, unreachable_pub)]

use std::io::{ErrorKind, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use lovebird_core::fence::Numbering;
use lovebird_core::identity::{ClusterId, Membership};
use lovebird_core::snapshot_store::{SnapshotMeta, SnapshotStore};
use lovebird_storage::snapshot::inspect::{Depth, State, look, look_at_file};
use lovebird_storage::{Disk, MemoryDisk, SnapshotDirectory, SnapshotOptions};
use meddled::{Meddled, Moment};

#[path = "log/meddled.rs"]
mod meddled;

const DIR: &str = "/snapshots";

fn store(disk: &MemoryDisk, group: u32) -> Arc<dyn SnapshotStore> {
    SnapshotDirectory::open(Arc::new(disk.clone()), Path::new(DIR), group, SnapshotOptions::default())
        .unwrap()
}

fn take(store: &dyn SnapshotStore, group: u32, number: u64) {
    let meta = SnapshotMeta {
        cluster: ClusterId(1),
        group,
        last: (1, number),
        numbering: Numbering::default(),
        membership_at: None,
        membership: Membership::default(),
        sessions_bytes: 0,
    };
    let mut writer = store.create(&meta).unwrap();
    writer.write_all(&[7; 10_000]).unwrap();
    writer.finish().unwrap();
}

/// Group and last entry of all finished snapshots; nothing else may be there.
fn finished(disk: &dyn Disk) -> Vec<(u32, u64)> {
    let views = look(disk, Path::new(DIR), Depth::Everything).unwrap();
    let told = views.iter().map(|view| match &view.state {
        State::Finished { id, .. } => (view.group, id.last.number),
        other => panic!("{}: {other:?}", view.path.display()),
    });
    told.collect()
}

#[test]
fn groups_come_in_order_and_the_oldest_first() {
    let disk = MemoryDisk::new();
    for group in [10, 9, 0] {
        let store = store(&disk, group);
        take(&*store, group, 12);
        take(&*store, group, 4);
    }
    disk.create_dir(&Path::new(DIR).join("notes")).unwrap();
    assert_eq!(finished(&disk), [(0, 4), (0, 12), (9, 4), (9, 12), (10, 4), (10, 12)]);
}

#[test]
fn snapshots_that_come_and_go_at_any_moment_are_no_damage() {
    let look_while = |turn: usize| {
        let disk = MemoryDisk::new();
        let store = store(&disk, 0);
        (1..=2).for_each(|number| take(&*store, 0, number));
        let moments = Arc::new(Mutex::new(0));
        let counted = moments.clone();
        let meddler = move |_: Moment| {
            *counted.lock().unwrap() += 1;
            if *counted.lock().unwrap() == turn {
                (3..=4).for_each(|number| take(&*store, 0, number));
            }
        };
        let found = finished(&Meddled { disk, meddler: Arc::new(Mutex::new(meddler)) });
        assert!(found == [(0, 1), (0, 2)] || found == [(0, 3), (0, 4)], "at moment {turn}: {found:?}");
        *moments.lock().unwrap()
    };
    let moments = look_while(0);
    assert!(moments > 6, "{moments} moments");
    (1..=moments).for_each(|turn| {
        look_while(turn);
    });
}

#[test]
fn file_that_was_exported_says_what_it_holds() {
    let disk = MemoryDisk::new();
    let store = store(&disk, 4);
    take(&*store, 4, 12);
    let snapshot = store.latest().unwrap().unwrap();
    let mut bytes = snapshot.read_raw(0, usize::MAX).unwrap().to_vec();
    let path = Path::new("/exported");
    disk.create(path).unwrap().write_at(0, &bytes).unwrap();
    for depth in [Depth::Ends, Depth::Everything] {
        let view = look_at_file(&disk, path, depth).unwrap();
        assert_eq!((view.path.as_path(), view.bytes, view.content_bytes), (path, bytes.len() as u64, 10_000));
        assert_eq!((&view.meta, view.id), (snapshot.meta(), snapshot.id()));
    }

    // What is damaged behind the header shows only where everything is read.
    let at = bytes.len() - 40;
    bytes[at] ^= 1;
    disk.open(path).unwrap().write_at(0, &bytes).unwrap();
    look_at_file(&disk, path, Depth::Ends).unwrap();
    let error = look_at_file(&disk, path, Depth::Everything).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert!(error.to_string().contains("the snapshot /exported: its chunk at byte"), "{error}");
    assert_eq!(look_at_file(&disk, Path::new("/none"), Depth::Ends).unwrap_err().kind(), ErrorKind::NotFound);
}
