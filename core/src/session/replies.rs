//! The replies of one session that may still be asked for.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smallvec::SmallVec;

/// A reply up to this long is kept in place; a longer one has memory of its own. An acknowledgement or a number fits, with the bytes
/// that every reply begins with.
const IN_PLACE_BYTES_MAX: usize = 24;

/// One reply. `None` once it had to make room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KeptReply {
    pub(super) index: u64,
    pub(super) bytes: Option<ReplyBytes>,
}

/// A reply as [`crate::reply`] lays it out. Not a slice of the run that it came in, since the last reply of a session that rests
/// would keep the whole run in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ReplyBytes(SmallVec<[u8; IN_PLACE_BYTES_MAX]>);

impl ReplyBytes {
    pub(super) fn of(bytes: &[u8]) -> Self {
        ReplyBytes(SmallVec::from_slice(bytes))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn to_bytes(&self) -> Bytes {
        Bytes::copy_from_slice(&self.0)
    }
}

impl Serialize for ReplyBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for ReplyBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(ReplyBytes::of(&Bytes::deserialize(deserializer)?))
    }
}

/// The replies of one session, by sequence. They come and go in this order but for those of unordered sessions, which come nearly so:
/// a ring holds them without memory for each. In a snapshot it is a map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Replies(VecDeque<(u64, KeptReply)>);

impl Replies {
    /// Keeps one more.
    ///
    /// # Panics
    /// If there is one with this sequence.
    pub(super) fn insert(&mut self, sequence: u64, reply: KeptReply) {
        if self.0.back().is_none_or(|(last, _)| *last < sequence) {
            self.0.push_back((sequence, reply));
            return;
        }
        match self.find(sequence) {
            Ok(_) => panic!("command {sequence} of a session was applied a second time"),
            Err(place) => self.0.insert(place, (sequence, reply)),
        }
    }

    pub(super) fn get(&self, sequence: u64) -> Option<&KeptReply> {
        self.find(sequence).ok().map(|place| &self.0[place].1)
    }

    /// Takes the first one out, if its sequence is below `lowest`.
    pub(super) fn pop_below(&mut self, lowest: u64) -> Option<KeptReply> {
        self.0.front().filter(|(first, _)| *first < lowest)?;
        self.0.pop_front().map(|(_, reply)| reply)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &KeptReply> {
        self.0.iter().map(|(_, reply)| reply)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut KeptReply> {
        self.0.iter_mut().map(|(_, reply)| reply)
    }

    fn find(&self, sequence: u64) -> Result<usize, usize> {
        self.0.binary_search_by_key(&sequence, |(sequence, _)| *sequence)
    }
}

impl Serialize for Replies {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(sequence, reply)| (sequence, reply)))
    }
}

impl<'de> Deserialize<'de> for Replies {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Replies(BTreeMap::deserialize(deserializer)?.into_iter().collect()))
    }
}

#[cfg(all(test, not(madsim)))]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::{read_from, write_to};

    /// As snapshots held them before there was a ring.
    #[derive(Serialize)]
    struct Plain {
        index: u64,
        bytes: Option<Bytes>,
    }

    proptest! {
        #[test]
        fn a_ring_is_in_a_snapshot_what_a_map_is(
            kept in proptest::collection::btree_map(any::<u64>(), (any::<u64>(), proptest::option::of(proptest::collection::vec(any::<u8>(), 0..60))), 0..20),
            shuffle in any::<prop::sample::Index>(),
        ) {
            let mut replies = Replies::default();
            let mut order: Vec<_> = kept.keys().copied().collect();
            let places = order.len().max(1);
            order.rotate_left(shuffle.index(places));
            for sequence in order {
                let (index, bytes) = &kept[&sequence];
                let bytes = bytes.as_ref().map(|bytes| ReplyBytes::of(bytes));
                replies.insert(sequence, KeptReply { index: *index, bytes });
            }
            let map: BTreeMap<u64, Plain> = kept
                .into_iter()
                .map(|(sequence, (index, bytes))| (sequence, Plain { index, bytes: bytes.map(Bytes::from) }))
                .collect();
            let (mut ours, mut plain) = (Vec::new(), Vec::new());
            write_to(&replies, &mut ours).unwrap();
            write_to(&map, &mut plain).unwrap();
            prop_assert_eq!(&ours, &plain);
            let again: Replies = read_from(&mut &ours[..]).unwrap();
            prop_assert_eq!(again, replies);
        }
    }

    #[test]
    #[should_panic(expected = "a second time")]
    fn a_reply_is_never_replaced() {
        let mut replies = Replies::default();
        for sequence in [1, 2, 1] {
            replies.insert(sequence, KeptReply { index: sequence, bytes: None });
        }
    }
}
