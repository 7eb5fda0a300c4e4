//! Commands that their callers name: proposed again by anybody, through any node, they take effect once.

use std::collections::BTreeMap;

use super::command::Numbered;
use super::{Client, Committed, encode, millis, read_opened};
use crate::error::ProposeError;
use crate::record::{Number, SEQUENCE_MAX};
use crate::runtime::Instant;
use crate::service::Service;
use crate::session::{Opened, Opening, Order};
use crate::transport::{Outcome, ProposalKind};

/// How many numbers before the present one a [`Key`] may still be asked for.
pub const KEYS_KEPT: u16 = 1023;

/// How many names a client remembers the sessions of.
const NAMES_MAX: usize = 16 << 10;

/// Names one command of a caller, so that it takes effect once however often it is proposed.
///
/// The name is the caller's own, such as a random one that it drew when it began; the numbers are 1, 2, 3 … in any order. The same
/// key again gives the first reply and its log index, as long as none of the name's numbers is more than [`KEYS_KEPT`] higher. A
/// name that is not used for [`crate::client::ClientOptions::key_expiry`] expires, and is refused from then on: the last
/// [`crate::session::GONE_NAMES_MAX`] names that expired are remembered. Whoever draws a new name each time never meets that limit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The caller, at most [`crate::session::NAME_BYTES_MAX`] bytes and at least one.
    pub name: String,
    /// The command, at least 1.
    pub number: u64,
}

impl<S: Service> Client<S> {
    /// Proposes a command under a key. Whoever has proposed it before gets the reply that it had.
    ///
    /// # Errors
    /// [`ProposeError::NotCommitted`] only if the key or the command itself cannot be; otherwise [`ProposeError::Unknown`], since an
    /// earlier attempt under the same key may be under way. It is safe to try again. [`ProposeError::Expired`] if the name
    /// has expired, [`ProposeError::ReplyGone`] if the number is too far behind.
    pub async fn propose_as(
        &self,
        key: &Key,
        proposal: S::Proposal,
    ) -> Result<Committed<S::Reply>, ProposeError> {
        let Key { name, number } = key;
        if name.is_empty() || *number == 0 || *number > SEQUENCE_MAX {
            let reason =
                format!("a key is a name and a number from 1 to {SEQUENCE_MAX}, not {name:?} and {number}");
            return Err(ProposeError::NotCommitted { reason });
        }
        let _calling = self.core.calling();
        let payload = encode(&proposal)?;
        let deadline = Instant::now() + self.timeout;
        let session = self.session_of(name, deadline).await?;
        let window = u16::try_from(number - 1).unwrap_or(u16::MAX).min(KEYS_KEPT);
        let numbered = Numbered::Given(Number { session, sequence: *number, window });
        let mut under_way = self.send(ProposalKind::Commands, numbered, payload, deadline);
        let outcome = match under_way.outcome(deadline).await {
            // Of this attempt that is certain. The key may have been proposed before, by this caller or through another node.
            Outcome::NotCommitted { reason, .. } => Outcome::Unknown { reason },
            outcome => outcome,
        };
        if outcome == Outcome::Expired {
            crate::sometimes!("the session of a key has expired");
            self.names().remove(name);
        }
        self.read_outcome(outcome)
    }

    /// The session behind a name, which is opened if there is none.
    async fn session_of(&self, name: &str, deadline: Instant) -> Result<u64, ProposeError> {
        if let Some(session) = self.names().get(name) {
            return Ok(*session);
        }
        let opening = Opening {
            name: name.to_owned(),
            patience_ms: millis(self.core.shared.options.key_expiry),
            order: Order::Unordered,
        };
        opening.check().map_err(|reason| ProposeError::NotCommitted { reason })?;
        let mut under_way = self.send(ProposalKind::Openings, Numbered::None, encode(&opening)?, deadline);
        // The command itself has not been sent: whatever becomes of the opening, it is not committed by this call.
        let reason = match under_way.outcome(deadline).await {
            Outcome::Committed { replies: run, .. } => match read_opened(run) {
                Some(Opened::Session(session)) => {
                    let mut names = self.names();
                    if names.len() >= NAMES_MAX {
                        names.clear();
                    }
                    names.insert(name.to_owned(), session);
                    return Ok(session);
                }
                Some(Opened::Gone) => {
                    let reason = format!(
                        "the name {name:?} was not used for too long; whether its commands were carried out before is no \
                         longer known, and they will not be now: go on under another name"
                    );
                    return Err(ProposeError::Expired { reason });
                }
                None => "the reply to the opening of a session did not arrive whole".to_owned(),
            },
            Outcome::NotCommitted { reason, .. } | Outcome::Unknown { reason } => reason,
            other => format!("the opening of a session came to {other:?}"),
        };
        // The key may have been used before, by this caller or through another node.
        Err(ProposeError::Unknown { reason: format!("the session {name:?} could not be opened: {reason}") })
    }

    fn names(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, u64>> {
        self.core.shared.names.lock().expect("no code panics while it holds this lock")
    }
}
