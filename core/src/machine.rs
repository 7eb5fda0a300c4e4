//! The user's state machine as the replica drives it: bytes in, bytes out.
//!
//! This is the one place where the users' types meet the machinery. A payload is decoded here, once a replica.

use std::io::{self, Read, Write};

use bytes::BytesMut;

use crate::codec::{Bincode, Codec, CodecError};
use crate::context::Context;
use crate::planted::{self, Bug};
use crate::primary_backup::PrimaryBackup;
use crate::query_run::QUERY_BYTES_MAX;
use crate::record::PAYLOAD_BYTES_MAX;
use crate::reply::{push_answer_with, push_reply, push_reply_with};
use crate::service::Model;
use crate::state_machine::{Snapshot, StateMachine};

/// A captured state, waiting to be written by another thread.
pub(crate) type Capture = Box<dyn FnOnce(&mut dyn Write) -> io::Result<()> + Send>;

/// A [`StateMachine`] whose types are hidden.
pub(crate) trait Machine: Send {
    /// In which model it runs.
    fn model(&self) -> Model;

    /// Applies one command and appends its reply.
    ///
    /// # Panics
    /// If the user's `apply` does, or gives a reply that cannot be encoded.
    fn apply(&mut self, context: &Context, payload: &[u8], replies: &mut BytesMut);

    /// Answers one query and appends the answer; if it cannot be decoded, or its answer not be encoded, that.
    ///
    /// # Panics
    /// If the user's `query` does.
    fn query(&self, query: &[u8], answers: &mut BytesMut);

    /// Captures the state.
    fn capture(&self) -> Capture;

    /// Becomes the state that was written.
    fn restore(&mut self, input: &mut dyn Read) -> io::Result<()>;

    /// A copy for a primary to work on; none in the state machine model.
    fn working_copy(&self) -> Option<Box<dyn WorkingCopy>>;
}

/// A primary's copy of the state, ahead of what is committed.
pub(crate) trait WorkingCopy: Send {
    /// Executes a request, applies the command that comes of it to this copy, and gives the command.
    ///
    /// # Errors
    /// If the request cannot be decoded, or its outcome is larger than a command may be. Nothing has changed then.
    ///
    /// # Panics
    /// If the user's `execute` or `apply` does, or gives what cannot be encoded.
    fn execute(&mut self, context: &Context, request: &[u8]) -> Result<Vec<u8>, CodecError>;
}

/// Hides the types of `machine`, in the state machine model.
pub(crate) fn erase<S: StateMachine>(machine: S) -> Box<dyn Machine> {
    Box::new(Typed { machine, model: Model::StateMachine, copy: |_| None })
}

/// Hides the types of `machine`, in the primary-backup model.
pub(crate) fn erase_primary<S: PrimaryBackup>(machine: S) -> Box<dyn Machine> {
    let copy = |machine: &S| -> Option<Box<dyn WorkingCopy>> { Some(Box::new(Copy(machine.clone()))) };
    Box::new(Typed { machine, model: Model::PrimaryBackup, copy })
}

struct Typed<S> {
    machine: S,
    model: Model,
    copy: fn(&S) -> Option<Box<dyn WorkingCopy>>,
}

impl<S: StateMachine> Machine for Typed<S> {
    fn model(&self) -> Model {
        self.model
    }

    fn apply(&mut self, context: &Context, payload: &[u8], replies: &mut BytesMut) {
        match Bincode::decode::<S::Command>(payload) {
            Ok(command) => {
                let reply = self.machine.apply(context, command);
                push_reply_with(replies, |out| Bincode::encode_into(&reply, out)).unwrap_or_else(|e| {
                    panic!("the reply to command {} cannot be encoded: {e}", context.index())
                });
            }
            // The same bytes fail alike on every replica that runs the same types, so this is an outcome like any other.
            Err(error) => push_reply(replies, Err(&error.to_string())),
        }
    }

    fn query(&self, query: &[u8], answers: &mut BytesMut) {
        match Bincode::decode::<S::Query>(query) {
            Ok(query) => {
                let answer = self.machine.query(query);
                push_answer_with(answers, QUERY_BYTES_MAX, |out| Bincode::encode_into(&answer, out));
            }
            Err(error) => push_reply(answers, Err(&error.to_string())),
        }
    }

    fn capture(&self) -> Capture {
        let snapshot = self.machine.snapshot();
        Box::new(move |out| snapshot.write(out))
    }

    fn restore(&mut self, input: &mut dyn Read) -> io::Result<()> {
        self.machine.restore(S::Snapshot::read(input)?);
        Ok(())
    }

    fn working_copy(&self) -> Option<Box<dyn WorkingCopy>> {
        (self.copy)(&self.machine)
    }
}

struct Copy<S>(S);

impl<S: PrimaryBackup> WorkingCopy for Copy<S> {
    fn execute(&mut self, context: &Context, request: &[u8]) -> Result<Vec<u8>, CodecError> {
        let request = Bincode::decode::<S::Request>(request)?;
        let command = self.0.execute(context, request);
        let payload = Bincode::encode(&command)
            .unwrap_or_else(|e| panic!("the command {} cannot be encoded: {e}", context.index()));
        if payload.len() > PAYLOAD_BYTES_MAX {
            let bytes = payload.len();
            return Err(CodecError(format!(
                "its outcome has {bytes} bytes, at most {PAYLOAD_BYTES_MAX} are allowed"
            )));
        }
        // What the replicas will apply is what these bytes say, which need not be all that the value held.
        let command = Bincode::decode::<S::Command>(&payload)
            .unwrap_or_else(|e| panic!("the command {} cannot be decoded again: {e}", context.index()));
        if !planted::is(Bug::CopyStandsStill) {
            self.0.apply(context, command);
        }
        Ok(payload)
    }
}
