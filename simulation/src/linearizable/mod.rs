//! Decides whether what clients saw can be explained by one order of their operations, without being told any order: no log
//! index, no term, only who asked what, when, and was told what, when.
//!
//! A history is *linearizable* (Herlihy and Wing, *Linearizability: a correctness condition for concurrent objects*, 1990) if its
//! operations can be put into one order in which each gives the answer that it gave, and in which an operation that had returned
//! before another was called stands before it. [`check`] searches for that order, and gives either the order, or the point at
//! which nothing fits any more. [`replay`] looks whether an order explains a history, whoever made it.
//!
//! # How it searches
//!
//! Wing and Gong (*Testing and verifying concurrent objects*, 1993) build the order from its front: what may come next is whatever
//! was called before the first return among what is not placed yet; where nothing fits, go back and try another. Lowe (*Testing for
//! linearizability*, 2017) remembers which operations were placed and what state that left, and never goes on from the same twice.
//! The history is first taken apart into objects that know nothing of each other, each of which is searched by itself:
//! a history is linearizable if that of each object is (Herlihy and Wing, section 3.2; as *P-compositionality* by Horn and
//! Kroening, *Faster linearizability checking via P-compositionality*, 2015).
//!
//! An answered operation that only looks at the state is placed wherever it fits first: it stands in nobody's way.
//!
//! Added here is what operations without an answer need, of which a run with faults has many. Such an operation may take effect
//! at any time after its call, or never, so that each doubles what there is to search. But
//!
//! - it is only ever placed where it changes the state: elsewhere it explains nothing;
//! - of two with the same input the one that was called first is placed first: in every order the two can trade places;
//! - of two ways to the same state with the same answers explained, the one that used up fewer of them can do whatever the other
//!   can. So the search goes on from where most answers are explained and, among those, where fewest are used up;
//!   what has used up more than another to come to the same is not looked at.
//!
//! It is iterative, takes no time from any clock, and gives up after a number of steps, so that its verdict is the same everywhere.

mod search;
pub mod models;

use std::collections::BTreeMap;
use std::fmt::{self, Debug};
use std::hash::Hash;

/// Steps in which well-behaved histories of thousands of operations are decided a hundred times over, and after which a
/// search that got lost holds some hundreds of megabytes.
pub const STEPS_MAX: u64 = 5_000_000;

/// Steps for each part at first, and then ten times as many for what is left, and so on: the one part of many that is easily
/// found to be wrong is not waited for until all others have been searched to the end.
const STEPS_FIRST: u64 = 10_000;

/// What an object does when one operation follows another: the sequential specification.
///
/// The checker calls it, in no particular order and many times for the same operation, so its functions are pure. What an
/// operation does must follow from the state; a model that leaves a choice takes the set of its possible states as the state.
pub trait Model {
    /// All that an object remembers. Two that are equal must behave in the same way from then on.
    type State: Clone + Eq + Hash;
    /// What was asked. Of equal inputs one has the effect of the other.
    type Input: Eq;
    /// What was answered.
    type Output;
    /// Names one of the objects that know nothing of each other: an operation touches exactly one. `()` if there is only one.
    type Part: Ord;

    /// The object that an operation touches.
    fn part(&self, input: &Self::Input) -> Self::Part;

    /// The state of an object before its first operation.
    fn initial(&self, part: &Self::Part) -> Self::State;

    /// The state after an operation, if it can give this output in this state; `None` if it cannot. An operation without an
    /// output answered nobody: whatever it would have said, this is what it does.
    fn step(
        &self,
        state: &Self::State,
        input: &Self::Input,
        output: Option<&Self::Output>,
    ) -> Option<Self::State>;

    /// Whether an operation with this output leaves every state in which it fits as it was: a read, a comparison that failed. To
    /// say so saves much searching, and is never needed; to say so of one that changes a state makes the verdict wrong.
    fn only_looks(&self, _input: &Self::Input, _output: Option<&Self::Output>) -> bool {
        false
    }
}

/// An operation, as its client saw it. What is certain not to have taken effect is no operation, and is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation<I, O> {
    /// Who asked. The check makes no use of it: a client may have much under way at once.
    pub client: u64,
    /// When it was called, on a clock that all operations of the history share.
    pub called: u64,
    /// What was asked.
    pub input: I,
    /// When it returned, and with what; `None` if nobody was told what became of it. Two operations of which one returns at the
    /// very time at which the other is called are taken to overlap.
    pub returned: Option<(u64, O)>,
}

/// A history of a model's operations, in any order.
pub type History<M> = [Operation<<M as Model>::Input, <M as Model>::Output>];

/// What the search came to. Operations are named by their positions in the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict<S> {
    /// In this order the history is explained. Operations without an answer that are not in it took no effect, or none that
    /// anybody saw.
    Linearizable(Vec<usize>),
    /// There is no such order.
    Not(Contradiction<S>),
    /// Nobody knows: the steps were not enough. Here lies what they could not get past: a suspicion, and no proof, since what
    /// was not tried may lead there. With many different operations without an answer, a violation often looks like this.
    GaveUp(Contradiction<S>),
}

/// Where the longest order ends that explains anything of a history that is not linearizable. It is about one object, whose
/// history alone is not linearizable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contradiction<S> {
    /// The longest order that explains its operations and respects who returned before whom was called.
    pub prefix: Vec<usize>,
    /// The state behind it.
    pub state: S,
    /// One of these would have to come next, and none can. The first returned first, so that it cannot wait for any other.
    pub stuck: Vec<usize>,
    /// Those of `stuck` that fit nowhere, in no order that explains what must stand before them. Often this is the one
    /// operation that is wrong; it is empty where each could be explained by itself, but not all together.
    pub misfits: Vec<usize>,
}

impl<S> Contradiction<S> {
    /// The operation to look at first.
    pub fn culprit(&self) -> Option<usize> {
        self.misfits.first().or(self.stuck.first()).copied()
    }

    /// The contradiction in words, for a person.
    pub fn sentence<I: Debug, O: Debug>(&self, history: &[Operation<I, O>]) -> String
    where
        S: Debug,
    {
        let (placed, state) = (self.prefix.len(), &self.state);
        let list = |operations: &[usize]| {
            let texts: Vec<String> = operations.iter().map(|&at| history[at].to_string()).collect();
            texts.join("; ")
        };
        let last =
            self.prefix.last().map_or(String::new(), |&at| format!(", the last of them {}", history[at]));
        match self.misfits.len() {
            0 => format!(
                "No order explains all of these: {}. At most {placed} operations can be put in order before \
                 them{last}, which leaves the state {state:?}.",
                list(&self.stuck)
            ),
            _ => format!(
                "In no order does this fit: {}. The longest one before it has {placed} operations{last}, and \
                 leaves the state {state:?}.",
                list(&self.misfits)
            ),
        }
    }
}

/// `client 3: Read -> 5 [10, 20]`, with the times of call and return.
impl<I: Debug, O: Debug> fmt::Display for Operation<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Operation { client, called, input, returned } = self;
        match returned {
            Some((at, output)) => write!(f, "client {client}: {input:?} -> {output:?} [{called}, {at}]"),
            None => write!(f, "client {client}: {input:?} -> unknown [{called}, …]"),
        }
    }
}

/// Decides whether a history is linearizable, in at most `steps_max` steps of the model for each of its parts; [`STEPS_MAX`] is
/// a good bound. One part that is not linearizable decides the whole, also where others had to be given up.
///
/// # Panics
///
/// If an operation returned before it was called.
pub fn check<M: Model>(model: &M, history: &History<M>, steps_max: u64) -> Verdict<M::State> {
    for operation in history {
        if let Some((at, _)) = operation.returned {
            let called = operation.called;
            assert!(
                called <= at,
                "an operation cannot have returned at {at}, before it was called at {called}"
            );
        }
    }
    let mut parts: BTreeMap<M::Part, Vec<usize>> = BTreeMap::new();
    for (at, operation) in history.iter().enumerate() {
        parts.entry(model.part(&operation.input)).or_default().push(at);
    }
    let mut open: Vec<(&M::Part, &Vec<usize>)> = parts.iter().collect();
    let (mut orders, mut steps) = (Vec::new(), steps_max.min(STEPS_FIRST));
    loop {
        let mut given_up = Vec::new();
        let mut suspicion = None;
        for (part, operations) in open {
            match search::search(model, model.initial(part), history, operations, steps) {
                Verdict::Linearizable(order) => orders.push(order),
                Verdict::GaveUp(at) => {
                    suspicion.get_or_insert(at);
                    given_up.push((part, operations));
                }
                not @ Verdict::Not(_) => return not,
            }
        }
        match suspicion {
            None => return Verdict::Linearizable(merge(history, &orders)),
            Some(suspicion) if steps >= steps_max => return Verdict::GaveUp(suspicion),
            Some(_) => steps = steps.saturating_mul(10).min(steps_max),
        }
        open = given_up;
    }
}

/// One order out of the orders of the parts. Each operation takes effect as early as its part's order lets it: at its own call,
/// or at the latest call of those before it. That is within its own time, since none of them was called after it returned;
/// so to sort by it respects who returned before whom was called, across parts as well.
fn merge<I, O>(history: &[Operation<I, O>], orders: &[Vec<usize>]) -> Vec<usize> {
    let mut points = Vec::new();
    for order in orders {
        let mut point = 0;
        for &at in order {
            point = history[at].called.max(point);
            points.push((point, at));
        }
    }
    // Stable: what takes effect at the same time keeps the order that its part has for it.
    points.sort_by_key(|(point, _)| *point);
    points.into_iter().map(|(_, at)| at).collect()
}

/// Looks whether an order explains a history, by carrying it out. This is the definition, and shares nothing with the search.
///
/// # Errors
///
/// In words, what does not hold.
pub fn replay<M: Model>(model: &M, history: &History<M>, order: &[usize]) -> Result<(), String> {
    let mut placed = vec![false; history.len()];
    let mut states: BTreeMap<M::Part, M::State> = BTreeMap::new();
    let mut latest_call = 0;
    for &at in order {
        let operation = history.get(at).ok_or_else(|| format!("there is no operation {at}"))?;
        if std::mem::replace(&mut placed[at], true) {
            return Err(format!("operation {at} stands there twice"));
        }
        let output = match &operation.returned {
            Some((returned, _)) if *returned < latest_call => {
                return Err(format!(
                    "operation {at} stands behind one that was called after it had returned"
                ));
            }
            Some((_, output)) => Some(output),
            None => None,
        };
        latest_call = latest_call.max(operation.called);
        let part = model.part(&operation.input);
        let state = states.remove(&part).unwrap_or_else(|| model.initial(&part));
        let Some(next) = model.step(&state, &operation.input, output) else {
            return Err(format!("operation {at} cannot have given its answer where it stands"));
        };
        states.insert(part, next);
    }
    match history.iter().zip(&placed).position(|(operation, placed)| operation.returned.is_some() && !placed)
    {
        Some(missing) => Err(format!("operation {missing} has an answer, and stands nowhere")),
        None => Ok(()),
    }
}
