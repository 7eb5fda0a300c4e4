//! The search for the order of one object's operations.
//!
//! What has been placed, and the state that this left, is a *configuration*. Configurations are nodes of a tree that grows from
//! the empty order, and wait in a heap, the most promising on top. One of them is laid out in full at any time: as the list of
//! calls and returns that are still to be explained, from which the placed operations were unlinked. To lay out another one
//! is to link and unlink along the way between the two, which is short, since the next one is most often a child.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use super::{Contradiction, History, Model, Verdict};

/// No node, no entry, no operation.
const NONE: usize = usize::MAX;

/// A way to place one operation more.
struct Node<S> {
    parent: usize,
    /// The operation that was placed last, by its number within the part; none at the root.
    operation: usize,
    /// How many operations are placed.
    depth: usize,
    state: S,
}

/// What is looked at first: where most answers are explained, then where fewest operations without one are used up, then
/// what was found last.
type Promise = (usize, Reverse<usize>, usize);

/// For each state, and each set of answers explained on the way to it, the sets of operations without answers used up for that.
type Memory<S> = HashMap<S, HashMap<Box<[u64]>, Vec<Box<[u64]>>>>;

struct Search<'a, M: Model> {
    model: &'a M,
    history: &'a History<M>,
    /// The positions in the history of this part's operations, in the order of their calls: first those with an answer,
    /// from `answered` on those without. An operation's place here is its number.
    operations: Vec<usize>,
    answered: usize,
    /// For each operation without an answer, the one before it with the same input.
    twins: Vec<usize>,
    /// For each operation with an answer, whether it only looks.
    looks: Vec<bool>,
    timeline: Timeline,
    nodes: Vec<Node<M::State>>,
    waiting: BinaryHeap<Promise>,
    memory: Memory<M::State>,
    /// The nodes from the root's child to the one that is laid out.
    path: Vec<usize>,
    /// The operations that are placed there, as bits.
    placed: Bits,
    /// Those without an answer among them.
    used: Bits,
    /// Which operations were ever placed.
    ever: Vec<bool>,
    steps: u64,
}

/// Searches for an order of one part's `operations`, positions in the history.
pub(super) fn search<M: Model>(
    model: &M,
    initial: M::State,
    history: &History<M>,
    operations: &[usize],
    steps_max: u64,
) -> Verdict<M::State> {
    let mut search = Search::new(model, initial, history, operations);
    let mut longest = (0, 0);
    while let Some((explained, _, node)) = search.waiting.pop() {
        search.lay_out(node);
        if explained == search.answered {
            return Verdict::Linearizable(search.order(node));
        }
        if !search.is_new(node) {
            continue;
        }
        if explained > longest.0 {
            longest = (explained, node);
        }
        search.expand(node, explained);
        if search.steps > steps_max {
            return Verdict::GaveUp(search.contradiction(longest.1));
        }
    }
    Verdict::Not(search.contradiction(longest.1))
}

impl<'a, M: Model> Search<'a, M> {
    fn new(model: &'a M, initial: M::State, history: &'a History<M>, operations: &[usize]) -> Self {
        let output = |at: usize| history[at].returned.as_ref().map(|(_, output)| output);
        let only_looks = |&at: &usize| model.only_looks(&history[at].input, output(at));
        // What only looked, and was told nothing, explains nothing.
        let mut operations: Vec<usize> =
            operations.iter().copied().filter(|at| output(*at).is_some() || !only_looks(at)).collect();
        operations.sort_by_key(|&at| (history[at].returned.is_none(), history[at].called));
        let answered = operations.partition_point(|&at| history[at].returned.is_some());
        let twins = (answered..operations.len())
            .map(|number| {
                let input = &history[operations[number]].input;
                let before = (answered..number).rev().find(|&twin| history[operations[twin]].input == *input);
                before.unwrap_or(NONE)
            })
            .collect();
        let times = |&at: &usize| {
            let operation = &history[at];
            (operation.called, operation.returned.as_ref().map(|(returned, _)| *returned))
        };
        Search {
            model,
            history,
            answered,
            twins,
            looks: operations[..answered].iter().map(only_looks).collect(),
            timeline: Timeline::new(&operations.iter().map(times).collect::<Vec<_>>()),
            nodes: vec![Node { parent: NONE, operation: NONE, depth: 0, state: initial }],
            waiting: BinaryHeap::from([(0, Reverse(0), 0)]),
            memory: HashMap::new(),
            path: Vec::new(),
            placed: Bits::new(answered),
            used: Bits::new(operations.len() - answered),
            ever: vec![false; operations.len()],
            operations,
            steps: 0,
        }
    }

    /// Lays out a node, from whichever is laid out.
    fn lay_out(&mut self, node: usize) {
        let mut missing = Vec::new();
        let mut at = node;
        while self.nodes[at].depth > 0 && self.path.get(self.nodes[at].depth - 1) != Some(&at) {
            missing.push(at);
            at = self.nodes[at].parent;
        }
        while self.path.len() > self.nodes[at].depth {
            if let Some(last) = self.path.pop() {
                let operation = self.nodes[last].operation;
                self.timeline.link(operation);
                self.mark(operation, false);
            }
        }
        for &next in missing.iter().rev() {
            let operation = self.nodes[next].operation;
            self.timeline.unlink(operation);
            self.mark(operation, true);
            self.path.push(next);
        }
    }

    fn mark(&mut self, operation: usize, placed: bool) {
        match operation.checked_sub(self.answered) {
            None => self.placed.set(operation, placed),
            Some(without_answer) => self.used.set(without_answer, placed),
        }
    }

    /// Whether nothing that was looked at before can do all that the node that is laid out can; remembers it, if so.
    fn is_new(&mut self, node: usize) -> bool {
        let state = &self.nodes[node].state;
        let by_placed = match self.memory.get_mut(state) {
            Some(by_placed) => by_placed,
            None => self.memory.entry(state.clone()).or_default(),
        };
        let used = self.used.words();
        let known = by_placed.entry(self.placed.key()).or_default();
        let is_new = !known.iter().any(|less| is_subset(less, used));
        if is_new {
            known.push(used.into());
        }
        is_new
    }

    /// Finds what can come next behind the node that is laid out.
    fn expand(&mut self, node: usize, explained: usize) {
        let used = self.nodes[node].depth - explained;
        let first = self.nodes.len();
        for number in self.timeline.candidates() {
            let without_answer = number.checked_sub(self.answered);
            if let Some(without_answer) = without_answer
                && self.twins[without_answer] != NONE
                && !self.used.has(self.twins[without_answer] - self.answered)
            {
                continue;
            }
            let operation = &self.history[self.operations[number]];
            let output = operation.returned.as_ref().map(|(_, output)| output);
            let Node { state, depth, .. } = &self.nodes[node];
            self.steps += 1;
            let Some(next) = self.model.step(state, &operation.input, output) else { continue };
            if without_answer.is_some() && next == *state {
                continue;
            }
            self.ever[number] = true;
            let child = Node { parent: node, operation: number, depth: depth + 1, state: next };
            if self.looks.get(number) == Some(&true) {
                // Whatever follows from here follows behind it as well: it changes nothing, here or anywhere else. So this is the
                // only way on that need be tried.
                self.nodes.truncate(first);
                self.nodes.push(child);
                break;
            }
            self.nodes.push(child);
        }
        // Candidates come in the order of their calls. What was called first is tried first among equals, and the heap prefers
        // the higher number.
        self.nodes[first..].reverse();
        for child in first..self.nodes.len() {
            let promise = match self.nodes[child].operation < self.answered {
                true => (explained + 1, Reverse(used), child),
                false => (explained, Reverse(used + 1), child),
            };
            self.waiting.push(promise);
        }
    }

    /// The operations up to a node, as positions in the history.
    fn order(&self, node: usize) -> Vec<usize> {
        let mut order = Vec::with_capacity(self.nodes[node].depth);
        let mut at = node;
        while self.nodes[at].depth > 0 {
            order.push(self.operations[self.nodes[at].operation]);
            at = self.nodes[at].parent;
        }
        order.reverse();
        order
    }

    /// What is to be said of a history if this node explains most of all that were looked at.
    fn contradiction(&mut self, node: usize) -> Contradiction<M::State> {
        self.lay_out(node);
        let history = self.history;
        let mut stuck: Vec<usize> =
            self.timeline.candidates().filter(|number| *number < self.answered).collect();
        stuck.sort_by_key(|&number| {
            history[self.operations[number]].returned.as_ref().map(|(returned, _)| *returned)
        });
        let misfits = stuck.iter().filter(|&&number| !self.ever[number]);
        Contradiction {
            prefix: self.order(node),
            state: self.nodes[node].state.clone(),
            misfits: misfits.map(|&number| self.operations[number]).collect(),
            stuck: stuck.iter().map(|&number| self.operations[number]).collect(),
        }
    }
}

/// The calls and returns of what is not placed yet, in the order of time: a list with links both ways, from which an
/// operation is unlinked, and into which it is linked again, in no time (Knuth's dancing links). Operation `i` is called at
/// entry `2 * i` and returns at entry `2 * i + 1`; the last entry is both ends.
struct Timeline {
    next: Vec<usize>,
    previous: Vec<usize>,
}

impl Timeline {
    fn new(times: &[(u64, Option<u64>)]) -> Self {
        let mut entries = Vec::new();
        for (number, (called, returned)) in times.iter().enumerate() {
            entries.push((*called, false, 2 * number));
            entries.extend(returned.map(|returned| (returned, true, 2 * number + 1)));
        }
        // At the same time calls come before returns: these operations overlap.
        entries.sort_unstable();
        let end = 2 * times.len();
        let mut timeline = Timeline { next: vec![NONE; end + 1], previous: vec![NONE; end + 1] };
        let mut last = end;
        for (_, _, entry) in entries {
            timeline.next[last] = entry;
            timeline.previous[entry] = last;
            last = entry;
        }
        timeline.next[last] = end;
        timeline.previous[end] = last;
        timeline
    }

    /// The operations that may come next: what was called before anything returned.
    fn candidates(&self) -> impl Iterator<Item = usize> {
        let end = self.next.len() - 1;
        let mut entry = end;
        std::iter::from_fn(move || {
            entry = self.next[entry];
            (entry != end && entry.is_multiple_of(2)).then_some(entry / 2)
        })
    }

    fn has_return(&self, operation: usize) -> bool {
        self.next[2 * operation + 1] != NONE
    }

    fn unlink(&mut self, operation: usize) {
        self.unlink_entry(2 * operation);
        if self.has_return(operation) {
            self.unlink_entry(2 * operation + 1);
        }
    }

    fn unlink_entry(&mut self, entry: usize) {
        let (previous, next) = (self.previous[entry], self.next[entry]);
        self.next[previous] = next;
        self.previous[next] = previous;
    }

    /// Links an operation where it was. What was unlinked last is linked first, so that its neighbours are there.
    fn link(&mut self, operation: usize) {
        if self.has_return(operation) {
            self.link_entry(2 * operation + 1);
        }
        self.link_entry(2 * operation);
    }

    fn link_entry(&mut self, entry: usize) {
        let (previous, next) = (self.previous[entry], self.next[entry]);
        self.next[previous] = entry;
        self.previous[next] = entry;
    }
}

/// A set of numbers of which a copy is short: along a search, all numbers up to some point are in it, and soon after that none.
struct Bits {
    words: Vec<u64>,
    /// How many words at the front are all ones.
    full: usize,
    /// Behind the last word that is not zero.
    end: usize,
}

impl Bits {
    fn new(numbers: usize) -> Self {
        Bits { words: vec![0; numbers.div_ceil(64)], full: 0, end: 0 }
    }

    fn has(&self, number: usize) -> bool {
        self.words[number / 64] & (1 << (number % 64)) != 0
    }

    fn set(&mut self, number: usize, there: bool) {
        let (word, bit) = (number / 64, 1 << (number % 64));
        if there {
            self.words[word] |= bit;
            self.end = self.end.max(word + 1);
            while self.full < self.end && self.words[self.full] == u64::MAX {
                self.full += 1;
            }
        } else {
            self.words[word] &= !bit;
            self.full = self.full.min(word);
            while self.end > 0 && self.words[self.end - 1] == 0 {
                self.end -= 1;
            }
        }
    }

    /// Names the set: how many full words there are, and what comes then.
    fn key(&self) -> Box<[u64]> {
        let mut key = vec![self.full as u64];
        key.extend_from_slice(&self.words[self.full..self.end]);
        key.into()
    }

    fn words(&self) -> &[u64] {
        &self.words[..self.end]
    }
}

fn is_subset(less: &[u64], more: &[u64]) -> bool {
    less.len() <= more.len() && less.iter().zip(more).all(|(less, more)| less & !more == 0)
}
