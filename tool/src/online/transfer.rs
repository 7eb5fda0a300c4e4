//! `transfer`: the leader hands over.

use lovebird::NodeId;
use serde_json::json;

use super::Cluster;
use crate::failure::Failure;
use crate::output::Answer;

pub(super) async fn run(cluster: &Cluster, to: Option<NodeId>) -> Result<Answer, Failure> {
    match cluster.operator.hand_over(to).await {
        Ok(leader) => Ok(answer(leader, &cluster.line("status"))),
        Err(error) => Err(cluster.failure(task(to), error, "status")),
    }
}

fn task(to: Option<NodeId>) -> String {
    match to {
        Some(node) => format!("hand over to node {node}"),
        None => "hand over".to_owned(),
    }
}

fn answer(leader: NodeId, check: &str) -> Answer {
    Answer {
        text: format!("Node {leader} leads now.\nCheck: {check}"),
        json: json!({ "done": "transfer", "leader": leader, "check": check }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_who_leads() {
        let answer = answer(2, "lovebird status --node a:1");
        assert_eq!(answer.text, "Node 2 leads now.\nCheck: lovebird status --node a:1");
        assert_eq!(
            answer.json.to_string(),
            r#"{"done":"transfer","leader":2,"check":"lovebird status --node a:1"}"#
        );
        assert_eq!((task(Some(2)), task(None)), ("hand over to node 2".to_owned(), "hand over".to_owned()));
    }
}
