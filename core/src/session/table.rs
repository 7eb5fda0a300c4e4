//! The sessions as a replica has applied them, with the replies that may still be asked for.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::planted::{self, Bug};
use crate::runtime;

use super::replies::{KeptReply, Replies, ReplyBytes};
use super::rules::Entered;
use super::{Admission, Number, Opened, Opening, REPLY_BYTES_MAX, Sessions};

/// What a duplicate is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// The command's log index, and the reply as [`crate::reply`] lays it out.
    Reply(u64, Bytes),
    /// Its log index; the reply had to go.
    Index(u64),
    /// Nothing: it was never applied, or its client has settled it, or the session has expired.
    Nothing,
}

/// The applied copy; see the module above. It is part of every snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SessionTable {
    sessions: Sessions,
    /// By session and sequence.
    replies: BTreeMap<u64, Replies>,
    bytes: usize,
}

impl SessionTable {
    /// What decides, for the leader's working copy.
    pub(crate) fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// Whether nobody has ever opened one, so that there is nothing to put into a snapshot.
    pub(crate) fn is_untouched(&self) -> bool {
        self.sessions == Sessions::default()
    }

    /// An entry that counts is about to be applied, at log time `time`.
    pub(crate) fn advance(&mut self, time: u64) {
        let time = if planted::is(Bug::ExpireByLocalClock) { runtime::unix_time() } else { time };
        for session in self.sessions.advance(time) {
            self.forget(session);
        }
    }

    /// A session is opened.
    pub(crate) fn open(&mut self, opening: &Opening, time: u64) -> Opened {
        let (opened, evicted) = self.sessions.open(opening, time);
        if let Some(session) = evicted {
            self.forget(session);
        }
        opened
    }

    /// Whether a command may be applied.
    pub(crate) fn admit(&self, number: Number) -> Admission {
        self.sessions.admit(number)
    }

    /// A command that was admitted has been applied, with this reply.
    pub(crate) fn keep(&mut self, number: Number, time: u64, index: u64, reply: &[u8]) {
        let Entered { lowest, evicted } = self.sessions.enter(number, time);
        for session in evicted {
            self.forget(session);
        }
        let replies = self.replies.entry(number.session).or_default();
        self.bytes += reply.len();
        replies.insert(number.sequence, KeptReply { index, bytes: Some(ReplyBytes::of(reply)) });
        while let Some(settled) = replies.pop_below(lowest) {
            self.bytes -= settled.bytes.map_or(0, |bytes| bytes.len());
        }
        if self.bytes > REPLY_BYTES_MAX {
            crate::sometimes!("the room for replies is used up, and the oldest go");
            self.make_room();
        }
    }

    /// What a duplicate is told.
    pub(crate) fn kept(&self, number: Number) -> Kept {
        let reply = self.replies.get(&number.session).and_then(|replies| replies.get(number.sequence));
        match reply {
            Some(KeptReply { index, bytes: Some(bytes) }) => Kept::Reply(*index, bytes.to_bytes()),
            Some(KeptReply { index, bytes: None }) => Kept::Index(*index),
            None => Kept::Nothing,
        }
    }

    fn forget(&mut self, session: u64) {
        let replies = self.replies.remove(&session).unwrap_or_default();
        self.bytes -=
            replies.iter().filter_map(|reply| reply.bytes.as_ref()).map(ReplyBytes::len).sum::<usize>();
    }

    /// Drops replies until half of what is allowed is left, so that it is not done again at once.
    fn make_room(&mut self) {
        for session in self.sessions.by_rest() {
            for reply in self.replies.get_mut(&session).into_iter().flat_map(Replies::iter_mut) {
                if self.bytes <= REPLY_BYTES_MAX / 2 {
                    return;
                }
                self.bytes -= reply.bytes.take().map_or(0, |bytes| bytes.len());
            }
        }
    }
}
