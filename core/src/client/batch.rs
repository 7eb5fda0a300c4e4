//! Many commands at once, for those who write a log.

use super::command::{Content, Numbered};
use super::{Client, Committed};
use crate::codec::{Bincode, Codec};
use crate::error::ProposeError;
use crate::intake::RUN_BYTES_MAX;
use crate::outcome::Pieces;
use crate::record::{PAYLOAD_BYTES_MAX, push_plain_record};
use crate::runtime::Instant;
use crate::service::Service;
use crate::transport::ProposalKind;

impl<S: Service> Client<S> {
    /// Proposes many commands, to stand in the log in this order, and waits until all of them are committed and applied, or what became
    /// of them is known. Gives the outcome of each, in the same order.
    ///
    /// With a handle that is [`Client::without_session`] they travel as one, are appended in one entry, without anything between them,
    /// and are committed together or not at all: this is how to write a log fast. Of a request to a primary, its own refusal is
    /// still its own. With any other handle each is a command of the session, and what has been said of [`Client::propose`] holds
    /// for each: they are sent together as far as they fit, other commands of this client may stand between them, and of more than this
    /// client lets wait at once those that are too many are refused, each for itself.
    ///
    /// Dropping the future does not take the commands back.
    ///
    /// # Errors
    /// [`ProposeError::NotCommitted`] if one of them cannot be encoded or is too large, or all together have more than 32 MiB where they travel
    /// as one. None of them was sent then.
    pub async fn propose_all(&self, proposals: &[S::Proposal]) -> Result<Outcomes<S>, ProposeError> {
        let _calling = self.core.calling();
        let deadline = Instant::now() + self.timeout;
        if proposals.is_empty() {
            return Ok(Vec::new());
        }
        if self.numbered != Numbered::None {
            return self.propose_each(proposals, deadline).await;
        }
        let (run, count) = run_of::<S>(proposals)?;
        let content = Content::Run(run, count);
        let mut under_way = self.send_content(ProposalKind::Commands, Numbered::None, content, deadline);
        let mut pieces = Pieces::new(under_way.outcome(deadline).await, count);
        Ok(proposals.iter().map(|_| self.read_outcome(pieces.take(1))).collect())
    }

    async fn propose_each(
        &self,
        proposals: &[S::Proposal],
        deadline: Instant,
    ) -> Result<Outcomes<S>, ProposeError> {
        let payloads = proposals.iter().map(super::encode).collect::<Result<Vec<_>, _>>()?;
        let send = |payload| self.send(ProposalKind::Commands, self.numbered, payload, deadline);
        let mut under_way: Vec<_> = payloads.into_iter().map(send).collect();
        let mut outcomes = Vec::with_capacity(under_way.len());
        for command in &mut under_way {
            outcomes.push(self.read_outcome(command.outcome(deadline).await));
        }
        Ok(outcomes)
    }
}

/// What became of each of many commands.
type Outcomes<S> = Vec<Result<Committed<<S as Service>::Reply>, ProposeError>>;

/// The commands as records without a number, laid end to end.
fn run_of<S: Service>(proposals: &[S::Proposal]) -> Result<(Vec<u8>, u32), ProposeError> {
    let refused = |reason| ProposeError::NotCommitted { reason };
    let mut run = Vec::new();
    for proposal in proposals {
        let bytes = push_plain_record(&mut run, |out| Bincode::encode_into(proposal, out))
            .map_err(|error| refused(format!("a command cannot be encoded: {error}")))?;
        if bytes > PAYLOAD_BYTES_MAX {
            return Err(refused(format!(
                "a command has {bytes} bytes, at most {PAYLOAD_BYTES_MAX} are allowed"
            )));
        }
        if run.len() > RUN_BYTES_MAX {
            return Err(refused(format!(
                "the commands have more than {RUN_BYTES_MAX} bytes together: propose fewer at once"
            )));
        }
    }
    let count =
        u32::try_from(proposals.len()).map_err(|_| refused("these are too many commands".to_owned()))?;
    Ok((run, count))
}
