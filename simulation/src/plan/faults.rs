//! What can be done to a cluster.

use serde::{Deserialize, Serialize};

use super::Request;

/// What a disk keeps, in a power loss, of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Survives {
    /// All of it is lost.
    Nothing,
    /// Any subset of sectors is kept, chosen by this number.
    Subset(u64),
}

/// Whom a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Who {
    /// This node.
    Node(u64),
    /// Whoever leads when it strikes: the one with the highest term who says so. Nobody, if nobody does.
    Leader,
}

/// Which messages of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Direction {
    /// What others send to it.
    Inwards,
    /// What it sends.
    Outwards,
    /// Both.
    Both,
}

/// Something that is done to the cluster, or undone. What does not fit (killing the dead) does nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fault {
    /// The process ends at once. Its disk keeps all that was written, synced or not.
    Kill {
        /// Whose.
        who: Who,
    },
    /// The machines of these nodes lose power in the same instant.
    PowerLoss {
        /// Which.
        nodes: Vec<u64>,
        /// What becomes of what was not synced.
        survives: Survives,
    },
    /// The machine loses power in the middle of an operation of its disk.
    CrashInDisk {
        /// Whose.
        who: Who,
        /// In which one that changes something, from now on; 1 is the next.
        operation: u64,
        /// What becomes of what was not synced.
        survives: Survives,
    },
    /// The node starts on what its disk holds.
    Restart {
        /// Which.
        node: u64,
    },
    /// All that are down start.
    Revive,
    /// The process stands still, and goes on a while later as if nothing had been.
    Pause {
        /// Whose.
        who: Who,
        /// For how many milliseconds.
        for_ms: u64,
    },
    /// What is sent from one address to the other vanishes.
    Cut {
        /// The sender: a node, or a client.
        from: u64,
        /// The receiver.
        to: u64,
    },
    /// The link carries again.
    Heal {
        /// The sender.
        from: u64,
        /// The receiver.
        to: u64,
    },
    /// A node is cut off from all other nodes.
    Isolate {
        /// Which.
        who: Who,
        /// What vanishes.
        direction: Direction,
    },
    /// All links carry again.
    Rejoin,
    /// The network is bad: so many of a thousand messages are lost, come twice, or break their connection.
    Weather {
        /// Lost.
        lost_per_mille: u16,
        /// Delivered twice.
        doubled_per_mille: u16,
        /// Met by a reset of their connection.
        reset_per_mille: u16,
        /// And all take so many milliseconds longer.
        slow_ms: u64,
    },
    /// A node's clock runs fast by so many parts per million from now on, or slow if that is negative.
    Drift {
        /// Whose.
        node: u64,
        /// By how much.
        ppm: i32,
    },
    /// A node's wall clock is wrong from now on by so many milliseconds.
    Leap {
        /// Whose.
        node: u64,
        /// By how much it is ahead, or behind if that is negative.
        ahead_ms: i64,
    },
    /// A disk takes its time: each sync lasts at least so long.
    SlowDisk {
        /// Whose.
        node: u64,
        /// How long, in milliseconds; 0 makes it fast again.
        sync_ms: u64,
    },
    /// A sync fails and drops what it was to make durable.
    SyncFails {
        /// Whose.
        who: Who,
        /// The how-manieth from now on; 1 is the next.
        nth: u64,
    },
    /// A disk has no space left.
    Full {
        /// Whose.
        node: u64,
    },
    /// It has space again.
    Space {
        /// Whose disk.
        node: u64,
    },
    /// The process ends, and one bit of what is durable flips. Only what a minority may suffer keeps the promises.
    FlipBit {
        /// Whose.
        node: u64,
        /// Which bit is chosen by this number.
        choice: u64,
    },
    /// The process ends, and its disk is replaced by an empty one. Only what a minority may suffer keeps the promises.
    Wipe {
        /// Whose.
        node: u64,
    },
    /// A node that is no member starts on an empty disk, and waits to be added.
    Join {
        /// Which.
        node: u64,
    },
    /// A member's process ends, and its disk is replaced by an empty one, with which it takes its own place when it starts.
    /// Spared is a node while another one has not got its place back.
    Renew {
        /// Whose.
        node: u64,
    },
    /// An operator asks for something.
    Ask {
        /// What.
        request: Request,
        /// For how many milliseconds at most.
        patience_ms: u64,
    },
}

impl Fault {
    /// What it is called.
    pub fn kind(&self) -> &'static str {
        match self {
            Fault::Kill { who: Who::Leader } => "kill of the leader",
            Fault::Kill { .. } => "kill",
            Fault::PowerLoss { nodes, .. } if nodes.len() == 1 => "power loss of one",
            Fault::PowerLoss { .. } => "power loss of all",
            Fault::CrashInDisk { .. } => "crash in a disk operation",
            Fault::Restart { .. } => "restart",
            Fault::Revive => "revive",
            Fault::Pause { .. } => "pause",
            Fault::Cut { .. } => "cut",
            Fault::Heal { .. } => "heal",
            Fault::Isolate { .. } => "isolate",
            Fault::Rejoin => "rejoin",
            Fault::Weather { .. } => "weather",
            Fault::Drift { .. } => "drift",
            Fault::Leap { .. } => "leap",
            Fault::SlowDisk { .. } => "slow disk",
            Fault::SyncFails { .. } => "failing sync",
            Fault::Full { .. } => "full disk",
            Fault::Space { .. } => "space",
            Fault::FlipBit { .. } => "flipped bit",
            Fault::Wipe { .. } => "wiped disk",
            Fault::Join { .. } => "newcomer",
            Fault::Renew { .. } => "new disk",
            Fault::Ask { request, .. } => request.kind(),
        }
    }

    /// Whether it is about who the members are.
    pub fn is_change(&self) -> bool {
        matches!(self, Fault::Join { .. } | Fault::Renew { .. } | Fault::Ask { .. })
    }

    /// The node that it names, if it names one.
    pub fn node(&self) -> Option<u64> {
        match self {
            Fault::Kill { who: Who::Node(node) }
            | Fault::CrashInDisk { who: Who::Node(node), .. }
            | Fault::Pause { who: Who::Node(node), .. }
            | Fault::Isolate { who: Who::Node(node), .. }
            | Fault::SyncFails { who: Who::Node(node), .. }
            | Fault::Restart { node }
            | Fault::Drift { node, .. }
            | Fault::Leap { node, .. }
            | Fault::SlowDisk { node, .. }
            | Fault::Full { node }
            | Fault::Space { node }
            | Fault::FlipBit { node, .. }
            | Fault::Wipe { node }
            | Fault::Join { node }
            | Fault::Renew { node } => Some(*node),
            _ => None,
        }
    }
}
