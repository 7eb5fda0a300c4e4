//! Histories by hand, of the kinds that are told wherever linearizability is explained.

use lovebird_simulation::linearizable::models::{
    Counter, CounterInput, Keyed, Register, RegisterInput, RegisterOutput,
};
use lovebird_simulation::linearizable::{Operation, Verdict, check, replay};

use crate::{contradiction, linearizable, told};

type Op = Operation<RegisterInput<u8>, RegisterOutput<u8>>;

const REGISTER: Register<u8> = Register { initial: 0 };
const COUNTER: Counter = Counter { initial: 0 };

fn write(client: u64, called: u64, returned: u64, value: u8) -> Op {
    told(client, called, returned, RegisterInput::Write(value), RegisterOutput::Written)
}

fn read(client: u64, called: u64, returned: u64, value: u8) -> Op {
    told(client, called, returned, RegisterInput::Read, RegisterOutput::Value(value))
}

fn compare_and_set(client: u64, called: u64, returned: u64, expected: u8, new: u8, set: bool) -> Op {
    told(client, called, returned, RegisterInput::CompareAndSet { expected, new }, RegisterOutput::Set(set))
}

#[test]
fn nothing_happened() {
    assert!(linearizable(&REGISTER, &[]).is_empty());
}

#[test]
fn one_after_the_other() {
    let history = [write(1, 0, 10, 1), read(2, 20, 30, 1), write(1, 40, 50, 2), read(2, 60, 70, 2)];
    assert_eq!(linearizable(&REGISTER, &history), [0, 1, 2, 3]);
}

#[test]
fn a_read_sees_a_write_that_has_not_returned() {
    assert_eq!(linearizable(&REGISTER, &[write(1, 0, 100, 1), read(2, 10, 20, 1)]), [0, 1]);
    assert_eq!(linearizable(&REGISTER, &[write(1, 0, 100, 1), read(2, 10, 20, 0)]), [1, 0]);
}

#[test]
fn stale_read() {
    let history = [write(1, 0, 10, 1), read(2, 20, 30, 0)];
    let contradiction = contradiction(&REGISTER, &history);
    assert_eq!((contradiction.prefix.as_slice(), contradiction.state), ([0].as_slice(), 1));
    assert_eq!((contradiction.stuck.as_slice(), contradiction.culprit()), ([1].as_slice(), Some(1)));
    assert_eq!(
        contradiction.sentence(&history),
        "In no order does this fit: client 2: Read -> Value(0) [20, 30]. The longest one before it has 1 operations, the \
         last of them client 1: Write(1) -> Written [0, 10], and leaves the state 1."
    );
}

#[test]
fn two_reads_see_a_write_in_turn_and_then_not() {
    let history = [write(1, 0, 100, 1), read(2, 10, 20, 1), read(3, 30, 40, 0)];
    assert_eq!(contradiction(&REGISTER, &history).misfits, [2]);
}

#[test]
fn read_from_the_future() {
    let history = [read(2, 0, 10, 1), write(1, 20, 30, 1)];
    let contradiction = contradiction(&REGISTER, &history);
    assert_eq!(
        (contradiction.prefix.as_slice(), contradiction.misfits.as_slice()),
        ([].as_slice(), [0].as_slice())
    );
}

#[test]
fn a_value_that_nobody_wrote() {
    assert_eq!(contradiction(&REGISTER, &[write(1, 0, 50, 1), read(2, 10, 20, 7)]).culprit(), Some(1));
}

#[test]
fn two_readers_disagree_about_the_order_of_two_writes() {
    let history = [
        write(1, 0, 100, 1),
        write(2, 0, 100, 2),
        read(3, 10, 20, 1),
        read(3, 30, 40, 2),
        read(4, 10, 20, 2),
        read(4, 30, 40, 1),
    ];
    let contradiction = contradiction(&REGISTER, &history);
    assert!(contradiction.misfits.is_empty(), "each of these reads could be right by itself");
    let sentence = contradiction.sentence(&history);
    assert!(sentence.starts_with("No order explains all of these: client"), "{sentence}");
}

#[test]
fn lost_update() {
    let lost = [told(1, 0, 50, CounterInput::Add(1), 1), told(2, 0, 50, CounterInput::Add(1), 1)];
    assert_eq!(contradiction(&COUNTER, &lost).stuck.len(), 1);
    let kept = [told(1, 0, 50, CounterInput::Add(1), 2), told(2, 0, 50, CounterInput::Add(1), 1)];
    assert_eq!(linearizable(&COUNTER, &kept), [1, 0]);
}

#[test]
fn an_update_that_counts_twice() {
    let history = [told(1, 0, 10, CounterInput::Add(5), 5), told(2, 20, 30, CounterInput::Read, 10)];
    let contradiction = contradiction(&COUNTER, &history);
    assert_eq!((contradiction.state, contradiction.culprit()), (5, Some(1)));
}

#[test]
fn two_win_the_same_compare_and_set() {
    let both = [compare_and_set(1, 0, 50, 0, 1, true), compare_and_set(2, 0, 50, 0, 2, true)];
    contradiction(&REGISTER, &both);
    let one = [compare_and_set(1, 0, 50, 0, 1, false), compare_and_set(2, 0, 50, 0, 2, true)];
    assert_eq!(linearizable(&REGISTER, &one), [1, 0]);
}

#[test]
fn touching_operations_overlap() {
    assert_eq!(linearizable(&REGISTER, &[read(2, 0, 10, 1), write(1, 10, 20, 1)]), [1, 0]);
    contradiction(&REGISTER, &[read(2, 0, 9, 1), write(1, 10, 20, 1)]);
}

#[test]
fn objects_are_put_into_one_order() {
    let on = |key: &'static str, op: Op| Operation {
        client: op.client,
        called: op.called,
        input: (key, op.input),
        returned: op.returned,
    };
    let model = Keyed::new(REGISTER);
    let mut history = vec![
        on("x", write(1, 0, 100, 1)),
        on("y", write(2, 10, 20, 1)),
        on("x", read(2, 30, 40, 0)),
        on("y", read(3, 30, 60, 1)),
        on("x", read(3, 70, 80, 1)),
    ];
    let order = linearizable(&model, &history);
    assert_eq!(order.len(), history.len());
    history[4].returned = Some((80, RegisterOutput::Value(3)));
    assert_eq!(contradiction(&model, &history).misfits, [4]);
}

#[test]
fn the_search_gives_up_in_time() {
    // Every order of these is legal, and none of them leads to the read.
    let mut history: Vec<Op> = (1..=30).map(|client| write(client, 0, 100, client as u8)).collect();
    history.push(read(31, 200, 210, 99));
    match check(&REGISTER, &history, 10_000) {
        Verdict::GaveUp(suspicion) => {
            assert_eq!(
                (suspicion.prefix.len(), suspicion.culprit()),
                (30, Some(30)),
                "it still says where it came to"
            );
        }
        verdict => panic!("10,000 steps are not enough: {verdict:?}"),
    }
}

#[test]
fn replay_says_what_is_wrong_with_an_order() {
    let history = [write(1, 0, 10, 1), read(2, 20, 30, 1), write(1, 40, 50, 2)];
    let wrong = |order: &[usize]| replay(&REGISTER, &history, order).unwrap_err();
    assert_eq!(replay(&REGISTER, &history, &[0, 1, 2]), Ok(()));
    assert!(wrong(&[0, 1]).contains("operation 2 has an answer, and stands nowhere"));
    assert!(wrong(&[0, 0]).contains("twice"));
    assert!(
        wrong(&[0, 2, 1]).contains("operation 1 stands behind one that was called after it had returned")
    );
    assert!(wrong(&[1]).contains("operation 1 cannot have given its answer"));
    assert!(wrong(&[3]).contains("there is no operation 3"));
}

#[test]
#[should_panic(expected = "before it was called")]
fn time_goes_forward() {
    let _ = check(&REGISTER, &[read(1, 10, 9, 0)], 1);
}
