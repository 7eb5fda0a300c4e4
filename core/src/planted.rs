//! Deliberate bugs, for the simulator's own test: it is worth as much as it finds.
//!
//! Wherever a [`Bug`] belongs, the code asks [`is`] whether it shall do wrong there. **Only the simulator's tests are built with the
//! feature `planted`**: without it the question is answered when the code is compiled, with no, and nothing of a bug is left.
//! With it one bug at a time can be planted, a thread, since a simulated run is one (`plant`).
//!
//! Where the place of a bug would be openraft's own code, it stands at the boundary that is ours. Each says what the code does
//! wrong, and in brackets which promises are broken by it: 1 at most one leader a term; 2 a vote, once given, survives a crash;
//! 3 where two logs hold the same entry they hold the same bytes and prefix; 4 what is committed is never lost or changed;
//! 5 applied in order, each log index once; 6 equal log index, equal state; 7 what is acknowledged is durable on a majority;
//! 8 a command of a session takes effect once, and every retry gets the first reply; 9 histories are linearizable; 10 reads
//! that carry a log index see it, and never go back; 11 subscriptions have no gaps; 12 what does not count has no effect, and
//! a primary's command meets the state that it was executed on.

/// Declares the bugs, their names and the list of them all in one place.
macro_rules! bugs {
    ($($(#[$doc:meta])+ $bug:ident = $name:literal,)+) => {
        /// A deliberate bug.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Bug {
            $($(#[$doc])+ $bug,)+
        }

        impl Bug {
            /// All of them: first those of storage, then those at the boundary to openraft, then the rest.
            pub const ALL: &[Bug] = &[$(Bug::$bug,)+];

            /// Its name on a command line.
            pub fn name(self) -> &'static str {
                match self {
                    $(Bug::$bug => $name,)+
                }
            }
        }
    };
}

bugs! {
    /// The log tells those who wait for an append when it is written, and syncs it with whatever is synced next. An acknowledged
    /// command is lost with the power (4, 7).
    AcknowledgeBeforeSync = "acknowledge-before-sync",
    /// The same for votes: who has lost its power votes twice in one term (2, 1).
    VoteBeforeSync = "vote-before-sync",
    /// Opening a log never looks for a proof that what does not verify had been synced: it cuts what was acknowledged as if it were
    /// a torn tail (4).
    CutDamagedMiddle = "cut-damaged-middle",
    /// The checksum of a frame is not compared: the remains of a write are taken for one (3).
    TakeTornFrame = "take-torn-frame",
    /// A truncation changes what is in memory, and never gets into the stream: what contradicted the leader is back after a
    /// restart (3).
    ForgetTruncation = "forget-truncation",
    /// Of what a truncation drops, the log leaves the first entry in its cache, and reads it in the place of another (3).
    KeepCutEntry = "keep-cut-entry",
    /// Segments are removed before the purge is durable that makes them superfluous: after a crash, entries are missing (4).
    RemoveSegmentsEarly = "remove-segments-early",
    /// A snapshot gets its name before its content is synced: after a crash there is a name, and nothing that can be restored
    /// under it (4).
    NameSnapshotBeforeSync = "name-snapshot-before-sync",
    /// The log is purged behind a snapshot whose name is not durable yet: after a crash neither has the records (4).
    PurgeBeforeSnapshot = "purge-before-snapshot",

    /// Snapshots are written without the sessions: a retry is carried out again, or refused for ever (8).
    SnapshotWithoutSessions = "snapshot-without-sessions",
    /// A snapshot says of itself that it is one entry older than the state that it holds: after a restart that entry is applied
    /// twice (5).
    ApplyTwiceAfterRestart = "apply-twice-after-restart",
    /// A follower takes for committed what it has just been sent (4, 6).
    ApplyBeforeCommit = "apply-before-commit",
    /// A leader answers linearizable reads without asking whether it still leads (9).
    UnconfirmedRead = "unconfirmed-read",
    /// The lease under which a leader answers reads never ends (9).
    EndlessLease = "endless-lease",
    /// The vote of a peer that does not answer is taken as given: one vote is counted for several (1, 4).
    CountSilentVotes = "count-silent-votes",
    /// A follower answers that it has accepted what conflicts with its log (4, 7).
    AcceptConflict = "accept-conflict",
    /// A follower answers that it has accepted entries before they are durable (4, 7).
    AcceptBeforeDurable = "accept-before-durable",
    /// A follower takes entries without comparing what they follow on (3).
    SkipConsistencyCheck = "skip-consistency-check",
    /// A stream of appends on which an answer was lost is waited on for ever: who was cut off is not replicated to again, and the
    /// cluster does not serve through it after the links have healed.
    WaitForever = "wait-forever",
    /// The same where nothing but the end of the answers was lost: the bug that the simulator found in ours.
    ForgetLostEnd = "forget-lost-end",
    /// A peer is sent what follows behind entries that were purged while they were to be sent: the bug that the simulator found at
    /// our boundary to openraft.
    SendBehindGap = "send-behind-gap",
    /// A leader that is restarted goes on leading in its old term, in which it may have sent entries that it does not have any
    /// more (3, 4).
    RestoreLeader = "restore-leader",
    /// The vote is not read again after a restart (2, 1).
    ForgetVote = "forget-vote",
    /// After a restart everything that the log holds is taken for committed (4, 6).
    CommitWholeLog = "commit-whole-log",
    /// A snapshot that reaches beyond the end of the log is installed, and the log is not purged for it (3).
    KeepLogBehindSnapshot = "keep-log-behind-snapshot",
    /// An end of the log that contradicts the newest snapshot is not dropped when the node starts (3).
    KeepContradiction = "keep-contradiction",

    /// Messages are taken from any life of a node, and by any (2).
    AdmitAnyLife = "admit-any-life",
    /// A node that has lost its disk comes back under the life that it had: what it has promised and held is taken for still so (2, 4).
    ReuseLife = "reuse-life",
    /// Voters change in one step, without a membership in which both sets must agree: two majorities may not meet (1, 4).
    SimpleMajority = "simple-majority",
    /// A change that was left between two sets of voters is not finished by the next leader: the group goes on to need both.
    ForgetHalfWay = "forget-half-way",
    /// A command that has entered the log enters it again when it is sent again (8).
    AdmitDuplicates = "admit-duplicates",
    /// With each command of a session, all before it are taken for settled: who asks for them again is told that their replies are
    /// gone (8).
    SettleEarly = "settle-early",
    /// The sessions of a snapshot are read and not restored (8).
    DropSessionsAtRestore = "drop-sessions-at-restore",
    /// Sessions expire by the clock of each replica, not by log time (6, 8).
    ExpireByLocalClock = "expire-by-local-clock",
    /// Entries count by their term alone, whatever their token and position, and a leader goes on behind a proposal that has
    /// failed (12).
    CountByTerm = "count-by-term",
    /// A new leader takes its sessions when it is elected, not when its barrier is applied (8, 12).
    BeginEarly = "begin-early",
    /// A discarded entry is said to be certainly not committed (8).
    RefuseDiscarded = "refuse-discarded",
    /// When the way to the leader breaks, what was under way on it is said to be certainly not committed (8).
    RefuseForwarded = "refuse-forwarded",
    /// What a leader tells for ever is told before it knows that it still leads (8).
    UnconfirmedVerdict = "unconfirmed-verdict",
    /// A leader's clock turns log time back (12).
    TurnTimeBack = "turn-time-back",
    /// A primary does not apply to its working copy what it proposes (12).
    CopyStandsStill = "copy-stands-still",
    /// Commands are told the time of the replica's clock (6).
    LocalTime = "local-time",
    /// A read is answered before the replica has come to where it must be answered (9).
    ReadBeforeApplied = "read-before-applied",
    /// A read that comes while the leader is asked is answered with what the leader was asked for others (9).
    JoinRunningRound = "join-running-round",
    /// A replica answers [`crate::transport::Read::AtLeast`] as if it were stale (10).
    IgnoreAtLeast = "ignore-at-least",
    /// A handle that never goes back does not remember where it was (10).
    ForgetSeen = "forget-seen",
    /// A client sends a command without a session again though it may have entered (8).
    SendPlainAgain = "send-plain-again",
    /// A client gives the numbers of commands back though those may have entered (8).
    ReuseNumbers = "reuse-numbers",
    /// Subscribers are sent what is in the log, applied or not (11).
    FeedAhead = "feed-ahead",
    /// A subscriber that was given the state goes on one record too late (11).
    SkipBehindState = "skip-behind-state",
}

#[cfg(not(feature = "planted"))]
mod active {
    use super::Bug;

    /// Whether this bug is planted: never.
    #[inline(always)]
    pub const fn is(_bug: Bug) -> bool {
        false
    }
}

#[cfg(feature = "planted")]
mod active {
    use std::cell::Cell;

    use super::Bug;

    thread_local! {
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Whether this bug is planted on this thread.
    pub fn is(bug: Bug) -> bool {
        PLANTED.get() == Some(bug)
    }

    /// Plants a bug on this thread, or none, until the guard is dropped.
    pub fn plant(bug: Option<Bug>) -> Planted {
        Planted { before: PLANTED.replace(bug), here: std::marker::PhantomData }
    }

    /// While it lives, a bug is planted.
    #[derive(Debug)]
    #[must_use = "the bug is gone with the guard"]
    pub struct Planted {
        before: Option<Bug>,
        /// It must be dropped on the thread that it was made on.
        here: std::marker::PhantomData<*const ()>,
    }

    impl Drop for Planted {
        fn drop(&mut self) {
            PLANTED.set(self.before);
        }
    }
}

pub use active::is;
#[cfg(feature = "planted")]
pub use active::{Planted, plant};

#[cfg(all(test, feature = "planted"))]
mod tests {
    use super::*;

    #[test]
    fn bug_is_planted_while_its_guard_lives_and_on_its_thread_alone() {
        let planted = plant(Some(Bug::LocalTime));
        assert!(is(Bug::LocalTime) && !is(Bug::ForgetSeen));
        std::thread::scope(|scope| scope.spawn(|| assert!(!is(Bug::LocalTime))).join().unwrap());
        drop(planted);
        assert!(!is(Bug::LocalTime));
    }
}
