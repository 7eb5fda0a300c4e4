//! The user's state machine as the replica drives it: bytes in, bytes out.
//!
//! This is the one place where the users' types meet the machinery. A payload is decoded here, once a replica.

use std::io::{self, Read, Write};

use bytes::BytesMut;

use crate::codec::{Bincode, Codec, CodecError};
use crate::context::Context;
use crate::reply::push_reply;
use crate::state_machine::{Snapshot, StateMachine};

/// A captured state, waiting to be written by another thread.
pub(crate) type Capture = Box<dyn FnOnce(&mut dyn Write) -> io::Result<()> + Send>;

/// A [`StateMachine`] whose types are hidden.
pub(crate) trait Machine: Send {
    /// Applies one command and appends its reply.
    ///
    /// # Panics
    /// If the user's `apply` does, or gives a reply that cannot be encoded.
    fn apply(&mut self, context: &Context, payload: &[u8], replies: &mut BytesMut);

    /// Answers one query.
    fn query(&self, query: &[u8]) -> Result<Vec<u8>, CodecError>;

    /// Captures the state.
    fn capture(&self) -> Capture;

    /// Becomes the state that was written.
    fn restore(&mut self, input: &mut dyn Read) -> io::Result<()>;
}

/// Hides the types of `machine`.
pub(crate) fn erase<S: StateMachine>(machine: S) -> Box<dyn Machine> {
    Box::new(Typed(machine))
}

struct Typed<S>(S);

impl<S: StateMachine> Machine for Typed<S> {
    fn apply(&mut self, context: &Context, payload: &[u8], replies: &mut BytesMut) {
        match Bincode::decode::<S::Command>(payload) {
            Ok(command) => {
                let reply = self.0.apply(context, command);
                let reply = Bincode::encode(&reply).unwrap_or_else(|e| {
                    panic!("the reply to command {} cannot be encoded: {e}", context.index())
                });
                push_reply(replies, Ok(&reply));
            }
            // The same bytes fail alike on every replica that runs the same types, so this is an outcome like any other.
            Err(error) => push_reply(replies, Err(&error.to_string())),
        }
    }

    fn query(&self, query: &[u8]) -> Result<Vec<u8>, CodecError> {
        let answer = self.0.query(Bincode::decode::<S::Query>(query)?);
        Bincode::encode(&answer)
    }

    fn capture(&self) -> Capture {
        let snapshot = self.0.snapshot();
        Box::new(move |out| snapshot.write(out))
    }

    fn restore(&mut self, input: &mut dyn Read) -> io::Result<()> {
        self.0.restore(S::Snapshot::read(input)?);
        Ok(())
    }
}
