//! Replies, laid end to end, one a command: what `apply` answered, on its way back to the callers. The answers to queries are laid
//! out in the same way.
//!
//! Little-endian: a tag (1 byte: 0 reply, 1 undecodable), a length (4 bytes), then the encoded reply or, where every
//! replica alike could not decode the command, a sentence on why.

use std::fmt::Display;

use bytes::{Buf, BufMut, Bytes, BytesMut};

const REPLY: u8 = 0;
const UNDECODABLE: u8 = 1;

/// What one command was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The state machine's reply, encoded.
    Reply(Bytes),
    /// No replica could decode the command; it had no effect. Or the query could not be decoded, or its answer not be encoded.
    Undecodable(String),
}

/// What stands before each reply.
const HEADER_BYTES: usize = 5;

/// Appends one reply to a run of them.
pub fn push_reply(out: &mut BytesMut, reply: Result<&[u8], &str>) {
    let (tag, bytes) = match reply {
        Ok(bytes) => (REPLY, bytes),
        Err(text) => (UNDECODABLE, text.as_bytes()),
    };
    out.reserve(HEADER_BYTES + bytes.len());
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
    out.put_slice(&[REPLY, 0, 0, 0, 0]);
    encode(out).inspect_err(|_| out.truncate(start))?;
    let length = (out.len() - start - HEADER_BYTES) as u32;
    out[start + 1..start + HEADER_BYTES].copy_from_slice(&length.to_le_bytes());
    Ok(())
}

/// Appends what `encode` writes in place as an answer of at most `bytes_max`. If it fails, or writes more, the answer says so instead.
pub(crate) fn push_answer_with<E: Display>(
    out: &mut BytesMut,
    bytes_max: usize,
    encode: impl FnOnce(&mut BytesMut) -> Result<(), E>,
) {
    let start = out.len();
    let pushed = push_reply_with(out, encode);
    let bytes = out.len() - start;
    let fault = match pushed {
        Ok(()) if bytes <= HEADER_BYTES + bytes_max => return,
        Ok(()) => {
            let bytes = bytes - HEADER_BYTES;
            format!("the answer has {bytes} bytes, at most {bytes_max} are allowed")
        }
        Err(error) => format!("the answer cannot be encoded: {error}"),
    };
    out.truncate(start);
    push_reply(out, Err(&fault));
}

/// The replies of a run, in order. Ends early if the bytes are damaged: callers count.
pub fn replies(mut run: Bytes) -> impl Iterator<Item = Reply> {
    std::iter::from_fn(move || {
        if run.len() < HEADER_BYTES {
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
        let length = run.get(end + 1..end + HEADER_BYTES)?;
        end += HEADER_BYTES + u32::from_le_bytes([length[0], length[1], length[2], length[3]]) as usize;
    }
    (end <= run.len()).then(|| run.split_to(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_is_too_long_or_cannot_be_written_leaves_a_sentence_and_harms_no_other() {
        let mut run = BytesMut::new();
        for (text, outcome) in
            [("one", Ok(())), ("four", Ok(())), ("a", Err("no way to say this")), ("", Ok(()))]
        {
            push_answer_with(&mut run, 3, |out| {
                out.put_slice(text.as_bytes());
                outcome
            });
        }
        let found: Vec<Reply> = replies(run.freeze()).collect();
        let said = |text: &str| Reply::Undecodable(text.to_owned());
        assert_eq!(
            found,
            [
                Reply::Reply(Bytes::from_static(b"one")),
                said("the answer has 4 bytes, at most 3 are allowed"),
                said("the answer cannot be encoded: no way to say this"),
                Reply::Reply(Bytes::new()),
            ]
        );
    }
}
