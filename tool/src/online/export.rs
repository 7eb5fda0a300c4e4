//! `export`: the state of a node in a file.

use std::path::Path;

use lovebird::{Export, Operator, OperatorError};
use serde_json::json;

use super::Cluster;
use super::file::{Begun, Existing};
use super::snapshot::{none_did, reason};
use crate::failure::Failure;
use crate::output::{Answer, Output};
use crate::words;

/// What was written.
struct Written {
    /// The log index that the snapshot covers.
    index: u64,
    bytes: u64,
}

/// What is asked for, for failures.
const TASK: &str = "export the state";

pub(super) async fn run(
    cluster: &Cluster,
    path: &Path,
    existing: Existing,
    output: &mut Output,
) -> Result<Answer, Failure> {
    let mut begun = Begun::new(path, existing)?;
    let whole = async {
        let (node, export) = begin(cluster).await?;
        let broken = |error| cluster.failure(TASK, error, "status");
        Ok((node, receive(export, &mut begun, output, broken).await?))
    };
    let (node, written) = tokio::select! {
        biased;
        whole = whole => whole?,
        // The process would end anyway; this way it deletes what it has begun.
        _ = tokio::signal::ctrl_c() => return Err(Failure::File(format!(
            "the export was broken off, and there is no {}: ask again",
            path.display()
        ))),
    };
    begun.finish()?;
    Ok(answer(&node, path, &written))
}

/// The first node that answers, and what it begins to send.
async fn begin(cluster: &Cluster) -> Result<(String, Export), Failure> {
    let mut reasons = Vec::new();
    let nodes: Vec<(&String, Operator)> = cluster.each().collect();
    for (node, operator) in nodes {
        match operator.export().await {
            Ok(export) => return Ok((node.clone(), export)),
            Err(error) => reasons.push(reason(error)),
        }
    }
    Err(cluster.failure(TASK, none_did(&reasons), "status"))
}

async fn receive(
    mut export: Export,
    begun: &mut Begun,
    output: &mut Output,
    broken: impl Fn(OperatorError) -> Failure,
) -> Result<Written, Failure> {
    let mut written = None;
    let mut expected = 0;
    while let Some(piece) = export.next().await {
        let piece = piece.map_err(&broken)?;
        begun.write(&piece.bytes)?;
        expected = piece.length;
        written = Some(Written { index: piece.index, bytes: piece.received });
        if piece.received < piece.length {
            output.progress(&progress(piece.received, piece.length));
        }
    }
    match written {
        Some(written) if written.bytes == expected => Ok(written),
        written => Err(broken(OperatorError::Unavailable(format!(
            "it broke off after {} of {}",
            words::count(written.map_or(0, |written| written.bytes), "byte"),
            expected
        )))),
    }
}

fn progress(received: u64, length: u64) -> Answer {
    Answer {
        text: format!(
            "{} of {} ({} %)",
            words::bytes(received),
            words::bytes(length),
            words::percent(received, length)
        ),
        json: json!({ "received": received, "length": length }),
    }
}

fn answer(node: &str, path: &Path, written: &Written) -> Answer {
    let (path, Written { index, bytes }) = (path.display().to_string(), written);
    let check = format!("ls -l {path}");
    let size = words::count(*bytes, "byte");
    Answer {
        text: format!(
            "The state of the node at {node} as of log index {index} is in {path} ({size}).\nCheck: {check}"
        ),
        json: json!({
            "done": "export",
            "address": node,
            "index": index,
            "file": path,
            "bytes": bytes,
            "check": check,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_is_in_the_file() {
        let answer = answer("a:1", Path::new("dir/state"), &Written { index: 17, bytes: 4711 });
        assert_eq!(
            answer.text,
            "The state of the node at a:1 as of log index 17 is in dir/state (4711 bytes).\nCheck: ls -l dir/state"
        );
        assert_eq!(
            answer.json.to_string(),
            r#"{"done":"export","address":"a:1","index":17,"file":"dir/state","bytes":4711,"check":"ls -l dir/state"}"#
        );
    }

    #[test]
    fn it_says_how_far_it_is() {
        let progress = progress(3 << 20, 64 << 20);
        assert_eq!(progress.text, "3.0 MiB of 64.0 MiB (4 %)");
        assert_eq!(progress.json.to_string(), r#"{"received":3145728,"length":67108864}"#);
    }
}
