//! Queries, laid end to end, on their way to the node that answers them.
//!
//! Little-endian: a length (4 bytes), then the encoded query. Their answers come back as [`crate::reply`] lays replies out.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::record::PAYLOAD_BYTES_MAX;

/// What stands before each query.
pub const QUERY_HEADER_BYTES: usize = 4;

/// The longest query that is sent, and the longest answer that is given: what is longer could not be decoded.
pub const QUERY_BYTES_MAX: usize = PAYLOAD_BYTES_MAX;

/// Appends one query to a run of them.
pub fn push_query(out: &mut BytesMut, query: &[u8]) {
    out.reserve(QUERY_HEADER_BYTES + query.len());
    out.put_u32_le(query.len() as u32);
    out.put_slice(query);
}

/// Takes the first query off a run. `None` at its end, or if the bytes are damaged: callers count.
pub fn take_query(run: &mut Bytes) -> Option<Bytes> {
    let length = length_at(run, 0)?;
    if run.len() - QUERY_HEADER_BYTES < length {
        return None;
    }
    run.advance(QUERY_HEADER_BYTES);
    Some(run.split_to(length))
}

/// Splits off the first `count` queries of a run, without copying. `None` if it does not hold as many.
pub fn split_queries(run: &mut Bytes, count: u32) -> Option<Bytes> {
    let mut end = 0;
    for _ in 0..count {
        end += QUERY_HEADER_BYTES + length_at(run, end)?;
    }
    (end <= run.len()).then(|| run.split_to(end))
}

fn length_at(run: &Bytes, at: usize) -> Option<usize> {
    let length = run.get(at..at.checked_add(QUERY_HEADER_BYTES)?)?;
    Some(u32::from_le_bytes([length[0], length[1], length[2], length[3]]) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_gives_back_its_queries_in_order_and_is_cut_where_it_is_asked() {
        let mut run = BytesMut::new();
        let queries: [&[u8]; 4] = [b"x?", b"", b"a longer one", b"y?"];
        queries.iter().for_each(|query| push_query(&mut run, query));
        let mut run = run.freeze();
        let mut first = split_queries(&mut run, 3).unwrap();
        for query in &queries[..3] {
            assert_eq!(take_query(&mut first).unwrap(), query);
        }
        assert_eq!(take_query(&mut first), None);
        assert_eq!(take_query(&mut run).unwrap(), queries[3]);
        assert!(run.is_empty());
    }

    #[test]
    fn a_run_that_is_damaged_holds_fewer_queries_than_it_should() {
        let mut run = BytesMut::new();
        push_query(&mut run, b"x?");
        push_query(&mut run, b"y?");
        let whole = run.freeze();
        for end in 0..whole.len() {
            assert_eq!(split_queries(&mut whole.slice(..end), 2), None, "cut at {end}");
        }
        assert_eq!(split_queries(&mut whole.clone(), 3), None);
        let mut long = Bytes::from_static(&[255, 255, 255, 255, 1]);
        assert_eq!((split_queries(&mut long, 1), take_query(&mut long)), (None, None));
    }
}
