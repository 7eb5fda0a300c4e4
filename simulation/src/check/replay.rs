//! The commit order, carried out once more by a machine of its own: what replicas replied and clients were answered must be what
//! comes out. With the order known, this decides linearizability in linear time.

use lovebird_core::codec::{Bincode, Codec};
use lovebird_core::state_machine::StateMachine;

use super::reads::Answered;
use super::{Checker, Invariant};
use crate::watched::{Applied, Tagged, encode};
use crate::workload::{CommandOf, QueryOf, Workload};

/// How often a difference is told: whoever differs once differs from then on.
const TOLD_MAX: usize = 3;

/// Replays what was applied, and asks at each log index what was asked there.
pub(crate) fn replay<W: Workload>(checker: &Checker) {
    let (records, answers) = checker.history();
    let mut replay = Replay::<W> { machine: W::machine(), checker, told: 0 };
    let mut answers = answers.into_iter().peekable();
    replay.answers(0, &mut answers);
    for record in &records {
        replay.apply(record);
        replay.answers(record.moment.index, &mut answers);
        if replay.told >= TOLD_MAX {
            return;
        }
    }
    if let Some(answered) = answers.next() {
        let Answered { asked, index, .. } = answered;
        let sentence = format!(
            "a read ({}) of client {} was answered from log index {index}, which does not exist",
            asked.kind, asked.client
        );
        checker.violation(Invariant::Linearizable, sentence);
    }
}

struct Replay<'a, W: Workload> {
    machine: W::Machine,
    checker: &'a Checker,
    told: usize,
}

impl<W: Workload> Replay<'_, W> {
    fn tell(&mut self, invariant: Invariant, sentence: String) {
        self.told += 1;
        self.checker.violation(invariant, sentence);
    }

    fn apply(&mut self, record: &Applied) {
        let index = record.moment.index;
        let Ok(command) = Bincode::decode::<Tagged<CommandOf<W>>>(&record.command) else {
            return self
                .tell(Invariant::LogsMatch, format!("the command at log index {index} cannot be decoded"));
        };
        let said = format!("{:?}", command.content);
        let reply = encode(&self.machine.apply(&record.context, command.content));
        let digest = W::digest(&self.machine);
        if reply != record.reply || digest != record.digest {
            let known = self.checker.describe(record);
            self.tell(
                Invariant::EqualStates,
                format!(
                    "a machine of its own that carries out the log comes to another reply or state at log index {index}, by {said}: \
                     {digest:016x}; the replicas applied {known}. The state machine is not deterministic, or keeps something \
                     outside of its state"
                ),
            );
        }
    }

    fn answers(&mut self, index: u64, answers: &mut std::iter::Peekable<std::vec::IntoIter<Answered>>) {
        while let Some(answered) = answers.next_if(|answered| answered.index <= index) {
            let Ok(query) = Bincode::decode::<QueryOf<W>>(&answered.asked.query) else { continue };
            let said = format!("{query:?}");
            let answer = encode(&self.machine.query(query));
            if answer != answered.answer {
                let (given, due) =
                    (self.checker.show_answer(&answered.answer), self.checker.show_answer(&answer));
                let Answered { asked, index, .. } = answered;
                self.tell(
                    Invariant::Linearizable,
                    format!(
                        "client {} asked {said} ({}) and was answered {given} from log index {index}, where the history says {due}",
                        asked.client, asked.kind
                    ),
                );
            }
        }
    }
}

impl Checker {
    fn describe(&self, record: &Applied) -> String {
        self.seen().described(record)
    }

    fn show_answer(&self, answer: &[u8]) -> String {
        (self.seen().shown.answer)(answer)
    }
}
