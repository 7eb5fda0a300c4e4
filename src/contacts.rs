//! What a node that joins a running cluster must be told first: which cluster that is.

use std::time::Duration;

use lovebird_core::error::StartError;
use lovebird_core::runtime;
use lovebird_core::transport::{ClusterInfo, Transport};

/// How long one of the contacts is waited for.
const ANSWER: Duration = Duration::from_secs(2);

/// How often all of them are asked before the start is given up.
const ROUNDS: u32 = 5;

/// Between rounds.
const PAUSE: Duration = Duration::from_millis(500);

/// Asks one after the other which cluster it is of.
pub(crate) async fn ask(
    transport: &dyn Transport,
    contacts: &[String],
    group: u32,
) -> Result<ClusterInfo, StartError> {
    let mut reason = String::new();
    for round in 0..ROUNDS {
        if round > 0 {
            runtime::sleep(PAUSE).await;
        }
        for contact in contacts {
            let endpoint = transport.endpoint(contact);
            reason = match runtime::timeout(ANSWER, endpoint.status(group)).await {
                Ok(Ok(status)) if !status.cluster.initial_members.is_empty() => return Ok(status.cluster),
                Ok(Ok(_)) => {
                    format!("{contact} is of a version that does not tell its cluster: upgrade it first")
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("{contact} does not answer within {ANSWER:?}"),
            };
        }
    }
    Err(StartError::NoContact { contacts: contacts.join(", "), reason })
}
