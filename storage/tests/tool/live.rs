//! A node that has the directory locked and writes to it as fast as it can: whoever looks never sees damage.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lovebird_core::entry::EntryId;
use lovebird_storage::log::inspect::{Segments, Verdict, verify};
use lovebird_storage::log::{Drive, Log, Options, Prepare};
use lovebird_storage::snapshot::inspect::{Depth, State, look};
use lovebird_storage::{DataDirectory, Disk, ReadOnlyDisk, RealDisk};

use crate::support::*;

/// Appends, purges and takes snapshots until it is told to end, and counts its entries.
fn write(dir: &Path, ended: &AtomicBool, written: &AtomicU64) {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let mut directory = DataDirectory::open(disk.clone(), dir, &expected(), 1).unwrap();
    let options =
        Options { drive: Drive::Thread, prepare: Prepare::Zeros, segment_bytes: 64 << 10, ..options() };
    let log = Log::open(disk.clone(), &dir.join("log"), &options).unwrap().group(0);
    directory.count_start().unwrap();
    log.append(vec![barrier()], durable()).unwrap();
    let mut number = 0;
    while !ended.load(Ordering::Relaxed) {
        number += 1;
        let (sender, receiver) = std::sync::mpsc::channel();
        let acknowledged = Box::new(move |result: std::io::Result<()>| {
            result.unwrap();
            // Whoever does not wait has gone.
            let _ = sender.send(());
        });
        log.append(vec![command(number)], acknowledged).unwrap();
        written.store(number, Ordering::Relaxed);
        if number % 3 == 0 {
            receiver.recv().unwrap();
        }
        if number % 700 == 0 {
            take_snapshot(&disk, dir, &*log, number - 600);
            log.purge(EntryId::new(1, number - 600)).unwrap();
        }
    }
}

#[test]
fn writer_at_work_is_never_taken_for_damage() {
    let temp = tempfile::tempdir().unwrap();
    let (dir, ended) = (temp.path(), AtomicBool::new(false));
    let (mut looks, mut torn, written) = (0, 0, AtomicU64::new(0));
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| write(dir, &ended, &written));
        let begun = Instant::now();
        // Whatever fails here must not leave the writer at work.
        let looked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            while !dir.join("snapshots/group-0").exists() {
                assert!(begun.elapsed() < Duration::from_secs(60), "the writer does not get on");
                std::thread::sleep(Duration::from_millis(5));
            }
            // Some time, and on a slow disk as long as it takes for several snapshots and purges.
            let begun = Instant::now();
            let few = || written.load(Ordering::Relaxed) < 3000 && begun.elapsed() < Duration::from_secs(60);
            while begun.elapsed() < Duration::from_secs(6) || few() {
                look_through_the_tool(dir);
                for _ in 0..20 {
                    torn += look_within(dir);
                    looks += 1;
                }
            }
        }));
        ended.store(true, Ordering::Relaxed);
        writer.join().unwrap();
        looked.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    let written = written.into_inner();
    println!("{looks} looks, {torn} of them torn, while {written} entries were written");
    assert!(written >= 3000 && looks > 20, "{written} entries, {looks} looks");
    let said = tool(&["verify"], dir);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.out.contains(&format!("-{written}, ")), "{}", said.out);
}

fn look_through_the_tool(dir: &Path) {
    for arguments in
        [&["verify"][..], &["verify", "--json"], &["list"], &["dump", "--operations", "--payload", "none"]]
    {
        let said = Said::of(Command::new(TOOL).args(arguments).arg(dir).output().unwrap());
        assert!(
            said.code <= 1,
            "{arguments:?} while a node writes: exit code {}, {}",
            said.code,
            said.errors
        );
    }
}

/// The same without a process for each look, which would be slow. Says how often the log was torn.
fn look_within(dir: &Path) -> u64 {
    let (log, snapshots) = (dir.join("log"), dir.join("snapshots"));
    let verdict = verify(&ReadOnlyDisk, &log).unwrap().verdict;
    assert!(!matches!(verdict, Verdict::Refused(_)), "{verdict}");
    for segment in Segments::list(&ReadOnlyDisk, &log).unwrap() {
        let segment = segment.unwrap();
        assert!(segment.problems.is_empty(), "{:?}", segment.problems);
    }
    for view in look(&ReadOnlyDisk, &snapshots, Depth::Everything).unwrap() {
        assert!(!matches!(view.state, State::Refused(_)), "{view:?}");
    }
    u64::from(matches!(verdict, Verdict::Torn { .. }))
}
