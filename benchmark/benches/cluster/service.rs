//! The service that is measured: values under keys, as the systems beside it keep them.

use std::collections::BTreeMap;

use bytes::Bytes;
use lovebird::{Context, StateMachine};
use serde::{Deserialize, Serialize};

/// Puts a value under a key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Put {
    pub(crate) key: u32,
    pub(crate) value: Bytes,
}

/// The values, and as much ballast as a run asks for, which makes snapshots large.
#[derive(Clone, Debug, Default)]
pub(crate) struct Values {
    values: BTreeMap<u32, Bytes>,
    ballast: Vec<Bytes>,
}

impl Values {
    /// No values, and `ballast`.
    pub(crate) fn new(ballast: Vec<Bytes>) -> Self {
        Values { values: BTreeMap::new(), ballast }
    }
}

impl StateMachine for Values {
    type Command = Put;
    type Reply = ();
    type Query = u32;
    type Answer = Option<Bytes>;
    type Snapshot = (BTreeMap<u32, Bytes>, Vec<Bytes>);

    fn apply(&mut self, _: &Context, Put { key, value }: Put) {
        self.values.insert(key, value);
    }

    fn query(&self, key: u32) -> Option<Bytes> {
        self.values.get(&key).cloned()
    }

    fn snapshot(&self) -> Self::Snapshot {
        (self.values.clone(), self.ballast.clone())
    }

    fn restore(&mut self, (values, ballast): Self::Snapshot) {
        (self.values, self.ballast) = (values, ballast);
    }
}
