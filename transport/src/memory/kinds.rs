//! What messages are called on their way, and which of them may be delivered twice.

/// How a call is called on its way, there and back.
///
/// Every call may be delivered twice, and long after it was sent. What is asked by one is a question, or what a node may do
/// at any time by itself: stand for election, hand over, take a snapshot.
pub(super) struct CallKind {
    pub(super) request: &'static str,
    pub(super) reply: &'static str,
}

pub(super) const VOTE: CallKind = CallKind { request: "vote", reply: "vote reply" };
pub(super) const PRE_VOTE: CallKind = CallKind { request: "pre-vote", reply: "pre-vote reply" };
pub(super) const TRANSFER: CallKind = CallKind { request: "transfer", reply: "transfer reply" };
pub(super) const HELLO: CallKind = CallKind { request: "hello", reply: "hello reply" };
pub(super) const READ_INDEX: CallKind = CallKind { request: "read index", reply: "read index reply" };
pub(super) const STATUS: CallKind = CallKind { request: "status", reply: "status reply" };
pub(super) const HAND_OVER: CallKind = CallKind { request: "hand-over", reply: "hand-over reply" };
pub(super) const TAKE_SNAPSHOT: CallKind =
    CallKind { request: "take snapshot", reply: "take snapshot reply" };

/// How what belongs to a stream is called on its way.
#[derive(Clone, Copy)]
pub(super) struct StreamKind {
    /// What opens it.
    pub(super) opening: &'static str,
    /// Each request on it.
    pub(super) request: &'static str,
    /// That it was taken, or refused.
    pub(super) taken: &'static str,
    /// Each reply on it.
    pub(super) reply: &'static str,
    /// Whether it may be delivered twice.
    pub(super) repeatable: bool,
}

pub(super) const APPEND: StreamKind = StreamKind {
    opening: "append opening",
    request: "append",
    taken: "append taken",
    reply: "append reply",
    // Consensus has to live with an old connection's requests that arrive after those of a new one.
    repeatable: true,
};
pub(super) const SNAPSHOT: StreamKind = StreamKind {
    opening: "snapshot opening",
    request: "snapshot chunk",
    taken: "snapshot taken",
    reply: "snapshot reply",
    repeatable: false,
};
pub(super) const PROPOSE: StreamKind = StreamKind {
    opening: "propose opening",
    request: "propose",
    taken: "propose taken",
    reply: "propose reply",
    // Commands without a session would be carried out twice, and nobody has promised that they are not.
    repeatable: false,
};
pub(super) const QUERY: StreamKind = StreamKind {
    opening: "query opening",
    request: "query",
    taken: "query taken",
    reply: "query reply",
    // To be asked once more changes nothing.
    repeatable: true,
};
pub(super) const SUBSCRIBE: StreamKind = StreamKind {
    opening: "subscribe",
    request: "subscribe",
    taken: "subscribe taken",
    reply: "subscribe reply",
    // Nothing could come of it.
    repeatable: false,
};
pub(super) const CHANGE: StreamKind = StreamKind {
    opening: "change",
    request: "change",
    taken: "change taken",
    reply: "change reply",
    // A change that arrives late could undo one that was made meanwhile: it need not say what it is based on.
    repeatable: false,
};
pub(super) const EXPORT: StreamKind = StreamKind {
    opening: "export",
    request: "export",
    taken: "export taken",
    reply: "export piece",
    // Nothing could come of it.
    repeatable: false,
};
