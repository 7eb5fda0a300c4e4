//! What becomes of a log that something happened to.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lovebird_core::entry::Entry;
use lovebird_core::log_store::LogStore;
use lovebird_storage::log::{Log, Options};
use lovebird_storage::{Disk, MemoryDisk, RealDisk};
use tempfile::TempDir;

use crate::support::*;

pub struct Row {
    pub fault: &'static str,
    pub verdict: String,
}

/// What opening and reading give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All that was acknowledged is there.
    Kept,
    /// It opens, and so many entries that were acknowledged are not there.
    Lost(usize),
    /// It does not open.
    Refused(String),
    /// It opens, and one entry cannot be read. All others can.
    ReadRefused(String),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Kept => write!(f, "**opens**: everything that was acknowledged is there"),
            Verdict::Lost(entries) => {
                write!(
                    f,
                    "**cut**: opens without the last {entries} entry, as if it had never been acknowledged"
                )
            }
            Verdict::Refused(why) => write!(f, "**refused**: {why}"),
            Verdict::ReadRefused(why) => write!(f, "opens; **the read is refused**: {why}"),
        }
    }
}

/// The sentence without what it says every time.
fn sentence(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(". Do not cut").next().unwrap();
    without(text, Path::new(DIR))
}

fn without(text: &str, dir: &Path) -> String {
    let dir = dir.display().to_string();
    text.replace(&format!("{dir}/"), "").replace(&dir, "the directory")
}

type Files = BTreeMap<PathBuf, Vec<u8>>;

fn files(disk: &dyn Disk) -> Files {
    let dir = Path::new(DIR);
    let contents = |name| {
        let path = dir.join(name);
        let bytes = contents(&*disk.open(&path).unwrap());
        (path, bytes)
    };
    disk.list(dir).unwrap().into_iter().map(contents).collect()
}

/// Opens the log and says what becomes of the entries that were acknowledged. Whatever opens must also go on.
pub fn verdict(disk: &MemoryDisk, acknowledged: &[Entry], options: &Options) -> Verdict {
    let before = files(disk);
    let opened = Log::open(Arc::new(disk.mount()), Path::new(DIR), options);
    match opened {
        Err(error) => {
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
            assert_eq!(files(disk), before, "a refusal touches nothing: {error}");
            Verdict::Refused(sentence(&error))
        }
        Ok(log) => {
            let group = log.group(0);
            let verdict = read(&*group, acknowledged);
            go_on(disk, log, options);
            verdict
        }
    }
}

fn read(log: &dyn LogStore, acknowledged: &[Entry]) -> Verdict {
    match log.read(0..u64::MAX, usize::MAX) {
        Ok(found) if found.starts_with(acknowledged) => Verdict::Kept,
        Ok(found) => {
            assert!(acknowledged.starts_with(&found), "wrong entries: {found:?}");
            Verdict::Lost(acknowledged.len() - found.len())
        }
        Err(_) => {
            let mut refused = Vec::new();
            for entry in acknowledged {
                let number = entry.header.number;
                match log.read(number..number + 1, 1) {
                    Ok(found) => assert_eq!(found, std::slice::from_ref(entry)),
                    Err(error) => refused.push(sentence(&error)),
                }
            }
            assert_eq!(refused.len(), 1, "one entry is damaged: {refused:?}");
            Verdict::ReadRefused(refused.remove(0))
        }
    }
}

/// What opens takes more, and finds it again.
fn go_on(disk: &MemoryDisk, log: Log, options: &Options) {
    let group = log.group(0);
    let next = group.state().last.map_or(0, |last| last.number + 1);
    group.append(vec![blank(9, next)], ignore()).unwrap();
    disk.crash();
    drop((group, log));
    let log = Log::open(Arc::new(disk.mount()), Path::new(DIR), options).unwrap();
    assert_eq!(log.group(0).state().last, Some(id(9, next)));
}

/// The verdict on each of several logs, which is the same for all; the sentence is that of the first.
pub fn same(verdicts: impl IntoIterator<Item = Verdict>) -> Verdict {
    let kind = |verdict: &Verdict| match verdict {
        Verdict::Refused(_) => Verdict::Refused(String::new()),
        Verdict::ReadRefused(_) => Verdict::ReadRefused(String::new()),
        other => other.clone(),
    };
    let mut verdicts = verdicts.into_iter();
    let first = verdicts.next().expect("there is one");
    for (at, verdict) in verdicts.enumerate() {
        assert_eq!(kind(&verdict), kind(&first), "{at} behind the first: {verdict:?}, not {first:?}");
    }
    first
}

/// The same files on the real disk are judged in the same words.
pub fn on_the_real_disk(disk: &MemoryDisk, options: &Options) -> Result<(), String> {
    let dir = TempDir::new().unwrap();
    for (path, bytes) in files(disk) {
        let file = RealDisk.create(&dir.path().join(path.file_name().unwrap())).unwrap();
        file.write_at(0, &bytes).unwrap();
    }
    let opened = Log::open(Arc::new(RealDisk), dir.path(), options).map(drop);
    opened.map_err(|error| without(&sentence(&error), dir.path()))
}
