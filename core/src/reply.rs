//! Replies, laid end to end, one a command: what `apply` answered, on its way back to the callers.
//!
//! Little-endian: a tag (1 byte: 0 reply, 1 undecodable), a length (4 bytes), then the encoded reply or, where every
//! replica alike could not decode the command, a sentence on why.

use bytes::{Buf, BufMut, Bytes, BytesMut};

const REPLY: u8 = 0;
const UNDECODABLE: u8 = 1;

/// What one command was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The state machine's reply, encoded.
    Reply(Bytes),
    /// No replica could decode the command; it had no effect.
    Undecodable(String),
}

/// Appends one reply to a run of them.
pub fn push_reply(out: &mut BytesMut, reply: Result<&[u8], &str>) {
    let (tag, bytes) = match reply {
        Ok(bytes) => (REPLY, bytes),
        Err(text) => (UNDECODABLE, text.as_bytes()),
    };
    out.reserve(5 + bytes.len());
    out.put_u8(tag);
    out.put_u32_le(bytes.len() as u32);
    out.put_slice(bytes);
}

/// Appends one reply that `encode` writes in place. What it leaves after an error is taken back.
pub(crate) fn push_reply_with<E>(
    out: &mut BytesMut,
    encode: impl FnOnce(&mut BytesMut) -> Result<(), E>,
) -> Result<(), E> {
    let start = out.len();
    out.put_u8(REPLY);
    out.put_u32_le(0);
    let encoded = encode(out);
    if encoded.is_err() {
        out.truncate(start);
    } else {
        let length = (out.len() - start - 5) as u32;
        out[start + 1..start + 5].copy_from_slice(&length.to_le_bytes());
    }
    encoded
}

/// The replies of a run, in order. Ends early if the bytes are damaged: callers count.
pub fn replies(mut run: Bytes) -> impl Iterator<Item = Reply> {
    std::iter::from_fn(move || {
        if run.len() < 5 {
            return None;
        }
        let tag = run.get_u8();
        let length = run.get_u32_le() as usize;
        if run.len() < length {
            return None;
        }
        let bytes = run.split_to(length);
        match tag {
            REPLY => Some(Reply::Reply(bytes)),
            UNDECODABLE => Some(Reply::Undecodable(String::from_utf8_lossy(&bytes).into_owned())),
            _ => None,
        }
    })
}

/// Splits off the first `count` replies of a run, without copying.
pub fn split_replies(run: &mut Bytes, count: u32) -> Option<Bytes> {
    let mut end = 0;
    for _ in 0..count {
        let length = run.get(end + 1..end + 5)?;
        end += 5 + u32::from_le_bytes([length[0], length[1], length[2], length[3]]) as usize;
    }
    (end <= run.len()).then(|| run.split_to(end))
}
