//! Why something was not done.

use std::fmt;
use std::io;

use lovebird::OperatorError;
use serde_json::{Value, json};

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The cluster did not do it, or nobody knows whether it did.
    Cluster {
        /// What was asked for, such as `remove node 4`.
        task: String,
        /// Why not, as a sentence.
        error: OperatorError,
        /// The command line that shows more.
        look: String,
    },
    /// What was to be done to a directory was not; a sentence.
    Offline(String),
    /// A file could not be written, or must not be; a sentence.
    File(String),
    /// It could not be printed.
    Output(io::Error),
}

impl Failure {
    /// For programs, which tell by `kind` whether it helps to ask again.
    pub(crate) fn json(&self) -> Value {
        let error = self.sentence();
        match self {
            Failure::Cluster { error: OperatorError::Refused(_), look, .. } => {
                json!({ "error": error, "kind": "refused", "look": look })
            }
            Failure::Cluster { error: OperatorError::Unavailable(_), look, .. } => {
                json!({ "error": error, "kind": "unavailable", "look": look })
            }
            Failure::Offline(_) => json!({ "error": error, "kind": "offline" }),
            Failure::File(_) => json!({ "error": error, "kind": "file" }),
            Failure::Output(_) => json!({ "error": error, "kind": "output" }),
        }
    }

    fn sentence(&self) -> String {
        match self {
            Failure::Cluster { task, error, .. } => format!("cannot {task}: {error}"),
            Failure::Offline(sentence) | Failure::File(sentence) => sentence.clone(),
            Failure::Output(error) => format!("the answer could not be printed: {error}"),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.sentence())?;
        match self {
            Failure::Cluster { look, .. } => write!(f, "\nLook: {look}"),
            Failure::Offline(_) | Failure::File(_) | Failure::Output(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_was_asked_why_not_and_where_to_look() {
        let failure = |error: OperatorError| Failure::Cluster {
            task: "promote node 9".to_owned(),
            error,
            look: "lovebird members --node a:1".to_owned(),
        };
        let refused = failure(OperatorError::Refused("node 9 is no member: add it first".to_owned()));
        assert_eq!(
            refused.to_string(),
            "error: cannot promote node 9: node 9 is no member: add it first\nLook: lovebird members --node a:1"
        );
        assert_eq!(
            refused.json().to_string(),
            r#"{"error":"cannot promote node 9: node 9 is no member: add it first","kind":"refused","look":"lovebird members --node a:1"}"#
        );
        let unavailable = failure(OperatorError::Unavailable("no leader is known".to_owned()));
        assert_eq!(
            unavailable.to_string(),
            "error: cannot promote node 9: no leader is known; the patience of this call is at its end, and asking again \
             does no harm\nLook: lovebird members --node a:1"
        );
        assert_eq!(unavailable.json()["kind"], "unavailable");
    }
}
