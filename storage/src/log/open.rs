//! Opening: finds the segments, follows them ([`super::replay`]), cuts a torn tail, makes all of it durable, and gives a
//! writer that goes on at the end. Nothing is changed before everything is found to be in order; what is refused is synced as it is.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::Path;
use std::sync::Arc;

use lovebird_core::identity::GroupId;
use lovebird_core::runtime;

use super::error::{OpenError, foreign};
use super::group::Group;
use super::recovery::{Scan, Tail};
use super::replay::replay;
use super::segment::{self, HeaderVerdict, SEGMENT_HEADER_BYTES, Segment};
use super::writer::{End, Writer};
use super::{Missing, Options, spare};
use crate::disk::{Disk, read_exact_at};

/// How much is zeroed or written again at a time.
const MEND_BYTES: usize = 1 << 20;

/// What opening found: the groups as they stand, and a writer at the end of the stream.
pub(super) struct Opened {
    pub(super) groups: BTreeMap<GroupId, Arc<Group>>,
    pub(super) writer: Writer,
}

/// What lies in a log's directory.
pub(super) struct Found {
    /// All segments in order, with what their headers turned out to be.
    pub(super) segments: VecDeque<(Arc<Segment>, HeaderVerdict)>,
    /// Names of files that were to become segments.
    pub(super) spares: Vec<String>,
}

/// Opens the log in `dir`.
pub(super) fn open(disk: Arc<dyn Disk>, dir: &Path, options: &Options) -> io::Result<Opened> {
    disk.create_dir(dir)?;
    let Found { segments, spares } = find(&*disk, dir)?;
    let newest = segments.back().map(|(segment, _)| segment.clone());
    let replayed = match newest {
        None if options.missing == Missing::Refuse => return Err(OpenError::NoLog { dir: dir.into() }.into()),
        None => None,
        Some(newest) => Some(
            replay(dir, segments, options.check, &mut |_, _, _| Ok(()))
                .inspect_err(|_| keep_evidence(&newest))?,
        ),
    };
    for name in spares {
        lovebird_core::sometimes!("a segment that was only being made ready is removed at open");
        disk.remove(&dir.join(name))?;
    }
    let Some((replay, last)) = replayed else {
        let writer = Writer::create(disk, dir, options, runtime::random_u64())?;
        return Ok(Opened { groups: BTreeMap::new(), writer });
    };
    let segment = replay.segments.back().expect("a log that was replayed has a segment");
    mend(segment, &last, replay.stream)?;
    disk.sync_dir(dir)?;
    let end = End {
        log: replay.log,
        room: segment.file.len()?,
        segments: replay.segments,
        end: last.end,
        stream: replay.stream,
        sequence: replay.sequence,
        marked: last.marked,
    };
    let group = |(id, trail)| (id, Arc::new(Group::new(id, trail, options.cache_bytes)));
    let groups = replay.trails.into_iter().map(group).collect();
    Ok(Opened { groups, writer: Writer::new(disk, dir, options, end) })
}

/// What is refused now must be refused after a loss of power, too. But the mark which proves that the last frame was synced, and is
/// damaged therefore, may be in the system's hands alone: without it that frame would be taken for a torn tail.
fn keep_evidence(newest: &Segment) {
    if let Err(error) = newest.file.sync_data() {
        tracing::error!(
            segment = %newest.path.display(),
            %error,
            "the log is refused, and what shows why could not be synced: do not let this machine lose its power"
        );
    }
}

/// Lists what lies in the directory, and reads the headers.
pub(super) fn find(disk: &dyn Disk, dir: &Path) -> io::Result<Found> {
    let mut found = Found { segments: VecDeque::new(), spares: Vec::new() };
    for name in disk.list(dir)? {
        if spare::is_spare(&name) {
            found.spares.push(name);
            continue;
        }
        let path = dir.join(&name);
        let number = segment::number_of(&name)
            .ok_or_else(|| foreign(&path, "is no segment of a log, but lies among them"))?;
        let segment = Segment { number, file: disk.open(&path)?, path };
        let verdict = segment::verdict(&segment)?;
        found.segments.push_back((Arc::new(segment), verdict));
    }
    Ok(found)
}

/// Zeros what follows the last frame, so that it never comes back, and makes all frames durable.
///
/// Frames that were read may stand in the system's cache alone, even after a sync that failed has marked them as clean;
/// so those not proven durable are written once more before the sync.
fn mend(segment: &Segment, scan: &Scan, stream: u64) -> io::Result<()> {
    if let Tail::Torn { until } = scan.tail {
        lovebird_core::sometimes!("a torn tail is cut at open");
        tracing::warn!(
            segment = %segment.path.display(),
            offset = scan.end,
            bytes = until - scan.end,
            "cut the remains of a write that was under way when the node stopped, and was not acknowledged"
        );
        let zeros = vec![0; MEND_BYTES.min((until - scan.end) as usize)];
        let mut at = scan.end;
        while at < until {
            let part = zeros.len().min((until - at) as usize);
            segment.file.write_at(at, &zeros[..part])?;
            at += part as u64;
        }
    }
    if segment.file.len()? < scan.end {
        // Nothing is lost but zeros: the file was cut within the padding of its last frame.
        segment.file.set_len(scan.end)?;
    }
    let unproven = stream.saturating_sub(scan.durable);
    let mut at = scan.end.saturating_sub(unproven).max(SEGMENT_HEADER_BYTES as u64);
    lovebird_core::sometimes!(at < scan.end, "what is not known to be durable is written again at open");
    let mut bytes = vec![0; MEND_BYTES];
    while at < scan.end {
        let part = bytes.len().min((scan.end - at) as usize);
        read_exact_at(&*segment.file, at, &mut bytes[..part])?;
        segment.file.write_at(at, &bytes[..part])?;
        at += part as u64;
    }
    segment.file.sync_data()
}
