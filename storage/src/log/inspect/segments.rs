//! Goes through the segments of a log, one at a time, as far as their bytes verify.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::report::Seal;
use super::stream::FrameView;
use crate::disk::Disk;
use crate::log::error::OpenError;
use crate::log::recovery::{self, Expected, Scan, Tail};
use crate::log::replay;
use crate::log::segment::{self, Segment, SegmentHeader};
use crate::log::{footer, spare};
use crate::steady::steady;

/// The segments of a log, oldest first. A node may be writing to it meanwhile: what is purged before its turn is left out, and
/// so is what comes to be meanwhile, unless the last one that was listed is gone.
pub struct Segments<'a> {
    disk: &'a dyn Disk,
    dir: PathBuf,
    numbers: VecDeque<u64>,
    /// Names of files that were to become segments.
    pub spares: Vec<String>,
    /// Names of files that do not belong there.
    pub foreign: Vec<String>,
    before: Option<Before>,
}

/// The last segment that was looked at.
struct Before {
    number: u64,
    log: Option<u64>,
}

/// A segment, as far as it verifies.
#[derive(Clone, Debug)]
pub struct SegmentView {
    /// Its number.
    pub number: u64,
    /// The file.
    pub path: PathBuf,
    /// How long the file is.
    pub bytes: u64,
    /// Where in the file the frames end.
    pub bytes_used: u64,
    /// The frames, up to the first that does not verify.
    pub frames: Vec<FrameView>,
    /// How it ends.
    pub seal: Seal,
    /// How many bytes behind the frames of the last segment an opening would cut.
    pub torn_bytes: u64,
    /// Why an opening would refuse this segment, or what is missing before or behind it.
    pub problems: Vec<OpenError>,
}

impl<'a> Segments<'a> {
    /// Lists the log in `dir`.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn list(disk: &'a dyn Disk, dir: &Path) -> io::Result<Segments<'a>> {
        let (numbers, spares, foreign) = Default::default();
        let mut segments = Segments { disk, dir: dir.into(), numbers, spares, foreign, before: None };
        segments.fill()?;
        Ok(segments)
    }

    fn fill(&mut self) -> io::Result<()> {
        self.spares.clear();
        self.foreign.clear();
        for name in self.disk.list(&self.dir)? {
            match segment::number_of(&name) {
                Some(number) => self.numbers.push_back(number),
                None if spare::is_spare(&name) => self.spares.push(name),
                None => self.foreign.push(name),
            }
        }
        Ok(())
    }

    /// Whether there is none to come.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// A segment that was listed; none if it has been purged since.
    fn view(&self, number: u64) -> io::Result<Option<(SegmentView, Option<u64>)>> {
        let path = segment::path(&self.dir, number);
        let Some(file) = there(self.disk.open(&path))? else { return Ok(None) };
        let segment = Arc::new(Segment { number, path, file });
        let mut view = SegmentView {
            number,
            path: segment.path.clone(),
            bytes: segment.file.len()?,
            bytes_used: 0,
            frames: Vec::new(),
            seal: Seal::Open,
            torn_bytes: 0,
            problems: Vec::new(),
        };
        view.problems.extend(self.missing_before(number)?);
        let header = match replay::header(&segment) {
            Ok(header) => header,
            Err(e) => {
                view.problems.push(refusal(e)?);
                return Ok(Some((view, None)));
            }
        };
        let (scan, refused) = self.scan(&segment, &header)?;
        view.problems.extend(refused);
        view.bytes_used = scan.end;
        view.frames = scan.frames.iter().map(|(offset, frame)| FrameView::new(*offset, frame)).collect();
        // Read behind the frames: whoever sealed the segment meanwhile had nothing more to write to it.
        view.bytes = segment.file.len()?;
        self.ending(&segment, &header, &scan, &mut view)?;
        Ok(Some((view, Some(header.log))))
    }

    /// What does not follow on the segment before.
    fn missing_before(&self, number: u64) -> io::Result<Option<OpenError>> {
        let Some(before) = &self.before else { return Ok(None) };
        let next = segment::path(&self.dir, before.number + 1);
        // They are removed from the first on: if the one before is gone too, both were purged meanwhile.
        let lost = number != before.number + 1 && self.exists(before.number)?;
        Ok(lost.then_some(OpenError::Missing { path: next, affected: Vec::new() }))
    }

    fn exists(&self, number: u64) -> io::Result<bool> {
        self.disk.exists(&segment::path(&self.dir, number))
    }

    /// The frames of a segment, and why an opening would refuse it, if it would.
    fn scan(&self, segment: &Segment, header: &SegmentHeader) -> io::Result<(Scan, Option<OpenError>)> {
        let end = self.end(segment.number, header)?;
        let SegmentHeader { log, stream, sequence, .. } = *header;
        let look = || {
            let scan = recovery::scan(&segment::bytes(segment)?, Expected { log, stream, sequence, end });
            let refused = replay::proof(&scan).map(|proof| {
                let (path, offset) = (segment.path.clone(), scan.end);
                OpenError::Damaged { path, offset, proof, affected: Vec::new() }
            });
            Ok((scan, refused))
        };
        steady(&segment.path, look, |(_, refused)| refused.clone())
    }

    /// Where in the stream a segment ends: the next one says so, if there is one.
    fn end(&self, number: u64, header: &SegmentHeader) -> io::Result<Option<u64>> {
        if self.numbers.front() != Some(&(number + 1)) {
            return Ok(None);
        }
        let path = segment::path(&self.dir, number + 1);
        let Some(file) = there(self.disk.open(&path))? else { return Ok(None) };
        // What is wrong with that one is said when its turn comes.
        let next = replay::header(&Segment { number: number + 1, path, file }).ok();
        Ok(next.filter(|next| next.log == header.log).map(|next| next.stream))
    }

    /// How the segment ends, and what should be behind it.
    fn ending(
        &self,
        segment: &Arc<Segment>,
        header: &SegmentHeader,
        scan: &Scan,
        view: &mut SegmentView,
    ) -> io::Result<()> {
        let footer = steady(&segment.path, || footer::read(segment), |_| None::<()>)?;
        let footer = footer.filter(|footer| footer.ends(header));
        let next = self.exists(segment.number + 1)?;
        view.seal = match footer {
            Some(_) => Seal::Footer,
            None if next || !self.numbers.is_empty() => Seal::NoFooter,
            None => Seal::Open,
        };
        if let (Seal::Open, Tail::Torn { until }) = (view.seal, scan.tail) {
            view.torn_bytes = until - scan.end;
        }
        // The next one may have been purged already, but then this one is gone as well.
        if view.seal == Seal::Footer && self.numbers.is_empty() && !next && self.exists(segment.number)? {
            let path = segment::path(&self.dir, segment.number + 1);
            view.problems.push(OpenError::Missing { path, affected: Vec::new() });
        }
        Ok(())
    }
}

impl Iterator for Segments<'_> {
    type Item = io::Result<SegmentView>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let number = self.numbers.pop_front()?;
            match self.view(number) {
                Err(e) => return Some(Err(e)),
                // The last one that was listed is gone, so there are newer ones.
                Ok(None) if self.numbers.is_empty() => {
                    if let Err(e) = self.fill() {
                        return Some(Err(e));
                    }
                    self.numbers.retain(|newer| *newer > number);
                }
                Ok(None) => {}
                Ok(Some((mut view, log))) => {
                    let before = self.before.take().and_then(|before| before.log);
                    if let (Some(before), Some(log)) = (before, log)
                        && before != log
                    {
                        let reason = "belongs to another log than the segment before it".to_owned();
                        view.problems.push(OpenError::Foreign { path: view.path.clone(), reason });
                    }
                    self.before = Some(Before { number, log: log.or(before) });
                    return Some(Ok(view));
                }
            }
        }
    }
}

impl fmt::Debug for Segments<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segments")
            .field("dir", &self.dir)
            .field("numbers", &self.numbers)
            .finish_non_exhaustive()
    }
}

/// Nothing, if the file is not there any more.
fn there<T>(opened: io::Result<T>) -> io::Result<Option<T>> {
    match opened {
        Ok(found) => Ok(Some(found)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// The refusal in an error; the error itself if it is the disk's.
fn refusal(error: io::Error) -> io::Result<OpenError> {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<OpenError>()) {
        Some(refusal) => Ok(refusal.clone()),
        None => Err(error),
    }
}
