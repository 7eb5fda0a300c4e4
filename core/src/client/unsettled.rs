//! The commands of a client's session that were sent and are not settled.

use std::collections::VecDeque;

use super::command::Command;

/// Commands by sequence. They come in the order of their sequences without a gap and are settled nearly so, so a ring holds them, with
/// holes where some were settled before others.
#[derive(Debug)]
pub(super) struct Unsettled {
    /// The sequence of the first place. That place is never a hole.
    first: u64,
    places: VecDeque<Option<Command>>,
}

impl Unsettled {
    /// None, and the first to come has the sequence `next`.
    pub(super) fn before(next: u64) -> Self {
        Unsettled { first: next, places: VecDeque::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The lowest sequence that is not settled; the next one, if all are.
    pub(super) fn lowest(&self) -> u64 {
        self.first
    }

    /// Adds the command that comes next, and gives its sequence.
    pub(super) fn push(&mut self, command: Command) -> u64 {
        self.places.push_back(Some(command));
        self.next() - 1
    }

    /// The sequence of the command that comes next.
    pub(super) fn next(&self) -> u64 {
        self.first + self.places.len() as u64
    }

    pub(super) fn get_mut(&mut self, sequence: u64) -> Option<&mut Command> {
        let place = self.place(sequence)?;
        self.places.get_mut(place)?.as_mut()
    }

    pub(super) fn remove(&mut self, sequence: u64) -> Option<Command> {
        let place = self.place(sequence)?;
        let command = self.places.get_mut(place)?.take();
        while let Some(None) = self.places.front() {
            self.places.pop_front();
            self.first += 1;
        }
        command
    }

    /// Takes the last one out if `may` says so of it and its sequence. That sequence is then the next one.
    pub(super) fn pop_last_if(&mut self, may: impl FnOnce(u64, &Command) -> bool) -> Option<Command> {
        let place = self.places.iter().rposition(Option::is_some)?;
        self.places[place].as_ref().filter(|command| may(self.first + place as u64, command))?;
        let last = self.places[place].take();
        self.places.truncate(place);
        last
    }

    /// In the order of their sequences.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Command)> {
        let numbered = (self.first..).zip(&self.places);
        numbered.filter_map(|(sequence, place)| Some((sequence, place.as_ref()?)))
    }

    /// All of them, in the order of their sequences.
    pub(super) fn into_commands(self) -> impl Iterator<Item = Command> {
        self.places.into_iter().flatten()
    }

    fn place(&self, sequence: u64) -> Option<usize> {
        usize::try_from(sequence.checked_sub(self.first)?).ok()
    }
}

#[cfg(all(test, not(madsim)))]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::client::command::Content;
    use crate::client::command::tests::own;

    fn byte(command: &Command) -> u8 {
        match &command.content {
            Content::One(payload) => payload[0],
            Content::Run(..) => panic!("a command of a session is one record"),
        }
    }

    proptest! {
        /// What each operation does, told by a map and a counter.
        #[test]
        fn a_ring_does_what_a_map_would(steps in proptest::collection::vec((0_u8..4, 0_u64..12), 0..80)) {
            let mut ring = Unsettled::before(5);
            let (mut map, mut next) = (BTreeMap::new(), 5);
            for (step, number) in steps {
                match step {
                    0 | 1 => {
                        prop_assert_eq!(ring.push(own(number as u8)), next);
                        map.insert(next, number as u8);
                        next += 1;
                    }
                    2 => {
                        let sequence = ring.lowest() + number;
                        let removed = ring.remove(sequence).as_ref().map(byte);
                        prop_assert_eq!(removed, map.remove(&sequence));
                    }
                    _ => {
                        let may = |sequence| sequence % 3 > 0;
                        let popped = ring.pop_last_if(|sequence, _| may(sequence)).as_ref().map(byte);
                        let last = map.last_entry().filter(|last| may(*last.key()));
                        let expected = last.map(|last| {
                            next = *last.key();
                            last.remove()
                        });
                        prop_assert_eq!(popped, expected);
                    }
                }
                prop_assert_eq!(ring.next(), next);
                prop_assert_eq!(ring.is_empty(), map.is_empty());
                prop_assert_eq!(ring.lowest(), map.first_key_value().map_or(next, |(first, _)| *first));
                let found: Vec<_> = ring.iter().map(|(sequence, command)| (sequence, byte(command))).collect();
                let expected: Vec<_> = map.iter().map(|(sequence, byte)| (*sequence, *byte)).collect();
                prop_assert_eq!(found, expected);
            }
        }
    }
}
