//! The rules by example, and against a model that remembers everything.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::table::Kept;
use super::{
    Admission, COMMANDS_MAX, GONE_NAMES_MAX, Number, Opened, Opening, Order, REPLY_BYTES_MAX, SESSIONS_MAX,
    SessionTable, Sessions,
};

const SECOND: u64 = 1_000_000_000;

fn opening(name: &str, order: Order) -> Opening {
    Opening { name: name.to_owned(), patience_ms: 10_000, order }
}

fn open(sessions: &mut Sessions, name: &str, order: Order, time: u64) -> u64 {
    match sessions.open(&opening(name, order), time) {
        (Opened::Session(session), _) => session,
        (Opened::Gone, _) => panic!("{name} is gone"),
    }
}

fn number(session: u64, sequence: u64, window: u16) -> Number {
    Number { session, sequence, window }
}

#[test]
fn an_ordered_session_takes_one_after_the_other() {
    let mut sessions = Sessions::default();
    let session = open(&mut sessions, "", Order::Ordered, 0);
    assert_eq!(sessions.admit(number(session, 2, 1)), Admission::Early);
    assert_eq!(sessions.admit(number(session, 1, 0)), Admission::New);
    sessions.enter(number(session, 1, 0), 0);
    assert_eq!(sessions.admit(number(session, 1, 0)), Admission::Duplicate);
    sessions.enter(number(session, 2, 1), 0);
    // The third says that nobody asks for the first two any more.
    sessions.enter(number(session, 3, 0), 0);
    assert_eq!(sessions.admit(number(session, 2, 0)), Admission::Settled);
    assert_eq!(sessions.admit(number(session, 3, 0)), Admission::Duplicate);
    // Who gives up those between may go on behind them.
    assert_eq!(sessions.admit(number(session, 9, 5)), Admission::Early);
    assert_eq!(sessions.admit(number(session, 9, 0)), Admission::New);
}

#[test]
fn an_unordered_session_takes_each_once() {
    let mut sessions = Sessions::default();
    let session = open(&mut sessions, "alice", Order::Unordered, 0);
    for sequence in [7, 3, 9] {
        assert_eq!(sessions.admit(number(session, sequence, sequence as u16 - 1)), Admission::New);
        sessions.enter(number(session, sequence, sequence as u16 - 1), 0);
        assert_eq!(sessions.admit(number(session, sequence, 0)), Admission::Duplicate);
    }
    sessions.enter(number(session, 20, 10), 0);
    assert_eq!(sessions.admit(number(session, 9, 0)), Admission::Settled);
    assert_eq!(sessions.admit(number(session, 10, 0)), Admission::New);
}

#[test]
fn a_session_expires_by_log_time_and_is_known_to_have_been() {
    let mut sessions = Sessions::default();
    let session = open(&mut sessions, "", Order::Ordered, 5 * SECOND);
    assert_eq!(sessions.advance(15 * SECOND), []);
    sessions.enter(number(session, 1, 0), 15 * SECOND);
    assert_eq!(sessions.advance(25 * SECOND), []);
    assert_eq!(sessions.advance(25 * SECOND + 1), [session]);
    assert_eq!(sessions.admit(number(session, 2, 1)), Admission::Expired);
    assert_eq!(sessions.admit(number(session + 1, 1, 0)), Admission::Unheard);
    // Its id is not given again.
    assert_eq!(open(&mut sessions, "", Order::Ordered, 30 * SECOND), session + 1);
}

#[test]
fn a_name_finds_its_session_until_it_is_gone() {
    let mut sessions = Sessions::default();
    let session = open(&mut sessions, "alice", Order::Unordered, 0);
    // To find it again is to use it.
    assert_eq!(open(&mut sessions, "alice", Order::Unordered, 9 * SECOND), session);
    assert_eq!(sessions.advance(19 * SECOND), []);
    assert_eq!(sessions.advance(20 * SECOND), [session]);
    assert_eq!(sessions.open(&opening("alice", Order::Unordered), 21 * SECOND).0, Opened::Gone);
    assert_ne!(open(&mut sessions, "bob", Order::Unordered, 21 * SECOND), session);
}

#[test]
fn the_one_that_rests_longest_makes_room_however_patient_it_is() {
    let mut sessions = Sessions::default();
    let patient =
        Opening { name: "patient".to_owned(), patience_ms: 24 * 3600 * 1000, order: Order::Unordered };
    let (Opened::Session(patient), _) = sessions.open(&patient, 0) else { panic!("it is gone") };
    for time in 1..SESSIONS_MAX as u64 {
        open(&mut sessions, "", Order::Ordered, time);
    }
    let (_, evicted) = sessions.open(&opening("", Order::Ordered), SECOND);
    assert_eq!(evicted, Some(patient));
}

#[test]
fn there_is_a_limit_to_sessions_and_to_names_that_are_gone() {
    let mut sessions = Sessions::default();
    let first = open(&mut sessions, "first", Order::Unordered, 0);
    for time in 1..SESSIONS_MAX as u64 {
        open(&mut sessions, "", Order::Ordered, time);
    }
    assert_eq!(sessions.admit(number(first, 1, 0)), Admission::New);
    let (_, evicted) = sessions.open(&opening("", Order::Ordered), SECOND);
    assert_eq!(evicted, Some(first), "the one that has rested longest makes room");
    assert_eq!(sessions.admit(number(first, 1, 0)), Admission::Expired);
    let mut time = SECOND;
    for name in 0..=GONE_NAMES_MAX {
        open(&mut sessions, &name.to_string(), Order::Unordered, time);
        time += 11 * SECOND;
        sessions.advance(time);
    }
    assert_eq!(sessions.open(&opening("1", Order::Unordered), time).0, Opened::Gone);
    assert!(matches!(sessions.open(&opening("0", Order::Unordered), time).0, Opened::Session(_)));
}

#[test]
fn there_is_a_limit_to_the_commands_that_may_still_be_asked_for() {
    let mut table = SessionTable::default();
    let sessions = COMMANDS_MAX / 65_536 + 1;
    for session in 1..=sessions as u64 {
        table.open(&opening("", Order::Ordered), session);
    }
    let mut index = 0;
    for session in 1..=sessions as u64 {
        for sequence in 1..=65_536_u64 {
            let admission = table.admit(number(session, sequence, (sequence - 1) as u16));
            assert_eq!(admission, Admission::New, "command {sequence} of session {session}");
            index += 1;
            table.keep(number(session, sequence, (sequence - 1) as u16), session, index, b"");
        }
    }
    // The first one had to go, whole, and is known to have been.
    assert_eq!(table.admit(number(1, 1, 0)), Admission::Expired);
    assert_eq!(table.kept(number(1, 1, 0)), Kept::Nothing);
    assert_eq!(table.admit(number(2, 1, 0)), Admission::Duplicate);
}

#[test]
fn replies_are_kept_as_long_as_they_may_be_asked_for_and_within_a_limit() {
    let mut table = SessionTable::default();
    let opened = [table.open(&opening("", Order::Ordered), 0), table.open(&opening("", Order::Ordered), 1)];
    assert_eq!(opened, [Opened::Session(1), Opened::Session(2)]);
    table.keep(number(1, 1, 0), 0, 10, b"first");
    table.keep(number(1, 2, 1), 0, 11, b"second");
    assert_eq!(table.kept(number(1, 1, 0)), Kept::Reply(10, b"first".to_vec().into()));
    table.keep(number(1, 3, 1), 0, 12, b"third");
    assert_eq!(table.kept(number(1, 1, 0)), Kept::Nothing);
    assert_eq!(table.kept(number(1, 2, 0)), Kept::Reply(11, b"second".to_vec().into()));
    // A session that needs much room takes it from the one that has rested longer, which still knows what it has done.
    let large = vec![7; REPLY_BYTES_MAX / 4];
    for sequence in 1..=5 {
        table.keep(number(2, sequence, sequence as u16 - 1), 5, 20 + sequence, &large);
    }
    assert_eq!(table.kept(number(1, 2, 0)), Kept::Index(11));
    assert_eq!(table.admit(number(1, 2, 0)), Admission::Duplicate);
    assert_eq!(table.kept(number(2, 1, 0)), Kept::Index(21));
    assert_eq!(table.kept(number(2, 5, 0)), Kept::Reply(25, large.into()));
    // What has expired is forgotten.
    table.advance(100 * SECOND);
    assert_eq!(table.kept(number(2, 5, 0)), Kept::Nothing);
}

/// One step of a client, a retry, or time.
#[derive(Clone, Debug)]
enum Step {
    Open { order: Order },
    Send { session: u64, sequence: u64, window: u16 },
    Pass { millis: u64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let order = prop_oneof![Just(Order::Ordered), Just(Order::Unordered)];
    let step = prop_oneof![
        1 => order.prop_map(|order| Step::Open { order }),
        12 => (1_u64..5, 1_u64..12, 0_u16..12).prop_map(|(session, sequence, window)| Step::Send {
            session,
            sequence,
            window: window.min(sequence as u16 - 1),
        }),
        1 => (0_u64..8_000).prop_map(|millis| Step::Pass { millis }),
    ];
    prop::collection::vec(step, 1..200)
}

proptest! {
    /// Whatever is sent, in whatever order and however often: a command enters once; an ordered session's commands enter in ascending
    /// order; a duplicate's reply is the first one; the leader's copy, which never sees a reply, decides as the replica's does; and a
    /// copy that went through a snapshot is the same.
    #[test]
    fn a_command_enters_once(steps in steps()) {
        let (mut table, mut working) = (SessionTable::default(), Sessions::default());
        let mut entered: BTreeMap<(u64, u64), u64> = BTreeMap::new();
        let mut orders = BTreeMap::new();
        let mut highest: BTreeMap<u64, u64> = BTreeMap::new();
        let (mut time, mut index) = (0, 0);
        for step in steps {
            match step {
                Step::Pass { millis } => time += millis * 1_000_000,
                Step::Open { order } => {
                    table.advance(time);
                    working.advance(time);
                    let opened = table.open(&opening("", order), time);
                    prop_assert_eq!(opened, working.open(&opening("", order), time).0);
                    let Opened::Session(session) = opened else { panic!("a session without a name is gone") };
                    prop_assert!(orders.insert(session, order).is_none(), "an id was given twice");
                }
                Step::Send { session, sequence, window } => {
                    let number = number(session, sequence, window);
                    table.advance(time);
                    working.advance(time);
                    let admission = table.admit(number);
                    prop_assert_eq!(admission, working.admit(number));
                    prop_assert_eq!(admission == Admission::Unheard, !orders.contains_key(&session));
                    if admission == Admission::New {
                        index += 1;
                        prop_assert!(entered.insert((session, sequence), index).is_none(), "it entered twice");
                        let before = highest.insert(session, sequence).unwrap_or(0);
                        prop_assert!(orders[&session] == Order::Unordered || sequence > before);
                        table.keep(number, time, index, &index.to_le_bytes());
                        working.enter(number, time);
                    }
                    if admission == Admission::Duplicate {
                        let first = entered[&(session, sequence)];
                        prop_assert_eq!(table.kept(number), Kept::Reply(first, first.to_le_bytes().to_vec().into()));
                    }
                }
            }
            prop_assert_eq!(table.sessions(), &working);
        }
        let mut bytes = Vec::new();
        crate::codec::write_to(&table, &mut bytes).unwrap();
        let again: SessionTable = crate::codec::read_from(&mut &bytes[..]).unwrap();
        prop_assert_eq!(again, table);
    }
}
