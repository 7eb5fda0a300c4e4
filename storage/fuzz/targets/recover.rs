//! The scan of a segment's frames, and its verdict on what follows them.
//!
//! The input writes a segment and damages it. The verdict is compared with one that is reached by looking at every sector.

use bytes::Bytes;
use lovebird_storage::log::fuzzing::{self, FrameFields, Scanned, Verdict};

use super::layout::*;
use super::program::Program;
use super::repair;

const FILE_BYTES_MAX: usize = 64 << 10;

/// A log that is well under way.
const FIRST: FrameFields =
    FrameFields { log: 0x0bad_cafe_f00d_beef, sequence: 7, stream: 1 << 20, durable: 0 };

/// A segment that is being written and damaged.
struct Segment {
    file: Vec<u8>,
    /// The frame that would come next.
    next: FrameFields,
    /// Where in the stream the next segment begins, if there is one.
    end: Option<u64>,
}

/// See the module.
pub fn run(input: &[u8]) {
    let mut program = Program::new(input);
    let mut segment = Segment { file: vec![0; SEGMENT_HEADER_BYTES], next: FIRST, end: None };
    if program.byte() & 1 == 1 {
        segment.file.extend_from_slice(program.rest());
    }
    while !program.is_over() {
        segment.change(&mut program);
    }
    let file = Bytes::from(segment.file);
    let scanned = fuzzing::scan(&file, FIRST, segment.end);
    check(&file, FIRST, segment.end, &scanned);
}

impl Segment {
    fn change(&mut self, program: &mut Program<'_>) {
        let sectors = self.file.len().div_ceil(SECTOR_BYTES);
        match program.byte() % 16 {
            0..4 => {
                let fields = FrameFields { durable: self.durability(program), ..self.next };
                self.push(program, fields);
            }
            4 => {
                let fields = self.strange(program);
                self.push(program, fields);
            }
            5 => {
                let bytes = program.below(8) * SECTOR_BYTES + usize::from(program.byte());
                self.file.resize((self.file.len() + bytes).min(FILE_BYTES_MAX), 0);
            }
            6 => {
                let bytes = program.below(self.file.len() + 1).max(SEGMENT_HEADER_BYTES);
                self.file.truncate(bytes);
            }
            7 => {
                let (at, bit) = (program.below(self.file.len()), program.byte() % 8);
                self.file[at] ^= 1 << bit;
            }
            8 => self.fill(program.below(sectors), &[0]),
            9 => {
                let sector = program.below(sectors);
                let count = usize::from(program.byte() % 32);
                self.fill(sector, program.bytes(count));
            }
            10 => self.swap(program.below(sectors), program.below(sectors)),
            11 => {
                let (from, to) = (program.below(sectors), program.below(sectors));
                let bytes = self.sector(from).to_vec();
                self.fill(to, &bytes);
            }
            12..14 => repair::frame(&mut self.file, program.below(sectors) * SECTOR_BYTES),
            14 => {
                let at = program.below(self.file.len());
                let count = usize::from(program.byte() % 16);
                let bytes = program.bytes(count);
                let count = bytes.len().min(self.file.len() - at);
                self.file[at..at + count].copy_from_slice(&bytes[..count]);
            }
            _ => self.end = Some(self.durability(program)),
        }
    }

    /// An offset of the stream up to which it may be synced.
    fn durability(&self, program: &mut Program<'_>) -> u64 {
        match program.byte() % 4 {
            0 => self.next.stream,
            1 => 0,
            2 => FIRST.stream + u64::from(program.byte()) * SECTOR_BYTES as u64,
            _ => program.long(),
        }
    }

    /// The header of a frame that does not belong here.
    fn strange(&self, program: &mut Program<'_>) -> FrameFields {
        let mut fields = FrameFields { durable: self.durability(program), ..self.next };
        let which = program.byte();
        if which & 1 != 0 {
            fields.sequence = fields.sequence.wrapping_add_signed(i64::from(program.byte() as i8));
        }
        if which & 2 != 0 {
            let sectors = i64::from(program.byte() as i8);
            fields.stream = fields.stream.wrapping_add_signed(sectors * SECTOR_BYTES as i64);
        }
        if which & 4 != 0 {
            fields.log ^= 1;
        }
        fields
    }

    fn push(&mut self, program: &mut Program<'_>, fields: FrameFields) {
        let payload = vec![program.byte(); usize::from(program.byte()) * 8];
        let frame = fuzzing::seal(&payload, fields);
        self.file.resize(self.file.len().next_multiple_of(SECTOR_BYTES), 0);
        if self.file.len() + frame.len() <= FILE_BYTES_MAX {
            self.file.extend_from_slice(&frame);
            self.next.stream += frame.len() as u64;
            self.next.sequence += 1;
        }
    }

    fn sector(&mut self, sector: usize) -> &mut [u8] {
        let at = sector * SECTOR_BYTES;
        let end = self.file.len().min(at + SECTOR_BYTES);
        &mut self.file[at..end]
    }

    fn fill(&mut self, sector: usize, bytes: &[u8]) {
        for (to, from) in self.sector(sector).iter_mut().zip(bytes.iter().cycle()) {
            *to = *from;
        }
    }

    fn swap(&mut self, a: usize, b: usize) {
        let (in_a, in_b) = (self.sector(a).to_vec(), self.sector(b).to_vec());
        self.fill(a, &in_b);
        self.fill(b, &in_a);
    }
}

fn check(file: &[u8], first: FrameFields, last: Option<u64>, scanned: &Scanned) {
    let (mut end, mut stream, mut sequence, mut durable) =
        (SEGMENT_HEADER_BYTES, first.stream, first.sequence, 0);
    for taken in &scanned.taken {
        assert!(last.is_none_or(|last| stream < last), "a frame behind the end of the segment was taken");
        assert_eq!(taken.offset, end as u64, "a frame that does not follow on the last one was taken");
        let FrameFields { durable: said, .. } = taken.fields;
        assert_eq!(taken.fields, FrameFields { log: first.log, sequence, stream, durable: said });
        let sealed = fuzzing::seal(&taken.payload, taken.fields);
        let bytes = FRAME_HEADER_BYTES + taken.payload.len();
        let mut found = file[end..end + bytes].to_vec();
        // What is reserved is under the checksum, so no damage hides there, but it says nothing in this version.
        found[10..12].fill(0);
        found[48..64].fill(0);
        found[4..8].copy_from_slice(&sealed[4..8]);
        assert_eq!(found, sealed[..bytes], "the frame at byte {end} is sealed differently");
        end += sealed.len();
        stream += sealed.len() as u64;
        sequence += 1;
        durable = durable.max(said);
    }
    // Only padding may be missing from the last frame.
    assert!(end <= file.len().next_multiple_of(SECTOR_BYTES), "the frames end behind the file");
    let next = frame_at(file, end).filter(|frame| frame.log == first.log);
    let next = next.filter(|frame| (frame.stream, frame.sequence) == (stream, sequence));
    // A mark is no frame that anything follows on, and what it says counts.
    let open = last.is_none_or(|last| stream < last) && !scanned.taken.is_empty();
    let mark = next.filter(|frame| open && frame.bytes == FRAME_HEADER_BYTES);
    let next = if mark.is_some() { None } else { next };
    durable = durable.max(mark.map_or(0, |mark| mark.durable));
    assert_eq!((scanned.end, scanned.durable), (end as u64, durable));
    let complete = last.is_some_and(|last| last <= stream);
    assert!(complete || next.is_none(), "a good frame was not taken: {next:?}");
    let expected = match last.is_some_and(|last| last > stream) {
        true => Verdict::Damaged(None),
        false => verdict(file, first.log, end, if mark.is_some() { SECTOR_BYTES } else { 0 }, stream),
    };
    assert_eq!(scanned.verdict, expected, "of what follows byte {end}");
}

/// The rule, sector by sector.
fn verdict(file: &[u8], log: u64, end: usize, mark_bytes: usize, stream: u64) -> Verdict {
    let sectors: Vec<usize> = (end + mark_bytes..file.len()).step_by(SECTOR_BYTES).collect();
    let proves = |at: usize| {
        frame_at(file, at).is_some_and(|frame| {
            frame.log == log && frame.stream == stream + (at - end) as u64 && frame.durable > stream
        })
    };
    if let Some(proof) = sectors.iter().find(|at| proves(**at)) {
        return Verdict::Damaged(Some(*proof as u64));
    }
    let behind = |at: usize| file.len().min(at + SECTOR_BYTES);
    let used = |at: &&usize| file[**at..behind(**at)].iter().any(|byte| *byte != 0);
    match sectors.iter().rfind(used) {
        Some(last) => Verdict::Torn(behind(*last) as u64),
        None => Verdict::Clean,
    }
}
