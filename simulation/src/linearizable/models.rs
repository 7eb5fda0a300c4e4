//! Objects that histories are often about.

use std::hash::Hash;
use std::marker::PhantomData;

use super::Model;

/// A register: it holds what was last written to it.
#[derive(Clone, Debug)]
pub struct Register<V> {
    /// What it holds before anything was written.
    pub initial: V,
}

/// What a register is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegisterInput<V> {
    /// What it holds.
    Read,
    /// To hold this.
    Write(V),
    /// To hold `new`, if it holds `expected`.
    CompareAndSet {
        /// What it must hold.
        expected: V,
        /// What it holds then.
        new: V,
    },
}

/// What a register answers. An answer to another question than was asked fits nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegisterOutput<V> {
    /// To a read: it holds this.
    Value(V),
    /// To a write: done.
    Written,
    /// To a compare-and-set: whether it held what was expected, and was set.
    Set(bool),
}

impl<V: Clone + Eq + Hash> Model for Register<V> {
    type State = V;
    type Input = RegisterInput<V>;
    type Output = RegisterOutput<V>;
    type Part = ();

    fn part(&self, _: &RegisterInput<V>) {}

    fn initial(&self, (): &()) -> V {
        self.initial.clone()
    }

    fn step(&self, state: &V, input: &RegisterInput<V>, output: Option<&RegisterOutput<V>>) -> Option<V> {
        let (fits, next) = match input {
            RegisterInput::Read => match output {
                None => (true, state),
                Some(RegisterOutput::Value(value)) => (value == state, state),
                Some(_) => (false, state),
            },
            RegisterInput::Write(value) => (matches!(output, None | Some(RegisterOutput::Written)), value),
            RegisterInput::CompareAndSet { expected, new } => {
                let sets = expected == state;
                let fits = match output {
                    None => true,
                    Some(RegisterOutput::Set(set)) => *set == sets,
                    Some(_) => false,
                };
                (fits, if sets { new } else { state })
            }
        };
        fits.then(|| next.clone())
    }

    fn only_looks(&self, input: &RegisterInput<V>, output: Option<&RegisterOutput<V>>) -> bool {
        matches!((input, output), (RegisterInput::Read, _) | (_, Some(RegisterOutput::Set(false))))
    }
}

/// A counter, whose every answer is its value: before nothing at all, or after an addition. It wraps around.
#[derive(Clone, Debug, Default)]
pub struct Counter {
    /// Its value before anything was added.
    pub initial: i64,
}

/// What a counter is asked; it answers its value as of then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CounterInput {
    /// Its value.
    Read,
    /// To add this, and its value after that.
    Add(i64),
}

impl Model for Counter {
    type State = i64;
    type Input = CounterInput;
    type Output = i64;
    type Part = ();

    fn part(&self, _: &CounterInput) {}

    fn initial(&self, (): &()) -> i64 {
        self.initial
    }

    fn step(&self, state: &i64, input: &CounterInput, output: Option<&i64>) -> Option<i64> {
        let after = match input {
            CounterInput::Read => *state,
            CounterInput::Add(amount) => state.wrapping_add(*amount),
        };
        output.is_none_or(|value| *value == after).then_some(after)
    }

    fn only_looks(&self, input: &CounterInput, _: Option<&i64>) -> bool {
        *input == CounterInput::Read
    }
}

/// Many objects of one model, each under its own key: a store of registers, a set of variables. Operations say which.
#[derive(Clone, Debug, Default)]
pub struct Keyed<K, M> {
    /// What lies under each key.
    pub each: M,
    keys: PhantomData<K>,
}

impl<K, M> Keyed<K, M> {
    /// One such object under each key.
    pub fn new(each: M) -> Self {
        Keyed { each, keys: PhantomData }
    }
}

impl<K: Clone + Ord, M: Model> Model for Keyed<K, M> {
    type State = M::State;
    type Input = (K, M::Input);
    type Output = M::Output;
    type Part = (K, M::Part);

    fn part(&self, (key, input): &(K, M::Input)) -> (K, M::Part) {
        (key.clone(), self.each.part(input))
    }

    fn initial(&self, (_, part): &(K, M::Part)) -> M::State {
        self.each.initial(part)
    }

    fn step(
        &self,
        state: &M::State,
        (_, input): &(K, M::Input),
        output: Option<&M::Output>,
    ) -> Option<M::State> {
        self.each.step(state, input, output)
    }

    fn only_looks(&self, (_, input): &(K, M::Input), output: Option<&M::Output>) -> bool {
        self.each.only_looks(input, output)
    }
}
