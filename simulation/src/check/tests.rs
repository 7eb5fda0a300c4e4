//! Each promise, broken by hand in as few words as it takes: what the checker must tell, and nothing else. Whether a whole cluster
//! ever comes to break them is for planted bugs to show.

use std::time::Duration;

use bytes::Bytes;
use lovebird_core::context::Context;
use lovebird_core::error::ProposeError;
use lovebird_core::identity::ClusterId;
use lovebird_core::service::Model;

use super::*;
use crate::watched::{Met, Moment, Replica, Tagged, encode};
use crate::workloads::{Access, Register};

const BORN: u64 = 77;

const LINE: Line = Line { number: 1, lapses: false };
const LAPSING: Line = Line { number: 2, lapses: true };

fn checker() -> Checker {
    Checker::new(Shown::of::<Register>(), BORN, Keep::Tally)
}

fn name(number: u64) -> Name {
    Name { client: 101, number }
}

fn node(node: u64) -> Replica {
    Replica { node, life: 1, model: Model::StateMachine }
}

/// Read number `number`, applied at a log index in term 1 with nothing to be found wrong.
fn record(index: u64, number: u64) -> Applied {
    let (time, command) = (Duration::from_secs(index), Access::Read(0));
    Applied {
        name: name(number),
        context: Context::new(ClusterId::default(), index, 1, time),
        moment: Moment { index, term: 1, time: index, random: 0 },
        command: encode(&Tagged { name: name(number), content: command, met: None }),
        reply: encode(&0_u64),
        digest: 1000 + index,
    }
}

fn waited() -> Wait {
    Wait { waited: Duration::from_secs(1), patience: Duration::from_secs(1) }
}

fn unknown() -> Told {
    Err(ProposeError::Unknown { reason: String::new() })
}

fn not_committed() -> Told {
    Err(ProposeError::NotCommitted { reason: String::new() })
}

fn expired() -> Told {
    Err(ProposeError::Expired { reason: String::new() })
}

/// Sends a command, and is told where it is.
fn acknowledged(checker: &Checker, number: u64, index: u64) {
    checker.sent(name(number), Way::Session(LINE), String::new);
    checker.told(name(number), waited(), &Ok((index, encode(&0_u64))));
}

#[track_caller]
fn tells(expected: &[Invariant], story: impl FnOnce(&Checker)) {
    let checker = checker();
    story(&checker);
    let told = checker.tally().violations;
    let found: Vec<Invariant> = told.iter().map(|violation| violation.invariant).collect();
    assert_eq!(found, expected, "{told:#?}");
}

#[test]
fn story_without_faults_breaks_nothing() {
    tells(&[], |checker| {
        checker.leads(1, 1);
        acknowledged(checker, 1, 1);
        acknowledged(checker, 2, 2);
        for replica in [node(1), node(2)] {
            checker.applied(replica, record(1, 1));
            checker.applied(replica, record(2, 2));
            checker.settled(replica.node, 2, 1002);
        }
        checker.restored(node(3), 2, 1002, 1002);
        checker.holds(1, 1, Some(record(1, 1).command));
        checker.rests();
    });
}

#[test]
fn two_leaders_of_one_term_are_told() {
    tells(&[Invariant::OneLeader], |checker| {
        checker.leads(1, 4);
        checker.leads(2, 5);
        checker.leads(2, 4);
    });
    tells(&[Invariant::OneLeader], |checker| {
        checker.leads(1, 4);
        checker.executed(node(2), 4);
    });
}

#[test]
fn what_is_applied_out_of_order_is_told() {
    tells(&[Invariant::AppliedInOrder], |checker| {
        checker.applied(node(1), record(1, 1));
        checker.applied(node(1), record(1, 1));
    });
    tells(&[Invariant::AppliedInOrder], |checker| {
        checker.applied(node(1), record(1, 1));
        checker.applied(node(1), record(2, 2));
        checker.restored(node(1), 1, 1001, 1001);
    });
    // Nobody applied what lies between, and in the end that is told, too.
    tells(&[Invariant::AppliedInOrder, Invariant::Consecutive], |checker| {
        checker.sent(name(1), Way::Alone, String::new);
        checker.told(name(1), waited(), &unknown());
        checker.applied(node(1), record(2, 1));
        checker.rests();
    });
}

#[test]
fn term_or_time_that_goes_back_is_told() {
    let earlier = |change: fn(&mut Moment)| {
        move |checker: &Checker| {
            let (mut first, mut second) = (record(1, 1), record(2, 2));
            (first.moment.term, first.moment.time) = (5, 5);
            (second.moment.term, second.moment.time) = (5, 5);
            change(&mut second.moment);
            checker.applied(node(1), first);
            checker.applied(node(1), second);
        }
    };
    tells(&[], earlier(|_| {}));
    tells(&[Invariant::Consecutive], earlier(|moment| moment.term = 4));
    tells(&[Invariant::Consecutive], earlier(|moment| moment.time = 4));
}

#[test]
fn replicas_that_differ_are_told_once_each() {
    let changes: [fn(&mut Applied); 4] = [
        |applied| applied.digest = 5,
        |applied| applied.reply = encode(&5_u64),
        |applied| applied.command = encode(&5_u64),
        |applied| applied.moment.random = 5,
    ];
    for change in changes {
        tells(&[Invariant::EqualStates], |checker| {
            let mut other = (record(1, 1), record(2, 2));
            change(&mut other.0);
            change(&mut other.1);
            checker.applied(node(1), record(1, 1));
            checker.applied(node(1), record(2, 2));
            checker.applied(node(2), other.0);
            checker.applied(node(2), other.1);
        });
    }
}

#[test]
fn snapshot_of_another_state_is_told() {
    let restored = |index, captured, digest| {
        move |checker: &Checker| {
            checker.applied(node(1), record(1, 1));
            checker.restored(node(2), index, captured, digest);
        }
    };
    tells(&[], restored(1, 1001, 1001));
    tells(&[], restored(0, BORN, BORN));
    tells(&[Invariant::EqualStates], restored(1, 5, 5));
    tells(&[Invariant::EqualStates], restored(1, 1001, 5));
    tells(&[Invariant::EqualStates], |checker| {
        checker.applied(node(1), record(1, 1));
        checker.settled(1, 1, 5);
    });
}

#[test]
fn command_that_is_there_twice_is_told() {
    tells(&[Invariant::Once], |checker| {
        checker.applied(node(1), record(1, 1));
        checker.applied(node(1), record(2, 1));
    });
    tells(&[Invariant::Once], |checker| {
        acknowledged(checker, 1, 1);
        checker.told(name(1), waited(), &Ok((1, encode(&5_u64))));
    });
    tells(&[Invariant::Once], |checker| {
        checker.sent(name(1), Way::Session(LINE), String::new);
        checker.told(name(1), waited(), &Err(ProposeError::ReplyGone { index: None }));
    });
}

#[test]
fn acknowledged_command_that_is_not_there_is_told() {
    tells(&[Invariant::AcknowledgedIsKept], |checker| {
        acknowledged(checker, 1, 1);
        checker.rests();
    });
    tells(&[Invariant::AcknowledgedIsKept], |checker| {
        acknowledged(checker, 1, 1);
        checker.applied(node(1), Applied { reply: encode(&5_u64), ..record(1, 1) });
        checker.rests();
    });
}

#[test]
fn command_that_should_not_be_there_is_told() {
    let told = |results: &'static [fn() -> Told]| {
        move |checker: &Checker| {
            checker.sent(name(1), Way::Session(LINE), String::new);
            results.iter().for_each(|result| checker.told(name(1), waited(), &result()));
            checker.applied(node(1), record(1, 1));
            checker.rests();
        }
    };
    tells(&[], told(&[unknown]));
    tells(&[Invariant::RefusedIsGone], told(&[not_committed]));
    // An attempt that is asked again knows by then what it did not know before.
    tells(&[Invariant::RefusedIsGone], told(&[unknown, not_committed]));
    // Nobody was told anything, and nobody has sent it.
    tells(&[Invariant::RefusedIsGone], told(&[]));
    tells(&[Invariant::RefusedIsGone], |checker| {
        checker.applied(node(1), record(1, 1));
        checker.rests();
    });
}

#[test]
fn command_that_is_carried_out_after_it_had_expired_is_told() {
    let story = |first: u64, second: u64| {
        move |checker: &Checker| {
            checker.sent(name(1), Way::Session(LAPSING), String::new);
            checker.told(name(1), waited(), &expired());
            acknowledged(checker, 2, second);
            checker.applied(node(1), record(1, if first == 1 { 1 } else { 2 }));
            checker.applied(node(1), record(2, if first == 1 { 2 } else { 1 }));
            checker.rests();
        }
    };
    tells(&[], story(1, 2));
    tells(&[Invariant::RefusedIsGone], story(2, 1));
    tells(&[Invariant::Once], |checker| {
        checker.sent(name(1), Way::Session(LINE), String::new);
        checker.told(name(1), waited(), &expired());
    });
}

#[test]
fn session_that_is_out_of_order_is_told() {
    tells(&[Invariant::SessionOrder], |checker| {
        for number in [1, 2] {
            checker.sent(name(number), Way::Session(LINE), String::new);
        }
        checker.told(name(2), waited(), &Ok((1, encode(&0_u64))));
        checker.told(name(1), waited(), &Ok((2, encode(&0_u64))));
        checker.applied(node(1), record(1, 2));
        checker.applied(node(1), record(2, 1));
        checker.rests();
    });
}

#[test]
fn what_goes_behind_what_was_told_is_told() {
    tells(&[Invariant::Linearizable], |checker| {
        acknowledged(checker, 1, 5);
        acknowledged(checker, 2, 3);
    });
    for promise in [Invariant::Linearizable, Invariant::ReadsNeverGoBack] {
        tells(&[promise], |checker| {
            let asked = Asked { kind: "some", client: 101, query: encode(&0_u64), least: 5, promise };
            checker.read(1, asked.clone(), 5, encode(&0_u64));
            checker.read(2, asked, 4, encode(&0_u64));
        });
    }
}

#[test]
fn caller_who_is_told_too_early_is_told() {
    let early = Wait { waited: Duration::from_millis(999), ..waited() };
    for way in [Way::Session(LINE), Way::Key { lapses: false }] {
        for result in [unknown(), not_committed()] {
            tells(&[Invariant::Patience], |checker| {
                checker.sent(name(1), way, String::new);
                checker.told(name(1), early, &result);
            });
        }
    }
    tells(&[], |checker| {
        checker.sent(name(1), Way::Alone, String::new);
        checker.told(name(1), early, &unknown());
    });
}

#[test]
fn subscription_with_a_gap_or_another_record_is_told() {
    fn given(index: u64, number: u64) -> Given {
        Given { index, term: 1, time: index, command: record(index, number).command }
    }
    let follows = |story: fn(&Checker)| {
        move |checker: &Checker| {
            checker.subscribes(151);
            for index in 1..=3 {
                checker.applied(node(1), record(index, index));
            }
            story(checker);
        }
    };
    tells(
        &[],
        follows(|checker| {
            checker.followed(151, 0, &given(1, 1));
            checker.followed_state(151, 2, 3, 3, 1003);
            checker.followed_to(3, &[]);
        }),
    );
    let broken: [fn(&Checker); 7] = [
        |checker| checker.followed(151, 0, &given(2, 2)),
        |checker| checker.followed(151, 1, &given(1, 1)),
        |checker| checker.followed(151, 0, &given(1, 2)),
        |checker| checker.followed(151, 0, &Given { term: 2, ..given(1, 1) }),
        |checker| checker.followed(151, 0, &Given { time: 2, ..given(1, 1) }),
        |checker| checker.followed_state(151, 3, 2, 2, 1002),
        |checker| checker.purged(151, 1, 2),
    ];
    for story in broken {
        tells(&[Invariant::Subscription], follows(story));
    }
    tells(&[Invariant::Subscription], follows(|checker| checker.followed_state(151, 1, 3, 2, 1002)));
    tells(&[Invariant::EqualStates], follows(|checker| checker.followed_state(151, 1, 3, 3, 5)));
    tells(&[Invariant::Liveness], follows(|checker| checker.followed_to(3, &[])));
    tells(&[], follows(|checker| checker.followed_to(3, &[151])));
}

#[test]
fn outcome_that_meets_another_state_is_told() {
    let met = Met { moment: record(1, 1).moment, digest: 5 };
    tells(&[], |checker| checker.met(1, name(1), met, met));
    tells(&[Invariant::Fence], |checker| checker.met(1, name(1), met, Met { digest: 6, ..met }));
    let later = Met { moment: record(2, 1).moment, ..met };
    tells(&[Invariant::Fence], |checker| checker.met(1, name(1), met, later));
}

#[test]
fn log_that_holds_something_else_is_told() {
    let held = |command: Option<Bytes>| {
        move |checker: &Checker| {
            checker.applied(node(1), record(1, 1));
            checker.holds(1, 1, command);
        }
    };
    tells(&[], held(Some(record(1, 1).command)));
    tells(&[Invariant::LogsMatch], held(Some(record(1, 2).command)));
    tells(&[Invariant::LogsMatch], held(None));
    tells(&[Invariant::LogsMatch], |checker| checker.in_model(1, false, name(1)));
}

/// A register that was written to, as a replica has applied it.
fn written(reply: u64, digest: u64) -> Applied {
    let command = Tagged { name: name(1), content: Access::Write(0, 3), met: None };
    Applied { command: encode(&command), reply: encode(&reply), digest, ..record(1, 1) }
}

#[test]
fn replay_that_comes_to_something_else_is_told() {
    use crate::workload::Workload;
    use lovebird_core::state_machine::StateMachine;

    let mut machine = Register::machine();
    machine.apply(&record(1, 1).context, Access::Write(0, 3));
    let digest = Register::digest(&machine);
    let replayed = |applied: Applied, index: u64, answer: u64| {
        move |checker: &Checker| {
            checker.applied(node(1), applied);
            let promise = Invariant::Linearizable;
            let asked = Asked { kind: "stale", client: 101, query: encode(&0_u64), least: 0, promise };
            checker.read(1, asked, index, encode(&answer));
            replay::<Register>(checker);
        }
    };
    tells(&[], replayed(written(0, digest), 1, 3));
    tells(&[], replayed(written(0, digest), 0, 0));
    tells(&[Invariant::EqualStates], replayed(written(1, digest), 1, 3));
    tells(&[Invariant::EqualStates], replayed(written(0, digest + 1), 1, 3));
    tells(&[Invariant::Linearizable], replayed(written(0, digest), 1, 0));
    tells(&[Invariant::Linearizable], replayed(written(0, digest), 0, 3));
    tells(&[Invariant::Linearizable], replayed(written(0, digest), 2, 3));
}
