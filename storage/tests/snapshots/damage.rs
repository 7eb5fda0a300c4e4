//! What is wrong with a file is said in words that help, at its opening or where reading comes to it.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

use lovebird_storage::snapshot::inspect::{Depth, State, look};
use lovebird_storage::{Compression, MemoryDisk};

use super::forging::{Forged, ForgedChunk, meta_of_group};
use super::support::{BOTH, MIB, content, files, name, open, place, read, take, try_open};

const REPLACE: &str = "replace this replica";
const HEADER: &str = "its header does not match its checksum";
const UNFINISHED: &str = "it has no footer, so it was never finished";
const FOOTER: &str = "its footer does not match its checksum";
const CHUNK: &str = "does not match its checksum";

/// Three chunks of a little content.
fn small(compression: Compression) -> Forged {
    Forged::in_chunks(compression, &content(1, 1500), 500)
}

/// Opens a file with these bytes, and reads it if it opens.
fn try_read(bytes: &[u8]) -> io::Result<Vec<u8>> {
    read(&*try_open(Arc::new(place(&name(1), bytes)), Compression::default())?.latest()?.unwrap())
}

/// What is said of these bytes. Where the file does not open, also what to do.
fn complaint(bytes: &[u8]) -> String {
    let opened = try_open(Arc::new(place(&name(1), bytes)), Compression::default());
    let error = match opened {
        Ok(store) => read(&*store.latest().unwrap().unwrap()).expect_err("it was believed"),
        Err(error) => {
            assert!(error.to_string().contains(REPLACE), "{error}");
            error
        }
    };
    assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
    let text = error.to_string();
    assert!(text.contains(&name(1)), "it does not say which file: {text}");
    text
}

fn flipped(bytes: &[u8], at: usize, bit: u8) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1 << bit;
    bytes
}

#[test]
fn every_flipped_bit_is_found_and_named() {
    for compression in BOTH {
        let forged = small(compression);
        let bytes = forged.encode();
        let chunk_header = if compression == Compression::Off { 8 } else { 16 };
        let mut regions = vec![
            (8, vec!["it is no snapshot file"]),
            (4, vec![HEADER]),
            (4, vec![HEADER, "its header says that its meta has"]),
            (forged.header().len() - 16, vec![HEADER]),
        ];
        for number in 0..3 {
            let lengths = if compression == Compression::Off { 4 } else { 8 };
            regions.push((lengths, vec![CHUNK, "says that it has"]));
            regions.push((chunk_header - lengths, vec![CHUNK]));
            regions.push((forged.chunk(number).len() - chunk_header, vec![CHUNK]));
        }
        regions.push((8, vec![UNFINISHED]));
        regions.push((24, vec![FOOTER]));
        let mut at = 0;
        for (length, words) in regions {
            for (at, bit) in (at..at + length).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
                let text = complaint(&flipped(&bytes, at, bit));
                assert!(words.iter().any(|words| text.contains(words)), "{compression:?}, byte {at}: {text}");
            }
            at += length;
        }
        assert_eq!(at, bytes.len(), "every byte was tried");
    }
}

#[test]
fn file_that_was_cut_anywhere_was_never_finished() {
    for compression in BOTH {
        let bytes = small(compression).encode();
        assert_eq!(try_read(&bytes).unwrap(), content(1, 1500));
        for length in 0..bytes.len() {
            let text = complaint(&bytes[..length]);
            assert!(text.contains(UNFINISHED), "{compression:?}, {length} bytes: {text}");
        }
    }
}

#[test]
fn chunks_that_are_missing_or_misplaced_are_found() {
    for compression in BOTH {
        let forged = small(compression);
        let bytes = forged.encode();
        let footer = &bytes[bytes.len() - 32..];
        let with = |chunks: &[usize]| {
            let chunks = chunks.iter().map(|number| forged.chunk(*number));
            [forged.header(), chunks.flatten().collect(), footer.to_vec()].concat()
        };
        assert_eq!(with(&[0, 1, 2]), bytes);
        let table: [(&[usize], &str); 7] = [
            (&[1, 2], CHUNK),
            (&[0, 2], CHUNK),
            (&[0, 1], "its footer speaks of"),
            (&[], "its footer speaks of"),
            (&[1, 0, 2], CHUNK),
            (&[0, 2, 1], CHUNK),
            (&[0, 1, 2, 2], CHUNK),
        ];
        for (chunks, words) in table {
            let text = complaint(&with(chunks));
            assert!(text.contains(words), "{compression:?}, {chunks:?}: {text}");
        }

        // The end of another file of the same length, which verifies by itself.
        let mut other = forged.clone();
        let noisy = content(2, 1500);
        other.chunks = noisy.chunks(500).map(|part| ForgedChunk::of(other.version, part)).collect();
        let other = other.encode();
        let text = complaint(&[&bytes[..bytes.len() - 32], &other[other.len() - 32..]].concat());
        assert!(text.contains("its footer speaks of"), "{compression:?}: {text}");
    }
}

#[test]
fn damage_is_found_where_reading_comes_to_it() {
    for compression in BOTH {
        let disk = MemoryDisk::new();
        let file = take(&*open(&disk, compression), 1, &content(1, 3 * MIB)).unwrap();
        let chunk = file.id().length / 3;
        use lovebird_storage::Disk;
        disk.open(&files(&disk)[0]).unwrap().write_at(chunk + 5000, &[0xff; 8]).unwrap();
        let mut reading = file.open().unwrap();
        let mut first = vec![0; MIB];
        reading.read_exact(&mut first).unwrap();
        assert!(first == content(1, MIB));
        for _ in 0..2 {
            let error = reading.read_exact(&mut first).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData, "it is not forgotten");
        }
    }
}

#[test]
fn compressed_chunk_that_lies_is_refused() {
    type Lie = fn(&mut ForgedChunk);
    let table: [(&str, Lie, &str); 11] = [
        ("inflates beyond a chunk", |chunk| chunk.content_bytes = MIB as u32 + 1, "says that it has 1048577"),
        ("inflates to 4 GiB", |chunk| chunk.content_bytes = u32::MAX, "says that it has 4294967295 bytes in"),
        ("has no content", |chunk| chunk.content_bytes = 0, "says that it has 0 bytes"),
        ("has nothing stored", |chunk| chunk.stored_bytes = 0, "says that it has 500 bytes in 0"),
        ("grew", |chunk| chunk.stored_bytes = 501, "says that it has 500 bytes in 501"),
        ("one byte less", |chunk| chunk.content_bytes -= 1, "does not decompress to what it says"),
        ("one byte more", |chunk| chunk.content_bytes += 1, "does not decompress to what it says"),
        ("is no block", |chunk| chunk.stored.fill(0xff), "does not decompress to what it says"),
        ("reaches back too far", |chunk| chunk.stored.fill(0x11), "does not decompress to what it says"),
        ("another content", |chunk| chunk.content_crc ^= 1, "holds another content than was written"),
        ("not compressed", |chunk| chunk.content_bytes = chunk.stored_bytes, "holds another content"),
    ];
    for (lie, tell, words) in table {
        for number in 0..3 {
            let mut forged = small(Compression::Lz4);
            tell(&mut forged.chunks[number]);
            let text = complaint(&forged.encode());
            assert!(text.contains(words), "{lie}, chunk {number}: {text}");
        }
    }
    // Stored bytes that would run into the footer.
    let mut forged = small(Compression::Lz4);
    forged.chunks[2].stored_bytes += 1;
    let text = complaint(&forged.encode());
    assert!(text.contains("says that it has"), "{text}");
}

#[test]
fn plain_chunk_that_lies_is_refused() {
    for (bytes, words) in [
        (0, "says that it has 0 bytes"),
        (499, CHUNK),
        (501, CHUNK),
        (MIB as u32 + 1, "says that it has 1048577 bytes"),
        (u32::MAX, "says that it has 4294967295 bytes"),
    ] {
        let mut forged = small(Compression::Off);
        forged.chunks[1].content_bytes = bytes;
        let text = complaint(&forged.encode());
        assert!(text.contains(words), "{bytes}: {text}");
    }
}

/// These are whole, so that nothing is lost and no replica needs to be replaced.
#[test]
fn file_that_is_whole_but_wrong_here_is_refused_without_alarm() {
    for compression in BOTH {
        let whole = small(compression);
        let mut newer = whole.clone();
        newer.version = 3;
        let mut strange = whole.clone();
        strange.meta = meta_of_group(7);
        let table = [
            (
                name(1),
                newer,
                ErrorKind::Unsupported,
                "it has format version 3; this build knows 1 and 2: upgrade this node",
            ),
            (
                name(1),
                strange,
                ErrorKind::InvalidData,
                "it belongs to group 7, not to group 0; put it back there",
            ),
            (name(2), whole.clone(), ErrorKind::InvalidData, "it was written as 00000000000000000001-"),
            ("1.snapshot".to_owned(), whole.clone(), ErrorKind::InvalidData, "it was written as"),
            ("notes.txt".to_owned(), whole, ErrorKind::InvalidData, "lies among them; put it elsewhere"),
        ];
        for (name, forged, kind, words) in table {
            let disk = place(&name, &forged.encode());
            let error = try_open(Arc::new(disk.mount()), compression).err().unwrap();
            let text = error.to_string();
            assert!(text.contains(words) && text.contains(&name), "{text}");
            assert!(!text.contains(REPLACE), "{text}");
            assert_eq!(error.kind(), kind, "{text}");
            assert_eq!(files(&disk).len(), 1, "it is left where it is");
            // Who only looks is told the same.
            let views = look(&disk, Path::new("/snapshots"), Depth::Ends).unwrap();
            assert!(matches!(&views[0].state, State::Refused(told) if *told == text), "{views:?}");
        }
    }
}

#[test]
fn foreign_file_under_a_name_of_ours_is_no_snapshot() {
    for foreign in [b"PK\x03\x04".to_vec(), vec![0; 500], b"LBIRDSNAPSHOT".to_vec(), vec![0xff; 2 * MIB]] {
        let text = complaint(&foreign);
        assert!(text.contains("it is no snapshot file"), "{text}");
    }
}
