//! Whether and how the chunks of a snapshot file are compressed.
//!
//! Each chunk is an LZ4 block of its own, so that both sides hold one chunk and its compressed form, whatever the size of the
//! file. A chunk that does not get smaller is stored as it is.
//!
//! # Why LZ4
//!
//! Chunks of 1 MiB, in millions of bytes a second on one thread, as measured on two cores (median of many rounds):
//!
//! | content | | ratio | compress | decompress |
//! |---|---|---:|---:|---:|
//! | 100,000 variables `v1`, `v2`, … as bincode | LZ4 | 1.38 | 330 | 2,600 |
//! | | zstd, level 1 | 1.63 | 255 | 820 |
//! | | zstd, level 3 | 1.75 | 120 | 690 |
//! | 100,000 variables `account-000001`, … as bincode | LZ4 | 2.31 | 530 | 4,700 |
//! | | zstd, level 1 | 2.92 | 335 | 1,080 |
//! | | zstd, level 3 | 2.77 | 180 | 930 |
//! | lines of JSON | LZ4 | 3.35 | 580 | 1,960 |
//! | | zstd, level 1 | 5.64 | 425 | 1,200 |
//! | | zstd, level 3 | 5.77 | 285 | 1,150 |
//! | random bytes | LZ4 | 1.00 | 7,000 to 9,000 | 12,000 |
//! | | zstd, level 1 | 1.00 | 3,500 to 4,000 | 10,000 |
//! | | zstd, level 3 | 1.00 | 3,000 to 3,500 | 10,000 |
//!
//! To a clean build LZ4, in safe Rust, adds 0.3 s; zstd, in C, adds 8 s, and 16 s when optimized. zstd makes files smaller by a
//! fifth to two fifths. A node has few cores, though, and they are for the commands that it serves meanwhile; and whoever waits
//! for a snapshot, a replica that starts or has fallen behind, waits for it to be decompressed, which LZ4 does twice to four
//! times as fast. So it is LZ4, and nobody who builds this needs a C compiler for it.
//!
//! # Why it is the default
//!
//! Snapshots of 512 MiB through [`SnapshotDirectory`](super::SnapshotDirectory), as measured on two busy cores and a local disk of
//! 1 GB/s, three runs of five or six snapshots; beside them a thread that appends 4 KiB to another file and syncs, as the log does:
//!
//! | content | chunks | file, MiB | written in, s | read in, s | p99 of the append, ms |
//! |---|---|---:|---:|---:|---:|
//! | variables | as they are | 512 | 2.5 to 3.5 | 0.1 to 0.2 | 5.6 to 13.3 |
//! | | LZ4 | 299 | 3.4 to 5.1 | 0.2 to 0.6 | 4.7 to 5.6 |
//! | JSON | as they are | 512 | 1.3 to 3.1 | 0.1 to 0.3 | 6.1 to 12.0 |
//! | | LZ4 | 139 | 2.3 to 2.7 | 0.3 to 0.4 | 4.2 to 7.8 |
//! | random | as they are | 512 | 1.8 to 3.4 | 0.1 to 0.2 | 6.3 to 13.2 |
//! | | LZ4 | 512 | 1.2 to 3.1 | 0.2 | 4.3 to 12.0 |
//!
//! A snapshot is written in the background, where it may take longer; what it must not do is make the log wait, and it does so
//! the less the fewer bytes it writes. It is also sent in fewer: a peer behind 125 MB/s gets the JSON in 1.2 s, not in 4.3. What
//! does not get smaller costs next to nothing. [`Compression::Off`] is for a state that is compressed or encrypted already, and
//! for a disk and a network that are both faster than the processor.

use std::fmt;
use std::io;

use lz4_flex::block::{CompressTable, compress_into_with_table, decompress_into, get_maximum_output_size};

use super::format::{CHUNK_BYTES, invalid};

/// Whether the chunks of new snapshot files are compressed. Files are read whichever way they were written.
///
/// By default they are: see [`Compression::Lz4`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    /// Chunks are stored as they are, as every version of this library can read them.
    Off,
    /// Chunks are LZ4 blocks where that makes them smaller.
    #[default]
    Lz4,
}

/// Compresses chunk after chunk with the same memory.
pub(super) struct Compressor {
    table: CompressTable,
    compressed: Vec<u8>,
}

impl Compressor {
    pub(super) fn new() -> Compressor {
        let compressed = vec![0; get_maximum_output_size(CHUNK_BYTES)];
        Compressor { table: CompressTable::large(), compressed }
    }

    /// What to store in the place of `content`; none if it does not get smaller.
    pub(super) fn compress(&mut self, content: &[u8]) -> Option<&[u8]> {
        // It fails only if there is no room for the result. Then this chunk is one that does not get smaller.
        let bytes = compress_into_with_table(content, &mut self.compressed, &mut self.table).ok()?;
        (bytes < content.len()).then(|| &self.compressed[..bytes])
    }
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Compressor")
    }
}

/// Fills `content`, no more and no less, with what was compressed to `stored`.
pub(super) fn decompress(stored: &[u8], content: &mut [u8]) -> io::Result<()> {
    let bytes = decompress_into(stored, content).map_err(|e| invalid(e.to_string()))?;
    if bytes != content.len() {
        return Err(invalid(format!("{bytes} bytes came out, not {}", content.len())));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(bytes: usize) -> Vec<u8> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let step = |_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        };
        (0..bytes).map(step).collect()
    }

    #[test]
    fn what_gets_smaller_comes_back() {
        let mut compressor = Compressor::new();
        let words = b"the state of a service repeats itself ".repeat(CHUNK_BYTES / 38 + 1);
        for bytes in [100, 70_000, CHUNK_BYTES] {
            let content = &words[..bytes];
            let stored = compressor.compress(content).unwrap().to_vec();
            assert!(stored.len() < bytes, "{} of {bytes} bytes", stored.len());
            let mut back = vec![0; bytes];
            decompress(&stored, &mut back).unwrap();
            assert!(back == content);
        }
    }

    #[test]
    fn what_does_not_get_smaller_is_left_as_it_is() {
        let mut compressor = Compressor::new();
        for bytes in [1, 12, 13, 1000, CHUNK_BYTES] {
            assert_eq!(compressor.compress(&random(bytes)), None, "{bytes} bytes");
        }
    }

    #[test]
    fn another_length_than_was_claimed_is_refused() {
        let content = vec![7; 5000];
        let mut compressor = Compressor::new();
        let stored = compressor.compress(&content).unwrap();
        for claimed in [0, 1, 4999, 5001, CHUNK_BYTES] {
            assert!(decompress(stored, &mut vec![0; claimed]).is_err(), "{claimed} bytes were claimed");
        }
    }
}
