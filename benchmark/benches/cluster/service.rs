//! The service that is measured: values under keys, as the systems beside it keep them.

use bytes::Bytes;
use lovebird::{Context, StateMachine};
use serde::{Deserialize, Serialize};

/// Puts a value under a key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Put {
    pub(crate) key: u32,
    pub(crate) value: Bytes,
}

/// The highest key that there can be: callers count theirs from 0.
const KEY_MAX: u32 = 1 << 20;

/// The values by key, and as much ballast as a run asks for, which makes snapshots large.
#[derive(Clone, Debug, Default)]
pub(crate) struct Values {
    /// In a row, so that what is measured is not a tree.
    values: Vec<Option<Bytes>>,
    ballast: Vec<Bytes>,
}

impl Values {
    /// No values, and `ballast`.
    pub(crate) fn new(ballast: Vec<Bytes>) -> Self {
        Values { values: Vec::new(), ballast }
    }
}

impl StateMachine for Values {
    type Command = Put;
    type Reply = ();
    type Query = u32;
    type Answer = Option<Bytes>;
    type Snapshot = (Vec<Option<Bytes>>, Vec<Bytes>);

    fn apply(&mut self, _: &Context, Put { key, value }: Put) {
        if key > KEY_MAX {
            return;
        }
        let place = key as usize;
        if place >= self.values.len() {
            self.values.resize(place + 1, None);
        }
        self.values[place] = Some(value);
    }

    fn query(&self, key: u32) -> Option<Bytes> {
        self.values.get(key as usize).cloned().flatten()
    }

    fn snapshot(&self) -> Self::Snapshot {
        (self.values.clone(), self.ballast.clone())
    }

    fn restore(&mut self, (values, ballast): Self::Snapshot) {
        (self.values, self.ballast) = (values, ballast);
    }
}
