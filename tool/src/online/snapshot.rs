//! `snapshot`: a node takes one now.

use lovebird::OperatorError;
use serde_json::json;

use super::{Cluster, line};
use crate::failure::Failure;
use crate::output::Answer;

pub(super) async fn run(cluster: &Cluster) -> Result<Answer, Failure> {
    let mut reasons = Vec::new();
    for (node, operator) in cluster.each() {
        match operator.take_snapshot().await {
            Ok(index) => return Ok(answer(node, index)),
            Err(error) => reasons.push(reason(error)),
        }
    }
    Err(cluster.failure("take a snapshot", none_did(&reasons), "status"))
}

/// Why a node that was asked once did not do it.
pub(super) fn reason(error: OperatorError) -> String {
    match error {
        OperatorError::Refused(reason) | OperatorError::Unavailable(reason) => reason,
    }
}

/// What is said if none of the nodes did it. Each was asked once, so there is no talk of patience.
pub(super) fn none_did(reasons: &[String]) -> OperatorError {
    OperatorError::Refused(reasons.join("; "))
}

fn answer(node: &str, index: u64) -> Answer {
    let check = line("status", &[node.to_owned()]);
    Answer {
        text: format!("The node at {node} has a snapshot of the log up to index {index}.\nCheck: {check}"),
        json: json!({ "done": "snapshot", "address": node, "index": index, "check": check }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_who_has_it_and_up_to_where() {
        let answer = answer("a:1", 17);
        assert_eq!(
            answer.text,
            "The node at a:1 has a snapshot of the log up to index 17.\nCheck: lovebird status --node a:1"
        );
        assert_eq!(
            answer.json.to_string(),
            r#"{"done":"snapshot","address":"a:1","index":17,"check":"lovebird status --node a:1"}"#
        );
    }

    #[test]
    fn all_reasons_are_given() {
        let reasons = ["cannot reach a:1: it is off", "cannot reach b:1: it is off"].map(str::to_owned);
        assert_eq!(
            none_did(&reasons).to_string(),
            "cannot reach a:1: it is off; cannot reach b:1: it is off"
        );
    }
}
