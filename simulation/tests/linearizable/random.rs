//! Small random histories, each judged by two checkers that have nothing in common but the definition.

use lovebird_simulation::linearizable::models::{
    Counter, CounterInput, Keyed, Register, RegisterInput, RegisterOutput,
};
use lovebird_simulation::linearizable::{History, Model, Operation, STEPS_MAX, Verdict, check, replay};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

/// Of registers, of pairs of registers, and of counters; 120,000 together.
const HISTORIES_EACH: u64 = 40_000;

/// What registers hold; few, so that wrong answers are often right for another reason.
const VALUES: u64 = 3;

struct Chance(Xoshiro256PlusPlus);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0.next_u64() % bound
    }
}

/// The same specification, said once more for porcupine: two registers at once, of which a history may use only one.
#[derive(Clone, Debug)]
struct Registers;

type RegisterOp = (u8, RegisterInput<u8>, Option<RegisterOutput<u8>>);

impl porcupine_rs::Model for Registers {
    type State = [u8; 2];
    type Op = RegisterOp;
    type Metadata = ();

    fn init() -> [u8; 2] {
        [0; 2]
    }

    fn step(state: &[u8; 2], (key, input, output): &RegisterOp) -> (bool, [u8; 2]) {
        let mut after = *state;
        let value = &mut after[usize::from(*key)];
        let answer = match *input {
            RegisterInput::Read => RegisterOutput::Value(*value),
            RegisterInput::Write(new) => {
                *value = new;
                RegisterOutput::Written
            }
            RegisterInput::CompareAndSet { expected, new } if *value == expected => {
                *value = new;
                RegisterOutput::Set(true)
            }
            RegisterInput::CompareAndSet { .. } => RegisterOutput::Set(false),
        };
        (output.as_ref().is_none_or(|told| *told == answer), after)
    }
}

#[derive(Clone, Debug)]
struct Sum;

impl porcupine_rs::Model for Sum {
    type State = i64;
    type Op = (CounterInput, Option<i64>);
    type Metadata = ();

    fn init() -> i64 {
        0
    }

    fn step(state: &i64, (input, output): &(CounterInput, Option<i64>)) -> (bool, i64) {
        let after = match input {
            CounterInput::Read => *state,
            CounterInput::Add(amount) => state + amount,
        };
        (output.is_none_or(|told| told == after), after)
    }
}

/// What porcupine says. It knows no operations without an answer: one that returns at the very end, with whatever answer, may
/// take effect at any time or so late that nobody sees it.
fn second_opinion<P: porcupine_rs::Model, I, O>(
    history: &[Operation<I, O>],
    op: impl Fn(&I, Option<&O>) -> P::Op,
) -> bool {
    let operations: Vec<porcupine_rs::Operation<P>> = history
        .iter()
        .map(|operation| porcupine_rs::Operation {
            client_id: Some(operation.client as u32),
            call_time: operation.called as i64,
            return_time: operation.returned.as_ref().map_or(i64::MAX, |(at, _)| *at as i64),
            op: op(&operation.input, operation.returned.as_ref().map(|(_, output)| output)),
            metadata: None,
        })
        .collect();
    porcupine_rs::check_operations(&operations)
}

/// Two to four clients with three to eight operations together, answered by an object that carries each out at some time between
/// call and return; then, in three of four histories, some answers are replaced by others that an object might give. One in
/// eight operations stays without an answer, carried out or not.
fn history<I: Clone, O: Clone>(
    chance: &mut Chance,
    input: impl Fn(&mut Chance) -> I,
    mut carry_out: impl FnMut(&I) -> O,
    other: impl Fn(&mut Chance, &I) -> O,
    wrong_in_sixteen: u64,
) -> Vec<Operation<I, O>> {
    let clients = 2 + chance.below(3);
    let mut free = vec![0; clients as usize];
    let mut timed = Vec::new();
    for _ in 0..3 + chance.below(6) {
        let client = chance.below(clients);
        let called = free[client as usize] + chance.below(8);
        let takes = chance.below(12);
        free[client as usize] = called + takes + 1;
        let effect = called + chance.below(takes + 1);
        timed.push((effect, client, called, called + takes, input(chance)));
    }
    timed.sort_by_key(|(effect, ..)| *effect);
    let wrong_in_sixteen = chance.below(4) * wrong_in_sixteen;
    let mut history = Vec::new();
    for (_, client, called, returned, input) in timed {
        let unknown = chance.below(8) == 0;
        if unknown && chance.below(2) == 0 {
            history.push(Operation { client, called, input, returned: None });
            continue;
        }
        let mut output = carry_out(&input);
        if chance.below(16) < wrong_in_sixteen {
            output = other(chance, &input);
        }
        let returned = (!unknown).then_some((returned, output));
        history.push(Operation { client, called, input, returned });
    }
    history
}

fn register_input(chance: &mut Chance) -> RegisterInput<u8> {
    let mut value = || chance.below(VALUES) as u8;
    let (expected, new) = (value(), value());
    match chance.below(5) {
        0 | 1 => RegisterInput::Read,
        2 | 3 => RegisterInput::Write(new),
        _ => RegisterInput::CompareAndSet { expected, new },
    }
}

fn register_output(chance: &mut Chance, input: &RegisterInput<u8>) -> RegisterOutput<u8> {
    match input {
        RegisterInput::Read => RegisterOutput::Value(chance.below(VALUES) as u8),
        RegisterInput::Write(_) => RegisterOutput::Written,
        RegisterInput::CompareAndSet { .. } => RegisterOutput::Set(chance.below(2) == 0),
    }
}

/// Looks at one history, and says whether it is linearizable.
fn agree<M: Model>(seed: u64, model: &M, history: &History<M>, second_opinion: bool) -> bool
where
    M::State: std::fmt::Debug,
    M::Input: std::fmt::Debug,
    M::Output: std::fmt::Debug,
{
    let verdict = check(model, history, STEPS_MAX);
    match &verdict {
        Verdict::Linearizable(order) => {
            assert!(second_opinion, "seed {seed}: porcupine finds no order, we {order:?}: {history:?}");
            if let Err(what) = replay(model, history, order) {
                panic!("seed {seed}: {what}: {order:?} {history:?}");
            }
        }
        Verdict::Not(contradiction) => {
            assert!(!second_opinion, "seed {seed}: porcupine finds an order: {history:?}");
            assert!(!contradiction.stuck.is_empty(), "seed {seed}: nothing is stuck: {history:?}");
            let sentence = contradiction.sentence(history);
            assert!(!sentence.is_empty());
        }
        Verdict::GaveUp(_) => panic!("seed {seed}: gave up on {history:?}"),
    }
    second_opinion
}

fn report(what: &str, linearizable: u64) {
    let share = linearizable * 100 / HISTORIES_EACH;
    println!(
        "measured: of {HISTORIES_EACH} random histories of {what} {share} % are linearizable; both checkers agree"
    );
    assert!((25..=75).contains(&share), "both verdicts are put to the test, not mostly one: {share} %");
}

#[test]
fn registers() {
    let mut linearizable = 0;
    for seed in 0..HISTORIES_EACH {
        let mut chance = Chance(Xoshiro256PlusPlus::seed_from_u64(seed));
        let model = Register { initial: 0 };
        let mut state = 0;
        let carry_out = |input: &RegisterInput<u8>| {
            let (_, [after, _]) = porcupine_rs_step([state, 0], &(0, input.clone(), None));
            let before = std::mem::replace(&mut state, after);
            answer(before, input)
        };
        let history = history(&mut chance, register_input, carry_out, register_output, 4);
        let other =
            second_opinion::<Registers, _, _>(&history, |input, output| (0, input.clone(), output.cloned()));
        linearizable += u64::from(agree(seed, &model, &history, other));
    }
    report("one register", linearizable);
}

/// Porcupine searches one order for both at once, and so checks that taking the history apart is right.
#[test]
fn pairs_of_registers() {
    let mut linearizable = 0;
    for seed in 0..HISTORIES_EACH {
        let mut chance = Chance(Xoshiro256PlusPlus::seed_from_u64(seed ^ 1 << 32));
        let mut state = [0; 2];
        let carry_out = |(key, input): &(u8, RegisterInput<u8>)| {
            let before = state[usize::from(*key)];
            (_, state) = porcupine_rs_step(state, &(*key, input.clone(), None));
            answer(before, input)
        };
        let history = history(
            &mut chance,
            |chance| (chance.below(2) as u8, register_input(chance)),
            carry_out,
            |chance, (_, input)| register_output(chance, input),
            4,
        );
        let op =
            |(key, input): &(u8, _), output: Option<&_>| (*key, RegisterInput::clone(input), output.cloned());
        let other = second_opinion::<Registers, _, _>(&history, op);
        let model = Keyed::new(Register { initial: 0 });
        linearizable += u64::from(agree(seed, &model, &history, other));
    }
    report("two registers", linearizable);
}

#[test]
fn counters() {
    let mut linearizable = 0;
    for seed in 0..HISTORIES_EACH {
        let mut chance = Chance(Xoshiro256PlusPlus::seed_from_u64(seed ^ 2 << 32));
        let mut sum = 0;
        let input = |chance: &mut Chance| match chance.below(3) {
            0 => CounterInput::Read,
            _ => CounterInput::Add(1 + chance.below(2) as i64),
        };
        let carry_out = |input: &CounterInput| {
            if let CounterInput::Add(amount) = input {
                sum += amount;
            }
            sum
        };
        let history = history(&mut chance, input, carry_out, |chance, _| chance.below(8) as i64, 1);
        let other = second_opinion::<Sum, _, _>(&history, |input, output| (*input, output.copied()));
        linearizable += u64::from(agree(seed, &Counter::default(), &history, other));
    }
    report("a counter", linearizable);
}

fn porcupine_rs_step(state: [u8; 2], op: &RegisterOp) -> (bool, [u8; 2]) {
    <Registers as porcupine_rs::Model>::step(&state, op)
}

/// What a register that holds `before` answers.
fn answer(before: u8, input: &RegisterInput<u8>) -> RegisterOutput<u8> {
    match input {
        RegisterInput::Read => RegisterOutput::Value(before),
        RegisterInput::Write(_) => RegisterOutput::Written,
        RegisterInput::CompareAndSet { expected, .. } => RegisterOutput::Set(before == *expected),
    }
}
