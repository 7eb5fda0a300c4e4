//! A leader's working state: everything as of the end of its log, ahead of what is committed.
//!
//! It is made of what was copied when the leader's barrier was applied ([`Beginning`]), and moves with what is proposed. Making an
//! entry of a batch decides for each record whether it enters, executes it if this is a primary, and moves the state: a function
//! of the state, the batch and the time, without any waiting. Whoever holds the state drops it at the first failure; see
//! [`crate::fence`] and [`crate::primary_backup`].

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::oneshot;

use crate::apply::{Beginning, panic_text};
use crate::codec::{Bincode, Codec};
use crate::context::Context;
use crate::entry::{Entry, EntryKind};
use crate::error::Stopped;
use crate::fence::{Fence, Token};
use crate::identity::{ClusterId, GroupId};
use crate::intake::RUN_BYTES_MAX;
use crate::machine::WorkingCopy;
use crate::outcome::not_committed;
use crate::planted::{self, Bug};
use crate::proposal::Batch;
use crate::record::{Number, PAYLOAD_BYTES_MAX, RECORD_HEADER_BYTES, RecordIn, push_record, records_in};
use crate::runtime::Worker;
use crate::service::Model;
use crate::session::{Admission, Opening, Sessions};
use crate::stop::Stop;
use crate::transport::{Outcome, ProposalKind};

/// How many bytes of outcomes an entry may hold before one more is put into it, which may itself have 16 MiB. Outcomes may be far
/// larger than the requests, which are bounded where they are taken in; and a body that no message could carry to the followers
/// would be appended and never replicated.
const OUTCOME_BYTES_MAX: usize = RUN_BYTES_MAX - PAYLOAD_BYTES_MAX - RECORD_HEADER_BYTES;

/// What a leader works on; see the module.
pub(crate) struct Working {
    origin: ClusterId,
    group: GroupId,
    model: Model,
    term: u64,
    token: Token,
    position: u64,
    last_index: u64,
    time: u64,
    sessions: Sessions,
    copy: Option<Box<dyn WorkingCopy>>,
}

/// What was decided about records that follow one another.
#[derive(Debug)]
pub(crate) enum Decision {
    /// They enter the log, in the order in which they came.
    Enter(u32),
    /// One that has entered before: its reply is kept, or will be once what is under way has been applied.
    Known(Number),
    /// One that does not enter.
    Told(Outcome),
}

impl Decision {
    /// Whether it says something for ever that is only true if this node still leads. A reply that is kept was committed in any
    /// case, and what may be tried again is tried again.
    fn needs_confirmation(&self) -> bool {
        match self {
            Decision::Enter(_) | Decision::Known(_) => false,
            Decision::Told(_) if planted::is(Bug::UnconfirmedVerdict) => false,
            Decision::Told(outcome) => !matches!(outcome, Outcome::NotCommitted { retry: true, .. }),
        }
    }
}

/// A batch, and what is to be done about it.
pub(crate) struct Plan {
    pub(crate) batch: Batch,
    pub(crate) decisions: Vec<Decision>,
    /// What is to be proposed. If no record enters there is nothing to propose or, if something final is to be told, an entry
    /// without records: whatever is told is told only when the entry has counted, so that nobody is told for ever what a
    /// leader believes that was replaced long ago.
    pub(crate) entry: Option<Entry>,
}

impl Working {
    pub(crate) fn new(
        origin: ClusterId,
        group: GroupId,
        model: Model,
        term: u64,
        beginning: Beginning,
    ) -> Self {
        let Beginning { token, numbering, sessions, copy } = beginning;
        crate::sometimes!(copy.is_some(), "a primary's working copy is made anew");
        Working {
            origin,
            group,
            model,
            term,
            token,
            position: 0,
            last_index: numbering.last_index,
            time: numbering.time,
            sessions,
            copy,
        }
    }

    /// Decides about a batch that is proposed at `now`, in nanoseconds since the Unix epoch, and moves behind it.
    fn plan(&mut self, batch: Batch, now: u64) -> Plan {
        crate::sometimes!(now < self.time, "a leader's clock is behind log time, which stands still");
        self.time = if planted::is(Bug::TurnTimeBack) { now } else { self.time.max(now) };
        self.sessions.advance(self.time);
        match batch.kind {
            ProposalKind::Openings => self.openings(batch),
            ProposalKind::Commands => self.commands(batch),
        }
    }

    fn openings(&mut self, batch: Batch) -> Plan {
        for record in records_in(&batch.run) {
            let payload = record.expect("the intake has checked the run").payload;
            let opening = Bincode::decode::<Opening>(payload).expect("the intake has checked the opening");
            self.sessions.open(&opening, self.time);
        }
        let decisions = vec![Decision::Enter(batch.count)];
        let entry = self.entry(EntryKind::Sessions, batch.codec, batch.run.clone(), 0);
        Plan { batch, decisions, entry: Some(entry) }
    }

    fn commands(&mut self, batch: Batch) -> Plan {
        let mut decisions = Vec::new();
        let mut outcomes = BytesMut::new();
        let mut entering = 0;
        let mut confirmed = false;
        for record in records_in(&batch.run) {
            let record = record.expect("the intake has checked the run");
            let number = record.number;
            let index = self.last_index + 1 + u64::from(entering);
            let decision = match self.decide(record, index, &mut outcomes) {
                Ok(()) => {
                    if number.session != 0 {
                        self.sessions.enter(number, self.time);
                    }
                    entering += 1;
                    if let Some(Decision::Enter(count)) = decisions.last_mut() {
                        *count += 1;
                        continue;
                    }
                    Decision::Enter(1)
                }
                Err(decision) => decision,
            };
            confirmed |= decision.needs_confirmation();
            decisions.push(decision);
        }
        if entering == 0 {
            crate::sometimes!(confirmed, "a verdict waits for the entry that confirms it");
            let entry = confirmed.then(|| self.entry(EntryKind::Sessions, batch.codec, Bytes::new(), 0));
            return Plan { batch, decisions, entry };
        }
        let run = match &self.copy {
            Some(_) => outcomes.freeze(),
            // If all of them enter as they are, the bytes that came are the bytes that go.
            None if entering == batch.count => batch.run.clone(),
            None => {
                crate::sometimes!("an entry takes only a part of what was proposed together");
                entering_records(&batch.run, &decisions)
            }
        };
        let entry = self.entry(self.model.entry_kind(), batch.codec, run, entering);
        self.last_index += u64::from(entering);
        Plan { batch, decisions, entry: Some(entry) }
    }

    /// Whether a record enters with this log index. What a primary makes of it is appended to `outcomes`.
    fn decide(&mut self, record: RecordIn<'_>, index: u64, outcomes: &mut BytesMut) -> Result<(), Decision> {
        let number = record.number;
        if number.session != 0 {
            match self.sessions.admit(number) {
                Admission::New => {}
                Admission::Duplicate => return Err(Decision::Known(number)),
                Admission::Settled => {
                    crate::sometimes!("a command comes again that its client awaits no longer");
                    return Err(Decision::Told(Outcome::ReplyGone { index: 0 }));
                }
                Admission::Early => {
                    crate::sometimes!("a sequence comes before the one that it follows on");
                    return Err(Decision::Told(not_committed("a command before it is missing")));
                }
                // One that never was is as lost as one that has expired: perhaps the cluster is another one.
                Admission::Expired | Admission::Unheard => {
                    crate::sometimes!("a command comes in a session that is not known any more");
                    return Err(Decision::Told(Outcome::Expired));
                }
            }
        }
        let Some(copy) = &mut self.copy else { return Ok(()) };
        if outcomes.len() > OUTCOME_BYTES_MAX {
            return Err(Decision::Told(not_committed(
                "the outcomes of the requests before it fill an entry",
            )));
        }
        let context = Context::new(self.origin, index, self.term, Duration::from_nanos(self.time));
        match copy.execute(&context, record.payload) {
            Ok(payload) => {
                push_record(outcomes, number, &payload);
                Ok(())
            }
            Err(error) => {
                Err(Decision::Told(malformed(&format!("the primary cannot execute the request: {error}"))))
            }
        }
    }

    fn entry(&mut self, kind: EntryKind, codec: u8, body: Bytes, record_count: u32) -> Entry {
        self.position += 1;
        let mut entry = Entry::new(kind, body);
        entry.header.group = self.group;
        entry.header.codec = codec;
        entry.header.record_count = record_count;
        entry.header.time = self.time;
        entry.header.fence = Fence { token: self.token, position: self.position };
        entry
    }
}

/// The records of a run that enter, where not all of them do.
fn entering_records(run: &[u8], decisions: &[Decision]) -> Bytes {
    let mut entering = BytesMut::with_capacity(run.len());
    let mut all = records_in(run).map(|record| record.expect("the intake has checked the run"));
    for decision in decisions {
        match decision {
            Decision::Enter(count) => {
                for record in all.by_ref().take(*count as usize) {
                    push_record(&mut entering, record.number, record.payload);
                }
            }
            Decision::Known(_) | Decision::Told(_) => {
                all.next();
            }
        }
    }
    entering.freeze()
}

fn malformed(reason: &str) -> Outcome {
    Outcome::NotCommitted { reason: reason.to_owned(), retry: false, leader: None }
}

/// Where plans are made: where they are asked for or, since a primary runs the user's code, on a thread of its own.
pub(crate) struct Planner {
    worker: Option<Worker>,
    stop: Arc<Stop>,
}

impl Planner {
    pub(crate) fn new(model: Model, stop: Arc<Stop>) -> Self {
        let worker = (model == Model::PrimaryBackup).then(|| Worker::start("lovebird-execute"));
        Planner { worker, stop }
    }

    /// Decides about a batch, and gives the state back. `None` if the user's code panicked, which stops the node.
    pub(crate) async fn plan(&self, mut working: Working, batch: Batch, now: u64) -> Option<(Working, Plan)> {
        let Some(worker) = &self.worker else {
            let plan = working.plan(batch, now);
            return Some((working, plan));
        };
        let (done, planned) = oneshot::channel();
        let stop = self.stop.clone();
        worker.submit(move || {
            let planned = catch_unwind(AssertUnwindSafe(move || {
                let plan = working.plan(batch, now);
                (working, plan)
            }));
            match planned {
                Ok(planned) => {
                    // Whoever asked has gone with the node.
                    let _ = done.send(planned);
                }
                Err(panic) => {
                    stop.set(Stopped::StateMachine(panic_text(&*panic)));
                    resume_unwind(panic);
                }
            }
        });
        planned.await.ok()
    }
}

#[cfg(all(test, not(madsim)))]
mod tests {
    use super::*;
    use crate::fence::Numbering;
    use crate::proposal::{Proposal, Sender};
    use crate::queue::Queue;
    use crate::record::records;
    use crate::runtime::Instant;

    fn batch(numbers: &[Number]) -> Batch {
        let mut run = BytesMut::new();
        for number in numbers {
            push_record(&mut run, *number, b"command");
        }
        let queue = Queue::default();
        queue.push(Proposal {
            kind: ProposalKind::Commands,
            run: run.freeze(),
            count: numbers.len() as u32,
            codec: Bincode::ID,
            deadline: Instant::now() + Duration::from_secs(60),
            sender: Sender::new(1, tokio::sync::mpsc::unbounded_channel().0),
        });
        Batch::take(&queue).unwrap()
    }

    fn working(sessions: Sessions) -> Working {
        let numbering = Numbering { last_index: 7, time: 100, ..Numbering::default() };
        let beginning = Beginning { token: Token::default(), numbering, sessions, copy: None };
        Working::new(ClusterId(1), 0, Model::StateMachine, 3, beginning)
    }

    #[test]
    fn a_clock_that_is_behind_the_log_does_not_turn_log_time_back() {
        let mut working = working(Sessions::default());
        for (now, time) in [(50, 100), (120, 120), (110, 120)] {
            assert_eq!(working.plan(batch(&[Number::NONE]), now).entry.unwrap().header.time, time);
        }
    }

    #[test]
    fn what_does_not_enter_is_left_out_and_the_rest_is_as_it_came() {
        let mut sessions = Sessions::default();
        let opening =
            Opening { name: String::new(), patience_ms: 1000, order: crate::session::Order::Ordered };
        sessions.open(&opening, 100);
        let mut working = working(sessions);
        let number = |sequence| Number { session: 1, sequence, window: sequence as u16 - 1 };
        let whole = batch(&[number(1), Number::NONE]);
        let run = whole.run.clone();
        let plan = working.plan(whole, 100);
        let entry = plan.entry.unwrap();
        assert_eq!(entry.body.as_ptr(), run.as_ptr(), "what enters whole is not copied");
        let plan = working.plan(batch(&[number(1), number(2), number(9), Number::NONE]), 100);
        let entry = plan.entry.unwrap();
        let entered: Vec<Number> = records(entry.body).map(|record| record.unwrap().number).collect();
        assert_eq!(entered, [number(2), Number::NONE]);
        assert_eq!((entry.header.record_count, entry.header.fence.position), (2, 2));
        let kinds: Vec<String> = plan.decisions.iter().map(|decision| format!("{decision:?}")).collect();
        assert!(kinds[0].starts_with("Known"), "{kinds:?}");
        assert_eq!(kinds[1], "Enter(1)");
        assert!(kinds[2].contains("retry: true"), "{kinds:?}");
        assert_eq!(kinds[3], "Enter(1)");
        assert_eq!(working.last_index, 7 + 2 + 2);
    }
}
